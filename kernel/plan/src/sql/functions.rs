//! The functions that SQL over streams has beside Polars' own: windows of time. In GROUP BY they are a stream's windows;
//! elsewhere a tumbling one is the start of a row's window.

use polars::prelude::*;
use polars::sql::FunctionRegistry;
use polars_plan::prelude::{BaseColumnUdf, UserDefinedFunction};
use polars_plan::utils::has_expr;

use super::normal::normal;
use super::refused;
use crate::PlanError;
use crate::window::{Window, hopping, session, tumbling};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Name {
    Tumbling,
    Hopping,
    Session,
    DateTrunc,
}

const NAMES: [(&str, Name); 4] = [
    ("tumbling", Name::Tumbling),
    ("hopping", Name::Hopping),
    ("session", Name::Session),
    ("date_trunc", Name::DateTrunc),
];

/// The functions; Polars finds them by their names, and the walk finds them again in the expressions.
pub(super) struct Functions(Vec<(Name, UserDefinedFunction)>);

impl Functions {
    pub(super) fn new() -> Functions {
        Functions(NAMES.iter().map(|(text, name)| (*name, function(text, *name))).collect())
    }

    /// The time and the window that a key of GROUP BY stands for, and whether it could be a plain key as well.
    pub(super) fn window(&self, key: &Expr) -> Result<Option<(Expr, Window, bool)>, PlanError> {
        let Some((name, input)) = self.call(without_alias(key)) else { return Ok(None) };
        let text = |at: usize| input.get(at).and_then(text);
        let window = match (name, input.len()) {
            (Name::Tumbling, 2) => text(1).map(|every| (input[0].clone(), tumbling(every), false)),
            (Name::Session, 2) => text(1).map(|gap| (input[0].clone(), session(gap), false)),
            (Name::Hopping, 3) => {
                text(1).zip(text(2)).map(|(period, every)| (input[0].clone(), hopping(period, every), false))
            }
            (Name::DateTrunc, 2) => match text(0).map(length_of) {
                Some(every) => Some((input[1].clone(), tumbling(every?), true)),
                None => None,
            },
            _ => None,
        };
        match window {
            Some(window) => Ok(Some(window)),
            None => wrongly_called(name),
        }
    }

    /// The expression in a stream's words, where a row's window is named by its start.
    pub(super) fn said(&self, expr: Expr) -> Result<Expr, PlanError> {
        let expr = normal(expr);
        if !has_expr(&expr, |e| self.call(e).is_some()) {
            return Ok(expr);
        }
        for part in &expr {
            self.start(part)?;
        }
        Ok(expr.map_expr(|part| match self.start(&part) {
            Ok(Some(start)) => start,
            _ => part,
        }))
    }

    /// The start of a row's window, if the expression is one.
    fn start(&self, expr: &Expr) -> Result<Option<Expr>, PlanError> {
        let Some((name, input)) = self.call(expr) else { return Ok(None) };
        let (time, every) = match (name, input) {
            (Name::Tumbling, [time, every]) => (time, text(every)),
            (Name::DateTrunc, [unit, time]) => (time, text(unit).map(length_of).transpose()?),
            (Name::Tumbling | Name::DateTrunc, _) => return wrongly_called(name),
            (Name::Hopping | Name::Session, _) => {
                return refused(
                    "hopping(…) and session(…) may put a row into several windows, or into one that grows",
                    "Write them in GROUP BY, and name the window by its time column in SELECT.",
                );
            }
        };
        match every {
            Some(every) => Ok(Some(time.clone().dt().truncate(lit(every)))),
            None => wrongly_called(name),
        }
    }

    fn call<'a>(&self, expr: &'a Expr) -> Option<(Name, &'a [Expr])> {
        let Expr::AnonymousFunction { input, function, .. } = expr else { return None };
        let found = self.0.iter().find(|(_, mine)| mine.fun == *function)?;
        Some((found.0, input))
    }
}

impl FunctionRegistry for Functions {
    fn register(&mut self, name: &str, _: UserDefinedFunction) -> PolarsResult<()> {
        polars_bail!(InvalidOperation: "there is no place for a function \"{name}\"")
    }

    fn get_udf(&self, name: &str) -> PolarsResult<Option<UserDefinedFunction>> {
        let known = NAMES.iter().find(|(text, _)| *text == name);
        Ok(known.and_then(|(_, known)| self.0.iter().find(|(name, _)| name == known)).map(|(_, mine)| mine.clone()))
    }

    fn contains(&self, name: &str) -> bool {
        NAMES.iter().any(|(text, _)| *text == name)
    }
}

/// What Polars knows of it: the type of its result, and how frames that stand still are cut.
fn function(text: &str, name: Name) -> UserDefinedFunction {
    let at = usize::from(name == Name::DateTrunc);
    let field = move |_: &Schema, fields: &[Field]| {
        fields.get(at).cloned().ok_or_else(|| polars_err!(SQLInterface: "{}", usage(name)))
    };
    let run = move |columns: &mut [Column]| {
        let (Name::Tumbling | Name::DateTrunc, [first, second]) = (name, columns) else {
            polars_bail!(SQLInterface: "{}", usage(name));
        };
        let (time, every) = if at == 0 { (first, second) } else { (second, first) };
        let every = every.str()?.get(0).unwrap_or_default();
        let every = match name {
            Name::DateTrunc => length_of(every).map_err(|error| polars_err!(SQLInterface: "{error}"))?,
            _ => every,
        };
        let starts = col(time.name().clone()).dt().truncate(lit(every));
        let mut cut = time.clone().into_frame().lazy().select([starts.alias("start")]).collect()?;
        Ok(cut.drop_in_place("start")?.with_name(time.name().clone()))
    };
    UserDefinedFunction::new(text.into(), BaseColumnUdf::new(run, field))
}

fn usage(name: Name) -> &'static str {
    match name {
        Name::Tumbling => "Write tumbling(event_time, '10s').",
        Name::Hopping => "Write hopping(event_time, '1m', '10s'): the windows' length, and the step between them.",
        Name::Session => "Write session(event_time, '5m'): the time without a row that ends a session.",
        Name::DateTrunc => "Write DATE_TRUNC('minute', event_time).",
    }
}

fn wrongly_called<T>(name: Name) -> Result<T, PlanError> {
    refused("a window takes a time column, and its lengths as text", usage(name))
}

/// The length of what SQL calls by a word.
fn length_of(unit: &str) -> Result<&'static str, PlanError> {
    Ok(match unit.to_lowercase().trim_end_matches('s') {
        "microsecond" => "1us",
        "millisecond" => "1ms",
        "second" => "1s",
        "minute" => "1m",
        "hour" => "1h",
        "day" => "1d",
        "week" => "1w",
        "month" => "1mo",
        "quarter" => "1q",
        "year" => "1y",
        _ => {
            return refused(
                format!("DATE_TRUNC knows no unit '{unit}'"),
                "Write 'second', 'minute', 'hour', 'day', 'week', 'month', 'quarter' or 'year', or tumbling(event_time, '10s').",
            );
        }
    })
}

fn text(expr: &Expr) -> Option<&str> {
    match expr {
        Expr::Literal(value) => value.extract_str(),
        _ => None,
    }
}

/// What is called by another name.
pub(super) fn without_alias(expr: &Expr) -> &Expr {
    match expr {
        Expr::Alias(inner, _) => inner,
        _ => expr,
    }
}
