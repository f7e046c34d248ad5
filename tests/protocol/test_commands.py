"""The `:commands` of a cell."""

import re
import subprocess

import pytest


def crate(folder, name="ledger_tools", answer=41):
    (folder / "src").mkdir(parents=True, exist_ok=True)
    (folder / "Cargo.toml").write_text(f'[package]\nname = "{name}"\nversion = "0.1.0"\nedition = "2024"\n')
    (folder / "src" / "lib.rs").write_text(f"/// One more.\npub fn answer() -> i32 {{ {answer} + 1 }}\n")


def test_a_crate_in_a_folder_is_built_with_progress(fresh, tmp_path):
    crate(tmp_path)
    said = fresh.ok(f':dep ledger_tools = {{ path = "{tmp_path}" }}\nledger_tools::answer()', within=120)
    assert said.plain == "42"
    assert "Compiling ledger_tools" in said.stderr, said.stderr
    # What has not changed is no news, and what has is built.
    said = fresh.ok("ledger_tools::answer()")
    assert said.plain == "42" and said.stderr == ""
    crate(tmp_path, answer=1)
    assert fresh.ok("ledger_tools::answer()").plain == "2"
    assert "ledger_tools" in fresh.ok(":show_deps").plain


def test_a_crate_of_a_git_repository_is_built(fresh, tmp_path):
    crate(tmp_path)
    for command in (["init", "-q"], ["add", "."], ["-c", "user.name=t", "-c", "user.email=t@example.com", "commit", "-qm", "one"]):
        subprocess.run(["git", *command], cwd=tmp_path, check=True)
    said = fresh.ok(f':dep ledger_tools = {{ git = "file://{tmp_path}" }}\nledger_tools::answer()', within=120)
    assert said.plain == "42"


def test_a_crate_of_the_registry_is_built_and_works_beside_the_prelude(fresh):
    said = fresh.ok(':dep itoa = "1"\nitoa::Buffer::new().format(42).to_owned()', within=180)
    assert said.plain == '"42"'
    assert fresh.ok('df!("n" => [itoa::Buffer::new().format(7)])?.height()').plain == "1"


def test_a_crate_that_there_is_not_leaves_the_notebook_as_it_was(fresh, tmp_path):
    fresh.ok("let before = 1;")
    said = fresh.run(f':dep nowhere = {{ path = "{tmp_path}/nowhere" }}')
    assert said.reply["status"] == "error" and "nowhere" in said.error
    assert fresh.ok("before + 1").plain == "2"


def test_variables_and_types_are_listed(fresh):
    fresh.ok("let account = 5u64;\nlet names = vec![String::new()];")
    said = fresh.ok(":vars")
    assert "account" in said.plain and "u64" in said.plain and "Vec<String>" in said.plain
    assert "text/html" in said.bundles[0]
    assert "Vec<String>" in fresh.ok(":type names").plain
    assert "nothing" in fresh.run(":type nothing").error


def test_time_tells_how_long_a_cell_was_compiled_and_run(kernel):
    said = kernel.ok(':time std::thread::sleep(std::time::Duration::from_millis(300));')
    ran = re.search(r"compiled in \S+, ran in ([\d.]+)(ms|s)", said.stderr)
    assert ran and float(ran[1]) * {"ms": 1, "s": 1000}[ran[2]] >= 300, said.stderr
    said = kernel.ok(":time\nlet timed = 6 * 7;\ntimed")
    assert said.plain == "42" and "ran in" in said.stderr
    said = kernel.run(":time\nlet wrong: i32 = timed.nothing();")
    assert "2 |" in said.error


def test_optimisation_is_set_for_the_cells_that_follow(fresh):
    assert "2" in fresh.ok(":opt 2").plain
    assert fresh.ok("(1..=10).product::<u64>()").plain == "3628800"
    assert "0" in fresh.ok(":opt 0").plain


