//! Plans with the way to their rows: each test has logs of its own, which go with the plan from hand to hand.

use std::sync::{Arc, Mutex, PoisonError};

use engine::{OpenSource, open_plan};
use plan::{Asof, Plan, PlanError, Within};
use polars::prelude::*;

/// A plan and the way to the rows that it begins with.
pub(crate) type Frame = (Plan, OpenSource);

/// The ways to the scans of what was put together here.
static TOGETHER: Mutex<Vec<(OpenSource, Vec<OpenSource>)>> = Mutex::new(Vec::new());

/// The ways to a frame's scans.
fn scans((_, open): &Frame) -> Vec<OpenSource> {
    let together = TOGETHER.lock().unwrap_or_else(PoisonError::into_inner);
    let known = together.iter().rev().find(|(of, _)| Arc::ptr_eq(of, open));
    known.map_or_else(|| vec![Arc::clone(open)], |(_, scans)| scans.clone())
}

/// The way to what a longer plan over a frame begins with.
pub(crate) fn opened(plan: &Plan, frame: &Frame) -> OpenSource {
    open_plan(plan, &scans(frame))
}

fn together(plan: Plan, frames: &[&Frame]) -> Frame {
    let scans: Vec<OpenSource> = frames.iter().flat_map(|frame| scans(frame)).collect();
    let open = open_plan(&plan, &scans);
    TOGETHER.lock().unwrap_or_else(PoisonError::into_inner).push((Arc::clone(&open), scans));
    (plan, open)
}

pub(crate) fn union(frames: &[Frame]) -> Result<Frame, PlanError> {
    let plans: Vec<Plan> = frames.iter().map(|(plan, _)| plan.clone()).collect();
    Ok(together(Plan::union(&plans)?, &frames.iter().collect::<Vec<_>>()))
}

pub(crate) fn join_stream(
    left: &Frame,
    right: &Frame,
    on: (&[Expr], &[Expr]),
    how: &JoinType,
    within: &Within,
) -> Result<Frame, PlanError> {
    Ok(together(left.0.join_stream(&right.0, on.0, on.1, how, within)?, &[left, right]))
}

pub(crate) fn join_asof(left: &Frame, right: &Frame, by: (&[Expr], &[Expr]), on: &Asof) -> Result<Frame, PlanError> {
    Ok(together(left.0.join_stream_asof(&right.0, by.0, by.1, on)?, &[left, right]))
}

pub(crate) fn join_changing(
    left: &Frame,
    right: &Frame,
    on: (&[Expr], &[Expr]),
    how: &JoinType,
) -> Result<Frame, PlanError> {
    Ok(together(left.0.join_changing(&right.0, on.0, on.1, how)?, &[left, right]))
}
