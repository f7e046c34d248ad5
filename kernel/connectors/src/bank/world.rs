//! Who the bank's customers are: the accounts, made once from the seed, and the countries of the world they move in.

use rand::Rng as _;
use rand_chacha::ChaCha8Rng;

/// How many accounts there are.
pub(super) const ACCOUNTS: usize = 10_000;

/// Countries, the currency there, and how many accounts of a thousand are at home in each.
const COUNTRIES: [(&str, &str, u32); 14] = [
    ("ES", "EUR", 560),
    ("PT", "EUR", 120),
    ("FR", "EUR", 100),
    ("DE", "EUR", 60),
    ("IT", "EUR", 50),
    ("NL", "EUR", 20),
    ("GB", "GBP", 40),
    ("US", "USD", 30),
    ("CH", "CHF", 20),
    ("MX", "USD", 0),
    ("MA", "EUR", 0),
    ("JP", "USD", 0),
    ("BR", "USD", 0),
    ("AE", "USD", 0),
];

/// An account and its card.
pub(super) struct Account {
    pub(super) id: String,
    pub(super) card_type: &'static str,
    pub(super) currency: &'static str,
    home: usize,
    /// How freely its owner spends.
    pub(super) freely: f64,
}

/// All accounts of a seed.
pub(super) fn accounts(random: &mut ChaCha8Rng) -> Vec<Account> {
    let account = |number| {
        let home = pick_home(random.random_range(0..1_000));
        let card_type = match random.random_range(0..100) {
            0..60 => "debit",
            60..92 => "credit",
            _ => "prepaid",
        };
        let freely = 0.5 + random.random::<f64>() * if card_type == "credit" { 1.8 } else { 1.0 };
        Account { id: format!("acc-{number:05}"), card_type, currency: COUNTRIES[home].1, home, freely }
    };
    (0..ACCOUNTS).map(account).collect()
}

fn pick_home(mut chance: u32) -> usize {
    for (place, (_, _, share)) in COUNTRIES.iter().enumerate() {
        if chance < *share {
            return place;
        }
        chance -= share;
    }
    0
}

impl Account {
    /// Where its owner lives.
    pub(super) fn home(&self) -> &'static str {
        COUNTRIES[self.home].0
    }

    /// Some other country, by a chance number.
    pub(super) fn abroad(&self, chance: usize) -> &'static str {
        COUNTRIES[(self.home + 1 + chance % (COUNTRIES.len() - 1)) % COUNTRIES.len()].0
    }
}
