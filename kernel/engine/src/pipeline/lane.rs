//! The rows of one stream on their way to the operators: the columns that are used, their positions, the row-wise steps up to the
//! watermark, and what their times do to it.

use std::ops::Range;

use polars::prelude::*;

use super::positions::Positions;
use crate::calendar::in_calendar;
use crate::operator::columns::{PART, POSITION, integers};
use crate::operator::stateless::RowWise;
use crate::operator::watermark::WatermarkTracker;
use crate::position::TopicPartition;
use crate::source::PartitionRows;

/// How the rows of a stream are taken in.
pub(super) struct Lane {
    /// The stream's scans.
    pub(super) scans: Range<u32>,
    /// The columns that are used, where the source gives more.
    pub(super) wanted: Option<Vec<PlSmallStr>>,
    /// Row-wise steps up to the watermark, which tells partitions apart.
    pub(super) front: RowWise,
    /// The column that a watermark is on, also of a batch.
    pub(super) time: Option<PlSmallStr>,
    /// Whether the order of its rows matters.
    pub(super) ordered: bool,
    /// How many times in that column the calendar does not hold.
    pub(super) beyond: u64,
    /// The rows where there are none.
    pub(super) none: DataFrame,
}

/// What the lanes share.
pub(super) struct Intake<'a> {
    pub(super) positions: &'a mut Positions,
    pub(super) watermark: Option<&'a mut WatermarkTracker>,
    pub(super) moment_ms: i64,
    /// Rows whose time is too far ahead of the clock.
    pub(super) ahead: usize,
}

impl Lane {
    /// The rows that enter the operators.
    pub(super) fn rows(&mut self, parts: Vec<PartitionRows>, intake: &mut Intake<'_>) -> PolarsResult<DataFrame> {
        self.front.at(intake.moment_ms);
        // A person's function may give other rows than it was given, and of those nothing tells the partition.
        if !self.front.calls() || parts.len() < 2 {
            return self.rows_of(parts, intake);
        }
        let mut all: Option<DataFrame> = None;
        for part in parts {
            let rows = self.rows_of(vec![part], intake)?;
            match &mut all {
                Some(all) => drop(all.vstack_mut(&rows)?),
                None => all = Some(rows),
            }
        }
        Ok(all.unwrap_or_else(|| self.none.clone()))
    }

    /// The rows of some partitions, which go through the front together: what a step costs, it costs once.
    fn rows_of(&mut self, parts: Vec<PartitionRows>, intake: &mut Intake<'_>) -> PolarsResult<DataFrame> {
        let parted: Vec<(TopicPartition, usize)> =
            parts.iter().map(|part| (part.partition.clone(), part.rows.height())).collect();
        let Some(mut rows) = together(parts)? else { return Ok(self.none.clone()) };
        if let Some(wanted) = &self.wanted {
            rows = rows.select(wanted.iter().cloned())?;
        }
        if self.ordered {
            let mut all = Vec::with_capacity(rows.height());
            for (partition, height) in &parted {
                all.extend(intake.positions.next(partition, *height));
            }
            rows.with_column(Series::new(POSITION.into(), all).into())?;
        }
        // Where rows come or go, each says which partition it is of.
        let marked = intake.watermark.is_some() && self.time.is_some() && !self.front.is_empty() && parted.len() > 1;
        if marked {
            let parts = parted.iter().zip(0u32..).flat_map(|((_, height), part)| std::iter::repeat_n(part, *height));
            rows.with_column(Series::new(PART.into(), parts.collect::<Vec<_>>()).into())?;
        }
        let mut rows = self.front.run(rows)?;
        let Some(time) = &self.time else { return Ok(rows) };
        let (held, beyond) = in_calendar(rows, time)?;
        rows = held;
        self.beyond += beyond as u64;
        if let Some(watermark) = &mut intake.watermark {
            let heights = match parted.len() {
                _ if marked => heights(rows.drop_in_place(PART)?.u32()?, parted.len()),
                1 => vec![rows.height()],
                _ => parted.iter().map(|(_, height)| *height).collect(),
            };
            // The steps keep the rows in order.
            let (times, mut first) = (integers(&rows, time)?, 0);
            for ((partition, _), height) in parted.iter().zip(heights) {
                intake.ahead += watermark.observe(partition, &times.slice(first as i64, height), intake.moment_ms);
                first += height;
            }
        }
        Ok(rows)
    }

    /// What a reader of the result should know of its times.
    pub(super) fn notice(&self) -> Option<String> {
        let time = self.time.as_ref().filter(|_| self.beyond > 0)?;
        let beyond = self.beyond;
        Some(format!("\"{time}\" has times out of range for the calendar: {beyond} so far, which count as none"))
    }
}

/// The rows of all parts below one another, if there are any parts.
fn together(parts: Vec<PartitionRows>) -> PolarsResult<Option<DataFrame>> {
    let count = parts.len();
    let mut parts = parts.into_iter().map(|part| part.rows);
    let Some(mut all) = parts.next() else { return Ok(None) };
    for rows in parts {
        match all.width() {
            // Frames without columns cannot be stacked, but their rows can be counted.
            0 => all = DataFrame::empty_with_height(all.height() + rows.height()),
            _ => drop(all.vstack_mut_owned(rows)?),
        }
    }
    // Every piece costs each step on it, which is more than a copy where the pieces are small.
    if count > 1 && all.height() < count * SMALL {
        all.rechunk_mut();
    }
    Ok(Some(all))
}

/// Pieces of fewer rows, on the average, are put into one.
const SMALL: usize = 1024;

/// How many rows there are of each of so many parts.
fn heights(parts: &UInt32Chunked, count: usize) -> Vec<usize> {
    let mut heights = vec![0; count];
    parts.iter().flatten().for_each(|part| heights[part as usize] += 1);
    heights
}
