//! `corriente doctor`: every link of the chain from Jupyter's page to a running cell, checked, and what mends each.
//! `corriente demo`: the way to the demo.

mod cell;
mod jupyter;
mod machine;

use evaluator::Toolchain;

/// What a check found: a line of what is right, or what is wrong.
type Found = Result<String, Problem>;

/// What is wrong, and what a person types or does to mend it.
#[derive(Debug, PartialEq)]
struct Problem {
    fact: String,
    mend: String,
}

impl Problem {
    fn new(fact: impl ToString, mend: impl Into<String>) -> Problem {
        Problem { fact: fact.to_string(), mend: mend.into() }
    }
}

pub(crate) fn run() -> anyhow::Result<()> {
    let toolchain = Toolchain::find();
    let mut wrong = 0;
    let mut check = |what: &str, found: Found| wrong += usize::from(!tell(what, &found));
    check("compiler", machine::compiler(&toolchain));
    check("temporary folder", machine::temporary_folder());
    check("memory", machine::memory());
    if let Ok(toolchain) = &toolchain {
        check("sources", machine::sources(toolchain));
        check(":dep", machine::dependencies(toolchain));
    }
    for (what, found) in jupyter::kernels(toolchain.as_ref().ok()) {
        check(&what, found);
    }
    // The last: a session changes the environment of this process.
    if let Ok(toolchain) = toolchain {
        check("a cell", cell::run(toolchain));
    }
    match wrong {
        0 => Ok(()),
        1 => anyhow::bail!("one thing is wrong"),
        several => anyhow::bail!("{several} things are wrong"),
    }
}

/// Prints what was found; gives whether it is right.
#[allow(clippy::print_stdout)]
fn tell(what: &str, found: &Found) -> bool {
    match found {
        Ok(fact) => println!("ok     {what}: {fact}"),
        Err(Problem { fact, mend }) => println!("wrong  {what}: {fact}\n       {mend}"),
    }
    found.is_ok()
}

#[allow(clippy::print_stdout)]
pub(crate) fn demo() -> anyhow::Result<()> {
    println!("The demo is started from a checkout: ./install/demo sets everything up and opens the first notebook.");
    Ok(())
}
