//! What the properties have in common: random rows and cuts; how many cases there are, from which seed, and the smallest one that
//! fails, in words.
// Each program of tests uses a part of it.
#![allow(clippy::unwrap_used, missing_docs, dead_code)]

pub(crate) mod compare;
pub(crate) mod cuts;
pub(crate) mod rows;

use std::collections::hash_map::RandomState;
use std::fmt::Display;
use std::hash::{BuildHasher as _, Hasher as _};

use proptest::strategy::Strategy;
use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestError, TestRng, TestRunner};

/// The cases that a program's properties are tried with in all, where `CORRIENTE_CASES` does not say.
const CASES: u32 = 500;

/// Tries a property; `percent` is its part of the cases. When a case fails, it panics with the smallest that does, and with the
/// seed: `CORRIENTE_SEED=… cargo test …` finds it again.
#[track_caller]
pub(crate) fn holds<S: Strategy>(percent: u32, cases: &S, check: impl Fn(&S::Value) -> Result<(), String>)
where
    S::Value: Display,
{
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let seed = number("CORRIENTE_SEED").unwrap_or_else(|| RandomState::new().build_hasher().finish());
    let all = number("CORRIENTE_CASES").map_or(CASES, |cases| cases as u32);
    let config = Config { cases: (all * percent / 100).max(1), failure_persistence: None, ..Config::default() };
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let mut runner = TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &bytes));
    match runner.run(cases, |case| check(&case).map_err(TestCaseError::fail)) {
        Ok(()) => {}
        Err(TestError::Fail(reason, case)) => {
            panic!("{reason}\n\nThe smallest case that was found, from CORRIENTE_SEED={seed}:\n{case}")
        }
        Err(TestError::Abort(reason)) => panic!("no case was tried to its end: {reason}"),
    }
}
