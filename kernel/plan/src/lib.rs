//! What a `StreamFrame` says: pure data and its checks. A [`Plan`] knows its schema, so a column that is not there is
//! told when the frame is made; how a plan runs is the engine's concern, and where its rows come from the connectors'.

/// Why a plan cannot be made.
mod error;
/// The plan: scans, unions, joins and steps over them.
mod node;
/// What is read.
mod scan;
/// A plan over other columns.
mod schemas;
/// Several plans as one.
mod union;

/// Joins as of a time.
mod asof;
/// Joins of two streams.
mod join;
/// Rows looked up in a frame.
mod lookup;
/// A frame that is read anew.
mod refreshed;
/// Steps on each row alone.
mod row_wise;

/// Aggregations.
mod aggregate;
/// Keys and windows.
mod grouping;
/// The watermark, and what it says of columns.
mod times;
/// Windows over time.
mod window;
/// Time zones.
mod zones;

/// A person's function on batches.
mod closure;
/// A person's function on rows.
mod rows;
/// A person's function with a state.
mod stateful;

/// Plans in words.
mod explain;
/// Checks on expressions.
mod expr;
/// Plans from SQL.
mod sql;
/// Plans as text, and their identity.
pub mod text;
/// The parts of a line in words.
mod words;

pub use aggregate::{Aggregate, BOUNDARIES, Over, grouped};
pub use asof::{Asof, AsofStrategy, asof};
pub use closure::{Closure, message as panic_message, panic_is_told, result_of, row_in_words};
pub use error::PlanError;
pub use expr::{columns_of, is_row_wise, near_matches, schema_after};
pub use join::{Join, JoinKind, Side, Within, within};
pub use lookup::Lookup;
pub use node::{Node, Order, Plan, Step};
pub use refreshed::{Refreshed, Table, refreshed};
pub use row_wise::{explode, unnest};
pub use rows::{FromValue, IntoValue, IntoValues, Row, RowFunction};
pub use scan::{Format, Scan};
pub use sql::{SqlTable, sql};
pub use stateful::{KeyState, Moment, StateFunction};
pub use times::{Times, Watermark};
pub use window::{Cut, Hops, Window, hopping, parse_duration, session, tumbling};
pub use words::Words;
pub use zones::{ONE_ZONE, mixed_zones};
