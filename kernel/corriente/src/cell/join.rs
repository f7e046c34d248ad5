//! tokio's `join!` and `try_join!` as cells have them: functions, so that the analyzer knows the types of what they give, which are
//! waited for on the process's runtime. What stands in their arguments is evaluated outside of `async`, and may use `?`.

/// The functions for so many futures.
macro_rules! joining {
    ($all:ident $until_error:ident: $($future:ident $Future:ident $Value:ident),+) => {
        /// Waits for all.
        #[doc(hidden)]
        pub async fn $all<$($Future: IntoFuture),+>($($future: $Future),+) -> ($($Future::Output,)+) {
            tokio::join!($($future.into_future()),+)
        }

        /// Waits for all, or for the first that fails.
        #[doc(hidden)]
        #[allow(clippy::missing_errors_doc)]
        pub async fn $until_error<Problem, $($Value,)+ $($Future: IntoFuture<Output = Result<$Value, Problem>>),+>(
            $($future: $Future),+
        ) -> Result<($($Value,)+), Problem> {
            tokio::try_join!($($future.into_future()),+)
        }
    };
}

joining!(join1 try_join1: a A T);
joining!(join2 try_join2: a A T, b B U);
joining!(join3 try_join3: a A T, b B U, c C V);
joining!(join4 try_join4: a A T, b B U, c C V, d D W);
joining!(join5 try_join5: a A T, b B U, c C V, d D W, e E X);
joining!(join6 try_join6: a A T, b B U, c C V, d D W, e E X, f F Y);

/// As tokio's, at the top of a cell.
#[doc(hidden)]
#[macro_export]
macro_rules! join {
    ($a:expr $(,)?) => { $crate::cell::block_on($crate::cell::join1($a)) };
    ($a:expr, $b:expr $(,)?) => { $crate::cell::block_on($crate::cell::join2($a, $b)) };
    ($a:expr, $b:expr, $c:expr $(,)?) => { $crate::cell::block_on($crate::cell::join3($a, $b, $c)) };
    ($a:expr, $b:expr, $c:expr, $d:expr $(,)?) => { $crate::cell::block_on($crate::cell::join4($a, $b, $c, $d)) };
    ($a:expr, $b:expr, $c:expr, $d:expr, $e:expr $(,)?) => {
        $crate::cell::block_on($crate::cell::join5($a, $b, $c, $d, $e))
    };
    ($a:expr, $b:expr, $c:expr, $d:expr, $e:expr, $f:expr $(,)?) => {
        $crate::cell::block_on($crate::cell::join6($a, $b, $c, $d, $e, $f))
    };
    ($($all:tt)*) => { $crate::cell::block_on(async { $crate::tokio::join!($($all)*) }) };
}

/// As tokio's, at the top of a cell.
#[doc(hidden)]
#[macro_export]
macro_rules! try_join {
    ($a:expr $(,)?) => { $crate::cell::block_on($crate::cell::try_join1($a)) };
    ($a:expr, $b:expr $(,)?) => { $crate::cell::block_on($crate::cell::try_join2($a, $b)) };
    ($a:expr, $b:expr, $c:expr $(,)?) => { $crate::cell::block_on($crate::cell::try_join3($a, $b, $c)) };
    ($a:expr, $b:expr, $c:expr, $d:expr $(,)?) => { $crate::cell::block_on($crate::cell::try_join4($a, $b, $c, $d)) };
    ($a:expr, $b:expr, $c:expr, $d:expr, $e:expr $(,)?) => {
        $crate::cell::block_on($crate::cell::try_join5($a, $b, $c, $d, $e))
    };
    ($a:expr, $b:expr, $c:expr, $d:expr, $e:expr, $f:expr $(,)?) => {
        $crate::cell::block_on($crate::cell::try_join6($a, $b, $c, $d, $e, $f))
    };
    ($($all:tt)*) => { $crate::cell::block_on(async { $crate::tokio::try_join!($($all)*) }) };
}
