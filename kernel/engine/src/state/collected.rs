//! What an aggregation collects of each group where a few numbers are not enough: different values, values in order, the
//! first and the last row, sketches. Each kind has a file of its own, knows nothing of the others, and costs about what the
//! batch has, not what the group holds.

use crate::physical::{Accumulator, Function};
use polars::prelude::*;

use self::distinct::{Counted, Distinct};
use self::edge::Edges;
use self::extremes::Extremes;
use self::moments::Moments;
use self::multiset::Multiset;
use self::ranked::Ranked;
use self::registers::Registers;
use self::runs::Runs;
use self::sketch::Sketch;
use self::slots::Slots;
use self::values::{Bytes, is_wide};
use super::Sign;
use crate::operator::columns::{POSITION, kept_as};

mod distinct;
mod edge;
mod extremes;
mod moments;
mod multiset;
mod ranked;
mod registers;
mod runs;
mod sketch;
mod slots;
mod values;

/// The collections of an aggregation, each for all groups.
pub(crate) struct Collections(Vec<Collection>);

struct Collection {
    spec: Accumulator,
    held: Box<dyn Collector>,
}

impl Collection {
    /// The name of its column in a written state. It says of which type the values are, which their bytes do not.
    fn saved_as(&self, number: usize) -> PlSmallStr {
        PlSmallStr::from_string(format!("{} {}", named(number, "saved"), kept_as([&self.spec.input_dtype])))
    }
}

/// What is collected for one accumulator, by the group's slot.
trait Collector: Send {
    /// Makes room for `slots` groups.
    fn grow(&mut self, slots: usize);
    /// Makes a slot as new, for another group.
    fn clear(&mut self, slot: u32);
    /// Takes in what a batch has, or back.
    fn merge(&mut self, batch: &Batch<'_>) -> PolarsResult<()>;
    /// What comes out, by the accumulator's name and readings.
    fn columns(&self, slots: &[u32]) -> PolarsResult<Vec<Column>>;
    /// A slot as bytes.
    fn write(&self, slot: u32, to: &mut Vec<u8>);
    /// A slot of what [`Collector::write`] gave.
    fn read(&mut self, slot: u32, from: &[u8]) -> PolarsResult<()>;
    /// About how much memory is taken.
    fn bytes(&self) -> usize;
    /// What is collected as it is now, of which nothing is copied yet.
    fn frozen(&self) -> Box<dyn Collector>;
}

/// The rows of a batch, of which some or all count for a collection.
struct Batch<'a> {
    /// The slot of each row's group.
    slots: &'a [u32],
    /// What is collected.
    values: &'a Column,
    /// Whether a row counts; all do where there is none.
    only: Option<BooleanChunked>,
    /// The rows group by group.
    grouped: &'a [u32],
    /// Each row's time and position, where their order matters.
    order: Option<[&'a Column; 2]>,
    sign: Sign,
}

impl Batch<'_> {
    fn counts(&self, row: usize) -> bool {
        self.only.as_ref().is_none_or(|only| only.get(row) == Some(true))
    }
}

impl Collections {
    /// Those of `accumulators` that collect; `retracts` says whether rows can be taken back.
    pub(crate) fn new(accumulators: &[Accumulator], retracts: bool) -> Collections {
        let collecting = accumulators.iter().filter(|accumulator| accumulator.collects(retracts));
        let held = |spec: &Accumulator| if retracts { retractable(spec) } else { held(spec) };
        Collections(collecting.map(|spec| Collection { held: held(spec), spec: spec.clone() }).collect())
    }

    /// Whether the order of rows matters.
    pub(crate) fn is_ordered(&self) -> bool {
        self.0.iter().any(|collection| collection.spec.function.is_ordered())
    }

    /// What is collected, as columns of the rows. `time` is the column that rows are ordered by first; `positioned` says whether
    /// they have positions.
    pub(crate) fn inputs(&self, time: Option<&PlSmallStr>, positioned: bool) -> Vec<Expr> {
        let mut inputs = Vec::new();
        for (n, Collection { spec, .. }) in self.0.iter().enumerate() {
            inputs.push(input(spec).alias(named(n, "input")));
            inputs.extend(spec.only.clone().map(|only| only.alias(named(n, "only"))));
        }
        if self.is_ordered() {
            let nowhere = || lit(0).cast(DataType::Int64);
            let time = time.map_or_else(nowhere, |time| col(time.clone()).cast(DataType::Int64));
            let position = if positioned { col(POSITION) } else { nowhere() };
            inputs.extend([time.alias(TIME), position.alias(PLACE)]);
        }
        inputs
    }

    /// Makes room for `slots` groups.
    pub(crate) fn grow(&mut self, slots: usize) {
        self.0.iter_mut().for_each(|collection| collection.held.grow(slots));
    }

    /// Makes a slot as new, for another group.
    pub(crate) fn clear(&mut self, slot: u32) {
        self.0.iter_mut().for_each(|collection| collection.held.clear(slot));
    }

