//! The queries by hand: loops over all events, one after the other.

use std::collections::{BTreeMap, BTreeSet};

use crate::events::{Auction, Bid, Events, Person};

/// A window's start.
fn tumbling(time: u64, length: u64) -> u64 {
    time / length * length
}

pub(crate) fn q0(events: &Events) -> Vec<String> {
    let line = |bid: &Bid| format!("{} | {} | {} | {}", bid.auction, bid.bidder, bid.price, bid.date_time);
    events.bids.iter().map(line).collect()
}

pub(crate) fn q1(events: &Events) -> Vec<String> {
    let euros = |price: usize| format!("{:.6}", price as f64 * 0.908);
    let bids = events.bids.iter();
    bids.map(|bid| format!("{} | {} | {} | {}", bid.auction, bid.bidder, euros(bid.price), bid.date_time)).collect()
}

pub(crate) fn q2(events: &Events) -> Vec<String> {
    let some = events.bids.iter().filter(|bid| bid.auction % 123 == 0);
    some.map(|bid| format!("{} | {}", bid.auction, bid.price)).collect()
}

pub(crate) fn q3(events: &Events) -> Vec<String> {
    let is_ours = |person: &&Person| ["or", "id", "ca"].contains(&person.state.as_str());
    let mut lines = Vec::new();
    for auction in events.auctions.iter().filter(|auction| auction.category == 10) {
        for person in events.persons.iter().filter(is_ours).filter(|person| person.id == auction.seller) {
            lines.push(format!("{} | {} | {} | {}", person.name, person.city, person.state, auction.id));
        }
    }
    lines
}

pub(crate) fn q4(events: &Events) -> Vec<String> {
    let auctions: BTreeMap<usize, &Auction> = events.auctions.iter().map(|auction| (auction.id, auction)).collect();
    let mut finals: BTreeMap<usize, usize> = BTreeMap::new();
    for bid in &events.bids {
        let Some(auction) = auctions.get(&bid.auction) else { continue };
        if bid.date_time >= auction.date_time && bid.date_time <= auction.expires {
            finals.entry(auction.id).and_modify(|price| *price = bid.price.max(*price)).or_insert(bid.price);
        }
    }
    let mut categories: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for (id, price) in finals {
        categories.entry(auctions[&id].category).or_default().push(price);
    }
    let mean = |prices: &[usize]| prices.iter().sum::<usize>() as f64 / prices.len() as f64;
    categories.iter().map(|(category, prices)| format!("{category} | {:.6}", mean(prices))).collect()
}

pub(crate) fn q5(events: &Events) -> Vec<String> {
    let mut windows: BTreeMap<u64, BTreeMap<usize, usize>> = BTreeMap::new();
    for bid in &events.bids {
        let last = tumbling(bid.date_time, 2_000);
        for start in (0..5).map(|n| last - n * 2_000) {
            *windows.entry(start).or_default().entry(bid.auction).or_default() += 1;
        }
    }
    let line = |(start, counts): (u64, BTreeMap<usize, usize>)| {
        let most = counts.values().max().copied().unwrap_or_default();
        let hot: Vec<String> = counts.iter().filter(|(_, n)| **n == most).map(|(id, _)| id.to_string()).collect();
        format!("{start} | {hot:?} | {most}")
    };
    windows.into_iter().map(line).collect()
}

pub(crate) fn q7(events: &Events) -> Vec<String> {
    let mut windows: BTreeMap<u64, (usize, Vec<String>, Vec<String>)> = BTreeMap::new();
    for bid in &events.bids {
        let (price, auctions, bidders) = windows.entry(tumbling(bid.date_time, 10_000)).or_default();
        if bid.price > *price {
            (*price, *auctions, *bidders) = (bid.price, Vec::new(), Vec::new());
        }
        if bid.price == *price {
            auctions.push(bid.auction.to_string());
            bidders.push(bid.bidder.to_string());
        }
    }
    let line = |(start, (price, auctions, bidders)): (u64, (usize, Vec<String>, Vec<String>))| {
        format!("{start} | {price} | {auctions:?} | {bidders:?}")
    };
    windows.into_iter().map(line).collect()
}

pub(crate) fn q8(events: &Events) -> Vec<String> {
    let sellers: BTreeSet<(usize, u64)> =
        events.auctions.iter().map(|auction| (auction.seller, tumbling(auction.date_time, 10_000))).collect();
    let window = |person: &Person| tumbling(person.date_time, 10_000);
    let new = events.persons.iter().filter(|person| sellers.contains(&(person.id, window(person))));
    new.map(|person| format!("{} | {} | {}", person.id, person.name, window(person))).collect()
}

pub(crate) fn q11(events: &Events) -> Vec<String> {
    let mut times: BTreeMap<usize, Vec<u64>> = BTreeMap::new();
    events.bids.iter().for_each(|bid| times.entry(bid.bidder).or_default().push(bid.date_time));
    let mut lines = Vec::new();
    for (bidder, mut times) in times {
        times.sort_unstable();
        for session in times.chunk_by(|one, next| next - one < 10_000) {
            lines.push(format!("{bidder} | {} | {}", session[0], session.len()));
        }
    }
    lines
}

/// How many bids there are of each bidder: when they are read is not for the events to say.
pub(crate) fn q12(events: &Events) -> Vec<String> {
    let mut counts: BTreeMap<usize, usize> = BTreeMap::new();
    events.bids.iter().for_each(|bid| *counts.entry(bid.bidder).or_default() += 1);
    counts.iter().map(|(bidder, n)| format!("{bidder} | {n}")).collect()
}
