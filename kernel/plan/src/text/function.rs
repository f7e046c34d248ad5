//! Polars' functions in a text: a name of ours for each, and what it is told.

use polars::prelude::*;
use polars_plan::dsl::FunctionExpr;
use serde::{Deserialize, Serialize};

use super::dtype::{TypeText, UnitText, zone_of};
use super::nothing;
use crate::PlanError;

/// A function.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
pub(super) enum FunctionText {
    /// One of [`plain`].
    Plain(String),
    Told(Told),
}

/// Functions that are told something.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Told {
    Round { decimals: u32, mode: String },
    RoundSigFigs { digits: i32 },
    Truncate { decimals: u32 },
    ConcatStr { delimiter: String, ignore_nulls: bool },
    ReplaceText { n: i64, literal: bool },
    ExtractGroup { group: usize },
    ToDecimal { scale: usize },
    ParseTime { dtype: TypeText, format: Option<String>, strict: bool, exact: bool, cache: bool },
    FormatTime { format: String },
    ConvertTimeZone { zone: String },
    ReplaceTimeZone { zone: Option<String>, null_where_missing: bool },
    CastTimeUnit { unit: UnitText },
    WithTimeUnit { unit: UnitText },
    Timestamp { unit: UnitText },
    CombineTime { unit: UnitText },
    DurationOf { unit: UnitText },
    ListSort { descending: bool, nulls_last: bool, in_order: bool, threads: bool },
    StructField { name: String },
    ReplaceStrict { dtype: Option<TypeText> },
}

impl FunctionText {
    pub(super) fn of(function: &FunctionExpr) -> Option<FunctionText> {
        if let Some((name, _)) = plain().into_iter().find(|(_, plain)| plain == function) {
            return Some(FunctionText::Plain(name.to_owned()));
        }
        Some(FunctionText::Told(match function {
            FunctionExpr::Round { decimals, mode } => {
                let (mode, _) = ROUNDINGS.iter().find(|(_, known)| known == mode)?;
                Told::Round { decimals: *decimals, mode: (*mode).to_owned() }
            }
            FunctionExpr::RoundSF { digits } => Told::RoundSigFigs { digits: *digits },
            FunctionExpr::Truncate { decimals } => Told::Truncate { decimals: *decimals },
            FunctionExpr::ReplaceStrict { return_dtype: None } => Told::ReplaceStrict { dtype: None },
            FunctionExpr::ReplaceStrict { return_dtype: Some(dtype) } => {
                Told::ReplaceStrict { dtype: Some(TypeText::of(dtype.as_literal()?).ok()?) }
            }
            FunctionExpr::StructExpr(StructFunction::FieldByName(name)) => Told::StructField { name: name.to_string() },
            FunctionExpr::ListExpr(ListFunction::Sort(sort)) if sort.limit.is_none() => Told::ListSort {
                descending: sort.descending,
                nulls_last: sort.nulls_last,
                in_order: sort.maintain_order,
                threads: sort.multithreaded,
            },
            FunctionExpr::StringExpr(function) => of_text(function)?,
            FunctionExpr::TemporalExpr(function) => of_time(function)?,
            _ => return None,
        }))
    }

    pub(super) fn read(&self) -> Result<FunctionExpr, PlanError> {
        match self {
            FunctionText::Plain(name) => {
                let found = plain().into_iter().find(|(known, _)| known == name);
                found.map(|(_, function)| function).ok_or_else(|| nothing(&format!("the function \"{name}\"")))
            }
            FunctionText::Told(told) => told.read(),
        }
    }
}

fn of_text(function: &StringFunction) -> Option<Told> {
    Some(match function {
        StringFunction::ConcatHorizontal { delimiter, ignore_nulls } => {
            Told::ConcatStr { delimiter: delimiter.to_string(), ignore_nulls: *ignore_nulls }
        }
        StringFunction::Replace { n, literal } => Told::ReplaceText { n: *n, literal: *literal },
        StringFunction::Extract(group) => Told::ExtractGroup { group: *group },
        StringFunction::ToDecimal { scale } => Told::ToDecimal { scale: *scale },
        StringFunction::Strptime(dtype, StrptimeOptions { format, strict, exact, cache }) => Told::ParseTime {
            dtype: TypeText::of(dtype.as_literal()?).ok()?,
            format: format.as_ref().map(ToString::to_string),
            strict: *strict,
            exact: *exact,
            cache: *cache,
        },
        _ => return None,
    })
}

