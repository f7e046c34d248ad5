//! A plan and Polars' own frame, grown word by word. The words are ours on one side and Polars' on the other; what this file
//! knows is which columns a word can take where it stands, and what makes a result exact.

use plan::Plan;
use polars::prelude::*;

use crate::aggs;
use crate::windows::Shape;
use crate::words::{TUMBLING, Word};

pub(crate) struct Both {
    pub(crate) plan: Plan,
    pub(crate) polars: LazyFrame,
    /// Whether rows of the result never change.
    pub(crate) appends: bool,
    /// Whether which rows stay depends on which come first.
    pub(crate) takes_the_first: bool,
    /// Whether the result has an order.
    pub(crate) is_ordered: bool,
    /// The columns that tell the rows of an aggregation apart.
    pub(crate) identity: Vec<PlSmallStr>,
    /// The column with the event time.
    pub(crate) time: Option<PlSmallStr>,
    /// Whether floats are sums, which may differ in their last digits: nothing is decided by them any more.
    soft: bool,
    /// Whether rows still have the place in their partition that `first` and `last` go by.
    pub(crate) placed: bool,
    /// Whether rows of one batch come key by key, and no longer as they came.
    pub(crate) by_key: bool,
    /// Where there is a watermark, the windows of the level below, as a place in [`TUMBLING`].
    marked: bool,
    windows: Option<Option<usize>>,
    named: usize,
}

/// Whether a word could be said here.
pub(crate) type Said = Result<(), String>;

impl Both {
    pub(crate) fn new(plan: Plan, polars: LazyFrame) -> Both {
        Both {
            plan,
            polars,
            appends: true,
            takes_the_first: false,
            is_ordered: false,
            identity: Vec::new(),
            time: Some("event_time".into()),
            soft: false,
            placed: true,
            by_key: false,
            marked: false,
            windows: None,
            named: 0,
        }
    }

    /// Begins with a join of two streams, which has a watermark.
    pub(crate) fn new_joined(plan: Plan, polars: LazyFrame, time: &str) -> Both {
        // The sides have names of their own.
        Both { placed: false, marked: true, time: Some(time.into()), named: 100, ..Both::new(plan, polars) }
    }

    /// Begins with a join of aggregates, whose rows change and are told apart by `identity`.
    pub(crate) fn new_changing(plan: Plan, polars: LazyFrame, identity: Vec<PlSmallStr>) -> Both {
        Both { appends: false, time: None, identity, ..Both::new_joined(plan, polars, "") }
    }

    /// Sets a watermark, where the time is still there. Polars has none.
    pub(crate) fn mark(&mut self, delay_ms: i64) -> Said {
        if let (Some(time), false) = (&self.time, self.marked) {
            self.plan = refused(self.plan.with_watermark(time, &format!("{delay_ms}ms")))?;
            self.marked = true;
        }
        Ok(())
    }

    /// Says a word, unless it has no meaning here.
    pub(crate) fn say(&mut self, word: &Word) -> Said {
        match word {
            Word::Filter { column } => self.filter(*column),
            Word::Derive { column, how } => self.derive(*column, *how),
            Word::Select { keep } => self.select(*keep),
            Word::Rename { column } => self.rename(*column),
            Word::Drop { column } => self.drop(*column),
            Word::Cast { column, to } => self.cast(*column, *to),
            Word::FillNull { column } => self.fill_null(*column),
            Word::Explode { column } => self.explode(*column),
            Word::Unnest => self.unnest(),
            Word::Join { column, how } => self.join(*column, *how),
            Word::JoinAsof { column, strategy, tolerance } => self.join_asof(*column, *strategy, *tolerance),
            Word::MapBatches { column, how } => self.map_batches(*column, *how),
            Word::MapRows { column } => self.map_rows(*column),
            Word::WithState { key, value } => self.with_state(*key, *value),
            Word::Unique { keep } => self.unique(*keep),
            Word::Limit { rows } => self.limit(*rows),
            Word::Aggregate { keys, window, aggs, merges } => self.aggregate(keys, *window, aggs, *merges),
            Word::TopK { k, column, descending } => self.top_k(*k, *column, *descending),
            Word::Sort { column, descending } => self.sort(*column, *descending),
        }
    }

