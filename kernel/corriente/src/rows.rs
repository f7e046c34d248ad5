//! A person's own function on one row at a time.

use plan::{IntoValues, Row, RowFunction};
use polars::prelude::PolarsResult;

use crate::StreamFrame;

impl StreamFrame {
    /// Calls a function of one's own with each row, and adds what it gives as columns called `names`: for what expressions cannot
    /// say, as Polars' `map_rows`, but that the row's other columns stay. A value is a number, `bool`, `String` or `&str`, or an
    /// `Option` of one; several stand in brackets. A function that fails or panics stops its query, and the error shows the row.
    ///
    /// ```no_run
    /// # use corriente::prelude::*;
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let txns = read_kafka("127.0.0.1:9092").topic("transactions").json()?;
    /// let scored = txns.map_rows(["bin", "is_round"], |row| {
    ///     let card = row.get::<String>("card")?;
    ///     let amount = row.get::<Option<f64>>("amount")?.unwrap_or(0.0);
    ///     Ok((card.chars().take(6).collect::<String>(), amount.fract() == 0.0))
    /// });
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    #[track_caller]
    pub fn map_rows<'a, R: IntoValues>(
        &self,
        names: impl IntoIterator<Item = &'a str>,
        function: impl Fn(&Row<'_>) -> PolarsResult<R> + Send + Sync + 'static,
    ) -> StreamFrame {
        self.mapped(&names.into_iter().collect::<Vec<_>>(), RowFunction::new(function))
    }

    // Not generic, so that a cell does not compile it.
    #[track_caller]
    fn mapped(&self, names: &[&str], function: RowFunction) -> StreamFrame {
        self.with(self.plan.map_rows(names, function))
    }
}
