//! A plan as text: another process reads the plan that was written, to the last digit; what cannot be written is named.
#![allow(clippy::unwrap_used, missing_docs)]

use engine::{PhysicalPlan, approx_quantile, explain, fingerprint, named_expression};
use plan::{
    AsofStrategy, Moment, Plan, RowFunction, Scan, StateFunction, asof, hopping, refreshed, session, tumbling, within,
};
use polars::prelude::*;

fn source() -> Plan {
    let fields = [
        ("time", DataType::Datetime(TimeUnit::Milliseconds, None)),
        ("card", DataType::String),
        ("amount", DataType::Float64),
        ("cents", DataType::Decimal(38, 2)),
        ("count", DataType::Int64),
        ("tags", DataType::List(Box::new(DataType::String))),
        ("place", DataType::Struct(vec![Field::new("city".into(), DataType::String)])),
    ];
    let schema = Schema::from_iter(fields.map(|(name, dtype)| Field::new(name.into(), dtype)));
    let scan = Scan::new("kafka", schema.into()).topic("transactions").at("127.0.0.1:9092");
    Plan::scan(scan.option("starting offsets", "earliest").format("json"))
}

fn marked() -> Plan {
    source().with_watermark("time", "30s").unwrap()
}

/// Writes a plan and reads it again: nothing about it is another.
#[track_caller]
fn comes_back(plan: &Plan) {
    let text = plan.to_text().unwrap();
    let again = Plan::from_text(&text, &named_expression).unwrap_or_else(|error| panic!("{error}\n{text}"));
    assert_eq!(again.to_text().unwrap(), text);
    assert_eq!(again.schema(), plan.schema());
    assert_eq!(explain(&again), explain(plan));
    assert_eq!((fingerprint(&again), again.title()), (fingerprint(plan), plan.title()));
    let state = |plan: &Plan| PhysicalPlan::of(plan).state_fingerprint();
    assert_eq!(state(&again), state(plan));
}

#[test]
fn every_step_comes_back() {
    let names = df!["card" => ["a", "b"], "limit" => [Some(0.1 + 0.2), None], "since" => [1i64, 2]].unwrap();
    let since = col("since").cast(DataType::Datetime(TimeUnit::Milliseconds, None));
    let names = names.lazy().with_columns([since]).collect().unwrap();
    let on = [col("card")];
    let total = [len().alias("n"), col("amount").sum().alias("total")];
    let windows = |window| marked().group_by_dynamic(&col("time"), &on, &window, &total).unwrap();
    let sorted = SortMultipleOptions::default().with_order_descending_multi([true, false]);
    for plan in [
        source(),
        marked().filter(col("amount").gt(lit(f64::INFINITY))).unwrap().drop(&["tags"]).unwrap(),
        source().with_processing_time("now").unwrap().with_watermark("now", "0s").unwrap(),
        marked().with_max_ahead("90m").unwrap(),
        source().explode(&["tags"]).unwrap().unnest(&["place"]).unwrap(),
        source().join(names.clone(), &on, &on, &JoinType::Left).unwrap(),
        source().join_asof(names, &on, &on, &asof("time", "since").tolerance("5m")).unwrap(),
        marked().unique(Some(&["card"])).unwrap().limit(7).unwrap(),
        marked().unique(None).unwrap().late_rows().unwrap(),
        windows(tumbling("1d").offset("-6h").label(Label::Right).include_boundaries()),
        windows(hopping("1m", "10s").closed(ClosedWindow::Both)),
        windows(tumbling("1h").label(Label::DataPoint)),
        windows(session("5m")),
        windows(tumbling("1h")).late_rows().unwrap(),
        windows(tumbling("1h")).top_k(3, &[col("total"), col("n")], &sorted).unwrap(),
        windows(tumbling("1h")).sort(&[col("n")], &SortMultipleOptions::default()).unwrap(),
        windows(tumbling("1h")).group_by(&[], &[col("total").max()]).unwrap(),
        Plan::union(&[source(), source().filter(col("count").is_not_null()).unwrap()]).unwrap().limit(3).unwrap(),
        marked().join_stream(&source(), &on, &on, &JoinType::Full, &within("time", "time", "5m")).unwrap(),
        marked()
            .join_stream_asof(
                &source(),
                &on,
                &on,
                &asof("time", "time").strategy(AsofStrategy::Nearest).tolerance("1s"),
            )
            .unwrap()
            .late_rows()
            .unwrap(),
    ] {
        comes_back(&plan);
    }
}