fn of_time(function: &TemporalFunction) -> Option<Told> {
    Some(match function {
        TemporalFunction::ToString(format) => Told::FormatTime { format: format.clone() },
        TemporalFunction::ConvertTimeZone(zone) => Told::ConvertTimeZone { zone: zone.to_string() },
        TemporalFunction::ReplaceTimeZone(zone, missing) => Told::ReplaceTimeZone {
            zone: zone.as_ref().map(ToString::to_string),
            null_where_missing: matches!(missing, NonExistent::Null),
        },
        TemporalFunction::CastTimeUnit(unit) => Told::CastTimeUnit { unit: UnitText::of(*unit) },
        TemporalFunction::WithTimeUnit(unit) => Told::WithTimeUnit { unit: UnitText::of(*unit) },
        TemporalFunction::TimeStamp(unit) => Told::Timestamp { unit: UnitText::of(*unit) },
        TemporalFunction::Combine(unit) => Told::CombineTime { unit: UnitText::of(*unit) },
        TemporalFunction::Duration(unit) => Told::DurationOf { unit: UnitText::of(*unit) },
        _ => return None,
    })
}

impl Told {
    fn read(&self) -> Result<FunctionExpr, PlanError> {
        let text = FunctionExpr::StringExpr;
        let time = FunctionExpr::TemporalExpr;
        Ok(match self {
            Told::Round { decimals, mode } => {
                let found = ROUNDINGS.iter().find(|(known, _)| known == mode);
                let (_, mode) = found.ok_or_else(|| nothing(&format!("the rounding \"{mode}\"")))?;
                FunctionExpr::Round { decimals: *decimals, mode: *mode }
            }
            Told::RoundSigFigs { digits } => FunctionExpr::RoundSF { digits: *digits },
            Told::Truncate { decimals } => FunctionExpr::Truncate { decimals: *decimals },
            Told::ConcatStr { delimiter, ignore_nulls } => text(StringFunction::ConcatHorizontal {
                delimiter: delimiter.as_str().into(),
                ignore_nulls: *ignore_nulls,
            }),
            Told::ReplaceText { n, literal } => text(StringFunction::Replace { n: *n, literal: *literal }),
            Told::ExtractGroup { group } => text(StringFunction::Extract(*group)),
            Told::ToDecimal { scale } => text(StringFunction::ToDecimal { scale: *scale }),
            Told::ParseTime { dtype, format, strict, exact, cache } => {
                let format = format.as_ref().map(|format| PlSmallStr::from_str(format));
                let options = StrptimeOptions { format, strict: *strict, exact: *exact, cache: *cache };
                text(StringFunction::Strptime(dtype.read()?.into(), options))
            }
            Told::FormatTime { format } => time(TemporalFunction::ToString(format.clone())),
            Told::ConvertTimeZone { zone } => {
                let read = zone_of(Some(zone))?.ok_or_else(|| nothing(&format!("the zone \"{zone}\"")))?;
                time(TemporalFunction::ConvertTimeZone(read))
            }
            Told::ReplaceTimeZone { zone, null_where_missing } => {
                let missing = if *null_where_missing { NonExistent::Null } else { NonExistent::Raise };
                time(TemporalFunction::ReplaceTimeZone(zone_of(zone.as_deref())?, missing))
            }
            Told::CastTimeUnit { unit } => time(TemporalFunction::CastTimeUnit(unit.read())),
            Told::WithTimeUnit { unit } => time(TemporalFunction::WithTimeUnit(unit.read())),
            Told::Timestamp { unit } => time(TemporalFunction::TimeStamp(unit.read())),
            Told::CombineTime { unit } => time(TemporalFunction::Combine(unit.read())),
            Told::DurationOf { unit } => time(TemporalFunction::Duration(unit.read())),
            Told::ListSort { descending, nulls_last, in_order, threads } => {
                let sort = SortOptions::default().with_order_descending(*descending).with_nulls_last(*nulls_last);
                let sort = sort.with_maintain_order(*in_order).with_multithreaded(*threads);
                FunctionExpr::ListExpr(ListFunction::Sort(sort))
            }
            Told::StructField { name } => FunctionExpr::StructExpr(StructFunction::FieldByName(name.as_str().into())),
            Told::ReplaceStrict { dtype } => {
                let return_dtype = dtype.as_ref().map(TypeText::read).transpose()?.map(Into::into);
                FunctionExpr::ReplaceStrict { return_dtype }
            }
        })
    }
}

