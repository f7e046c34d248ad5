//! A query goes on with the columns that its checkpoint has of a sample: over them a plan is the one that it would have been.
#![allow(clippy::unwrap_used, missing_docs)]

use std::time::Duration;

use engine::{Options, OutputMode, PhysicalPlan, Query, Trigger, fingerprint, resumed_plan};
use plan::{Moment, Plan, PlanError, RowFunction, Scan, SqlTable, StateFunction, asof, session, tumbling, within};
use polars::prelude::*;

mod common;

use common::query::Kept;

type Build = fn(&dyn Fn(&str) -> Plan) -> Result<Plan, PlanError>;

fn time() -> DataType {
    DataType::Datetime(TimeUnit::Milliseconds, None)
}

/// The columns of the first sample.
fn narrow() -> SchemaRef {
    let fields = [("t", time()), ("k", DataType::String), ("v", DataType::Int64), ("x", DataType::String)];
    Arc::new(fields.into_iter().map(|(name, dtype)| Field::new(name.into(), dtype)).collect())
}

/// Those of a later one: with a field more, another type, another order, and one field less.
fn wide() -> SchemaRef {
    let fields =
        [("extra", DataType::Float64), ("v", DataType::Float64), ("t", time()), ("k", DataType::String), ("x", time())];
    Arc::new(fields.into_iter().map(|(name, dtype)| Field::new(name.into(), dtype)).collect())
}

fn scan(topic: &str, schema: &SchemaRef) -> Plan {
    Plan::scan(Scan::new("memory", schema.clone()).topic(topic).sampled([]))
}