def test_help_names_the_commands(kernel):
    said = kernel.ok(":help")
    assert all(name in said.plain for name in (":dep", ":time", ":vars", ":opt", ":clear", ":type"))
    assert "text/markdown" in said.bundles[0]


@pytest.mark.parametrize(("code", "words"), [(":var", ":vars"), (":quit", ":help"), (":tmie 1", ":time")])
def test_a_command_that_there_is_not_is_named(kernel, code, words):
    said = kernel.run(code)
    assert said.reply["status"] == "error" and "there is no command" in said.error and words in said.error


def test_clear_forgets_everything_and_the_prelude_is_there(fresh):
    fresh.ok("let forgotten = 1;\nfn gone() -> i32 { 2 }")
    fresh.ok(":clear")
    assert fresh.run("forgotten").reply["status"] == "error"
    assert fresh.run("gone()").reply["status"] == "error"
    assert fresh.ok('df!("x" => [1])?.height()').plain == "1"
    assert fresh.ok('println!("heard");').stdout == "heard\n"


def test_restart_keeps_what_was_defined(fresh):
    fresh.ok("let forgotten = 1;\nfn kept() -> i32 { 2 }")
    said = fresh.ok(":restart")
    assert "forgotten is lost" in said.stderr
    assert fresh.ok("kept()").plain == "2"
    assert "lost when the cell process ended" in fresh.run("forgotten").error


@pytest.mark.parametrize(
    ("code", "shown"),
    [
        ('let manual = "\n:clear\n";\nmanual.len()', "8"),
        ('let css = "\n:root {}\n";\ncss.len()', "10"),
        ('let raw = r#"\n:quit\n:restart"#;\nraw.len()', "15"),
        ('let bytes = b"a\n:help\n";\nbytes.len()', "8"),
        ("/*\n:clear\n:root\n*/\n1", "1"),
        ("// one\n// :clear\n2", "2"),
        ("let after = 3; // :quit\nafter", "3"),
        ("let x\n    : i32\n    = 4;\nx", "4"),
        ("::std::mem::size_of::<u64>()", "8"),
        ("::std::mem::drop(1);\n5", "5"),
        ("!true", "false"),
        ("!std::hint::black_box(true);\n6", "6"),
        ('let text = format!("{}\n:time\n", 1);\ntext.len()', "8"),
        ('println!(\n"\\\n:vars");\n7', "7"),
    ],
)
def test_what_only_looks_like_a_command_is_text(kernel, code, shown):
    kernel.ok("let kept = 1;")
    said = kernel.ok(code)
    assert said.plain == shown, str(said)
    assert kernel.ok("kept").plain == "1"
    assert kernel.ok('df!("x" => [1])?.height()').plain == "1", "the prelude is there"


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("let y = 2;\n:help", ":help"),
        ("let y = 2;\n  :clear", ":clear"),
        ("let y = 2; :restart", ":restart"),
        ("fn f() {}\n:vars", ":vars"),
        ("1 + 1\n:dep regex", ":dep"),
        ("use tokio::time;\n:time 1 + 1", ":time"),
        (":time 1 + 1\n:help", ":help"),
        ("let y = 2;\n:quit", ":quit"),
        ("{\n:clear\n}", ":clear"),
    ],
)
def test_a_command_among_code_is_refused_and_nothing_runs(kernel, code, words):
    kernel.ok("let kept = 2;")
    said = kernel.run(code)
    assert said.reply["status"] == "error" and words in said.error and ("at the top" in said.error or "no command" in said.error), str(said)
    assert kernel.ok("kept").plain == "2"
    assert kernel.run("y").reply["status"] == "error", "nothing of the cell has run"


@pytest.mark.parametrize("space", [" ", "   ", "\t", "\n\n ", "// first\n", "/* first */\n"])
@pytest.mark.parametrize("command", [":quit", ":load_config", ":internal_debug", ":env A=1", ":last_compile_dir", ":linker lld", ":"])
def test_no_command_of_another_program_is_reached(kernel, space, command):
    kernel.ok("let kept = 3;")
    said = kernel.run(space + command)
    assert said.reply["status"] == "error" and "there is no command" in said.error
    assert kernel.ok("kept").plain == "3"


