"""The crates know only whom the design lets them know, and the source files keep to the house's shape."""

import re
from pathlib import Path

import nbformat
import pytest

try:
    import tomllib
except ModuleNotFoundError:  # Python 3.10
    import tomli as tomllib

CHECKOUT = Path(__file__).resolve().parents[2]
KERNEL = CHECKOUT / "kernel"

# Crate → the crates of ours that it may see. A new crate needs a line here, and so a thought.
MAY_SEE = {
    "jupyter": set(),
    "broker": set(),
    "link": set(),
    "plan": set(),
    "evaluator": {"link"},
    "engine": {"plan"},
    "connectors": {"engine", "plan"},
    "display": {"engine"},
    "corriente": {"broker", "connectors", "display", "engine", "link", "plan"},
}

CRATES = sorted(path.parent.name for path in KERNEL.glob("*/Cargo.toml"))
SOURCES = sorted(path for path in KERNEL.rglob("*.rs"))
NOTEBOOKS = sorted((CHECKOUT / "notebooks").glob("*.ipynb"))


def test_every_crate_has_its_line_in_the_table():
    assert CRATES == sorted(MAY_SEE)


@pytest.mark.parametrize("crate", CRATES)
def test_a_crate_sees_only_whom_it_may(crate):
    manifest = tomllib.loads((KERNEL / crate / "Cargo.toml").read_text())
    tables = [manifest, *manifest.get("target", {}).values()]
    # What tests use (dev-dependencies) is free: the source is tested on the embedded broker.
    sees = {name for table in tables for name in table.get("dependencies", {})} & set(CRATES)
    assert sees <= MAY_SEE[crate], f"{crate} must not know {sorted(sees - MAY_SEE[crate])}"


def test_every_source_file_says_what_it_owns():
    silent = [name(source) for source in SOURCES if not source.read_text().startswith("//!")]
    assert not silent, f"these do not open with `//!` and what they own: {silent}"


def test_every_source_file_stays_readable():
    long = [name(source) for source in SOURCES if len(source.read_text().splitlines()) > 600]
    assert not long, f"past 600 lines a file is split: {long}"


def test_no_two_types_of_the_plan_and_the_engine_have_one_name():
    declared = re.compile(r"^\s*(?:pub(?:\([a-z]+\))? )?(?:struct|enum|trait|type) (\w+)", re.MULTILINE)
    places = {}
    for source in SOURCES:
        if source.relative_to(KERNEL).parts[:2] in {("plan", "src"), ("engine", "src")}:
            # Tests have types of their own.
            for found in declared.findall(source.read_text().partition("#[cfg(test)]")[0]):
                places.setdefault(found, []).append(name(source))
    # What a trait has is called by the trait's name too.
    twins = {found: files for found, files in places.items() if len(set(files)) > 1 and found not in {"Item", "Value"}}
    assert len(places) > 100, "the types are not found"
    assert not twins


def name(source):
    return str(source.relative_to(KERNEL))


def test_there_is_a_notebook():
    assert NOTEBOOKS


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
def test_a_notebook_is_saved_with_outputs_and_without_errors(path):
    notebook = nbformat.read(path, as_version=4)
    assert notebook.metadata.kernelspec.name == "corriente"
    outputs = [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]
    assert outputs, "run it and save it: a reader without a kernel sees the saved outputs"
    errors = [output.evalue for output in outputs if output.output_type == "error"]
    assert not errors, errors
