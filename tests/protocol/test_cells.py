"""What a cell prints, shows and complains about."""

import os
import re


def test_stdout_and_stderr_come_as_streams(kernel):
    said = kernel.ok('println!("to the left"); eprintln!("to the right");')
    assert said.stdout == "to the left\n"
    assert said.stderr == "to the right\n"


def test_a_print_without_a_newline_comes_before_the_cell_ends(kernel):
    assert kernel.ok('print!("no end of line");').stdout == "no end of line"


def test_output_of_a_long_cell_comes_while_it_runs(kernel):
    request = kernel.start('println!("begun"); std::thread::sleep(std::time::Duration::from_secs(3)); println!("done");')
    first = kernel.iopub(lambda message: message["msg_type"] in ("stream", "execute_reply"), within=30)
    assert "begun" in first["content"]["text"] and "done" not in first["content"]["text"]
    kernel.wait(request)


def test_much_output_arrives_whole_and_in_order(kernel):
    said = kernel.ok('for n in 0..20_000 { println!("line {n} of a cell that prints a lot"); }')
    lines = said.stdout.splitlines()
    assert len(lines) == 20_000
    assert lines[0].startswith("line 0 ") and lines[-1].startswith("line 19999 ")


def test_the_last_expression_is_the_result(kernel):
    said = kernel.ok("let numbers = vec![1, 2, 3];\nnumbers.iter().sum::<i32>()")
    assert [content["data"]["text/plain"] for content in said.contents("execute_result")] == ["6"]


def test_a_cell_that_ends_in_a_statement_shows_nothing(kernel):
    assert kernel.ok("let unseen = 7;").bundles == []


def test_variables_and_items_live_on(kernel):
    kernel.ok("let kept = String::from(\"kept\");\nfn twice(text: &str) -> String { format!(\"{text}{text}\") }")
    assert kernel.ok("println!(\"{}\", twice(&kept));").stdout == "keptkept\n"


def test_the_prelude_is_there(kernel):
    said = kernel.ok('df!("city" => ["Lima", "Quito"], "altitude" => [154i64, 2_850])?')
    assert "Quito" in said.bundles[0]["text/html"]
    assert "Quito" in said.plain


def test_a_compile_error_points_into_the_cells_own_lines(kernel):
    said = kernel.run('let fine = 1;\nlet wrong: i32 = "text";\nprintln!("never");')
    assert said.reply["status"] == "error"
    assert "mismatched types" in said.error
    assert 'let wrong: i32 = "text";' in said.error
    # The second line of the cell, whatever the generated code around it.
    assert any(line.strip().startswith("2 |") for line in said.error.splitlines()), said.error
    assert said.stdout == ""


def test_a_compile_error_runs_nothing_and_loses_nothing(kernel):
    kernel.ok("let before_the_error = 41;")
    assert kernel.run("let after: i32 = nonsense_name;").reply["status"] == "error"
    assert kernel.ok("before_the_error + 1").plain == "42"


def test_a_panic_is_an_error_and_keeps_the_variables(kernel):
    kernel.ok("let survives = 5;")
    said = kernel.run('let nothing: Option<i32> = None;\nnothing.expect("the vault is empty");')
    assert said.reply["status"] == "error"
    assert "the vault is empty" in said.error
    assert kernel.ok("survives").plain == "5"


def test_an_early_question_mark_is_an_error_and_keeps_the_variables(kernel):
    kernel.ok("let survives_too = 6;")
    said = kernel.run('let number: i32 = "twelve".parse()?;\nprintln!("{number}");')
    assert said.reply["status"] == "error"
    assert "invalid digit" in said.error
    assert said.stdout == ""
    assert kernel.ok("survives_too").plain == "6"


def test_execution_counts_start_at_one(fresh):
    assert fresh.ok("1").reply["execution_count"] == 1
    assert fresh.ok("2").reply["execution_count"] == 2


def test_an_error_stops_the_cells_behind_it(kernel):
    requests = [kernel.start(code) for code in ('panic!("first");', 'println!("second");')]
    assert kernel.wait(requests[0]).reply["status"] == "error"
    said = kernel.wait(requests[1])
    assert said.reply["status"] == "aborted"
    assert said.stdout == ""


def test_silent_execution_does_not_count(kernel):
    before = kernel.ok("1").reply["execution_count"]
    kernel.run("2", silent=True)
    assert kernel.ok("3").reply["execution_count"] == before + 1