    fn filter(&mut self, n: usize) -> Said {
        let Some((name, dtype)) = self.pick(n, |both, dtype| both.decides(dtype)) else { return Ok(()) };
        let column = || col(name.clone());
        let passes = match dtype {
            DataType::Boolean => column(),
            DataType::Float64 => column().is_null().or(column().gt(lit(-9e5))),
            DataType::String => column().neq(lit("key 2")),
            dtype if dtype.is_integer() => column().gt(lit(-20)),
            _ => column().is_not_null(),
        };
        self.plan = refused(self.plan.filter(passes.clone()))?;
        self.polars = self.polars.clone().filter(passes);
        Ok(())
    }

    fn derive(&mut self, n: usize, how: usize) -> Said {
        let Some((name, dtype)) = self.pick(n, |_, dtype| !dtype.is_nested()) else { return Ok(()) };
        let column = || col(name.clone());
        let derived = match (&dtype, how) {
            (DataType::Int32, 0) => column() * lit(2),
            (DataType::Int32, 1) => column() / lit(0),
            (DataType::Int32 | DataType::Int64, 2) => when(column().gt(lit(0))).then(column()).otherwise(lit(0)),
            (DataType::Int64, _) => column() + lit(1),
            (DataType::Float64, _) => column() * lit(2.0),
            (DataType::Boolean, _) => column().not(),
            (DataType::String, _) => concat_str([column(), lit("!")], "", how == 0),
            (DataType::Datetime(_, _), _) => column().cast(DataType::Int64) % lit(60_000),
            _ => column().is_null(),
        };
        self.add(derived)
    }

    fn add(&mut self, derived: Expr) -> Said {
        let derived = derived.alias(self.fresh("derived"));
        self.with_columns(vec![derived])
    }

    fn with_columns(&mut self, columns: Vec<Expr>) -> Said {
        self.plan = refused(self.plan.with_columns(&columns))?;
        self.polars = self.polars.clone().with_columns(columns);
        Ok(())
    }

    fn select(&mut self, keep: u16) -> Said {
        let kept = |(n, name): (usize, &PlSmallStr)| {
            (keep >> (n % 16) & 1 == 1 || self.identity.contains(name)).then(|| col(name.clone()))
        };
        let kept: Vec<Expr> = self.plan.schema().iter_names().enumerate().filter_map(kept).collect();
        if kept.is_empty() { Ok(()) } else { self.select_these(&kept) }
    }

    fn select_these(&mut self, kept: &[Expr]) -> Said {
        self.plan = refused(self.plan.select(kept))?;
        self.polars = self.polars.clone().select(kept);
        self.keep_time();
        Ok(())
    }

    fn rename(&mut self, n: usize) -> Said {
        let Some((name, _)) = self.pick(n, |_, _| true) else { return Ok(()) };
        let new = PlSmallStr::from_string(self.fresh("renamed"));
        self.plan = refused(self.plan.rename(&[name.as_str()], &[new.as_str()]))?;
        self.polars = self.polars.clone().rename([name.as_str()], [new.as_str()], true);
        for known in self.identity.iter_mut().chain(&mut self.time).filter(|known| **known == name) {
            *known = new.clone();
        }
        Ok(())
    }

    fn drop(&mut self, n: usize) -> Said {
        let Some((name, _)) = self.pick_free(n, |_| true).filter(|_| self.plan.schema().len() > 1) else {
            return Ok(());
        };
        self.plan = refused(self.plan.drop(&[name.as_str()]))?;
        self.polars = self.polars.clone().drop(cols([name]));
        self.keep_time();
        Ok(())
    }

    fn cast(&mut self, n: usize, to: usize) -> Said {
        // A float of 64 bits has not all digits of an integer of 64 bits, and sums of such floats lose small ones.
        let of = |dtype: &DataType| match (dtype, to) {
            (DataType::Int64, 0) => Some(DataType::Int32),
            (DataType::Int64, _) => Some(DataType::String),
            (DataType::Int32, 0) => Some(DataType::Int64),
            (DataType::Int32, _) | (DataType::Decimal(_, _), _) => Some(DataType::Float64),
            (DataType::Boolean, _) => Some(DataType::Int32),
            (DataType::String, _) => Some(DataType::Int64),
            _ => None,
        };
        let Some((name, dtype)) = self.pick_free(n, |dtype| of(dtype).is_some()) else { return Ok(()) };
        let cast = [col(name).cast(of(&dtype).unwrap_or(dtype))];
        self.plan = refused(self.plan.with_columns(&cast))?;
        self.polars = self.polars.clone().with_columns(cast);
        Ok(())
    }

