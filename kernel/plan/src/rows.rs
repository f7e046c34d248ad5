//! A person's own function on one row at a time: what it reads of the row, and what it gives. The types of what it gives are known
//! where it is written, so the columns are known before there is a row.

use std::sync::Arc;

use polars::prelude::*;

use crate::PlanError;
use crate::closure::{Closure, result_of, row_in_words};
use crate::node::Plan;

impl Plan {
    /// Runs a function of one's own on each row, and adds what it gives as columns called `names`, in the place of those with the same
    /// name. Rows that change are given to it again.
    ///
    /// # Errors
    /// Another number of names than the function gives values, or two that are the same.
    pub fn map_rows(&self, names: &[&str], function: RowFunction) -> Result<Plan, PlanError> {
        let twice = names.iter().enumerate().any(|(at, name)| names[..at].contains(name));
        if names.len() != function.width() || twice {
            return Err(PlanError::Refused {
                operation: "map_rows",
                detail: format!("the function gives {} values, which are to be called {names:?}", function.width()),
                hint: "Give a name of its own for each.",
            });
        }
        self.mapped(Closure::of_rows(function.named(names)))
    }
}

/// A row of a stream, as [`Plan::map_rows`] gives it to a function.
#[derive(Clone, Copy, Debug)]
pub struct Row<'a> {
    frame: &'a DataFrame,
    at: usize,
}

impl Row<'_> {
    /// The value of a column: `row.get::<f64>("amount")?`. It may be any number, `bool` or `String`, and an `Option` of one where
    /// there may be nulls. Times are whole numbers in their column's unit.
    ///
    /// # Errors
    /// A column that is not there, one of another type, or a null that was not asked for.
    pub fn get<T: FromValue>(&self, column: &str) -> PolarsResult<T> {
        let value = self.value(column)?;
        T::from_value(&value).ok_or_else(|| wrong_value(column, &value, &T::name()))
    }

    /// The value of a column, whatever its type.
    ///
    /// # Errors
    /// A column that is not there.
    pub fn value(&self, column: &str) -> PolarsResult<AnyValue<'_>> {
        self.frame.column(column)?.get(self.at)
    }
}

fn wrong_value(column: &str, value: &AnyValue<'_>, wanted: &str) -> PolarsError {
    match value {
        AnyValue::Null => {
            polars_err!(ComputeError: "\"{column}\" is null; ask for it with get::<Option<{wanted}>>(\"{column}\")")
        }
        _ => polars_err!(SchemaMismatch: "\"{column}\" is {}, and not {wanted}", value.dtype()),
    }
}

/// What a value of a row can be read as.
#[diagnostic::on_unimplemented(
    message = "a value of a row cannot be read as `{Self}`",
    label = "a number, bool or String is wanted here, or an Option of one",
    note = "for anything else there is row.value(\"column\")?, a Polars AnyValue"
)]
pub trait FromValue: Sized {
    /// The value, if it is one.
    fn from_value(value: &AnyValue<'_>) -> Option<Self>;
    /// What a person calls it.
    fn name() -> String;
}

/// What a value of a row can be made of.
#[diagnostic::on_unimplemented(
    message = "a value of a row cannot be made of `{Self}`",
    label = "a number, bool, String or &str is wanted here, or an Option of one"
)]
pub trait IntoValue {
    /// The column's type.
    fn dtype() -> DataType;
    /// The value.
    fn into_value(self) -> AnyValue<'static>;
}

/// What a function of [`Plan::map_rows`] gives: a value, or several in brackets.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no value of a column, and no values in brackets",
    label = "map_rows wants Ok((…)) with a value for each name",
    note = "a value is a number, bool, String or &str, or an Option of one"
)]
pub trait IntoValues {
    /// The columns' types.
    fn dtypes() -> Vec<DataType>;
    /// Puts the values at the end of each column.
    fn put(self, columns: &mut [Vec<AnyValue<'static>>]);
}

macro_rules! numbers {
    ($($number:ty, $dtype:expr, $takes:expr;)*) => {$(
        impl FromValue for $number {
            fn from_value(value: &AnyValue<'_>) -> Option<$number> {
                if $takes(value) { value.extract() } else { None }
            }
            fn name() -> String {
                stringify!($number).to_owned()
            }
        }
        impl IntoValue for $number {
            fn dtype() -> DataType {
                $dtype
            }
            fn into_value(self) -> AnyValue<'static> {
                AnyValue::from(self)
            }
        }
    )*};
}

numbers! {
    i32, DataType::Int32, is_whole;
    i64, DataType::Int64, is_whole;
    u32, DataType::UInt32, is_whole;
    u64, DataType::UInt64, is_whole;
    f32, DataType::Float32, is_number;
    f64, DataType::Float64, is_number;
}

fn is_whole(value: &AnyValue<'_>) -> bool {
    let dtype = value.dtype();
    dtype.is_integer()
        || matches!(dtype, DataType::Date | DataType::Datetime(..) | DataType::Duration(_) | DataType::Time)
}

fn is_number(value: &AnyValue<'_>) -> bool {
    let dtype = value.dtype();
    dtype.is_primitive_numeric() || matches!(dtype, DataType::Decimal(..))
}

impl FromValue for bool {
    fn from_value(value: &AnyValue<'_>) -> Option<bool> {
        match value {
            AnyValue::Boolean(value) => Some(*value),
            _ => None,
        }
    }
    fn name() -> String {
        "bool".to_owned()
    }
}

impl IntoValue for bool {
    fn dtype() -> DataType {
        DataType::Boolean
    }
    fn into_value(self) -> AnyValue<'static> {
        AnyValue::Boolean(self)
    }
}