def test_a_hundred_megabytes_are_cut_and_the_rest_is_kept(kernel):
    said = kernel.ok('let line = "x".repeat(99);\nfor _ in 0..1_000_000 { println!("{line}"); }', within=120)
    assert len(said.stdout) == 1 << 20
    path = re.search(r"goes into (\S+output-of-cell-\d+\.txt)", said.stderr).group(1)
    assert len(said.stdout) + os.path.getsize(path) == 100_000_000
    assert len(said.messages) < 1_000, "in batches"
    assert kernel.ok("1 + 1").plain == "2"


def test_a_thread_that_prints_is_heard_after_its_cell(kernel):
    request = kernel.start(
        "std::thread::spawn(|| for n in 0..5 {\n"
        "    std::thread::sleep(std::time::Duration::from_millis(300));\n"
        '    println!("beat {n}");\n'
        "});"
    )
    kernel.wait(request)
    beat = kernel.iopub(lambda message: "beat 4" in message["content"].get("text", ""))
    assert beat["parent_header"]["msg_id"] == request, "it belongs to the cell that started it"


def test_several_outputs_of_one_type_all_appear(kernel):
    said = kernel.ok('for n in 0..3 { display!(html(format!("<i>{n}</i>"))); }')
    assert [bundle["text/html"] for bundle in said.bundles] == ["<i>0</i>", "<i>1</i>", "<i>2</i>"]


def test_colours_pass(kernel):
    assert kernel.ok('println!("\\x1b[31mred\\x1b[0m");').stdout == "\x1b[31mred\x1b[0m\n"


def test_a_panic_shows_the_way_through_the_cells_own_functions(kernel):
    said = kernel.run('fn vault(open: bool) {\n    assert!(open, "the vault is closed");\n}\nfn clerk() { vault(false) }\nclerk();')
    assert "the vault is closed" in said.error
    assert "in vault" in said.error and "called by clerk" in said.error, said.error
    assert any(line.strip().startswith("2 |") for line in said.error.splitlines()), said.error
    assert "std::panicking" not in said.error and "evcxr" not in said.error.lower()


def test_an_error_of_a_question_mark_shows_its_causes(kernel):
    kernel.ok(
        "#[derive(Debug)] struct Outer(std::num::ParseIntError);\n"
        'impl std::fmt::Display for Outer { fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result { write!(f, "no rate") } }\n'
        "impl std::error::Error for Outer { fn source(&self) -> Option<&(dyn std::error::Error + 'static)> { Some(&self.0) } }"
    )
    said = kernel.run('"x".parse::<i32>().map_err(Outer)?;')
    assert "no rate" in said.error and "caused by: invalid digit" in said.error


def test_text_may_be_an_error(kernel):
    said = kernel.run('Err("just text")?;')
    assert "just text" in said.error


def test_what_borrows_nothing_of_a_notebook_is_no_matter_to_a_closure(fresh):
    fresh.ok('let name = "bank";\nlet names = vec!["a", "b"];')
    assert fresh.ok("let f = |x: i32| x + 1;\nf(1)").plain == "2"
    assert fresh.ok("let one = 1;\nlet add = |x: i32| x + one;\nadd(2)").plain == "3"
    assert fresh.ok("let open = |x| x + 1;\nopen(1)").plain == "2"
    assert fresh.ok("names.len() + name.len()").plain == "6"
    assert fresh.ok("one").plain == "1"


def test_a_reference_says_how_to_keep_what_it_refers_to(fresh):
    fresh.ok("let numbers = vec![1, 2, 3];")
    said = fresh.run("let first = &numbers[0];\n*first + 1")
    assert said.reply["status"] == "error" and "`first`" in said.error and ".clone()" in said.error, str(said)
    assert "persist" not in said.error and "lifetime" not in said.error
    assert fresh.ok("let first = numbers[0].clone();\nfirst + 1").plain == "2"
    assert fresh.ok("{ let last = &numbers[2]; *last }").plain == "3"


def test_what_a_thread_gives_back_is_kept(fresh):
    fresh.ok("let r = std::thread::spawn(|| 1).join();")
    assert fresh.ok("r.is_ok()").plain == "true"


def test_secrets_are_blanked_in_the_history(kernel, history):
    kernel.ok('let options = [("sasl.password", "hunter-two"), ("group.id", "seen")];')
    text = history.read_text()
    assert "sasl.password" in text and "seen" in text and "hunter-two" not in text
