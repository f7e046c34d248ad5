//! What a cell's last expression looks like. The macro [`show!`](crate::show) picks the best way that the value's type
//! has, by the order in which the compiler looks for methods (autoref specialisation, D. Tolnay).

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

/// A value about to be shown.
pub struct Shown<'a, T: ?Sized>(pub &'a T);

/// The ways to show a value, best first; in scope where [`show!`](crate::show) is used.
pub mod via {
    use super::{Debug, Show, Shown, plain};

    /// The value says itself how it looks.
    pub trait ViaShow {
        /// Shows it.
        fn show_shown(&self);
    }

    impl<T: Show + ?Sized> ViaShow for &&Shown<'_, T> {
        #[track_caller]
        fn show_shown(&self) {
            super::super::result(self.0.show());
        }
    }

    /// The value can be written for a programmer.
    pub trait ViaDebug {
        /// Shows it.
        fn show_shown(&self);
    }

    impl<T: Debug + ?Sized> ViaDebug for &Shown<'_, T> {
        fn show_shown(&self) {
            super::super::result(plain(format!("{:?}", self.0)));
        }
    }

    /// Nothing is known of the value but its type.
    pub trait ViaType {
        /// Shows it.
        fn show_shown(&self);
    }

    impl<T: ?Sized> ViaType for Shown<'_, T> {
        fn show_shown(&self) {
            let name = std::any::type_name::<T>();
            super::super::result(plain(format!("a value of type {name}, which has no Debug to show it by")));
        }
    }
}

/// Text alone.
fn plain(text: String) -> Bundle {
    let data = [("text/plain".to_owned(), Value::String(text))].into_iter().collect();
    Bundle { data, metadata: serde_json::Map::new() }
}

/// Shows a value as the cell's result.
#[macro_export]
macro_rules! show {
    ($value:expr) => {
        match &($value) {
            value => {
                #[allow(unused_imports)]
                use $crate::cell::via::{ViaDebug as _, ViaShow as _, ViaType as _};
                (&&&$crate::cell::Shown(value)).show_shown();
            }
        }
    };
}
