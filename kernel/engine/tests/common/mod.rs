//! What tests have in common: a log, a sink, random rows and cuts; how many cases of a property there are, from which seed, and
//! the smallest one that fails, in words.
// Each program of tests uses a part of it.
#![allow(clippy::unwrap_used, missing_docs, dead_code)]

pub(crate) mod asof;
pub(crate) mod compare;
pub(crate) mod cuts;
pub(crate) mod disk;
pub(crate) mod frames;
pub(crate) mod log;
pub(crate) mod query;
pub(crate) mod rows;
pub(crate) mod states;

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
    let seed = number("CORRIENTE_SEED").unwrap_or_else(|| RandomState::new().build_hasher().finish());
    let config =
        Config { cases: (cases_or(CASES) * percent / 100).max(1), failure_persistence: None, ..Config::default() };
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

/// How many random cases a property is tried with: `CORRIENTE_CASES`, where it is set.
pub(crate) fn cases_or(usual: u32) -> u32 {
    number("CORRIENTE_CASES").map_or(usual, |cases| cases as u32)
}

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}
