//! What a value looks like in a notebook. The macros [`show!`](crate::show) and [`display!`](crate::display) pick the best way
//! that its type has, by the order in which the compiler looks for methods (autoref specialisation, D. Tolnay).

use std::fmt::Debug;

use link::Bundle;
use serde_json::Value;

/// A value that knows how it looks in a notebook.
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not say how it looks in a notebook",
    note = "implement `corriente::cell::Show` for it, or derive `Debug`"
)]
pub trait Show {
    /// Representations by MIME type. An empty bundle shows nothing.
    fn show(&self) -> Bundle;
}

impl Show for () {
    fn show(&self) -> Bundle {
        Bundle::default()
    }
}

/// Numbers say it themselves, because the type of one may be open until all of a cell is read.
macro_rules! show_number {
    ($($number:ty)*) => { $(
        impl Show for $number {
            fn show(&self) -> Bundle {
                plain(format!("{self:?}"))
            }
        }
    )* };
}
show_number!(i8 i16 i32 i64 i128 isize u8 u16 u32 u64 u128 usize f32 f64);

/// A value about to be shown.
pub struct Shown<'a, T: ?Sized>(pub &'a T);

/// The ways to show a value, best first; in scope where the macros are used.
pub mod via {
    use super::{Bundle, Debug, Show, Shown, plain};

    /// The value says itself how it looks.
    pub trait ViaShow {
        /// How it looks.
        #[track_caller]
        fn bundle(&self) -> Bundle;
    }

    impl<T: Show + ?Sized> ViaShow for &&Shown<'_, T> {
        #[track_caller]
        fn bundle(&self) -> Bundle {
            self.0.show()
        }
    }

    /// The value can be written for a programmer.
    pub trait ViaDebug {
        /// How it looks.
        #[track_caller]
        fn bundle(&self) -> Bundle;
    }

    impl<T: Debug + ?Sized> ViaDebug for &Shown<'_, T> {
        fn bundle(&self) -> Bundle {
            plain(format!("{:?}", self.0))
        }
    }

    /// Nothing is known of the value but its type.
    pub trait ViaType {
        /// How it looks.
        #[track_caller]
        fn bundle(&self) -> Bundle;
    }

    impl<T: ?Sized> ViaType for Shown<'_, T> {
        fn bundle(&self) -> Bundle {
            let name = std::any::type_name::<T>();
            plain(format!("a value of type {name}, which has no Debug to show it by"))
        }
    }
}

/// Text alone.
pub(crate) fn plain(text: String) -> Bundle {
    let data = [("text/plain".to_owned(), Value::String(text))].into_iter().collect();
    Bundle { data, metadata: serde_json::Map::new() }
}

/// How a value looks.
#[doc(hidden)]
#[macro_export]
macro_rules! bundle_of {
    ($value:expr) => {
        match &($value) {
            value => {
                #[allow(unused_imports)]
                use $crate::cell::via::{ViaDebug as _, ViaShow as _, ViaType as _};
                (&&&$crate::cell::Shown(value)).bundle()
            }
        }
    };
}

/// Shows a value as the cell's result; the kernel puts it around a cell's last expression.
#[macro_export]
macro_rules! show {
    ($value:expr) => {
        $crate::cell::result($crate::bundle_of!($value))
    };
}

/// Shows a value among the cell's outputs, wherever in the cell, and however often.
///
/// ```no_run
/// use corriente::prelude::*;
/// for n in 1..=3 {
///     display!(df!("n" => [n])?);
/// }
/// # Ok::<(), PolarsError>(())
/// ```
#[macro_export]
macro_rules! display {
    ($value:expr) => {
        $crate::cell::display($crate::bundle_of!($value))
    };
}

/// Makes a `let` of a cell one that the cell does not keep; the kernel puts it around what has no name to be kept under, such
/// as a closure.
#[doc(hidden)]
#[macro_export]
macro_rules! local {
    ($($statement:tt)*) => { $($statement)* };
}