    /// Takes in a batch's rows, or back, which have the columns that [`Collections::inputs`] named: each is of the group in its slot.
    pub(crate) fn merge(&mut self, slots: &[u32], rows: &DataFrame, sign: Sign) -> PolarsResult<()> {
        let ordered = self.is_ordered();
        let order = if ordered { Some([rows.column(TIME)?, rows.column(PLACE)?]) } else { None };
        let grouped = if self.0.iter().all(|collection| collection.spec.function.is_ordered()) {
            Vec::new()
        } else {
            by_slot(slots)
        };
        for (n, Collection { spec, held }) in self.0.iter_mut().enumerate() {
            let only = match &spec.only {
                Some(_) => Some(rows.column(&named(n, "only"))?.bool()?.rechunk().into_owned()),
                None => None,
            };
            let values = rows.column(&named(n, "input"))?;
            held.merge(&Batch { slots, values, only, grouped: &grouped, order, sign })?;
        }
        Ok(())
    }

    /// The aggregates of each slot, under the names that the accumulators give them and with Polars' types.
    pub(crate) fn columns(&self, slots: &[u32]) -> PolarsResult<Vec<Column>> {
        let mut columns = Vec::new();
        for collection in &self.0 {
            columns.extend(collection.held.columns(slots)?);
        }
        Ok(columns)
    }

    /// The collections as they are now, of which nothing is copied yet.
    pub(crate) fn frozen(&self) -> Collections {
        let frozen = |Collection { spec, held }: &Collection| Collection { spec: spec.clone(), held: held.frozen() };
        Collections(self.0.iter().map(frozen).collect())
    }

    /// What some slots hold, one column a collection.
    pub(crate) fn save(&self, slots: &[u32]) -> Vec<Column> {
        let mut bytes = Vec::new();
        let column = |(n, collection): (usize, &Collection)| {
            let mut saved = BinaryChunkedBuilder::new(collection.saved_as(n), slots.len());
            for slot in slots {
                bytes.clear();
                collection.held.write(*slot, &mut bytes);
                saved.append_value(&bytes);
            }
            saved.finish().into_series().into()
        };
        self.0.iter().enumerate().map(column).collect()
    }

    /// Puts the columns that [`Collections::save`] gave into some slots, for which there is room.
    pub(crate) fn restore(&mut self, slots: &[u32], saved: &DataFrame) -> PolarsResult<()> {
        for (n, collection) in self.0.iter_mut().enumerate() {
            let saved = saved.column(&collection.saved_as(n))?.binary()?;
            for (slot, bytes) in slots.iter().zip(saved.iter()) {
                collection.held.read(*slot, bytes.unwrap_or_default())?;
            }
        }
        Ok(())
    }

    /// About how much memory is taken.
    pub(crate) fn bytes(&self) -> usize {
        self.0.iter().map(|collection| collection.held.bytes()).sum()
    }
}

/// The time that rows are ordered by.
const TIME: &str = "__corriente_collected_time";
/// Where a row stands in its partition, and which partition that is.
const PLACE: &str = "__corriente_collected_place";

fn named(number: usize, what: &str) -> PlSmallStr {
    PlSmallStr::from_string(format!("__corriente_collected_{number}_{what}"))
}

/// The rows in the order of their slots, and of one slot as they came.
fn by_slot(slots: &[u32]) -> Vec<u32> {
    let mut rows: Vec<u32> = (0..slots.len() as u32).collect();
    rows.sort_by_key(|row| slots[*row as usize]);
    rows
}

/// What is collected, of the type that its collection takes.
fn input(spec: &Accumulator) -> Expr {
    match spec.function {
        Function::Sum | Function::Mean | Function::Var { .. } | Function::Std { .. } => {
            spec.input.clone().cast(DataType::Float64)
        }
        _ => spec.input.clone(),
    }
}

/// What is collected of rows that change.
fn retractable(spec: &Accumulator) -> Box<dyn Collector> {
    let spec = spec.clone();
    match (spec.function, is_wide(&spec.input_dtype)) {
        (Function::Sum | Function::Mean | Function::Var { .. } | Function::Std { .. }, _) => {
            Box::new(Slots::<Moments>::new(spec))
        }
        (Function::Distinct, false) => Box::new(Slots::<Counted<u64>>::new(spec)),
        (Function::Distinct, true) => Box::new(Slots::<Counted<Bytes>>::new(spec)),
        (Function::Quantiles, _) => Box::new(Slots::<Ranked>::new(spec)),
        // The smallest and the largest. For first rows and sketches rows are kept.
        (_, false) => Box::new(Slots::<Multiset<u64>>::new(spec)),
        (_, true) => Box::new(Slots::<Multiset<Bytes>>::new(spec)),
    }
}

fn held(spec: &Accumulator) -> Box<dyn Collector> {
    let spec = spec.clone();
    match (spec.function, is_wide(&spec.input_dtype)) {
        (Function::First | Function::Last, _) => Box::new(Edges::new(spec)),
        (Function::Distinct, false) => Box::new(Slots::<Distinct<u64>>::new(spec)),
        (Function::Distinct, true) => Box::new(Slots::<Distinct<Bytes>>::new(spec)),
        (Function::Largest { .. } | Function::Smallest { .. }, false) => Box::new(Slots::<Extremes<u64>>::new(spec)),
        (Function::Largest { .. } | Function::Smallest { .. }, true) => Box::new(Slots::<Extremes<Bytes>>::new(spec)),
        (Function::ApproxDistinct, false) => Box::new(Slots::<Registers<u64>>::new(spec)),
        (Function::ApproxDistinct, true) => Box::new(Slots::<Registers<Bytes>>::new(spec)),
        (Function::ApproxQuantiles, _) => Box::new(Slots::<Sketch>::new(spec)),
        // Quantiles; no other function collects.
        _ => Box::new(Slots::<Runs>::new(spec)),
    }
}
