//! Records the compiler that builds Corriente: cells must be compiled by that very one, because they link to the library
//! it made.

use std::path::PathBuf;
use std::process::Command;

fn main() {
    let rustc = std::env::var("RUSTC").unwrap_or_else(|_| "rustc".to_owned());
    let sysroot = PathBuf::from(answer(&rustc, &["--print", "sysroot"]));
    let version = answer(&rustc, &["--version"]);
    println!("cargo:rustc-env=CORRIENTE_SYSROOT={}", sysroot.display());
    println!("cargo:rustc-env=CORRIENTE_RUSTC_VERSION={version}");
    println!("cargo:rustc-env=CORRIENTE_TARGET={}", std::env::var("TARGET").unwrap_or_default());
    println!("cargo:rustc-env=CORRIENTE_CARGO={}", std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned()));
    for variable in ["RUSTC", "RUSTUP_TOOLCHAIN"] {
        println!("cargo:rerun-if-env-changed={variable}");
    }
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-changed=../../rust-toolchain.toml");
}

/// What a command prints, or nothing: the version is checked again when the kernel starts, with a message.
fn answer(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output();
    output.map(|o| String::from_utf8_lossy(&o.stdout).trim().to_owned()).unwrap_or_default()
}