const ROUNDINGS: [(&str, RoundMode); 3] = [
    ("half_to_even", RoundMode::HalfToEven),
    ("half_away_from_zero", RoundMode::HalfAwayFromZero),
    ("to_zero", RoundMode::ToZero),
];

/// The functions that are told nothing, or one of a few things, each under a name of its own.
fn plain() -> Vec<(&'static str, FunctionExpr)> {
    let boolean = booleans().into_iter().map(|(name, function)| (name, FunctionExpr::Boolean(function)));
    let text = texts().into_iter().map(|(name, function)| (name, FunctionExpr::StringExpr(function)));
    let time = times().into_iter().map(|(name, function)| (name, FunctionExpr::TemporalExpr(function)));
    let list = lists().into_iter().map(|(name, function)| (name, FunctionExpr::ListExpr(function)));
    numbers().into_iter().chain(boolean).chain(text).chain(time).chain(list).collect()
}

fn numbers() -> Vec<(&'static str, FunctionExpr)> {
    use FunctionExpr as F;
    let quantile = |method| F::Quantile { method };
    vec![
        ("abs", F::Abs),
        ("negate", F::Negate),
        ("null_count", F::NullCount),
        ("pow", F::Pow(PowFunction::Generic)),
        ("sqrt", F::Pow(PowFunction::Sqrt)),
        ("cbrt", F::Pow(PowFunction::Cbrt)),
        ("fill_null", F::FillNull),
        ("drop_nans", F::DropNans),
        ("drop_nulls", F::DropNulls),
        ("product", F::Product),
        ("clip_above", F::Clip { has_min: false, has_max: true }),
        ("clip_below", F::Clip { has_min: true, has_max: false }),
        ("clip", F::Clip { has_min: true, has_max: true }),
        ("as_list", F::AsList),
        ("as_struct", F::AsStruct),
        ("top_k", F::TopK { descending: false }),
        ("bottom_k", F::TopK { descending: true }),
        ("approx_n_unique", F::ApproxNUnique),
        ("coalesce", F::Coalesce),
        ("log", F::Log),
        ("log1p", F::Log1p),
        ("exp", F::Exp),
        ("unique", F::Unique(false)),
        ("unique_in_order", F::Unique(true)),
        ("floor", F::Floor),
        ("ceil", F::Ceil),
        ("max_horizontal", F::MaxHorizontal),
        ("min_horizontal", F::MinHorizontal),
        ("sum_horizontal", F::SumHorizontal { ignore_nulls: true }),
        ("sum_horizontal_with_nulls", F::SumHorizontal { ignore_nulls: false }),
        ("mean_horizontal", F::MeanHorizontal { ignore_nulls: true }),
        ("mean_horizontal_with_nulls", F::MeanHorizontal { ignore_nulls: false }),
        ("replace", F::Replace),
        ("quantile_nearest", quantile(QuantileMethod::Nearest)),
        ("quantile_lower", quantile(QuantileMethod::Lower)),
        ("quantile_higher", quantile(QuantileMethod::Higher)),
        ("quantile_midpoint", quantile(QuantileMethod::Midpoint)),
        ("quantile_linear", quantile(QuantileMethod::Linear)),
        ("quantile_equiprobable", quantile(QuantileMethod::Equiprobable)),
    ]
}

fn booleans() -> Vec<(&'static str, BooleanFunction)> {
    use BooleanFunction as F;
    vec![
        ("any", F::Any { ignore_nulls: true }),
        ("any_with_nulls", F::Any { ignore_nulls: false }),
        ("all", F::All { ignore_nulls: true }),
        ("all_with_nulls", F::All { ignore_nulls: false }),
        ("has_nulls", F::HasNulls),
        ("is_null", F::IsNull),
        ("is_not_null", F::IsNotNull),
        ("is_finite", F::IsFinite),
        ("is_infinite", F::IsInfinite),
        ("is_nan", F::IsNan),
        ("is_not_nan", F::IsNotNan),
        ("is_between", F::IsBetween { closed: ClosedInterval::Both }),
        ("is_between_left", F::IsBetween { closed: ClosedInterval::Left }),
        ("is_between_right", F::IsBetween { closed: ClosedInterval::Right }),
        ("is_between_none", F::IsBetween { closed: ClosedInterval::None }),
        ("is_in", F::IsIn { nulls_equal: false }),
        ("is_in_with_nulls", F::IsIn { nulls_equal: true }),
        ("all_horizontal", F::AllHorizontal),
        ("any_horizontal", F::AnyHorizontal),
        ("not", F::Not),
    ]
}