    fn fill_null(&mut self, n: usize) -> Said {
        let Some((name, dtype)) = self.pick_free(n, |dtype| !dtype.is_nested() && !dtype.is_temporal()) else {
            return Ok(());
        };
        let value = match dtype {
            DataType::String => lit("none"),
            DataType::Boolean => lit(true),
            dtype if dtype.is_float() => lit(1.5),
            _ => lit(7),
        };
        let filled = [col(name).fill_null(value)];
        self.plan = refused(self.plan.with_columns(&filled))?;
        self.polars = self.polars.clone().with_columns(filled);
        Ok(())
    }

    fn explode(&mut self, n: usize) -> Said {
        let Some((name, _)) = self.pick(n, |_, dtype| dtype.is_list()).filter(|_| self.appends) else { return Ok(()) };
        self.plan = refused(self.plan.explode(&[name.as_str()]))?;
        let options = ExplodeOptions { empty_as_null: true, keep_nulls: true };
        self.polars = self.polars.clone().explode(by_name([name], true, false), options);
        Ok(())
    }

    fn unnest(&mut self) -> Said {
        let Some((name, _)) = self.pick(0, |_, dtype| dtype.is_struct()) else { return Ok(()) };
        self.plan = refused(self.plan.unnest(&[name.as_str()]))?;
        self.polars = self.polars.clone().unnest(by_name([name], true, false), None);
        Ok(())
    }

    /// Looks rows up in a frame that stands still; where they never change, one key is there twice.
    fn join(&mut self, n: usize, how: usize) -> Said {
        let Some((name, _)) = self.pick(n, |_, dtype| dtype == &DataType::String) else { return Ok(()) };
        if self.plan.schema().contains("weight") {
            return Ok(());
        }
        let second = if self.appends { "key 1" } else { "key 2" };
        let still = df!["name" => [Some("key 1"), Some(second), Some(""), None], "weight" => [1, 2, 3, 4]].unwrap();
        let how = [JoinType::Inner, JoinType::Left, JoinType::Semi, JoinType::Anti][how].clone();
        let (left, right) = ([col(name)], [col("name")]);
        self.plan = refused(self.plan.join(still.clone(), &left, &right, &how))?;
        let options = JoinArgs { maintain_order: MaintainOrderJoin::LeftRight, ..JoinArgs::new(how) };
        self.polars = self.polars.clone().join(still.lazy(), left, right, options);
        Ok(())
    }

    fn unique(&mut self, keep: Option<u16>) -> Said {
        let times = self.plan.times();
        let can = |(n, (name, dtype)): (usize, (&PlSmallStr, &DataType))| {
            // What a watermark lets go of is only forgotten for certain where the time that it goes by is among the columns.
            let is_kept = keep.is_none_or(|keep| keep >> (n % 16) & 1 == 1) || times.nearest() == Some(name);
            (is_kept && self.decides(dtype) && !dtype.is_decimal()).then(|| name.clone())
        };
        let names: Vec<PlSmallStr> = self.plan.schema().iter().enumerate().filter_map(can).collect();
        if names.is_empty() || !self.appends || self.by_key {
            return Ok(());
        }
        self.plan = refused(self.plan.unique(Some(&names.iter().map(PlSmallStr::as_str).collect::<Vec<_>>())))?;
        self.polars = self.polars.clone().unique_stable(Some(by_name(names, true, false)), UniqueKeepStrategy::First);
        (self.placed, self.takes_the_first) = (false, true);
        Ok(())
    }

    fn limit(&mut self, rows: u64) -> Said {
        if self.appends && !self.by_key {
            self.plan = refused(self.plan.limit(rows))?;
            self.polars = self.polars.clone().limit(rows as IdxSize);
            (self.placed, self.takes_the_first) = (false, true);
        }
        Ok(())
    }

