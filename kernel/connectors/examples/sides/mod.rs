//! The two sides that the benches `throughput` and `latency` compare: the loop that a person would write by hand, and
//! Corriente's query, over one topic of the bank's transactions.
#![allow(dead_code, reason = "each bench uses a part")]

pub(crate) mod by_hand;
pub(crate) mod corriente;

pub(crate) type Failure = Box<dyn std::error::Error + Send + Sync>;

/// The length of a window, in milliseconds.
pub(crate) const WINDOW_MS: i64 = 10_000;
/// The only transactions that count.
pub(crate) const APPROVED: &str = "approved";

/// What is grouped by, beside the window.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Key {
    Category,
    Account,
}

impl Key {
    pub(crate) fn named(name: &str) -> Result<Key, Failure> {
        match name {
            "category" => Ok(Key::Category),
            "account" => Ok(Key::Account),
            _ => Err(format!("a key is category or account, not {name}").into()),
        }
    }

    pub(crate) fn column(self) -> &'static str {
        match self {
            Key::Category => "category",
            Key::Account => "account_id",
        }
    }
}

/// What a group comes to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Group {
    pub(crate) count: u64,
    pub(crate) sum: f64,
    pub(crate) largest: f64,
}

impl Group {
    pub(crate) const EMPTY: Group = Group { count: 0, sum: 0.0, largest: f64::NEG_INFINITY };

    pub(crate) fn mean(&self) -> f64 {
        self.sum / self.count as f64
    }
}