def test_commands_may_be_indented_and_are_done_in_their_order(fresh):
    fresh.ok("let one = 1;")
    assert fresh.ok("\t:vars").plain.strip() == "one: i32"
    said = fresh.ok(":vars\n:help\n1 + 1")
    assert said.plain.startswith("one: i32") and ":dep" in said.plain and said.plain.endswith("2")
    said = fresh.ok(" :restart\nlet two = 2;\ntwo")
    assert "one is lost" in said.stderr and said.plain == "2"
    said = fresh.ok("// from the beginning\n :clear\nlet three = 3;\nthree")
    assert said.plain == "3" and fresh.run("two").reply["status"] == "error"
    assert fresh.ok('df!("x" => [1])?.height()').plain == "1"


@pytest.mark.parametrize("code", ["!echo hi", "!ls -la", "!ls", "  !pip install x", "let a = 1;\n!cat /etc/passwd", "%%time\n1", "!(touch /tmp/x"])
def test_a_shell_command_is_refused_in_words(kernel, code):
    said = kernel.run(code)
    assert said.reply["status"] == "error", str(said)
    assert "shell" in said.error or "expected" in said.error, said.error
    assert "hi" not in said.plain and said.stdout == ""


def test_what_completion_reads_is_not_run(kernel):
    kernel.ok("let kept = 4;")
    for code in (" :quit\nkep", ":clear\nkep", ":dep nothing_of_this_name_at_all\nkep", "!touch /tmp/x\nkep"):
        kernel.client.complete(code, len(code), reply=True, timeout=20)
        kernel.client.inspect(code, len(code), reply=True, timeout=20)
    assert kernel.ok("kept").plain == "4"


def test_a_level_that_there_is_not_changes_nothing(kernel):
    said = kernel.run(":opt fast")
    assert said.reply["status"] == "error" and "levels" in said.error
    assert kernel.ok("1 + 1").plain == "2"


@pytest.mark.parametrize("name", ["rand", "regex", "anyhow"])
def test_a_crate_that_no_command_asked_for_is_not_fetched(kernel, name):
    said = kernel.run(f"extern crate {name};\n1")
    assert said.reply["status"] == "error" and f":dep {name}" in said.error
    assert "Updating" not in said.stderr and "Compiling" not in said.stderr


def test_the_crates_of_the_language_are_there(kernel):
    assert kernel.ok("extern crate alloc;\nalloc::vec![1, 2].len()").plain == "2"
    assert kernel.ok("extern crate std;\n1").plain == "1"


@pytest.mark.parametrize("asked", ['serde = "1"', "polars", 'tokio = { version = "1", features = ["net", "fs", "time"] }', 'chrono = "0.4"', 'serde_json = "1"'])
def test_a_crate_that_cells_have_is_not_fetched(kernel, asked):
    said = kernel.ok(f":dep {asked}\n1")
    assert said.plain == "1" and "is there in every cell" in said.stderr
    assert "Updating" not in said.stderr and "Compiling" not in said.stderr


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ('polars = "0.40"', ["cells have polars 0.5", "0.40", "my_polars"]),
        ('chrono = "0.3"', ["cells have chrono 0.4", "my_chrono"]),
        ('tokio = { version = "1", features = ["net", "test-util"] }', ["without", '"test-util"', "my_tokio"]),
    ],
)
def test_a_crate_that_does_not_fit_the_one_that_cells_have_says_so(kernel, asked, words):
    said = kernel.run(f":dep {asked}\n1")
    assert said.reply["status"] == "error" and all(word in said.error for word in words), said.error
    assert kernel.ok('df!("a" => [1])?.height()').plain == "1"