/// Plans of every step that there is; none uses what only a later sample has.
fn builds() -> Vec<(&'static str, Build)> {
    vec![
        ("the rows", |of| Ok(of("a"))),
        ("filter", |of| of("a").filter(col("v").gt(lit(1)))),
        ("select", |of| of("a").select(&[col("k"), col("v") * lit(2)])),
        ("with_columns", |of| of("a").with_columns(&[col("v").alias("w")])),
        ("drop", |of| of("a").drop(&["x"])),
        ("rename", |of| of("a").rename(&["v", "k"], &["amount", "card"])),
        ("all columns", |of| of("a").with_columns(&[all().as_expr()])?.select(&[all().as_expr()])),
        ("unique", |of| of("a").unique(None)),
        ("unique by a key", |of| of("a").with_watermark("t", "1m")?.unique(Some(&["k"]))),
        ("late rows", |of| of("a").with_watermark("t", "1m")?.unique(None)?.late_rows()),
        ("limit", |of| of("a").limit(3)),
        ("top_k", |of| of("a").top_k(3, &[col("v")], &SortMultipleOptions::default())),
        ("a processing time", |of| of("a").with_processing_time("seen")?.with_watermark("seen", "0s")),
        ("explode", |of| {
            of("a").with_columns(&[concat_list([col("k"), col("k")]).unwrap().alias("two")])?.explode(&["two"])
        }),
        ("unnest", |of| of("a").with_columns(&[as_struct(vec![col("v").alias("in")]).alias("s")])?.unnest(&["s"])),
        ("map_batches", |of| of("a").map_batches(Ok)),
        ("map_rows", |of| {
            of("a").map_rows(&["twice"], RowFunction::new(|row| Ok(row.get::<Option<i64>>("v")?.unwrap_or(0) * 2)))
        }),
        ("with_state", |of| {
            let function = StateFunction::new(|_: &mut u32, rows: DataFrame, _: &mut Moment| Ok(rows));
            of("a").with_state(&[col("k")], function)
        }),
        ("a look-up", |of| {
            let names = df!["k" => ["a"], "name" => ["Ada"]].unwrap();
            of("a").join(names, &[col("k")], &[col("k")], &JoinType::Left)
        }),
        ("the nearest of a frame", |of| {
            let rates = df!["at" => [0i64], "rate" => [1.5]].unwrap().lazy();
            let rates = rates.with_columns([col("at").cast(time())]).collect().unwrap();
            of("a").join_asof(rates, &[], &[], &asof("t", "at").tolerance("1h"))
        }),
        ("groups", |of| of("a").group_by(&[col("k")], &[len().alias("n"), col("v").sum()])),
        ("sorted groups", |of| {
            of("a").group_by(&[col("k")], &[col("v").sum()])?.sort(&[col("v")], &SortMultipleOptions::default())
        }),
        ("groups of groups", |of| of("a").group_by(&[col("k")], &[col("v").sum()])?.group_by(&[], &[col("v").max()])),
        ("windows by their first rows", |of| {
            let window = tumbling("10s").label(Label::DataPoint);
            of("a").with_watermark("t", "1m")?.group_by_dynamic(&col("t"), &[col("k")], &window, &[col("v").sum()])
        }),
        ("sessions", |of| {
            let marked = of("a").with_watermark("t", "1m")?.with_max_ahead("1h")?;
            marked.group_by_dynamic(&col("t"), &[col("k")], &session("10s"), &[col("v").sum()])
        }),
        ("a union", |of| {
            Plan::union(&[of("a").select(&[col("k"), col("v")])?, of("b").select(&[col("v"), col("k")])?])
        }),
        ("a join", |of| {
            let (left, right) = (of("a").with_watermark("t", "1m")?, of("b"));
            left.join_stream(&right, &[col("k")], &[col("k")], &JoinType::Full, &within("t", "t", "5m"))
        }),
        ("late rows of a join", |of| {
            let (left, right) = (of("a").with_watermark("t", "1m")?, of("b"));
            let on = [col("k")];
            left.join_stream(&right, &on, &on, &JoinType::Inner, &within("t", "t", "5m"))?.late_rows()
        }),
        ("the nearest of a stream", |of| {
            of("a").with_watermark("t", "1m")?.join_stream_asof(&of("b"), &[], &[], &asof("t", "t"))
        }),
        ("a join with itself", |of| {
            let groups = of("a").group_by(&[col("k")], &[col("v").sum()])?;
            of("a").join_changing(&groups, &[col("k")], &[col("k")], &JoinType::Left)
        }),
        ("SQL", |of| {
            let all = [("a".to_owned(), SqlTable::Stream(of("a")))];
            plan::sql("SELECT k, SUM(v) AS total FROM a WHERE v > 1 GROUP BY k", &all)
        }),
        ("SQL of all columns", |of| {
            let all = [("a".to_owned(), SqlTable::Stream(of("a")))];
            plan::sql("SELECT * FROM a WHERE v > 1", &all)
        }),
    ]
}

#[test]
fn a_plan_over_other_columns_is_the_one_that_it_would_have_been() {
    for (name, build) in builds() {
        let before = build(&|topic| scan(topic, &narrow())).unwrap();
        let now = build(&|topic| scan(topic, &wide())).unwrap();
        assert_ne!(now.explain(), before.explain(), "{name}");
        let schemas = vec![narrow(); now.scans().len()];
        let again = now.with_schemas(&schemas).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(again.explain(), before.explain(), "{name}");
        assert_eq!(again.schema(), before.schema(), "{name}");
        assert_eq!(fingerprint(&again), fingerprint(&before), "{name}");
        let state = |plan: &Plan| PhysicalPlan::of(plan).state_fingerprint();
        assert_eq!(state(&again), state(&before), "{name}");
    }
}

#[test]
fn what_needs_a_column_that_is_not_there_is_refused() {
    let refused = |build: Build| {
        let now = build(&|topic| scan(topic, &wide())).unwrap();
        now.with_schemas(&vec![narrow(); now.scans().len()]).unwrap_err().to_string()
    };
    let uses: Vec<(Build, &str)> = vec![
        (|of| of("a").filter(col("extra").gt(lit(0))), "filter: there is no column \"extra\""),
        (|of| of("a").select(&[col("k"), col("v"), col("extra")]), "select: there is no column \"extra\""),
        (|of| of("a").drop(&["extra"]), "drop: there is no column \"extra\""),
        (|of| of("a").unique(Some(&["extra"])), "unique: there is no column \"extra\""),
        (|of| of("a").group_by(&[col("k")], &[col("extra").sum()]), "agg: there is no column \"extra\""),
        (|of| of("a").with_watermark("x", "1m"), "with_watermark: column \"x\" is str"),
        (|of| of("b").union_of(&of("a").rename(&["extra"], &["w"])?), "rename: there is no column \"extra\""),
    ];
    for (build, expected) in uses {
        let refused = refused(build);
        assert!(refused.contains(expected), "{refused}");
    }
}