#[test]
fn every_value_comes_back_to_the_last_digit() {
    let series = [
        Series::new("".into(), [0.1 + 0.2, f64::NAN, f64::NEG_INFINITY, -0.0, 5e-324]),
        Series::new("".into(), [Some(i64::MIN), None, Some(i64::MAX)]),
        Series::new("".into(), [u64::MAX]),
        Series::new("".into(), [Some("tab\t\"quote\""), None, Some("")]),
        Series::new("".into(), [1i64, 2])
            .cast(&DataType::Datetime(TimeUnit::Microseconds, Some(TimeZone::UTC)))
            .unwrap(),
        Series::new("".into(), [1i32]).cast(&DataType::Date).unwrap(),
    ];
    for values in series {
        let expr = lit(values.clone()).implode(true);
        let plan = source().with_columns(&[expr.alias("values")]).unwrap();
        comes_back(&plan);
        let again = Plan::from_text(&plan.to_text().unwrap(), &named_expression).unwrap();
        let Some(plan::Step::WithColumns(exprs)) = again.steps().last().map(|step| (*step).clone()) else { panic!() };
        let literal = |part: &Expr| if let Expr::Literal(literal) = part { Some(literal.clone()) } else { None };
        let found = exprs[0].into_iter().find_map(literal).unwrap();
        let frame = df!["x" => [1]].unwrap().lazy().select([Expr::Literal(found).alias("")]).collect().unwrap();
        assert!(frame.columns()[0].as_materialized_series().equals_missing(&values), "{frame}\n{values}");
    }
    let when = when(col("count").gt(lit(i64::MAX))).then(lit(0.1 + 0.2)).otherwise(lit(NULL));
    comes_back(&source().with_columns(&[when.alias("x"), lit("text").alias("y"), lit(true).alias("z")]).unwrap());
}

#[test]
fn functions_come_back_by_names_of_their_own() {
    let exprs = [
        col("card").str().to_uppercase().str().contains(lit("^A"), true),
        col("card").str().replace_all(lit("a"), lit("b"), true).str().len_chars(),
        col("card").str().slice(lit(0), lit(2)).fill_null(lit("?")),
        col("time").dt().truncate(lit("1h")).dt().hour(),
        col("time").dt().to_string("%Y-%m-%d").str().strptime(
            DataType::Date,
            StrptimeOptions { format: Some("%Y-%m-%d".into()), ..StrptimeOptions::default() },
            lit("raise"),
        ),
        col("time").dt().replace_time_zone(None, lit("raise"), NonExistent::Null).dt().convert_time_zone(TimeZone::UTC),
        col("amount").round(2, RoundMode::HalfToEven).abs().clip(lit(0.0), lit(1e9)).pow(lit(2)).sqrt(),
        col("amount").is_between(lit(1), lit(2.5), ClosedInterval::Left).not(),
        (col("count") % lit(7)).cast(DataType::Int32).eq_missing(lit(NULL)),
        col("count").is_in(lit(Series::new("".into(), [1i64, 2])).implode(true), false),
        col("place").struct_().field_by_name("city"),
        col("tags").list().len(),
        concat_str([col("card"), lit("-"), col("card")], "", true),
        coalesce(&[col("card"), lit("none")]),
        as_struct(vec![col("card"), col("count")]),
    ];
    for (number, expr) in exprs.into_iter().enumerate() {
        match source().with_columns(&[expr.alias(format!("x {number}"))]) {
            Ok(plan) => comes_back(&plan),
            Err(error) => panic!("{number}: {error}"),
        }
    }
    let aggs = [
        col("amount").mean().alias("a"),
        col("amount").std(1).alias("b"),
        col("count").n_unique().alias("c"),
        col("amount").median().alias("d"),
        col("amount").quantile(lit(0.9), QuantileMethod::Linear).alias("e"),
        col("amount").filter(col("count").gt(lit(1))).max().alias("f"),
        col("card").first().alias("g"),
        col("count").top_k(lit(3)).alias("h"),
        approx_quantile(col("amount"), 0.99).alias("i"),
        col("card").approx_n_unique().alias("j"),
        (col("amount").sum() / len()).alias("k"),
    ];
    comes_back(&source().group_by(&[col("card")], &aggs).unwrap());
}

#[test]
fn what_has_no_text_is_named() {
    let refused = |plan: &Plan| plan.to_text().unwrap_err().to_string();
    let state = StateFunction::new(|_: &mut u32, rows: DataFrame, _: &mut Moment| Ok(rows));
    let words = refused(&source().with_state(&[col("card")], state).unwrap());
    assert!(words.contains("to_text: WITH_STATE has a function of one's own"), "{words}");
    let words = refused(&source().map_batches(Ok).unwrap());
    assert!(words.contains("MAP_BATCHES has a function"), "{words}");
    let row = RowFunction::new(|row| Ok(row.get::<i64>("count")? * 2));
    let words = refused(&source().map_rows(&["twice"], row).unwrap());
    assert!(words.contains("MAP_ROWS has a function"), "{words}");
    let table = refreshed("10m", || df!["card" => ["a"]]);
    let on = [col("card")];
    let words = refused(&source().join(table, &on, &on, &JoinType::Semi).unwrap());
    assert!(words.contains("SEMI JOIN has a function"), "{words}");
    let own = source().select(&[col("count").map(|c| Ok(c * 2), |_, field| Ok(field.clone()))]).unwrap();
    assert!(refused(&own).contains("SELECT has"), "{}", refused(&own));
}

#[test]
fn what_is_no_text_is_told() {
    let refused = |text: &str| Plan::from_text(text, &named_expression).unwrap_err().to_string();
    assert!(refused("nothing").contains("it is no plan"));
    assert!(refused("{\"version\": 2}").contains("version 2, and this program reads version 1"));
    let text = source().filter(col("amount").gt(lit(1))).unwrap().to_text().unwrap();
    let told = refused(&text.replace("\"name\": \"amount\",", "\"name\": \"amuont\","));
    assert!(
        told.contains("\"amount\"") && told.contains("amuont"),
        "what is read is checked as if it were said: {told}"
    );
}