    fn aggregate(
        &mut self,
        keys: &[(usize, usize)],
        window: Option<Shape>,
        aggs: &[(usize, usize)],
        merges: bool,
    ) -> Said {
        if self.is_ordered {
            return Ok(());
        }
        let over = window.zip(self.time.clone()).filter(|(shape, _)| self.is_known(*shape));
        let over = over.map(|(shape, time)| (shape.beside(self.plan.schema()), time));
        let keys = self.keys(keys, over.as_ref().map(|(_, time)| time));
        let sees = aggs::Sees { decides: !self.soft, merges, placed: self.placed && self.appends };
        let columns: Vec<(PlSmallStr, DataType)> =
            self.plan.schema().iter().map(|(name, dtype)| (name.clone(), dtype.clone())).collect();
        let picked = aggs;
        let aggs: Vec<Expr> = picked
            .iter()
            .map(|(column, function)| aggs::aggregate(&columns[column % columns.len()], *function, &sees))
            .map(|agg| agg.alias(self.fresh("agg")))
            .collect();
        match &over {
            Some((shape, time)) => {
                let at = col(time.clone());
                self.plan = refused(self.plan.group_by_dynamic(&at, &keys, &shape.window(), &aggs))?;
                let polars = shape.aggregate(self.polars.clone(), time, &keys, &aggs);
                self.polars = polars.map_err(|error| format!("Polars refuses the reference: {error}"))?;
                self.windows = Some(level(*shape));
            }
            None => {
                let time = self.plan.times().nearest().cloned();
                self.plan = refused(self.plan.group_by(&keys, &aggs))?;
                // The first of a key's rows is the first by the event time, where there is one.
                let in_order = |time: PlSmallStr| {
                    self.polars.clone().sort([time], SortMultipleOptions::default().with_maintain_order(true))
                };
                let rows = time.map_or_else(|| self.polars.clone(), in_order);
                // Without keys all rows are a group, also where there are none.
                let all = rows.with_columns([lit(1).alias("all")]).collect();
                let all = all.map_err(|error| format!("Polars refuses the words: {error}"))?;
                self.polars = if keys.is_empty() && all.height() == 0 {
                    let one = of_nothing(&all, &aggs, self.plan.schema());
                    one.map_err(|error| format!("Polars refuses the reference: {error}"))?.lazy()
                } else {
                    let by: Vec<Expr> = keys.iter().cloned().chain([col("all")]).collect();
                    all.lazy().group_by_stable(by).agg(&aggs).drop(cols(["all"]))
                };
            }
        }
        let known = keys.len() + over.as_ref().map_or(0, |(shape, _)| shape.columns());
        self.identity = self.plan.schema().iter_names().take(known).cloned().collect();
        self.time = match over {
            Some((_, time)) => Some(time),
            // Where nothing is closed, a time that changes may be cut into windows too.
            None if !self.marked => self.columns(|_, dtype| dtype.is_temporal()).first().map(|(name, _)| name.clone()),
            None => None,
        };
        (self.appends, self.soft) = (false, true);
        self.sort_lists(picked, known)
    }

    /// Puts the lists of aggregates that have no order in one; `known` columns come before them.
    fn sort_lists(&mut self, aggs: &[(usize, usize)], known: usize) -> Said {
        let is_unordered = |n: usize| [aggs::LARGEST, aggs::SMALLEST].contains(&aggs[n].1);
        let lists = self.plan.schema().iter().skip(known).enumerate();
        let lists = lists.filter(|(n, (_, dtype))| is_unordered(*n) && dtype.is_list()).map(|(_, (name, _))| name);
        let sorted: Vec<Expr> = lists.map(|name| col(name.clone()).list().sort(SortOptions::default())).collect();
        if sorted.is_empty() { Ok(()) } else { self.with_columns(sorted) }
    }

    /// Windows of windows close with those below them only where they end together.
    fn is_known(&self, shape: Shape) -> bool {
        match (self.marked, self.windows) {
            (false, _) | (true, None) => true,
            (true, Some(below)) => below.is_some_and(|below| level(shape).is_some_and(|level| level >= below)),
        }
    }

    fn keys(&mut self, picks: &[(usize, usize)], time: Option<&PlSmallStr>) -> Vec<Expr> {
        let mut keys: Vec<(PlSmallStr, Expr)> = Vec::new();
        for (n, how) in picks {
            let Some((name, dtype)) = self.pick(*n, |both, dtype| both.decides(dtype)) else { continue };
            let new = PlSmallStr::from_string(self.fresh("key"));
            let key = match (dtype, how) {
                (dtype, 0 | 1) if dtype.is_integer() => (new.clone(), (col(name) % lit(3)).alias(new)),
                (dtype, 2) if dtype.is_integer() => (new.clone(), col(name).gt(lit(0)).alias(new)),
                _ => (name.clone(), col(name)),
            };
            // Polars as it is built here makes no windows of a decimal alone.
            let is_missing = time.is_some() && self.plan.schema().get(&key.0).is_some_and(DataType::is_decimal);
            if !is_missing && Some(&key.0) != time && keys.iter().all(|(known, _)| *known != key.0) {
                keys.push(key);
            }
        }
        keys.into_iter().map(|(_, key)| key).collect()
    }

