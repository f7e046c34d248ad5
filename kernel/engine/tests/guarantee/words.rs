//! Random plans as values: a word for each operator. Columns are picked by number among those that go with the word where it
//! stands, so that a plan stays one when a word in front of it is left out: that is how a case that fails becomes small.

use plan::AsofStrategy;
use polars::prelude::{ClosedWindow, Label};
use proptest::prelude::*;

use crate::joined::strategy;
use crate::windows::Shape;

/// An operator and what it is given.
#[derive(Clone, Debug)]
pub(crate) enum Word {
    Filter { column: usize },
    Derive { column: usize, how: usize },
    Select { keep: u16 },
    Rename { column: usize },
    Drop { column: usize },
    Cast { column: usize, to: usize },
    FillNull { column: usize },
    Explode { column: usize },
    Unnest,
    Join { column: usize, how: usize },
    JoinAsof { column: usize, strategy: AsofStrategy, tolerance: Option<i64> },
    MapBatches { column: usize, how: usize },
    MapRows { column: usize },
    WithState { key: usize, value: usize },
    Unique { keep: Option<u16> },
    Limit { rows: u64 },
    Aggregate { keys: Vec<(usize, usize)>, window: Option<Shape>, aggs: Vec<(usize, usize)>, merges: bool },
    TopK { k: usize, column: usize, descending: bool },
    Sort { column: usize, descending: bool },
}

impl Word {
    /// Whether it has a state.
    pub(crate) fn has_state(&self) -> bool {
        use Word::*;
        matches!(self, WithState { .. } | Unique { .. } | Limit { .. } | Aggregate { .. } | TopK { .. } | Sort { .. })
    }
}

/// Up to four operators with a state, one on top of the other, with operators without one before, between and after them.
pub(crate) fn words() -> impl Strategy<Value = Vec<Word>> {
    let level = (prop::collection::vec(stateless(), 0..3), stateful());
    let levels = prop::collection::vec(level, 0..5);
    (levels, prop::collection::vec(stateless(), 0..4)).prop_map(|(levels, last)| {
        levels.into_iter().flat_map(|(before, word)| before.into_iter().chain([word])).chain(last).collect()
    })
}

/// Words for one side of a join, which leave the columns that it goes by.
pub(crate) fn of_side() -> impl Strategy<Value = Vec<Word>> {
    use Word::*;
    let leaves = |word: &Word| !matches!(word, Select { .. } | Rename { .. } | Drop { .. } | Cast { .. });
    prop::collection::vec(stateless().prop_filter("a column may be gone", leaves), 0..3)
}

fn stateless() -> impl Strategy<Value = Word> {
    let n = || 0..24usize;
    prop_oneof![
        3 => n().prop_map(|column| Word::Filter { column }),
        3 => (n(), 0..3usize).prop_map(|(column, how)| Word::Derive { column, how }),
        1 => any::<u16>().prop_map(|keep| Word::Select { keep }),
        1 => n().prop_map(|column| Word::Rename { column }),
        1 => n().prop_map(|column| Word::Drop { column }),
        2 => (n(), 0..2usize).prop_map(|(column, to)| Word::Cast { column, to }),
        1 => n().prop_map(|column| Word::FillNull { column }),
        1 => n().prop_map(|column| Word::Explode { column }),
        1 => Just(Word::Unnest),
        2 => (n(), 0..4usize).prop_map(|(column, how)| Word::Join { column, how }),
        1 => (n(), strategy(), prop::option::of(1..30_000i64))
            .prop_map(|(column, strategy, tolerance)| Word::JoinAsof { column, strategy, tolerance }),
        1 => (n(), 0..2usize).prop_map(|(column, how)| Word::MapBatches { column, how }),
        1 => n().prop_map(|column| Word::MapRows { column }),
    ]
}

fn stateful() -> impl Strategy<Value = Word> {
    let n = || 0..24usize;
    let aggregate = (
        prop::collection::vec((n(), 0..4usize), 0..3),
        prop::option::weighted(0.7, shape()),
        prop::collection::vec((n(), 0..31usize), 1..6),
        any::<bool>(),
    )
        .prop_map(|(keys, window, aggs, merges)| Word::Aggregate { keys, window, aggs, merges });
    prop_oneof![
        1 => prop::option::of(any::<u16>()).prop_map(|keep| Word::Unique { keep }),
        1 => (0..30u64).prop_map(|rows| Word::Limit { rows }),
        1 => (n(), n()).prop_map(|(key, value)| Word::WithState { key, value }),
        8 => aggregate,
        1 => (1..12usize, n(), any::<bool>()).prop_map(|(k, column, descending)| Word::TopK { k, column, descending }),
        1 => (n(), any::<bool>()).prop_map(|(column, descending)| Word::Sort { column, descending }),
    ]
}

fn shape() -> impl Strategy<Value = Shape> {
    prop_oneof![
        4 => prop::sample::select(TUMBLING.to_vec()).prop_map(Shape::Tumbling),
        1 => Just(Shape::Hopping("30s", "10s")),
        1 => Just(Shape::Hopping("25s", "10s")),
        2 => (1..20_000i64).prop_map(Shape::Session),
        2 => chosen(),
    ]
}

/// Not `closed` on both sides: of the two windows that hold a row on their border Polars gives one, where that row is the first,
/// and a stream does not know that it is.
fn chosen() -> impl Strategy<Value = Shape> {
    let every = prop::sample::select(vec!["10s", "1m", "1h"]);
    let offset = prop_oneof![prop::sample::select(vec![0, 3_000, -10_000]), -50_000..50_000i64];
    let closed = prop::sample::select(vec![ClosedWindow::Left, ClosedWindow::Right, ClosedWindow::None]);
    let label = prop::sample::select(vec![Label::Left, Label::Right, Label::DataPoint]);
    (every, offset, closed, label, any::<bool>()).prop_map(|(every, offset, closed, label, boundaries)| Shape::Chosen {
        every,
        offset,
        closed,
        label,
        boundaries,
    })
}

/// Each ends where one of those before it does.
pub(crate) const TUMBLING: [&str; 4] = ["10s", "1m", "1h", "1mo"];
