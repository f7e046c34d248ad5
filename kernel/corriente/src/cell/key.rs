//! What the kernel puts into a cell's text where a macro or a type of the person's has to be told in other words.

/// A key of `thread_local!` as a value, so that a static can be made of it that cells share.
#[doc(hidden)]
#[macro_export]
macro_rules! local_key {
    ($type:ty, $($value:tt)*) => {{
        ::std::thread_local! { static KEY: $type = $($value)*; }
        KEY
    }};
}

/// Implemented by nothing: the compiler's error names the type, where the kernel asks for it.
#[doc(hidden)]
#[diagnostic::on_unimplemented(message = "CORRIENTE_TYPE {Self}")]
pub trait NameOfType {}

/// Has the compiler name the type of a value.
#[doc(hidden)]
pub fn name_of_type<T: NameOfType + ?Sized>(_: &T) {}
