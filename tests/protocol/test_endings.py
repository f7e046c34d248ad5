"""Whether a cell has succeeded: it has when its last line was reached, and for no other reason."""

import pytest


@pytest.mark.parametrize(
    ("code", "shown"),
    [
        ('std::panic::catch_unwind(|| { panic!("x"); }).is_err()', "true"),
        ('let caught = std::panic::catch_unwind(|| { let nothing: Option<i32> = None; nothing.unwrap() });\ncaught.is_err()', "true"),
        ('(0..20).filter(|n| std::panic::catch_unwind(|| assert!(n % 2 == 0)).is_err()).count()', "10"),
        ('std::thread::spawn(|| panic!("elsewhere")).join().is_err()', "true"),
        ('tokio::spawn(async { panic!("elsewhere") }).await.is_err()', "true"),
        ('std::panic::catch_unwind(|| std::panic::resume_unwind(Box::new(1))).is_err()', "true"),
        ('std::panic::catch_unwind(|| sleep("nonsense")).is_err()', "true"),
    ],
)
def test_a_panic_that_is_caught_is_no_error(kernel, code, shown):
    said = kernel.ok(code)
    assert said.plain == shown


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ('panic!("the vault");', "the vault"),
        ('std::panic::panic_any(7);', "panicked"),
        ('sleep("nonsense");', "nonsense"),
        ('std::panic::resume_unwind(Box::new("thrown"));', "thrown"),
        ('let empty: Vec<i32> = vec![];\nempty[3];', "index out of bounds"),
        ('let _ = std::panic::catch_unwind(|| panic!(\"first\"));\npanic!(\"second\");', "second"),
        ('Err("a reason")?;', "a reason"),
        ('return Ok(());', "return"),
    ],
)
@pytest.mark.parametrize("hook", [None, "std::panic::set_hook(Box::new(|_| {}));", "std::panic::take_hook();"])
def test_a_cell_that_does_not_reach_its_end_is_an_error(fresh, code, words, hook):
    fresh.ok("let kept = 8;")
    if hook:
        fresh.ok(hook)
    said = fresh.run(code + "\nlet never = 1;")
    assert said.reply["status"] == "error" and words in said.error, str(said)
    assert "evcxr" not in said.everything.lower()
    assert fresh.ok("kept").plain == "8"
    assert "never" in fresh.run("never").error, "it was not defined"
    assert fresh.ok("kept + 1").plain == "9"


def test_a_panic_while_a_value_is_dropped_is_an_error(kernel):
    kernel.ok("let kept = 9;")
    said = kernel.run('struct Loud;\nimpl Drop for Loud { fn drop(&mut self) { panic!("dropped") } }\ndrop(Loud);')
    assert said.reply["status"] == "error" and "dropped" in said.error
    assert kernel.ok("kept").plain == "9"


def test_an_error_stops_the_cells_behind_it_whatever_hook_there_is(fresh):
    fresh.ok("std::panic::set_hook(Box::new(|_| {}));")
    requests = [fresh.start(code) for code in ('panic!("first");', 'println!("second");')]
    assert fresh.wait(requests[0]).reply["status"] == "error"
    assert fresh.wait(requests[1]).reply["status"] == "aborted"
