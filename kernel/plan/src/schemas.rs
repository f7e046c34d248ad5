//! A plan said again over scans that have other columns. What was said of all columns is said of those that there are then; what
//! needs a column that is not there is refused as it would be in a cell.

use polars::prelude::*;

use crate::PlanError;
use crate::join::Join;
use crate::node::{Node, OfAllColumns, Order, Plan, Step};
use crate::scan::Scan;

impl Plan {
    /// The plan over [scans](Plan::scans) that have these columns, in their order.
    ///
    /// # Errors
    /// A column that is not there or is of another type, where a step needs it; another number of schemas than of scans.
    pub fn with_schemas(&self, schemas: &[SchemaRef]) -> Result<Plan, PlanError> {
        let scans = self.scans();
        if schemas.len() != scans.len() {
            return Err(PlanError::Refused {
                operation: "with_schemas",
                detail: format!("there are {} schemas for {} scans", schemas.len(), scans.len()),
                hint: "Give one for each.",
            });
        }
        // A person's functions are not called again for nothing.
        if scans.iter().zip(schemas).all(|(scan, schema)| scan.schema == *schema) {
            return Ok(self.clone());
        }
        self.over(&mut schemas.iter())
    }

    fn over(&self, schemas: &mut std::slice::Iter<'_, SchemaRef>) -> Result<Plan, PlanError> {
        match self.node() {
            Node::Scan(scan) => {
                let schema = schemas.next().unwrap_or(&scan.schema).clone();
                Ok(Plan::scan(Scan { schema, ..scan.clone() }))
            }
            Node::Union(inputs) => {
                Plan::union(&inputs.iter().map(|input| input.over(schemas)).collect::<Result<Vec<_>, _>>()?)
            }
            Node::Join(join) => {
                let Join { sides: [left, right], kind, late, .. } = join.as_ref();
                let (one, other) = (left.plan.over(schemas)?, right.plan.over(schemas)?);
                one.join_as(&other, [&left.on, &right.on], kind, *late)
            }
            Node::Step { input, step } => {
                let input = input.over(schemas)?;
                match self.of_all() {
                    Some(OfAllColumns::Drop(gone)) => input.drop(&texts(gone)),
                    Some(OfAllColumns::Rename(old, new)) => input.rename(&texts(old), &texts(new)),
                    Some(OfAllColumns::Unique) if matches!(step, Step::LateRows(_)) => {
                        input.unique(None)?.late_of_last()
                    }
                    Some(OfAllColumns::Unique) => input.unique(None),
                    None => input.again(step),
                }
            }
        }
    }

    /// The plan with a step that was said of another one.
    fn again(&self, step: &Step) -> Result<Plan, PlanError> {
        match step {
            Step::Filter(predicate) => self.filter(predicate.clone()),
            Step::Select(exprs) => self.select(exprs),
            Step::WithColumns(exprs) => self.with_columns(exprs),
            Step::Watermark(watermark) => {
                self.time_column("with_watermark", &col(watermark.column.clone()))?;
                Ok(self.step(step.clone(), self.schema().clone()))
            }
            Step::ProcessingTime(column) => self.with_processing_time(column),
            Step::LateRows(of) => self.again(of)?.late_of_last(),
            Step::Explode(columns) => self.explode(&texts(columns)),
            Step::Unnest(columns) => self.unnest(&texts(columns)),
            Step::MapBatches(closure) => self.mapped(closure.clone()),
            Step::Join(lookup) => self.looked_up(lookup.as_ref().clone()),
            Step::Unique(columns) => self.unique(Some(&texts(columns))),
            Step::Limit(rows) => self.limit(*rows),
            Step::Sort(Order { by, options, k }) => self.ordered("sort", by, options, *k),
            Step::WithState(keys, function) => self.with_state(keys, function.clone()),
            Step::Aggregate(aggregate) => self.aggregated(&aggregate.keys, aggregate.over.clone(), &aggregate.written),
        }
    }

    /// The rows that the last step drops because they come too late.
    pub(crate) fn late_of_last(&self) -> Result<Plan, PlanError> {
        match self.node() {
            Node::Step { input, step } => {
                let late = input.step(Step::LateRows(Box::new(step.clone())), input.schema().clone());
                Ok(match self.of_all().cloned() {
                    Some(of_all) => late.said_of_all(of_all),
                    None => late,
                })
            }
            Node::Scan(_) | Node::Union(_) | Node::Join(_) => self.late_rows(),
        }
    }
}

fn texts(names: &[PlSmallStr]) -> Vec<&str> {
    names.iter().map(PlSmallStr::as_str).collect()
}
