"""Whatever a cell or a child process of it writes arrives, in its order, and ends nothing; and its standard input is empty."""

import time

import pytest

BYTES = "use std::io::Write as _;\n"


@pytest.mark.parametrize(
    "text",
    [
        "EVCXR_",
        "EVCXR_EXECUTION_COMPLETE\n",
        "EVCXR_PANIC_NOTIFICATION\n",
        "EVCXR_ERROR_OCCURRED\n",
        "EVCXR_VARIABLE_CHANGED_TYPE:kept\n",
        "EVCXR_BEGIN_CONTENT text/plain\n1\n",
        "LOAD_AND_RUN /nowhere nothing\n",
        "a EVCXR_INPUT b",
        "\0CORRIENTE-BARRIER 1\n",
    ],
)
def test_words_of_other_protocols_are_text(kernel, text):
    kernel.ok("let kept = 5;")
    written = text.replace("\n", "\\n").replace("\0", "\\0")
    for line in (f'print!("{written}");', f'eprint!("{written}");', f'std::io::Write::write_all(&mut std::io::stdout(), b"{written}")?;'):
        said = kernel.ok(line, within=20)
        assert said.stdout + said.stderr == text
    assert kernel.ok("kept", within=20).plain == "5"


@pytest.mark.parametrize("to", ["stdout", "stderr"])
def test_bytes_that_are_no_text_are_marked_and_lose_nothing(kernel, to):
    kernel.ok("let kept = 6;")
    said = kernel.ok(BYTES + f'std::io::{to}().write_all(b"a\\xffb\\xe9\\n\\x80")?;\nstd::io::{to}().flush()?;')
    assert said.stream(to) == "a\ufffdb\ufffd\n\ufffd"
    # Half a character at the end of a write is whole with the next.
    said = kernel.ok(BYTES + f'for byte in "né €😀".bytes() {{ std::io::{to}().write_all(&[byte])?; std::io::{to}().flush()?; }}')
    assert said.stream(to) == "né €😀"
    said = kernel.ok('eprintln!("after"); println!("after"); kept')
    assert (said.stdout, said.stderr, said.plain) == ("after\n", "after\n", "6")


@pytest.mark.parametrize(("to", "redirected"), [("stdout", ""), ("stderr", " >&2")])
def test_a_child_process_writes_where_the_cell_does(kernel, to, redirected):
    kernel.ok("let kept = 7;")
    said = kernel.ok(f"""std::process::Command::new("sh").args(["-c", "printf 'caf\\\\351\\\\n'{redirected}"]).status()?;""")
    assert said.stream(to) == "caf\ufffd\n"
    said = kernel.ok(f"""std::process::Command::new("sh").args(["-c", "echo to the device > /dev/{to}"]).status()?;""")
    assert said.stream(to) == "to the device\n"
    assert kernel.ok("kept").plain == "7"


def test_a_hook_that_says_nothing_costs_no_time(fresh):
    fresh.ok("std::panic::set_hook(Box::new(|_| {}));")
    fresh.ok("std::process::Command::new(\"sh\").args([\"-c\", \"printf '\\\\377' >&2\"]).status()?;")
    began = time.monotonic()
    assert fresh.ok("1 + 1").plain == "2"
    assert time.monotonic() - began < 5


def test_prints_and_displays_come_in_their_order(kernel):
    said = kernel.ok(
        'for i in 0..40 { println!("p{i}"); display!(i); }\nprint!("half");\ndisplay!(41);\n'
        'std::io::Write::write_all(&mut std::io::stdout(), b"raw")?;\ndisplay!(42);\n'
        'std::process::Command::new("echo").arg("child").status()?;\ndisplay!(43);\n44'
    )
    order = []
    for message in said.messages:
        if message["msg_type"] == "stream":
            order += message["content"]["text"].split()
        elif message["msg_type"] in ("display_data", "execute_result"):
            order.append(message["content"]["data"]["text/plain"])
    expected = [word for i in range(40) for word in (f"p{i}", str(i))]
    assert order == [*expected, "half", "41", "raw", "42", "child", "43", "44"]


@pytest.mark.parametrize(("print", "to"), [("print", "stdout"), ("eprint", "stderr")])
def test_a_line_that_is_drawn_again_is_seen_as_it_changes(kernel, print, to):
    request = kernel.start(f'for i in 0..4 {{ {print}!("\\r{{i}}"); sleep("700ms"); }}')
    kernel.iopub(lambda message: message["msg_type"] == "stream" and "\r1" in message["content"]["text"], within=20)
    began = time.monotonic()
    said = kernel.wait(request)
    assert time.monotonic() - began > 1, "long before the end"
    assert said.stream(to).endswith("\r3")


def test_what_was_written_before_an_end_is_shown(fresh):
    said = fresh.run('print!("the last words"); eprint!("of both"); std::process::abort();')
    assert said.reply["status"] == "error" and said.stdout == "the last words" and "of both" in said.stderr
    assert "SIGABRT" in said.error and "Subprocess" not in said.error
    said = fresh.run('std::process::Command::new("sh").args(["-c", "echo from a child; kill -9 $PPID"]).status()?;')
    assert said.stdout == "from a child\n" and "SIGKILL" in said.error
    assert fresh.ok("1").plain == "1"


def test_a_cell_that_holds_or_closes_its_output_stops_nothing(fresh):
    began = time.monotonic()
    fresh.ok("let held = std::io::stdout().lock();")
    assert fresh.ok('println!("on");').stdout == "on\n"
    fresh.ok('unsafe extern "C" { fn close(fd: i32) -> i32; }\nunsafe { close(1); close(2); }')
    assert fresh.ok("1 + 1").plain == "2"
    assert time.monotonic() - began < 15


@pytest.mark.parametrize(
    "reads",
    [
        "let mut line = String::new();\nstd::io::stdin().read_line(&mut line)?;\nline.len()",
        "use std::io::stdin;\nstdin().lines().count()",
        "std::io::read_to_string(std::io::stdin())?.len()",
    ],
)
def test_reading_standard_input_ends_at_once_with_a_hint(kernel, reads):
    said = kernel.ok(reads, within=20)
    assert said.plain == "0" and "input(" in said.stderr, str(said)


@pytest.mark.parametrize("program", ['"cat"', '"sh").args(["-c", "read line; cat"]', '"wc").arg("-c"'])
def test_a_child_process_that_reads_ends_at_once(kernel, program):
    began = time.monotonic()
    kernel.ok(f"std::process::Command::new({program}).status()?;", within=20)
    assert time.monotonic() - began < 10
