"""tests/run counts right, and finds what was left running."""

import subprocess
import sys
import time

import counts
import groups
import leftovers
import pytest
from counts import Counts

CARGO = """
test result: ok. 12 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.02s
test result: FAILED. 3 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.02s
"""
NODE = "# tests 9\n# pass 7\n# fail 1\n# cancelled 0\n# skipped 1\n"
PYTEST = '<testsuites><testsuite tests="10" failures="1" errors="1" skipped="2"/></testsuites>'


def test_cargo_is_counted_over_all_its_programs():
    assert counts.of_cargo(CARGO, 101) == Counts(15, 2, 1)


def test_a_crate_that_does_not_compile_is_a_failure():
    assert counts.of_cargo("error[E0425]: cannot find value", 101) == Counts(failed=1)


def test_no_test_at_all_is_a_failure():
    assert counts.of_cargo("", 0) == Counts(failed=1)


def test_node_is_counted():
    assert counts.of_node(NODE, 1) == Counts(7, 1, 1)


def test_pytest_is_counted(tmp_path):
    report = tmp_path / "report.xml"
    report.write_text(PYTEST)
    assert counts.of_pytest(report, 1) == Counts(6, 2, 2)


def test_the_nightly_group_runs_only_when_it_is_named():
    usual = [group.name for group in groups.chosen([])]
    assert usual and "nightly" not in usual
    assert [group.name for group in groups.chosen(["nightly"])] == ["nightly"]


def test_a_program_of_properties_that_the_nightly_group_names_is_there():
    kernel = groups.CHECKOUT / "kernel"
    for name in (*groups.PROPERTIES, "memory"):
        assert [*kernel.glob(f"*/tests/{name}.rs"), *kernel.glob(f"*/tests/{name}/main.rs")], name


def test_pytest_that_crashed_is_a_failure(tmp_path):
    assert counts.of_pytest(tmp_path / "absent.xml", 139) == Counts(failed=1)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux gives a process its orphans")
def test_a_process_that_cut_loose_is_found_and_ended(tmp_path):
    # In a process of its own: whoever looks for leftovers ends everything below it.
    detached = "import subprocess; subprocess.Popen(['sleep', '600'], start_new_session=True)"
    looker = (
        f"import sys; sys.path.insert(0, {str(leftovers.__file__.rpartition('/')[0])!r}); import leftovers, subprocess;"
        f"leftovers.GRACE = 0.3; leftovers.adopt_orphans(); subprocess.run([sys.executable, '-c', {detached!r}]);"
        "print(leftovers.end_leftovers()); print(leftovers.end_leftovers())"
    )
    began = time.monotonic()
    said = subprocess.run([sys.executable, "-c", looker], capture_output=True, text=True, timeout=30).stdout.splitlines()
    assert "sleep 600" in said[0] and said[1] == "[]", said
    assert time.monotonic() - began < 10