/// So that a table of uses has one shape.
trait UnionOf {
    fn union_of(&self, other: &Plan) -> Result<Plan, PlanError>;
}

impl UnionOf for Plan {
    fn union_of(&self, other: &Plan) -> Result<Plan, PlanError> {
        let key = [col("k")];
        Plan::union(&[self.select(&key)?, other.select(&key)?])
    }
}

fn rows(values: &[i64]) -> DataFrame {
    let keys: Vec<&str> = values.iter().map(|value| if value % 2 == 0 { "even" } else { "odd" }).collect();
    let times: Vec<i64> = values.to_vec();
    let rows = df!["t" => times, "k" => keys, "v" => values, "x" => vec!["x"; values.len()]].unwrap().lazy();
    rows.with_columns([col("t").cast(time())]).collect().unwrap()
}

/// Runs a plan over all rows that there are, from a checkpoint, with its columns; gives why it failed or what it says of the
/// difference.
fn go_on(plan: &Plan, kept: &Kept, folder: &std::path::Path, mode: OutputMode) -> Result<Option<String>, String> {
    let resumed = resumed_plan(plan, folder).map_err(|error| error.to_string())?;
    let logs: Vec<_> =
        plan.scans().iter().map(|_| common::log::open(vec![rows(&[1, 2, 3, 4, 5])], usize::MAX)).collect();
    let open = engine::open_plan(&resumed.plan, &logs);
    let options = Options { trigger: Trigger::AvailableNow, ..Options::default() };
    let query = Query::write("resumed", &resumed.plan, open, options, kept.output(mode, folder)).unwrap();
    assert!(query.await_termination(Duration::from_secs(30)), "{:?}", query.status());
    query.exception().map_or(Ok(resumed.difference), Err)
}

fn sums(schema: &SchemaRef, topic: &str) -> Plan {
    scan(topic, schema).group_by(&[col("k")], &[col("v").sum()]).unwrap()
}

#[test]
fn a_restart_goes_on_with_the_columns_of_its_checkpoint_in_every_mode() {
    for mode in [OutputMode::Update, OutputMode::Complete] {
        let (kept, folder) = (Kept::default(), tempfile::tempdir().unwrap());
        assert_eq!(go_on(&sums(&narrow(), "a"), &kept, folder.path(), mode), Ok(None));
        let told = go_on(&sums(&wide(), "a"), &kept, folder.path(), mode).unwrap().unwrap();
        for part in [
            "of a, ",
            "\"v\" is i64, and f64 in the sample",
            "\"extra\" (f64) is in the sample and is not read",
            "\"x\" is str",
        ] {
            assert!(told.contains(part), "{told}");
        }
        assert_eq!(go_on(&sums(&narrow(), "a"), &kept, folder.path(), mode), Ok(None));
    }
}

#[test]
fn what_a_person_says_of_columns_holds() {
    let (kept, folder) = (Kept::default(), tempfile::tempdir().unwrap());
    let update = OutputMode::Update;
    assert_eq!(go_on(&sums(&narrow(), "a"), &kept, folder.path(), update), Ok(None));
    let hinted = |said: &[&str]| {
        let plan = Plan::scan(Scan::new("memory", wide()).topic("a").sampled(said.iter().copied()));
        plan.group_by(&[col("k")], &[col("v").sum()]).unwrap()
    };
    // A hint that says the type that it had makes no difference, and one that contradicts is told how to have it.
    let schema = resumed_plan(&hinted(&["k", "extra"]), folder.path()).unwrap().plan.scans()[0].schema.clone();
    let columns: Vec<&str> = schema.iter_names().map(|name| name.as_str()).collect();
    assert_eq!(columns, ["t", "k", "v", "x", "extra"], "a column that a person names is read too");
    assert!(go_on(&hinted(&["k", "extra"]), &kept, folder.path(), update).unwrap().is_some());
    let refused = go_on(&hinted(&["v"]), &kept, folder.path(), update).unwrap_err();
    assert!(refused.contains("whose source had other columns") && refused.contains("DataType::Int64"), "{refused}");
    // A schema that a person says is no sample.
    let said = Plan::scan(Scan::new("memory", wide()).topic("a")).group_by(&[col("k")], &[col("v").sum()]).unwrap();
    assert_eq!(resumed_plan(&said, folder.path()).unwrap().plan.explain(), said.explain());
}

