"""How many tests passed, failed and were skipped, read from what each kind of test program reports."""

import re
import xml.etree.ElementTree
from dataclasses import dataclass


@dataclass(frozen=True)
class Counts:
    """Adds up over groups; prints as the line that ends tests/run."""

    passed: int = 0
    failed: int = 0
    skipped: int = 0

    def __add__(self, other):
        return Counts(self.passed + other.passed, self.failed + other.failed, self.skipped + other.skipped)

    def __str__(self):
        return f"{self.passed} passed, {self.failed} failed, {self.skipped} skipped"


def of_check(code):
    """A program that is one test by itself."""
    return Counts(passed=1) if code == 0 else Counts(failed=1)


def of_cargo(output, code):
    counts = Counts()
    for found in re.finditer(r"^test result: \w+\. (\d+) passed; (\d+) failed; (\d+) ignored", output, re.MULTILINE):
        counts += Counts(*(int(number) for number in found.groups()))
    return at_least_one_failure(counts, code)


def of_node(output, code):
    numbers = dict(re.findall(r"^# (pass|fail|cancelled|skipped) (\d+)$", output, re.MULTILINE))
    of = {name: int(numbers.get(name, 0)) for name in ("pass", "fail", "cancelled", "skipped")}
    return at_least_one_failure(Counts(of["pass"], of["fail"] + of["cancelled"], of["skipped"]), code)


def of_pytest(report, code):
    counts = Counts()
    if report.exists():
        for suite in xml.etree.ElementTree.parse(report).iter("testsuite"):
            tests, failed, skipped = (int(suite.get(name, 0)) for name in ("tests", "failures", "skipped"))
            failed += int(suite.get("errors", 0))
            counts += Counts(tests - failed - skipped, failed, skipped)
    return at_least_one_failure(counts, code)


def at_least_one_failure(counts, code):
    # A program that did not compile, crashed or ran out of time has no failed test in its report. No test at all is
    # a failure too: it means that the report was not understood, or that the tests have moved away.
    if counts.failed == 0 and (code != 0 or counts == Counts()):
        return counts + Counts(failed=1)
    return counts