    fn top_k(&mut self, k: usize, n: usize, descending: bool) -> Said {
        let sortable = self.columns(|both, dtype| both.decides(dtype));
        if self.appends && sortable.len() < self.plan.schema().len() && !sortable.is_empty() {
            self.select_these(&sortable.iter().map(|(name, _)| col(name.clone())).collect::<Vec<_>>())?;
        }
        let by = self.order(n);
        if by.is_empty() {
            return Ok(());
        }
        let options = SortMultipleOptions::default();
        self.plan = refused(self.plan.top_k(k, &by, &options.clone().with_order_descending(!descending)))?;
        let options = options.with_order_descending(descending).with_nulls_last(true);
        self.polars = self.polars.clone().sort_by_exprs(by, options).limit(k as IdxSize);
        (self.appends, self.is_ordered) = (false, true);
        Ok(())
    }

    fn sort(&mut self, n: usize, descending: bool) -> Said {
        let by = self.order(n);
        if self.appends || by.is_empty() {
            return Ok(());
        }
        let options = SortMultipleOptions::default().with_order_descending(descending);
        self.plan = refused(self.plan.sort(&by, &options))?;
        self.polars = self.polars.clone().sort_by_exprs(by, options.with_maintain_order(true));
        self.is_ordered = true;
        Ok(())
    }

    /// Columns that leave no two rows at one place: the picked one, then all of them or those that tell rows apart.
    fn order(&self, n: usize) -> Vec<Expr> {
        let Some((first, _)) = self.pick(n, |both, dtype| both.decides(dtype)) else { return Vec::new() };
        let rest: Vec<PlSmallStr> = match self.soft {
            true => self.identity.clone(),
            false => self.columns(|both, dtype| both.decides(dtype)).into_iter().map(|(name, _)| name).collect(),
        };
        let rest = rest.into_iter().filter(|name| *name != first);
        [first.clone()].into_iter().chain(rest).map(col).collect()
    }

    /// Whether rows may be chosen, grouped and sorted by a column of this type.
    pub(crate) fn decides(&self, dtype: &DataType) -> bool {
        !(dtype.is_nested() || self.soft && dtype.is_float())
    }

    fn columns(&self, fits: impl Fn(&Both, &DataType) -> bool) -> Vec<(PlSmallStr, DataType)> {
        let columns = self.plan.schema().iter().filter(|(_, dtype)| fits(self, dtype));
        columns.map(|(name, dtype)| (name.clone(), dtype.clone())).collect()
    }

    pub(crate) fn pick(&self, n: usize, fits: impl Fn(&Both, &DataType) -> bool) -> Option<(PlSmallStr, DataType)> {
        let columns = self.columns(fits);
        (!columns.is_empty()).then(|| columns[n % columns.len()].clone())
    }

    /// A column whose values nothing hangs on.
    fn pick_free(&self, n: usize, fits: impl Fn(&DataType) -> bool) -> Option<(PlSmallStr, DataType)> {
        let mut columns = self.columns(|_, dtype| fits(dtype));
        columns.retain(|(name, _)| !self.identity.contains(name) && (self.appends || self.time.as_ref() != Some(name)));
        (!columns.is_empty()).then(|| columns[n % columns.len()].clone())
    }

    fn keep_time(&mut self) {
        let schema = self.plan.schema().clone();
        self.time = self.time.take().filter(|time| schema.contains(time));
    }

    pub(crate) fn fresh(&mut self, what: &str) -> String {
        self.named += 1;
        format!("{what} {}", self.named)
    }
}

/// What Polars gives where there are no rows: `select` in the place of a group that is not there. Of no values a list is empty.
fn of_nothing(none: &DataFrame, aggs: &[Expr], schema: &Schema) -> PolarsResult<DataFrame> {
    let one = |(expr, dtype): (&Expr, &DataType)| {
        let selected = none.clone().lazy().select([expr.clone()]).collect()?;
        let selected = if selected.height() == 1 {
            selected
        } else {
            selected.lazy().select([all().as_expr().implode(true)]).collect()?
        };
        selected.columns()[0].cast(dtype)
    };
    DataFrame::new(1, aggs.iter().zip(schema.iter_values()).map(one).collect::<PolarsResult<_>>()?)
}

fn level(shape: Shape) -> Option<usize> {
    TUMBLING.iter().position(|every| shape == Shape::Tumbling(every))
}

/// The words are chosen so that none is refused.
pub(crate) fn refused<T>(plan: Result<T, plan::PlanError>) -> Result<T, String> {
    plan.map_err(|error| format!("the plan is refused: {error}"))
}
