"""The groups of tests: what each tests, what it needs beside the build's own tools, and how it runs."""

import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Callable

import build
import counts
import environment
import machine
from counts import Counts
from places import CACHE, CHECKOUT, build_environment
from programs import run

TESTS = CHECKOUT / "tests"
# The Kafka client that writes the tests' records uses what Python is about to drop; that is not our news.
QUIET = ["-W", "ignore::DeprecationWarning"]
CARGO_TEST = ["cargo", "test", "--release", "--workspace", "--locked"]
# The query that test_exactly_once.py kills.
VICTIM = ["cargo", "build", "--release", "--workspace", "--locked", "--example", "exactly_once"]

# What the nightly group does more of: the random cases of each program of properties, the events of a long run, the kills of a
# query, the edits of a cell.
PROPERTIES = ("aggregates", "guarantee", "idle", "join", "late", "optimized", "pushdown", "shared", "twins", "windows")
CASES, EVENTS, KILLS, EDITS, SOAK = "10000", "100000000", "200", "200", "500"

# A system that is promised and not here, and the crates of ours that need no C library.
ELSEWHERE, WITHOUT_C = "aarch64-apple-darwin", ("evaluator", "jupyter", "link")

# A program, what it is for, and the packages that bring it.
NODE = ("node", "Node.js runs the tests of the front end's JavaScript", "nodejs")
JAVA = ("java", "a Java runtime runs Apache Kafka", "default-jdk-headless")
MAVEN = ("mvn", "Maven fetches Apache Kafka", "maven")
CHROMIUM = ("chromium", "Chromium opens the notebooks", "chromium fonts-dejavu-core")


@dataclass(frozen=True)
class Group:
    """`run` returns the counts; it is called only when nothing of `needs` is missing. A group that is not `usual` runs only when it
    is named."""

    name: str
    about: str
    run: Callable
    needs: tuple = ()
    usual: bool = True

    def missing(self):
        """None, or what is missing with the command that enables the group."""
        lacking = [need for need in self.needs if find(need[0]) is None]
        if not lacking:
            return None
        reasons = "; ".join(f"{program} is not installed ({reason})" for program, reason, _ in lacking)
        packages = " ".join(package for _, _, package in lacking)
        return f"Skipped: {reasons}. On Debian or Ubuntu:  sudo apt-get install -y {packages}"


def find(program):
    names = ["chromium", "chromium-browser", "google-chrome"] if program == "chromium" else [program]
    return next((path for path in map(shutil.which, names) if path), None)


def lint():
    formatted, _ = run(["cargo", "fmt", "--all", "--check"], minutes=2)
    clippy = ["cargo", "clippy", "--release", "--workspace", "--all-targets", "--locked", "--quiet"]
    clean, _ = run([*clippy, "--", "-D", "warnings"], minutes=40)
    return counts.of_check(formatted) + counts.of_check(clean) + elsewhere()


def elsewhere():
    """Type-checks what can be without that system's C library: what is compiled for one system only would rot unseen."""
    asked = ["rustc", "--print", "target-libdir", "--target", ELSEWHERE]
    library = subprocess.run(asked, cwd=CHECKOUT, env=build_environment(), capture_output=True, text=True).stdout.strip()
    if not library or not Path(library).exists():
        print(f"Skipped: Rust's library for {ELSEWHERE} is not installed. Install it with:  rustup target add {ELSEWHERE}")
        return Counts(skipped=1)
    packages = [word for crate in WITHOUT_C for word in ("--package", crate)]
    command = ["cargo", "check", "--lib", "--locked", "--quiet", "--target", ELSEWHERE, *packages]
    checked, _ = run(command, minutes=30, CARGO_TARGET_DIR=str(CACHE / "target-elsewhere"), RUSTFLAGS="-Dwarnings")
    return counts.of_check(checked)


def docs():
    return python_tests("docs", minutes=2)


def scripts():
    return python_tests("scripts", minutes=2)


def unit():
    machine.check()
    code, output = run(CARGO_TEST, minutes=60, keep_output=True)
    return counts.of_cargo(output, code)


