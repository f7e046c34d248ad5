"""Parameters of a notebook: from papermill, from a line `:param`, from the environment; data, and never code."""

import json
import sys

import nbformat
import pytest
from kernel import Kernel
from runners import LIVE, command, notebook, views
from test_streams import produce, read

PAPERMILL = [sys.executable, "-m", "papermill", "--no-progress-bar"]


def run(folder, book, *arguments, **environment):
    source, target = folder / "in.ipynb", folder / "out.ipynb"
    nbformat.write(book, source)
    said = command([*PAPERMILL, *arguments, source, target], **environment)
    return nbformat.read(target, as_version=4), said


def texts(book):
    return ["".join(output.get("text", "") for output in cell.get("outputs", [])) for cell in book.cells]


@pytest.mark.parametrize("tags", [["parameters"], []], ids=["below the tagged cell", "at the top"])
def test_papermill_gives_a_parameter(tmp_path, broker, tags):
    topic = "tagged" if tags else "given"
    produce(broker, topic, [json.dumps({"n": n}).encode() for n in range(100)], partitions=1)
    book = notebook(
        'let threshold = param("threshold", 50.0)?; // from which on a number is large\nlet shop = param("shop", "all")?;\nlet own = 1.5;',
        'println!("{} {shop} {own}", threshold * 2.0);',
        f'{read(broker, topic)}.filter(col("n").gt_eq(lit(threshold)))',
    )
    book.cells[0].metadata.tags = tags
    out, said = run(tmp_path, book, "-p", "threshold", "70", "-p", "own", "7")
    assert ("Passed unknown parameter: threshold" in said) == (not tags)
    injected = next(cell for cell in out.cells if "injected-parameters" in cell.metadata.get("tags", []))
    assert injected.source == '// Parameters\ncorriente::inject("threshold", "70");\ncorriente::inject("own", "7");\n'
    # papermill puts it behind the tagged cell, whose variables take it, or in front of all, where only `param` asks for it.
    assert f"140 all {7 if tags else 1.5}\n" in texts(out)
    (output,) = views(out)
    assert output["data"][LIVE]["snapshot"]["table"]["total"] == 30
    read_from = {"threshold": "70", "shop": "all", **({"own": "7"} if tags else {})}
    assert output["metadata"]["corriente"]["parameters"] == read_from


HOSTILE = {
    "quotes": 'a "b" \\ \'c\' {} \\u{41} r#"d"#',
    "injected": '"); std::process::exit(3); //',
    "controls": "tab\tline\nreturn\rzero\0end\u202egpj.exe\u2028",
    "unicode": "Ümläut 🦀 עברית",
    "type": "a keyword",
    "no name": "a space",
    "": "empty",
    '"); panic!(); //': "a hostile name",
    "empty": "",
}


def test_a_parameter_of_any_kind_arrives_as_it_was_given(tmp_path):
    values = {
        **HOSTILE, "big": 10**30, "negative": -7, "nan": float("nan"), "infinite": float("-inf"), "small": 1.5e-300,
        "yes": True, "nothing": None, "list": [1, -2, 3], "words": ['"', "\n"], "map": {"a b": [1.5, None]},
    }  # fmt: skip
    asks = [f'texts.push(param({json.dumps(name, ensure_ascii=True)}, "")?);' for name in HOSTILE]
    asks = [ask.replace("\\u202e", "\\u{202e}").replace("\\u2028", "\\u{2028}") for ask in asks]
    book = notebook(
        "let mut texts: Vec<String> = Vec::new();\n" + "\n".join(asks),
        'println!("{}", corriente::serde_json::to_string(&texts)?);',
        'println!("{} {} {}", param("big", "")?, param("negative", 0)?, param("big", 0.5)? == 1e30);',
        'println!("{} {} {}", param("nan", 0.5)?.is_nan(), param("infinite", 0.5)?, param("small", 0.5)? == 1.5e-300);',
        'println!("{} {:?} {:?} {:?}", param("yes", false)?, param("nothing", Some(1))?, param("list", vec![0])?, param("words", vec![""])?);',
        'println!("{}", param("map", corriente::serde_json::Value::Null)?);',
    )
    (tmp_path / "parameters.json").write_text(json.dumps(values))
    (tmp_path / "run.py").write_text(
        f"import json, os, papermill\nos.chdir({str(tmp_path)!r})\n"
        "papermill.execute_notebook('in.ipynb', 'out.ipynb', json.load(open('parameters.json')), progress_bar=False)\n"
    )
    nbformat.write(book, tmp_path / "in.ipynb")
    command([sys.executable, tmp_path / "run.py"])
    said = texts(nbformat.read(tmp_path / "out.ipynb", as_version=4))
    assert json.loads(said[2]) == list(HOSTILE.values())
    assert said[3:] == [
        f"{10**30} -7 true\n", "true -inf true\n", 'true None [1, -2, 3] ["\\"", "\\n"]\n', '{"a b":[1.5,null]}\n',
    ]  # fmt: skip


