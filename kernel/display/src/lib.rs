//! Tables and charts, live and saved: results in, MIME bundles and frames for a page out.
//!
//! Sees only the engine's [`LiveResult`](engine::LiveResult) and polars. How a comm message reaches a page is the
//! [`Port`]'s business; what the page does with it is `labextension/`'s, which speaks the protocol of
//! [`live::protocol`].

mod bundle;
mod cells;
pub mod chart;
mod graph;
mod html;
pub mod live;
mod numbers;
mod table;

pub use bundle::{Bundle, HTML_MIME, LIVE_MIME, TEXT_MIME};
pub use chart::{Chart, ChartError, area, bar, line, points};
pub use graph::{GraphNode, graph_bundle, graph_svg};
pub use live::{Hold, Port, Views};
pub use table::table_bundle;
