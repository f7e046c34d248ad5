//! `corriente doctor`: what cells need, checked. `corriente demo`: the way to the demo.

use evaluator::Toolchain;

#[allow(clippy::print_stdout)]
pub(crate) fn run() -> anyhow::Result<()> {
    Toolchain::find()?;
    println!("the library and the compiler of cells belong together");
    let linker = std::process::Command::new("cc").arg("--version").output();
    anyhow::ensure!(
        linker.is_ok_and(|o| o.status.success()),
        "there is no C compiler `cc`, which links cells; on Debian: apt-get install gcc"
    );
    println!("a linker is there");
    Ok(())
}

#[allow(clippy::print_stdout)]
pub(crate) fn demo() -> anyhow::Result<()> {
    println!("The demo is started from a checkout: ./install/demo sets everything up and opens the first notebook.");
    Ok(())
}
