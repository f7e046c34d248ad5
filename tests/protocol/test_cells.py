"""What a cell prints, shows and complains about."""


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
