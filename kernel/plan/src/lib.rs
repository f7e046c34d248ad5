//! What a `StreamFrame` says: pure data and its checks. A [`Plan`] knows its schema, so a column that is not there is
//! told when the frame is made; how a plan runs is the engine's concern, and where its rows come from the connectors'.

mod aggregate;
mod approximate;
mod asof;
mod closure;
mod error;
mod explain;
mod expr;
mod graph;
mod grouping;
mod lookup;
mod node;
mod projection;
mod pushdown;
mod refreshed;
mod row_wise;
mod rows;
mod sides;
mod sql;
mod stateful;
mod times;
mod window;
mod zones;

pub use aggregate::{Accumulator, Aggregate, BOUNDARIES, Function, MOST_KEPT, Method, Over, Reading};
pub use approximate::{QuantileSketch, approx_quantile};
pub use asof::{Asof, asof};
pub use closure::{Closure, message as panic_message, panic_is_told, result_of, row_in_words};
pub use error::PlanError;
pub use expr::near_matches;
pub use graph::Part;
pub use lookup::Lookup;
pub use node::{Node, Order, Plan, Step};
pub use projection::columns_of;
pub use pushdown::RowFilter;
pub use refreshed::{Refreshed, Table, refreshed};
pub use row_wise::{explode, unnest};
pub use rows::{FromValue, IntoValue, IntoValues, Row, RowFunction};
pub use sides::{Pairing, SIDE, SIDE_TIME, SideJoin, Sides, Within, asof_sides, sides, within};
pub use sql::{SqlTable, sql};
pub use stateful::{Moment, StateFunction, States};
pub use times::{Times, Watermark};
pub use window::{Cut, Hops, Window, hopping, parse_duration, session, tumbling};
pub use zones::{ONE_ZONE, mixed_zones};