fn texts() -> Vec<(&'static str, StringFunction)> {
    use StringFunction as F;
    vec![
        ("str.contains", F::Contains { literal: false, strict: true }),
        ("str.contains_or_null", F::Contains { literal: false, strict: false }),
        ("str.contains_literal", F::Contains { literal: true, strict: true }),
        ("str.contains_literal_or_null", F::Contains { literal: true, strict: false }),
        ("str.find", F::Find { literal: false, strict: true }),
        ("str.find_or_null", F::Find { literal: false, strict: false }),
        ("str.find_literal", F::Find { literal: true, strict: true }),
        ("str.find_literal_or_null", F::Find { literal: true, strict: false }),
        ("str.count_matches", F::CountMatches(false)),
        ("str.count_matches_literal", F::CountMatches(true)),
        ("str.ends_with", F::EndsWith),
        ("str.starts_with", F::StartsWith),
        ("str.extract_all", F::ExtractAll),
        ("str.len_bytes", F::LenBytes),
        ("str.len_chars", F::LenChars),
        ("str.lowercase", F::Lowercase),
        ("str.uppercase", F::Uppercase),
        ("str.slice", F::Slice),
        ("str.head", F::Head),
        ("str.tail", F::Tail),
        ("str.strip_chars", F::StripChars),
        ("str.strip_chars_start", F::StripCharsStart),
        ("str.strip_chars_end", F::StripCharsEnd),
        ("str.strip_prefix", F::StripPrefix),
        ("str.strip_suffix", F::StripSuffix),
        ("str.split", F::Split(false)),
        ("str.split_inclusive", F::Split(true)),
        ("str.escape_regex", F::EscapeRegex),
    ]
}

fn times() -> Vec<(&'static str, TemporalFunction)> {
    use TemporalFunction as F;
    vec![
        ("dt.millennium", F::Millennium),
        ("dt.century", F::Century),
        ("dt.year", F::Year),
        ("dt.is_leap_year", F::IsLeapYear),
        ("dt.iso_year", F::IsoYear),
        ("dt.quarter", F::Quarter),
        ("dt.month", F::Month),
        ("dt.days_in_month", F::DaysInMonth),
        ("dt.week", F::Week),
        ("dt.weekday", F::WeekDay),
        ("dt.day", F::Day),
        ("dt.ordinal_day", F::OrdinalDay),
        ("dt.time", F::Time),
        ("dt.date", F::Date),
        ("dt.datetime", F::Datetime),
        ("dt.hour", F::Hour),
        ("dt.minute", F::Minute),
        ("dt.second", F::Second),
        ("dt.millisecond", F::Millisecond),
        ("dt.microsecond", F::Microsecond),
        ("dt.nanosecond", F::Nanosecond),
        ("dt.total_days", F::TotalDays { fractional: false }),
        ("dt.total_hours", F::TotalHours { fractional: false }),
        ("dt.total_minutes", F::TotalMinutes { fractional: false }),
        ("dt.total_seconds", F::TotalSeconds { fractional: false }),
        ("dt.total_milliseconds", F::TotalMilliseconds { fractional: false }),
        ("dt.total_microseconds", F::TotalMicroseconds { fractional: false }),
        ("dt.total_nanoseconds", F::TotalNanoseconds { fractional: false }),
        ("dt.fractional_days", F::TotalDays { fractional: true }),
        ("dt.fractional_hours", F::TotalHours { fractional: true }),
        ("dt.fractional_minutes", F::TotalMinutes { fractional: true }),
        ("dt.fractional_seconds", F::TotalSeconds { fractional: true }),
        ("dt.truncate", F::Truncate),
        ("dt.round", F::Round),
        ("dt.replace", F::Replace),
        ("dt.base_utc_offset", F::BaseUtcOffset),
        ("dt.dst_offset", F::DSTOffset),
    ]
}

fn lists() -> Vec<(&'static str, ListFunction)> {
    use ListFunction as F;
    vec![
        ("list.concat", F::Concat),
        ("list.contains", F::Contains { nulls_equal: false }),
        ("list.contains_with_nulls", F::Contains { nulls_equal: true }),
        ("list.slice", F::Slice),
        ("list.get", F::Get(false)),
        ("list.get_or_null", F::Get(true)),
        ("list.sum", F::Sum),
        ("list.len", F::Length),
        ("list.max", F::Max),
        ("list.min", F::Min),
        ("list.mean", F::Mean),
        ("list.median", F::Median),
        ("list.join", F::Join(false)),
        ("list.join_ignoring_nulls", F::Join(true)),
    ]
}