def front():
    folders = sorted(str(path) for path in (CHECKOUT / "kernel" / "display").glob("**/*.test.*js"))
    code, output = run(["node", "--test", "--test-reporter=tap", *folders], minutes=5, keep_output=True)
    return counts.of_node(output, code)


def protocol():
    return kernel_tests("protocol", minutes=40)


def kafka():
    machine.check()

    def both(**place):
        code, output = run([*CARGO_TEST, "--test", "broker"], minutes=40, keep_output=True, **place)
        return counts.of_cargo(output, code) + python_tests("kafka", minutes=20, **place)

    return on_kafka(both)


def nightly():
    machine.check()
    properties = [word for name in PROPERTIES for word in ("--test", name)]
    code, output = run([*CARGO_TEST, *properties], minutes=120, keep_output=True, CORRIENTE_CASES=CASES)
    total = counts.of_cargo(output, code)
    code, output = run([*CARGO_TEST, "--test", "memory"], minutes=60, keep_output=True, CORRIENTE_EVENTS=EVENTS)
    total += counts.of_cargo(output, code)
    total += kernel_tests("protocol/test_leaves_nothing.py", minutes=60, CORRIENTE_EDITS=EDITS)
    total += kernel_tests("protocol/test_soak.py", minutes=60, CORRIENTE_SOAK_CELLS=SOAK)
    return total + on_kafka(lambda **place: python_tests("kafka", minutes=120, CORRIENTE_KILLS=KILLS, **place))


def on_kafka(tests):
    """Runs tests on an Apache Kafka of their own; `tests` is given the variables that say where it is."""
    sys.path.insert(0, str(TESTS / "kafka"))
    import cluster

    built, _ = run(VICTIM, minutes=40)
    if built != 0:
        return Counts(failed=1)
    try:
        with cluster.Kafka() as real:
            print(f"Apache Kafka {cluster.VERSION} listens on {real.bootstrap}", flush=True)
            return tests(CORRIENTE_TEST_KAFKA=real.bootstrap)
    except cluster.Failed as problem:
        print(problem, flush=True)
        return Counts(failed=1)


def notebook():
    return kernel_tests("browser", minutes=20, CORRIENTE_CHROMIUM=find("chromium"))


def kernel_tests(folder, minutes, **variables):
    """Python tests that drive the kernel just built."""
    machine.check()
    build.build()
    return python_tests(folder, minutes, with_kernel=True, **variables)


def python_tests(folder, minutes, with_kernel=False, **variables):
    python = environment.environment("tests", TESTS / "requirements.txt")
    if with_kernel:
        environment.install_kernel(python)
    # Short, because sockets live below it; and empty at the start, so that what stays behind can be seen.
    with tempfile.TemporaryDirectory(prefix="ct-") as scratch:
        report = Path(scratch) / "report.xml"
        temporary = Path(scratch) / "tmp"
        temporary.mkdir()
        command = [python / "bin" / "python", "-B", "-m", "pytest", TESTS / folder, "-q", "-rs", "-p", "no:cacheprovider", *QUIET]
        code, _ = run([*command, f"--junitxml={report}"], minutes, TMPDIR=str(temporary), **variables)
        return counts.of_pytest(report, code)


GROUPS = (
    Group("docs", "what README.md names exists; the crates know only whom the design lets them know", docs),
    Group("scripts", "install/ and tests/run themselves", scripts),
    Group("lint", "formatting, clippy without warnings, and what can be type-checked for macOS", lint),
    Group("unit", "the Rust tests of every crate: units, properties, the source on the embedded broker", unit),
    Group("front", "the front end's JavaScript without a browser", front, (NODE,)),
    Group("protocol", "the installed kernel, driven over the Jupyter protocol: cells, errors, streams", protocol),
    Group("kafka", "the source and the sink on a real Apache Kafka; a query that is killed loses no row and doubles none", kafka, (JAVA, MAVEN)),
    Group("notebook", "the notebooks in a real Chromium, set up by install/demo", notebook, (CHROMIUM,)),
    Group("nightly", "only when it is named, for hours: 10,000 random cases, 100 million events, 200 kills", nightly, (JAVA, MAVEN), usual=False),
)


def chosen(names):
    """The groups of these names; without names, those that usually run."""
    return [group for group in GROUPS if (group.name in names if names else group.usual)]
