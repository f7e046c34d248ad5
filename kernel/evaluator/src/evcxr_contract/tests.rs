//! The contract against the real evcxr: a session of its own with cargo and the analyzer as they are, and cells that show each
//! habit that is relied on. The cell process is this test's program again, which then serves as one.

#![allow(clippy::unwrap_used)]

use evcxr::{CommandContext, Error, EvalContext};

use super::words::{Meaning, borrowing, meaning, of_command, status};
use super::{keys, marks, source, words};

/// How a shell starts this program as a cell process: what the test harness prints is not for evcxr, whose pipe is descriptor 3.
const AS_CELL_PROCESS: &str = "exec \"$0\" evcxr_contract::tests::a_cell_process --exact --nocapture 3>&1 >/dev/null";

/// Where evcxr has started the program as a cell process, it is one; as a test it has nothing to do.
#[test]
fn a_cell_process() {
    if std::env::var_os(marks::IS_RUNTIME).is_some() {
        // SAFETY: both descriptors are open, and this process has no other use for them.
        unsafe { libc::dup2(3, 1) };
        crate::runtime::serve_if_cell_process();
    }
}

struct Session(CommandContext);

impl Session {
    fn start() -> Session {
        let mut command = std::process::Command::new("sh");
        command.args(["-c", AS_CELL_PROCESS]).arg(std::env::current_exe().unwrap());
        let (context, _) = EvalContext::with_subprocess_command(command).unwrap();
        Session(CommandContext::with_eval_context(context))
    }

    fn run(&mut self, code: &str) {
        self.0.execute(code).unwrap_or_else(|error| panic!("{code}: {error}"));
    }

    /// Why a command fails.
    fn refusal(&mut self, command: &str) -> String {
        match self.0.execute(command) {
            Err(Error::CompilationErrors(errors)) => errors.iter().map(|error| error.message()).collect(),
            other => panic!("{command}: {:?}", other.map(|_| ())),
        }
    }

    fn meaning(&mut self, code: &str) -> Meaning {
        match self.0.execute(code).err().unwrap_or_else(|| panic!("{code} is taken")) {
            Error::Message(text) => meaning(&text),
            other => panic!("{code}: {other:?}"),
        }
    }

    /// The source of the last cell that ran.
    fn compiled(&mut self, code: &str) -> String {
        self.run(code);
        self.0.last_source().unwrap()
    }

    /// The source that the analyzer was given.
    fn analysed(&mut self, code: &str) -> String {
        self.0.check(code).unwrap();
        self.0.last_source().unwrap()
    }
}

#[test]
fn evcxr_is_what_it_is_taken_for() {
    let mut session = Session::start();
    what_its_commands_do(&mut session);
    what_it_writes_around_a_cell(&mut session);
    how_it_keeps_items(&mut session);
    what_it_says_of_variables(&mut session);
    what_it_says_of_ends(&mut session);
}

fn what_its_commands_do(session: &mut Session) {
    let said = session.refusal(":explain");
    assert!(of_command(&said).starts_with("there was no compile error"), "{said}");
    for command in [marks::OWN_LINKER, ":opt 1", ":opt 0", ":show_deps", ":doc Vec"] {
        session.run(command);
    }
    session.run("let forgotten = 1;");
    session.run(marks::CLEAR);
    assert_eq!(session.0.variables_and_types().count(), 0);
}

fn what_it_writes_around_a_cell(session: &mut Session) {
    // The `?` has it expect one in later cells.
    session.run("Ok::<(), String>(())?;");
    session.run("let kept = vec![1];\nlet other = 2;");
    let text = session.compiled("kept.len();");
    let absent: Vec<&str> = source::theirs().into_iter().filter(|theirs| !text.contains(theirs)).collect();
    let analysed = session.analysed("kept.len();");
    let absent: Vec<&str> = absent.into_iter().filter(|theirs| !analysed.contains(theirs)).collect();
    assert_eq!(absent, [""; 0], "evcxr does not write these any more\n{text}\n{analysed}");

    let ours = source::ours(&text, &["kept".to_owned()]);
    assert!(ours.contains("lose_variable(stringify!(kept))") && !ours.contains("check_variable::<Vec<i32>>"), "{ours}");
    assert!(ours.contains("check_variable::<i32>(stringify!(other))"), "{ours}");
    let line = |text: &str| text.lines().position(|line| line.contains("kept.len();"));
    assert_eq!(line(&ours), line(&text), "a person's lines stay where they are");
    assert!(text.contains(&format!("fn {}_", marks::RUNS)), "{text}");
}

