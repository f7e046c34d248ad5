"""A person at the keyboard of JupyterLab: answers to a cell's questions, completions, help, the stop button, threads that print."""

import pytest
from page import Notebook


@pytest.fixture
def opened(chromium, demo):
    notebooks = []

    def write_and_open(name, *cells):
        demo.write(name, *cells)
        notebooks.append(Notebook(chromium, demo, name))
        return notebooks[-1]

    yield write_and_open
    for notebook in notebooks:
        notebook.close()
    demo.end_sessions()


def start_all(notebook):
    """Runs every cell and does not wait."""
    notebook.page.evaluate("void jupyterapp.commands.execute('notebook:run-all-cells')")


def text_of(notebook, n):
    """What the nth cell put out, as text."""
    parts = []
    for output in notebook.cells()[n]["outputs"]:
        text = output.get("text") or output.get("traceback") or output.get("data", {}).get("text/plain", "")
        parts.append("".join(text))
    return "".join(parts)


def test_a_cell_asks_and_what_is_secret_is_not_kept(opened):
    notebook = opened("asks.ipynb", 'let city = input("Which city? ")?;\nlet pin = password("PIN: ")?;', 'println!("{city} {}", pin.len());')
    start_all(notebook)
    field = notebook.page.locator(".jp-Stdin-input")
    field.wait_for(timeout=60_000)
    field.fill("Lima")
    field.press("Enter")
    secret = notebook.page.locator('.jp-Stdin-input[type="password"]')
    secret.wait_for(timeout=20_000)
    secret.fill("4711")
    secret.press("Enter")
    notebook.poll(lambda: text_of(notebook, 1), lambda text: text == "Lima 4\n", 20, "the answer")
    notebook.save()
    assert "4711" not in str(notebook.cells()) and "4711" not in notebook.page.content()


def test_columns_are_completed_and_a_method_is_explained(opened, picture):
    notebook = opened("completes.ipynb", 'let bank = demo::bank()?;\nlet txns = read_kafka(bank.bootstrap()).topic("transactions").json()?;', "")
    notebook.page.evaluate("jupyterapp.commands.execute('notebook:run-all-cells')")
    assert notebook.errors() == []
    editor = notebook.page.locator(".jp-CodeCell").nth(1).locator(".cm-content")
    editor.click()
    editor.press_sequentially('txns.filter(col("acc')
    notebook.page.keyboard.press("Tab")
    items = notebook.page.locator(".jp-Completer-item")
    notebook.poll(items.all_inner_texts, lambda texts: any("account_id" in text for text in texts) or "account_id" in editor.inner_text(), 20, "column")
    picture(notebook.page, "completion")
    notebook.page.keyboard.press("Escape")


def test_the_stop_button_ends_what_waits_and_keeps_the_variables(opened):
    notebook = opened("stops.ipynb", "let kept = 11;", 'println!("waiting");\nsleep("5m");', "")
    start_all(notebook)
    notebook.poll(lambda: text_of(notebook, 1), lambda text: "waiting" in text, 60, "the cell that waits")
    notebook.page.evaluate("jupyterapp.commands.execute('notebook:interrupt-kernel')")
    notebook.poll(lambda: text_of(notebook, 1), lambda text: "interrupted while it slept" in text, 20, "the end of it")
    editor = notebook.page.locator(".jp-CodeCell").nth(2).locator(".cm-content")
    editor.click()
    editor.press_sequentially("kept * 2")
    notebook.page.keyboard.press("Control+Enter")
    notebook.poll(lambda: text_of(notebook, 2), lambda text: text == "22", 20, "the variable")


def test_a_thread_goes_on_printing_below_its_own_cell(opened):
    notebook = opened(
        "threads.ipynb",
        'std::thread::spawn(|| for n in 0..8 { std::thread::sleep(std::time::Duration::from_millis(500)); println!("beat {n}"); });',
        'println!("mine"); sleep("2s");',
    )
    notebook.page.evaluate("jupyterapp.commands.execute('notebook:run-all-cells')")
    notebook.poll(lambda: text_of(notebook, 0), lambda text: "beat 7" in text, 20, "the last beat")
    assert text_of(notebook, 1) == "mine\n"


def test_a_hundred_megabytes_leave_the_page_alive(opened):
    notebook = opened("much.ipynb", 'let line = "x".repeat(99);\nfor _ in 0..1_000_000 { println!("{line}"); }', "6 * 7")
    seconds = notebook.run_all()
    print(f"run all took {seconds:.1f} s")
    assert notebook.errors() == []
    assert "output-of-cell" in text_of(notebook, 0) and text_of(notebook, 1) == "42"
