//! The queries, as cells of a notebook have them.

use corriente::prelude::*;

use crate::events::Topics;

/// Pass through.
pub(crate) fn q0(topics: &Topics) -> StreamFrame {
    let bids = topics.bids();
    bids.select([col("auction"), col("bidder"), col("price"), col("date_time")])
}

/// Currency conversion.
pub(crate) fn q1(topics: &Topics) -> StreamFrame {
    let bids = topics.bids();
    bids.select([col("auction"), col("bidder"), (col("price") * lit(0.908)).alias("euros"), col("date_time")])
}

/// Selection.
pub(crate) fn q2(topics: &Topics) -> StreamFrame {
    let bids = topics.bids();
    bids.filter((col("auction") % lit(123)).eq(lit(0))).select([col("auction"), col("price")])
}

/// Local item suggestion.
pub(crate) fn q3(topics: &Topics) -> StreamFrame {
    let (auctions, persons) = (topics.auctions(), topics.persons());
    let ours = persons.filter(col("state").eq(lit("or")).or(col("state").eq(lit("id"))).or(col("state").eq(lit("ca"))));
    auctions
        .filter(col("category").eq(lit(10)))
        .join_stream(&ours, [col("seller")], [col("id")], JoinType::Inner, within("date_time", "date_time", "1h"))
        .select([col("name"), col("city"), col("state"), col("id")])
}

/// Average price for a category.
pub(crate) fn q4(topics: &Topics) -> StreamFrame {
    let (auctions, bids) = (topics.auctions(), topics.bids());
    let in_time = col("date_time_right").gt_eq(col("date_time")).and(col("date_time_right").lt_eq(col("expires")));
    auctions
        .join_stream(&bids, [col("id")], [col("auction")], JoinType::Inner, within("date_time", "date_time", "1h"))
        .filter(in_time)
        .group_by([col("id"), col("category")])
        .agg([col("price").max().alias("final")])
        .group_by([col("category")])
        .agg([col("final").mean()])
}

/// Hot items.
pub(crate) fn q5(topics: &Topics) -> StreamFrame {
    let bids = topics.bids();
    let most = || col("n").eq(col("n").max());
    bids.group_by_dynamic(col("date_time"), [col("auction")], hopping("10s", "2s"))
        .agg([len().alias("n")])
        .group_by([col("date_time")])
        .agg([col("auction").filter(most()).sort(SortOptions::default()), col("n").max()])
}

/// Highest bid.
pub(crate) fn q7(topics: &Topics) -> StreamFrame {
    let bids = topics.bids();
    let highest = || col("price").eq(col("price").max());
    bids.group_by_dynamic(col("date_time"), [], tumbling("10s")).agg([
        col("price").max(),
        col("auction").filter(highest()),
        col("bidder").filter(highest()),
    ])
}

/// Monitor new users.
pub(crate) fn q8(topics: &Topics) -> StreamFrame {
    let (persons, auctions) = (topics.persons(), topics.auctions());
    let window = || col("date_time").dt().truncate(lit("10s")).alias("window");
    let (new, sellers) = (persons.with_columns([window()]), auctions.with_columns([window()]));
    let at_once = within("date_time", "date_time", "10s");
    new.join_stream(&sellers, [col("id"), col("window")], [col("seller"), col("window")], JoinType::Inner, at_once)
        .select([col("id"), col("name"), col("window")])
        .unique(None)
}

/// User sessions.
pub(crate) fn q11(topics: &Topics) -> StreamFrame {
    let bids = topics.bids();
    bids.group_by_dynamic(col("date_time"), [col("bidder")], session("10s")).agg([len().alias("bids")])
}

/// Processing time windows.
pub(crate) fn q12(topics: &Topics) -> StreamFrame {
    let bids = topics.bids_as_they_come();
    let seen = bids.with_processing_time("seen").with_watermark("seen", "0s");
    seen.group_by_dynamic(col("seen"), [col("bidder")], tumbling("10s")).agg([len().alias("bids")])
}