fn how_it_keeps_items(session: &mut Session) {
    let (one, two) = (keys::block(1), keys::block(2));
    session.run("struct S;");
    session.run(&format!("{}impl S {{ fn a(&self) {{}} }}", keys::in_front(&one)));
    session.run(&format!("{}impl Clone for S {{ fn clone(&self) -> S {{ S }} }}", keys::in_front(&two)));
    let text =
        session.compiled(&format!("{}impl S {{ fn a(&self) {{}} fn b(&self) {{}} }}\nS.b();", keys::in_front(&one)));
    assert_eq!(text.matches("impl S {").count(), 1, "{text}");
    let text = session.compiled(&format!("{}S.clone();", keys::alone(&one)));
    assert_eq!((text.matches("impl S {").count(), text.matches("impl Clone for S").count()), (0, 1), "{text}");
    let (begins, ends) = keys::around_made(&keys::made(3), false);
    session.run("macro_rules! make { ($n:ident) => { struct $n; } }");
    let text = session.compiled(&format!("{begins}make!(T){ends}"));
    assert!(text.contains(&format!("{begins}make!(T){ends}")), "{text}");
    assert!(session.0.defined_item_names().any(|name| name == keys::made(3)));
}

fn what_it_says_of_variables(session: &mut Session) {
    let variable = || "f".to_owned();
    assert_eq!(session.meaning("let f = |x: i32| x + 1;"), Meaning::Closure { variable: variable() });
    session.run("fn numbers() -> impl Iterator<Item = u8> { 0..3 }");
    let type_name = "impl Iterator<Item = u8>".to_owned();
    assert_eq!(session.meaning("let f = numbers();"), Meaning::Nameless { variable: variable(), type_name });
    assert_eq!(session.meaning("let f = { struct Inner; Inner };"), Meaning::UnknownType { variable: variable() });
    let Err(Error::CompilationErrors(errors)) = session.0.execute("let text = String::new();\nlet part = &text[..];")
    else {
        panic!("it keeps a reference");
    };
    assert_eq!(errors.iter().find_map(borrowing).as_deref(), Some("part"), "{errors:?}");
    // The analyzer's answer where there is nothing to say.
    assert_eq!(session.0.hover_at("nothing_here", 12).unwrap().0, words::NO_DOCUMENTATION);
}

fn what_it_says_of_ends(session: &mut Session) {
    session.run("let survivor = 1;");
    session.run("panic!(\"it is caught\");");
    session.run("let both = survivor + 1;");
    session.run(&marks::build_variable("SOME_NAME", 7));
    session.run("if env!(\"SOME_NAME\") != \"7\" { std::process::abort() }");
    let library = marks::LIBRARY;
    let maps = "std::fs::read_to_string(\"/proc/self/maps\").unwrap_or_default()";
    session.run(&format!(
        "if cfg!(target_os = \"linux\") && !{maps}.contains(\"/{library}\") {{ std::process::abort() }}"
    ));
    let outputs = session.0.execute("1;").unwrap();
    assert!(outputs.phases.iter().any(|phase| phase.name == words::EXECUTION), "{:?}", outputs.phases);
    match session.0.execute("std::process::abort();") {
        Err(Error::SubprocessTerminated(said)) => assert!(status(&said).starts_with("signal: 6 "), "{said}"),
        other => panic!("{:?}", other.map(|_| ())),
    }
}
