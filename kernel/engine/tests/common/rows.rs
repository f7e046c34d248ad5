//! Random rows: nulls, NaN, empty texts, extreme numbers, the same keys again and again, times in any order.

use std::fmt;

use polars::prelude::*;
use proptest::prelude::*;

/// Partitions of the log.
pub(crate) const PARTITIONS: i32 = 3;

#[derive(Clone, Debug)]
pub(crate) struct Row {
    pub(crate) partition: i32,
    pub(crate) time: Option<i64>,
    pub(crate) key: Option<String>,
    pub(crate) whole: Option<i64>,
    pub(crate) float: Option<f64>,
    pub(crate) cents: Option<i64>,
    pub(crate) small: Option<i32>,
    pub(crate) flag: Option<bool>,
    pub(crate) tags: Option<Vec<i32>>,
    pub(crate) place: (Option<String>, Option<f64>),
}

pub(crate) fn rows(most: usize) -> impl Strategy<Value = Vec<Row>> {
    prop::collection::vec(row(), 0..most)
}

fn row() -> impl Strategy<Value = Row> {
    let time = prop_oneof![20 => (-30_000..60_000i64).prop_map(Some), 1 => Just(None)];
    let key = prop_oneof![4 => (0..4u8).prop_map(|k| Some(format!("key {k}"))), 1 => Just(Some(String::new())), 1 => Just(None)];
    let whole = prop_oneof![8 => (-1000..1000i64).prop_map(Some), 1 => Just(None), 1 => Just(Some(i64::MAX))];
    let float = prop_oneof![
        12 => (-1e6..1e6f64).prop_map(Some),
        2 => Just(None),
        4 => prop::sample::select(vec![1e-9, 0.0, -0.0, f64::NAN, f64::INFINITY, f64::NEG_INFINITY]).prop_map(Some),
    ];
    let cents = prop_oneof![8 => (-100_000..100_000i64).prop_map(Some), 1 => Just(None)];
    let small = prop_oneof![8 => (-50..50i32).prop_map(Some), 1 => Just(None)];
    let tags = prop::option::weighted(0.9, prop::collection::vec(0..5i32, 0..3));
    let city = prop::option::of(prop::sample::select(vec!["", "Lima", "Oslo"]).prop_map(str::to_owned));
    let place = (city, prop::option::of(-10.0..10.0f64));
    let rest = (prop::option::of(any::<bool>()), tags, place);
    (0..PARTITIONS, time, key, whole, float, cents, small, rest).prop_map(
        |(partition, time, key, whole, float, cents, small, (flag, tags, place))| Row {
            partition,
            time,
            key,
            whole,
            float,
            cents,
            small,
            flag,
            tags,
            place,
        },
    )
}

/// The rows as a frame; their partitions are no column of it.
pub(crate) fn frame(rows: &[Row]) -> DataFrame {
    let mut tags = ListPrimitiveChunkedBuilder::<Int32Type>::new("tags".into(), rows.len(), 0, DataType::Int32);
    rows.iter().for_each(|row| tags.append_opt_slice(row.tags.as_deref()));
    let mut frame = df![
        "event_time" => rows.iter().map(|r| r.time).collect::<Vec<_>>(),
        "key" => rows.iter().map(|r| r.key.clone()).collect::<Vec<_>>(),
        "whole" => rows.iter().map(|r| r.whole).collect::<Vec<_>>(),
        "float" => rows.iter().map(|r| r.float).collect::<Vec<_>>(),
        "small" => rows.iter().map(|r| r.small).collect::<Vec<_>>(),
        "cents" => rows.iter().map(|r| r.cents.map(|c| c as f64 / 100.0)).collect::<Vec<_>>(),
        "flag" => rows.iter().map(|r| r.flag).collect::<Vec<_>>(),
        "city" => rows.iter().map(|r| r.place.0.clone()).collect::<Vec<_>>(),
        "height" => rows.iter().map(|r| r.place.1).collect::<Vec<_>>(),
    ]
    .unwrap();
    frame.with_column(tags.finish().into_series().into()).unwrap();
    frame
        .lazy()
        .with_columns([
            col("event_time").cast(DataType::Datetime(TimeUnit::Milliseconds, None)),
            col("cents").cast(DataType::Decimal(38, 2)),
            as_struct(vec![col("city"), col("height")]).alias("place"),
        ])
        .drop(cols(["city", "height"]))
        .collect()
        .unwrap()
}

/// A line a row, for a case that fails.
pub(crate) struct Lines<'a>(pub(crate) &'a [Row]);

impl fmt::Display for Lines<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "partition | event_time | key | whole | float | cents | small | flag | tags | place")?;
        for r in self.0 {
            let (city, height) = &r.place;
            writeln!(
                f,
                "{} | {:?} | {:?} | {:?} | {:?} | {:?} | {:?} | {:?} | {:?} | {city:?} {height:?}",
                r.partition, r.time, r.key, r.whole, r.float, r.cents, r.small, r.flag, r.tags
            )?;
        }
        Ok(())
    }
}
