//! A plan as it runs as a picture, of a frame or of a query.

use std::fmt;

use display::GraphNode;
use engine::{PhysicalPlan, Status};
use link::Bundle;
use plan::Plan;

use crate::cell::Show;
use crate::{StreamFrame, StreamingQuery};

/// A plan as a picture: sources at the bottom, the result at the top. Shown, it is drawn in the theme's colours.
#[derive(Clone)]
pub struct PlanGraph {
    title: String,
    nodes: Vec<GraphNode>,
    words: String,
}

impl StreamFrame {
    /// The plan as it runs as a picture, as Polars' `show_graph`: what is read of the sources, every step, and what is remembered.
    ///
    /// ```no_run
    /// # use corriente::prelude::*;
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let txns = read_kafka("127.0.0.1:9092").topic("transactions").json()?;
    /// txns.filter(col("status").eq(lit("approved"))).select([col("amount")]).show_graph()
    /// # ; Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn show_graph(&self) -> PlanGraph {
        PlanGraph::new(&self.plan)
    }
}

impl StreamingQuery {
    /// The plan as a picture, as [`StreamFrame::show_graph`], with how many rows went in and are in the result now.
    #[must_use]
    pub fn show_graph(&self) -> PlanGraph {
        PlanGraph::new(&self.plan()).running(&self.status())
    }
}

impl PlanGraph {
    fn new(plan: &Plan) -> PlanGraph {
        let node = |part: engine::Part| GraphNode {
            title: part.title,
            details: part.details,
            note: part.state,
            is_source: part.is_source,
            inputs: part.inputs,
        };
        let nodes = PhysicalPlan::of(plan).graph().into_iter().map(node).collect();
        PlanGraph { title: format!("The plan of {}", plan.title()), nodes, words: engine::explain(plan) }
    }

    fn running(mut self, status: &Status) -> PlanGraph {
        let mut details = vec![format!("{} rows in, {} rows in the result", status.rows_read, status.rows)];
        let dropped = [(status.late_rows, "late rows"), (status.dead_letters, "dead letters")];
        details.extend(dropped.iter().filter(|(count, _)| *count > 0).map(|(count, what)| format!("{count} {what}")));
        self.words = format!("{}\n{}", details.join(", "), self.words);
        let last = self.nodes.len().saturating_sub(1);
        self.nodes.push(GraphNode { title: "RESULT".to_owned(), details, inputs: vec![last], ..GraphNode::default() });
        self
    }

    /// The picture as SVG, to be kept.
    #[must_use]
    pub fn svg(&self) -> String {
        display::graph_svg(&self.title, &self.nodes, &self.words)
    }
}

impl Show for PlanGraph {
    fn show(&self) -> Bundle {
        let shown = display::graph_bundle(&self.title, &self.nodes, &self.words);
        Bundle { data: shown.data, metadata: shown.metadata }
    }
}

impl fmt::Debug for PlanGraph {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.words)
    }
}