def test_a_value_of_another_type_is_refused_with_its_name(tmp_path):
    book = notebook('let threshold = param("threshold", 50.0)?;')
    with pytest.raises(AssertionError, match=r'the parameter "threshold" is "high", which is no number \(f64\); papermill gives it'):
        run(tmp_path, book, "-p", "threshold", "high")


def test_who_is_believed(tmp_path, monkeypatch):
    monkeypatch.setenv("CORRIENTE_PARAM_MAX_ROWS", "5")
    with Kernel(folder=tmp_path) as kernel:
        ask = 'param("max-rows", 1)?'
        assert kernel.ok('param("other", 1)?').plain == "1"
        assert kernel.ok(ask).plain == "5"
        assert kernel.ok(f":param max-rows = 6\n{ask}").plain == "6"
        kernel.ok('corriente::inject("max-rows", "7");')
        assert kernel.ok(ask).plain == "7"
        said = kernel.ok(f":param max-rows = 8\n{ask}")
        assert said.plain == "7" and "papermill has given `max-rows`" in said.stderr
        listed = kernel.ok(":param").plain
        assert "max-rows" in listed and "papermill" in listed and "the default" in listed
        # It outlives the process: nothing falls back to the default in silence.
        kernel.ok(":restart")
        assert kernel.ok(ask).plain == "7"
        kernel.ok(":clear")
        assert kernel.ok(ask).plain == "5"
        for line, words in [(":param max-rows", "the value is missing"), (":param = 1", "the name is missing"), (':param a = "b', "is no text")]:
            said = kernel.run(line)
            assert said.reply["status"] == "error" and words in said.error
        said = kernel.run(":param max-rows = many\n" + ask)
        assert 'the parameter "max-rows" is "many", which is no whole number (i64); :param gives it' in said.error


def test_the_types_of_variables_are_those_of_the_defaults(kernel):
    kernel.ok('let (a, b, c, d) = (param("a", 10)?, param("b", 1.5)?, param("c", "text")?, param("d", std::time::Duration::from_secs(90))?);')
    variables = kernel.ok(":vars").plain
    assert "a: i64" in variables and "b: f64" in variables and "c: String" in variables, variables
    assert kernel.ok("a + 1").plain == "11"
    said = kernel.run('param("u", 1_u8)?')
    assert "a parameter cannot be a `u8`" in said.error and "as usize" in said.error, said.error


def test_a_secret_is_not_shown(kernel, history):
    kernel.ok(":param db_password = hunter2")
    assert "hunter2" not in kernel.ok(":param").everything
    assert "hunter2" not in kernel.run('param("db_password", 1)?').everything
    assert kernel.ok('param("db_password", "")? == "hunter2"').plain == "true"
    assert "= hunter2" not in history.read_text()
    assert kernel.ok('std::env::var_os("CORRIENTE_PARAM_DB_PASSWORD").is_none()').plain == "true"
