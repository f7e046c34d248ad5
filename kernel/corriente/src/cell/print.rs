//! `println!` and its like as cells have them. A thread that outlives its cell prints below that cell, whichever runs now:
//! the macros know the cell by the name that the kernel gives to the compiler. What the cell's own thread prints goes the way
//! of all standard output, and stays in its order.

use std::fmt::Arguments;
use std::io::Write as _;

use link::{Channel, ToKernel};

use super::{client, failure, wait};

/// Prints for the macros; `cell` is the one that the code was compiled for.
#[allow(clippy::print_stdout)]
#[track_caller]
pub fn printed(cell: Option<&str>, to_stderr: bool, text: Arguments<'_>) {
    wait::check();
    let elsewhere = cell.filter(|_| client::is_joined() && !failure::is_cells_thread());
    let channel = if to_stderr { Channel::Stderr } else { Channel::Stdout };
    match elsewhere.and_then(|cell| cell.parse().ok()) {
        Some(cell) => client::send(ToKernel::Stream { channel, text: text.to_string(), cell: Some(cell) }.into()),
        None if to_stderr => std::eprint!("{text}"),
        None => {
            std::print!("{text}");
            // std keeps a line until it is whole; a person wants to see it grow. A pipe that is gone has no reader.
            let _ = std::io::stdout().flush();
        }
    }
}

/// As std's, below the cell that it is written in.
#[macro_export]
macro_rules! print {
    ($($text:tt)*) => {
        $crate::cell::printed(::core::option_env!("CORRIENTE_CELL"), false, ::core::format_args!($($text)*))
    };
}

/// As std's, below the cell that it is written in.
#[macro_export]
macro_rules! println {
    () => { $crate::print!("\n") };
    ($($text:tt)*) => { $crate::print!("{}\n", ::core::format_args!($($text)*)) };
}

/// As std's, below the cell that it is written in.
#[macro_export]
macro_rules! eprint {
    ($($text:tt)*) => {
        $crate::cell::printed(::core::option_env!("CORRIENTE_CELL"), true, ::core::format_args!($($text)*))
    };
}

/// As std's, below the cell that it is written in.
#[macro_export]
macro_rules! eprintln {
    () => { $crate::eprint!("\n") };
    ($($text:tt)*) => { $crate::eprint!("{}\n", ::core::format_args!($($text)*)) };
}
