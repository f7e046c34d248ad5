//! The connectors of a process by their names. A plan names the connector of each of its scans; what stands behind the name is
//! looked up when a query starts, and stays the query's.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

use plan::{Plan, Scan};
use polars::prelude::PlSmallStr;

use crate::query::OpenSource;
use crate::source::{Source, SourceError};
use crate::union::open_plan;

/// Opens what a scan reads, for the named columns, in the scan's order; called again after the source was away.
pub type OpenScan = Arc<dyn Fn(&Scan, &[PlSmallStr]) -> Result<Box<dyn Source>, SourceError> + Send + Sync>;

/// Connectors by their names. A cheap handle; what one registers, all have.
#[derive(Clone, Default)]
pub struct Connectors(Arc<RwLock<BTreeMap<String, OpenScan>>>);

impl Connectors {
    /// Gives a connector a name; one that had it before is replaced, and queries that read by it stay as they are.
    pub fn register(&self, name: impl Into<String>, open: OpenScan) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).insert(name.into(), open);
    }

    /// The way to the rows that a plan begins with.
    #[must_use]
    pub fn open(&self, plan: &Plan) -> OpenSource {
        let scans: Vec<OpenSource> = plan.scans().into_iter().map(|scan| self.open_scan(scan)).collect();
        open_plan(plan, &scans)
    }

    fn open_scan(&self, scan: &Scan) -> OpenSource {
        let found = self.0.read().unwrap_or_else(PoisonError::into_inner).get(&scan.connector).cloned();
        let scan = scan.clone();
        match found {
            Some(open) => Arc::new(move |columns| open(&scan, columns)),
            None => {
                let names = self.names();
                Arc::new(move |_| Err(unknown(&scan, &names)))
            }
        }
    }

    fn names(&self) -> Vec<String> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).keys().cloned().collect()
    }
}

fn unknown(scan: &Scan, names: &[String]) -> SourceError {
    let detail = match names {
        [] => "none is registered in this process".to_owned(),
        names => format!("there are: {}", names.join(", ")),
    };
    SourceError {
        fact: format!("no connector is called \"{}\"", scan.connector),
        detail,
        hint: "Make the frame in this process, which registers its connector.".to_owned(),
        retry: false,
    }
}