#[test]
fn each_of_several_scans_has_its_own_columns_and_one_that_is_new_is_as_its_sample_says() {
    let (kept, folder) = (Kept::default(), tempfile::tempdir().unwrap());
    let both = |one: &SchemaRef, other: &SchemaRef, topics: [&str; 2]| {
        let side = |schema, topic| scan(topic, schema).select(&[col("k"), col("v").cast(DataType::Int64)]).unwrap();
        let plan = Plan::union(&[side(one, topics[0]), side(other, topics[1])]).unwrap();
        plan.group_by(&[col("k")], &[col("v").sum()]).unwrap()
    };
    let update = OutputMode::Update;
    assert_eq!(go_on(&both(&narrow(), &wide_less(), ["a", "b"]), &kept, folder.path(), update), Ok(None));
    let now = resumed_plan(&both(&wide(), &wide(), ["a", "b"]), folder.path()).unwrap().plan;
    let schemas: Vec<SchemaRef> = now.scans().iter().map(|scan| scan.schema.clone()).collect();
    assert_eq!(schemas, [narrow(), wide_less()]);
    let swapped = resumed_plan(&both(&wide(), &wide(), ["b", "c"]), folder.path()).unwrap().plan;
    let schemas: Vec<SchemaRef> = swapped.scans().iter().map(|scan| scan.schema.clone()).collect();
    assert_eq!(schemas, [wide_less(), wide()], "the kept columns of topic a are nobody's");
}

fn wide_less() -> SchemaRef {
    let mut schema = narrow().as_ref().clone();
    schema.shift_remove("x");
    Arc::new(schema)
}

#[test]
fn a_file_of_an_older_version_says_nothing_and_is_written_anew() {
    let (kept, folder) = (Kept::default(), tempfile::tempdir().unwrap());
    let (update, file) = (OutputMode::Update, folder.path().join("source.json"));
    assert_eq!(go_on(&sums(&narrow(), "a"), &kept, folder.path(), update), Ok(None));
    for old in ["{\"version\": 1, \"sources\": [\".schema(Schema::from_iter([]))\"]}", "{\"vers", ""] {
        std::fs::write(&file, old).unwrap();
        let refused = go_on(&sums(&wide(), "a"), &kept, folder.path(), update).unwrap_err();
        assert!(refused.contains("belongs to another query"), "{refused}");
        assert_eq!(go_on(&sums(&narrow(), "a"), &kept, folder.path(), update), Ok(None));
        assert!(go_on(&sums(&wide(), "a"), &kept, folder.path(), update).unwrap().is_some());
    }
}

#[test]
fn a_query_that_uses_what_the_checkpoint_lacks_is_told_both_ways_out() {
    let (kept, folder) = (Kept::default(), tempfile::tempdir().unwrap());
    assert_eq!(go_on(&sums(&narrow(), "a"), &kept, folder.path(), OutputMode::Update), Ok(None));
    let plan = scan("a", &wide()).group_by(&[col("k")], &[col("v").sum(), col("extra").max()]).unwrap();
    let refused = go_on(&plan, &kept, folder.path(), OutputMode::Update).unwrap_err();
    for part in ["there is no column \"extra\"", "is in the sample and is not read", "schema_hints", "another folder"] {
        assert!(refused.contains(part), "{refused}");
    }
}
