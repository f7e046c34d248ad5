//! Which time each record of the bank has, and when it is sent. Arithmetic on a configuration and the system's clock.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::ProduceConfig;

/// Which time each record has.
pub(super) enum Schedule {
    /// Evenly from the first; each is sent when its time has come, or at once if that does not matter.
    Even { first_ms: f64, step_ms: f64, paced: bool, count: u64 },
    /// As fast as possible and without end.
    Now,
}

impl Schedule {
    /// What the configuration asks for; the time it is called is the present, if the configuration names none.
    pub(super) fn new(config: &ProduceConfig) -> Schedule {
        let start_ms = ms(config.start_ms.unwrap_or_else(now_ms));
        let history_ms = config.history.as_secs_f64() * 1_000.0;
        let count = config.count.unwrap_or(u64::MAX);
        if config.rate > 0.0 {
            return Schedule::Even {
                first_ms: start_ms - history_ms,
                step_ms: 1_000.0 / config.rate,
                paced: true,
                count,
            };
        }
        match config.count {
            Some(count) => Schedule::Even {
                first_ms: start_ms - history_ms.max(ms(count.cast_signed())),
                step_ms: 1.0,
                paced: false,
                count,
            },
            None => Schedule::Now,
        }
    }

    /// The time of record `n`.
    pub(super) fn time_ms(&self, n: u64) -> i64 {
        match self {
            #[allow(clippy::cast_possible_truncation, reason = "milliseconds since the epoch are below 2^53")]
            Schedule::Even { first_ms, step_ms, .. } => (first_ms + ms(n.cast_signed()) * step_ms) as i64,
            Schedule::Now => now_ms(),
        }
    }

    /// Whether there is no record `n`.
    pub(super) fn is_over(&self, n: u64) -> bool {
        matches!(self, Schedule::Even { count, .. } if n >= *count)
    }

    /// How long until record `n` is due.
    pub(super) fn wait(&self, n: u64) -> Duration {
        match self {
            Schedule::Even { paced: true, .. } => {
                Duration::from_millis((self.time_ms(n) - now_ms()).max(0).unsigned_abs())
            }
            _ => Duration::ZERO,
        }
    }
}

#[allow(clippy::cast_precision_loss, reason = "below 2^53")]
fn ms(number: i64) -> f64 {
    number as f64
}

fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schedule(rate: f64, count: Option<u64>, history_s: u64) -> Schedule {
        let history = Duration::from_secs(history_s);
        Schedule::new(&ProduceConfig { rate, count, history, start_ms: Some(1_000_000), ..ProduceConfig::default() })
    }

    #[test]
    fn records_are_even_from_the_history_on() {
        let schedule = schedule(1_000.0, Some(70_000), 60);
        assert_eq!([0, 1, 60_000, 60_001].map(|n| schedule.time_ms(n)), [940_000, 940_001, 1_000_000, 1_000_001]);
        assert_eq!([69_999, 70_000].map(|n| schedule.is_over(n)), [false, true]);
    }

    #[test]
    fn as_fast_as_possible_ends_at_the_present() {
        let schedule = schedule(0.0, Some(3_000), 0);
        assert_eq!([0, 2_999].map(|n| schedule.time_ms(n)), [997_000, 999_999]);
        assert_eq!(schedule.wait(2_999), Duration::ZERO);
    }

    #[test]
    fn without_an_end_each_record_is_of_its_moment() {
        let schedule = schedule(0.0, None, 0);
        assert!((schedule.time_ms(0) - now_ms()).abs() < 5_000);
        assert!(!schedule.is_over(u64::MAX));
    }
}
