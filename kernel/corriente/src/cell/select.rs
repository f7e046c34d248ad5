//! tokio's `select!` as cells have it: its futures are waited for on the process's runtime, and its handlers run outside of
//! `async`, so that they may `break`, `continue`, `return` and `?` like other code of a cell. The kernel puts it in the
//! place of tokio's, which does the selecting here too.

/// Which of several branches was taken: the first, or one of the rest.
pub enum Turn<A, B> {
    /// The first.
    First(A),
    /// One of those behind it.
    Rest(B),
}

/// As tokio's, at the top of a cell.
#[doc(hidden)]
#[macro_export]
macro_rules! select {
    // Each future has a name of its own, for each step of a macro has its own names.
    (@run [$($biased:tt)*] [$($lets:tt)*] [$($arms:tt)*] [$($outs:tt)*] ($($depth:tt)*)
        { ($pattern:pat) ($future:expr) ($condition:expr) ($handler:expr) $($rest:tt)* } $else:expr) => {
        $crate::select!(@run [$($biased)*]
            [$($lets)* let future = $future;]
            [$($arms)* ::core::option::Option::Some(value) = async {
                let (value, mut fits) = (future.await, false);
                match value {
                    // The guard has its say only where the pattern fits, and takes nothing.
                    $pattern if { fits = true; false } => ::core::option::Option::None,
                    value => if fits { ::core::option::Option::Some(value) } else { ::core::option::Option::None },
                }
            }, if $condition => $crate::turn!(($($depth)*) value),]
            [$($outs)* $crate::turn!(($($depth)*) $pattern) => $handler,]
            ($($depth)* _) { $($rest)* } $else)
    };
    (@run [$($biased:tt)*] [$($lets:tt)*] [$($arms:tt)*] [$($outs:tt)*] ($($depth:tt)*) {} $else:expr) => {
        match {
            $($lets)*
            $crate::cell::block_on(async {
                $crate::tokio::select! { $($biased)* $($arms)* else => $crate::turn!(@end ($($depth)*)), }
            })
        } {
            $($outs)*
            $crate::turn!(@end ($($depth)*)) => $else,
            #[allow(unreachable_patterns)]
            _ => ::core::unreachable!(),
        }
    };

    (@take [$($biased:tt)*] { $($taken:tt)* }) => {
        $crate::select!(@run [$($biased)*] [] [] [] () { $($taken)* }
            ::core::panic!("all branches are disabled and there is no else branch"))
    };
    (@take [$($biased:tt)*] { $($taken:tt)* } else => $else:expr $(,)?) => {
        $crate::select!(@run [$($biased)*] [] [] [] () { $($taken)* } $else)
    };
    (@take [$($biased:tt)*] { $($taken:tt)* } $p:pat = $f:expr, if $c:expr => $h:block, $($rest:tt)*) => {
        $crate::select!(@take [$($biased)*] { $($taken)* ($p) ($f) ($c) ($h) } $($rest)*)
    };
    (@take [$($biased:tt)*] { $($taken:tt)* } $p:pat = $f:expr => $h:block, $($rest:tt)*) => {
        $crate::select!(@take [$($biased)*] { $($taken)* ($p) ($f) (true) ($h) } $($rest)*)
    };
    (@take [$($biased:tt)*] { $($taken:tt)* } $p:pat = $f:expr, if $c:expr => $h:block $($rest:tt)*) => {
        $crate::select!(@take [$($biased)*] { $($taken)* ($p) ($f) ($c) ($h) } $($rest)*)
    };
    (@take [$($biased:tt)*] { $($taken:tt)* } $p:pat = $f:expr => $h:block $($rest:tt)*) => {
        $crate::select!(@take [$($biased)*] { $($taken)* ($p) ($f) (true) ($h) } $($rest)*)
    };
    (@take [$($biased:tt)*] { $($taken:tt)* } $p:pat = $f:expr, if $c:expr => $h:expr $(, $($rest:tt)*)?) => {
        $crate::select!(@take [$($biased)*] { $($taken)* ($p) ($f) ($c) ($h) } $($($rest)*)?)
    };
    (@take [$($biased:tt)*] { $($taken:tt)* } $p:pat = $f:expr => $h:expr $(, $($rest:tt)*)?) => {
        $crate::select!(@take [$($biased)*] { $($taken)* ($p) ($f) (true) ($h) } $($($rest)*)?)
    };

    (biased; $($branches:tt)*) => { $crate::select!(@take [biased;] {} $($branches)*) };
    ($($branches:tt)*) => { $crate::select!(@take [] {} $($branches)*) };
}

/// The place of a branch among the others, as a value or as a pattern.
#[doc(hidden)]
#[macro_export]
macro_rules! turn {
    (@end ()) => { () };
    (@end (_ $($depth:tt)*)) => { $crate::cell::Turn::Rest($crate::turn!(@end ($($depth)*))) };
    (() $($value:tt)*) => { $crate::cell::Turn::First($($value)*) };
    ((_ $($depth:tt)*) $($value:tt)*) => { $crate::cell::Turn::Rest($crate::turn!(($($depth)*) $($value)*)) };
}