impl FromValue for String {
    fn from_value(value: &AnyValue<'_>) -> Option<String> {
        value.get_str().map(str::to_owned)
    }
    fn name() -> String {
        "String".to_owned()
    }
}

impl IntoValue for String {
    fn dtype() -> DataType {
        DataType::String
    }
    fn into_value(self) -> AnyValue<'static> {
        AnyValue::StringOwned(self.into())
    }
}

impl IntoValue for &str {
    fn dtype() -> DataType {
        DataType::String
    }
    fn into_value(self) -> AnyValue<'static> {
        AnyValue::StringOwned(self.into())
    }
}

impl<T: FromValue> FromValue for Option<T> {
    fn from_value(value: &AnyValue<'_>) -> Option<Option<T>> {
        match value {
            AnyValue::Null => Some(None),
            _ => T::from_value(value).map(Some),
        }
    }
    fn name() -> String {
        T::name()
    }
}

impl<T: IntoValue> IntoValue for Option<T> {
    fn dtype() -> DataType {
        T::dtype()
    }
    fn into_value(self) -> AnyValue<'static> {
        self.map_or(AnyValue::Null, T::into_value)
    }
}

impl<T: IntoValue> IntoValues for T {
    fn dtypes() -> Vec<DataType> {
        vec![T::dtype()]
    }
    fn put(self, columns: &mut [Vec<AnyValue<'static>>]) {
        columns[0].push(self.into_value());
    }
}

macro_rules! several {
    ($($name:ident $at:tt),*) => {
        impl<$($name: IntoValue),*> IntoValues for ($($name,)*) {
            fn dtypes() -> Vec<DataType> {
                vec![$($name::dtype()),*]
            }
            fn put(self, columns: &mut [Vec<AnyValue<'static>>]) {
                $(columns[$at].push(self.$at.into_value());)*
            }
        }
    };
}

several!(A 0);
several!(A 0, B 1);
several!(A 0, B 1, C 2);
several!(A 0, B 1, C 2, D 3);
several!(A 0, B 1, C 2, D 3, E 4);
several!(A 0, B 1, C 2, D 3, E 4, F 5);
several!(A 0, B 1, C 2, D 3, E 4, F 5, G 6);
several!(A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7);

/// A person's function on one row, its types hidden.
type RowClosure = dyn Fn(&Row<'_>, &mut [Vec<AnyValue<'static>>]) -> PolarsResult<()> + Send + Sync;

/// A function on rows, with the types of what it gives.
#[derive(Clone)]
pub struct RowFunction {
    function: Arc<RowClosure>,
    fields: Vec<Field>,
    dtypes: Vec<DataType>,
}

impl RowFunction {
    /// A function that gives an `R` for each row.
    pub fn new<R: IntoValues>(function: impl Fn(&Row<'_>) -> PolarsResult<R> + Send + Sync + 'static) -> RowFunction {
        let put = move |row: &Row<'_>, columns: &mut [Vec<AnyValue<'static>>]| {
            function(row)?.put(columns);
            Ok(())
        };
        RowFunction { function: Arc::new(put), fields: Vec::new(), dtypes: R::dtypes() }
    }

    /// How many values it gives.
    pub(crate) fn width(&self) -> usize {
        self.dtypes.len()
    }

    /// The function with names for what it gives.
    pub(crate) fn named(mut self, names: &[&str]) -> RowFunction {
        self.fields =
            names.iter().zip(&self.dtypes).map(|(name, dtype)| Field::new((*name).into(), dtype.clone())).collect();
        self
    }

    /// The rows with the function's columns.
    pub(crate) fn call(&self, mut rows: DataFrame) -> PolarsResult<DataFrame> {
        let mut values: Vec<Vec<AnyValue<'static>>> = vec![Vec::with_capacity(rows.height()); self.fields.len()];
        for at in 0..rows.height() {
            let row = Row { frame: &rows, at };
            if let Err(failure) = result_of(|| (self.function)(&row, &mut values)) {
                polars_bail!(ComputeError: "the function of map_rows {failure}. The row that did it: {}", row_in_words(&rows, at));
            }
        }
        for (field, values) in self.fields.iter().zip(values) {
            let column = Series::from_any_values_and_dtype(field.name().clone(), &values, field.dtype(), true)?;
            rows.with_column(column.into())?;
        }
        Ok(rows)
    }

    /// In words.
    pub(crate) fn explain(&self) -> String {
        let given: Vec<String> =
            self.fields.iter().map(|field| format!("{}: {}", field.name(), field.dtype())).collect();
        format!("closure GIVING [{}]", given.join(", "))
    }
}
