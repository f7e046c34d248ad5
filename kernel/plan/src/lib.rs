//! What a `StreamFrame` says: pure data and its checks. A [`Plan`] knows its schema, so a column that is not there is
//! told when the frame is made; how a plan runs is the engine's concern, and where its rows come from the connectors'.

mod aggregate;
mod asof;
mod closure;
mod error;
mod explain;
mod expr;
mod grouping;
mod join;
mod lookup;
mod node;
mod refreshed;
mod row_wise;
mod rows;
mod scan;
mod sql;
mod stateful;
pub mod text;
mod times;
mod union;
mod window;
mod words;
mod zones;

pub use aggregate::{Aggregate, BOUNDARIES, Over, grouped};
pub use asof::{Asof, asof};
pub use closure::{Closure, message as panic_message, panic_is_told, result_of, row_in_words};
pub use error::PlanError;
pub use expr::{columns_of, is_row_wise, near_matches, schema_after};
pub use join::{Join, JoinKind, Side, Within, within};
pub use lookup::Lookup;
pub use node::{MOST_SORTED, Node, Order, Plan, Step};
pub use refreshed::{Refreshed, Table, refreshed};
pub use row_wise::{explode, unnest};
pub use rows::{FromValue, IntoValue, IntoValues, Row, RowFunction};
pub use scan::{Format, Scan};
pub use sql::{SqlTable, sql};
pub use stateful::{Moment, StateFunction, States, WrittenState};
pub use times::{Times, Watermark};
pub use window::{Cut, Hops, Window, hopping, parse_duration, session, tumbling};
pub use words::Words;
pub use zones::{ONE_ZONE, mixed_zones};
