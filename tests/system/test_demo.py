"""`make demo` as a user sees it: what the penguin pipeline prints, and what it leaves."""

import re
import subprocess
import sys
from pathlib import Path

import forked
import pytest
from cut_off import asked, cut_off

pytestmark = pytest.mark.slow  # `make demo` itself is as quick to run

FOLDER = "demo"
COMPONENTS = {
    "CsvExampleGen",
    "StatisticsGen",
    "SchemaGen",
    "Transform",
    "LearningRateFinder",
    "Trainer",
    "DefaultTrainer",
    "Evaluator",
}
SUMMARY = r"""
Learning rate    (?P<rate>\d\S*) \(rule: descent, verdict: ok\)
Curve            (?P<curve>\S+/curve\.png)
Report           (?P<report>\S+/report\.html)
Model            (?P<model>\S+)
Evaluation       \w+_crossentropy (?P<found>\d+\.\d{4}) \(DefaultTrainer: (?P<default>\d\.\d{4})\)
"""
FIRST_OUTPUT = (
    r"Loading TFX \.\.\.\n"
    r"(?P<lines>(?:\[\d/8\] \w+ \.+ \d+\.\d s\n){8})" + SUMMARY
)  # fmt: skip
SECOND_OUTPUT = (
    r"Loading TFX \.\.\.\n"
    r"(?P<lines>(?:\[\d/8\] \w+ \.+ cached\n){8})"
    r"Everything was served from the cache\.\n" + SUMMARY
)


def run(arguments, folder, environment, before=()):
    """Runs Python in a folder, where relative paths begin, and returns the finished process."""
    command = [*before, sys.executable, *arguments]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """The folder in which the demo is started."""
    return tmp_path_factory.mktemp("demo")


@pytest.fixture(scope="module")
def first(place, pipelines_environment, asked_file):
    """The first run of the demo: what it sends to other machines is lost."""
    before = cut_off("dropped", asked_file)
    return run(["-m", "penguin.run_local", FOLDER], place, pipelines_environment, before)


@pytest.fixture(scope="module")
def log(first, place):
    """What the first run wrote to its log, read before the second one writes its own."""
    return (place / FOLDER / "run.log").read_text()


@pytest.fixture(scope="module")
def second(place, log, pipelines_environment):
    """The second run, in the same folder; how one starts is the first one's to show."""
    return forked.run(["-m", "penguin.run_local", FOLDER], place, pipelines_environment)


@pytest.fixture(scope="module")
def summary(first):
    """The parts of what the first run printed."""
    return re.fullmatch(FIRST_OUTPUT, first.stdout)


def test_first_run_prints_its_progress_and_a_summary(first):
    """A line a component with its seconds, then the summary, and not a word more."""
    assert first.returncode == 0
    assert re.fullmatch(FIRST_OUTPUT, first.stdout)


def test_first_run_asks_nothing_of_other_machines(first, asked_file):
    """It looks up no name and calls no address, where it would have waited for an answer."""
    assert asked(asked_file) == []


def test_second_run_says_that_it_is_served_from_the_cache(second):
    """`cached` at every component, a line for all of them, and the same form of summary."""
    assert second.returncode == 0
    assert re.fullmatch(SECOND_OUTPUT, second.stdout)


@pytest.mark.parametrize("number", ["first", "second"])
def test_nothing_is_printed_beside(number, request):
    """No warning of any library reaches the terminal."""
    assert request.getfixturevalue(number).stderr == ""


def test_every_component_has_its_line(summary):
    """All of them, counted from 1."""
    lines = re.findall(r"\[(\d)/8\] (\w+)", summary["lines"])

    assert [number for number, _ in lines] == list("12345678")
    assert {component for _, component in lines} == COMPONENTS


def test_second_summary_is_the_first(summary, second):
    """Cached results are the same results."""
    assert re.fullmatch(SECOND_OUTPUT, second.stdout).groupdict() == {
        **summary.groupdict(),
        "lines": re.sub(r"\d+\.\d s\n", "cached\n", summary["lines"]),
    }


def test_rate_lies_in_the_range_of_the_sweep(summary):
    """Of the defaults, 1e-6 to 10."""
    assert 1e-6 < float(summary["rate"]) < 10


def test_found_rate_is_better_than_the_default(summary):
    """The evaluation loss is lower: that is what the demo is to show."""
    assert float(summary["found"]) < float(summary["default"])


@pytest.mark.parametrize("name", ["curve", "report", "model"])
def test_summary_names_what_is_there(summary, place, name):
    """The paths lead from where the demo was started to files that exist."""
    path = place / summary[name]

    assert path.exists()
    assert path.is_relative_to(place / FOLDER)


def test_model_can_be_served(summary, place):
    """A saved model lies where TFX's own tools look for it."""
    assert (place / summary["model"] / "Format-Serving" / "saved_model.pb").is_file()


def test_all_else_is_in_the_log(log):
    """What the libraries printed is kept for those who look for a reason."""
    assert len(log) > 1000
    assert "Learning rate    " not in log


def test_log_has_what_the_finder_did(summary, log):
    """In TFX's logging: the search, its sweep, and the rate that the summary shows."""
    assert len(re.findall(r"Learning-rate search: 1 sweep\(s\) of 200 steps", log)) == 1
    assert len(re.findall(r"Sweep, seed 0 .*: \d+ of 200 steps", log)) == 1
    assert f"Learning rate {summary['rate']} (rule descent, verdict ok)" in log


def test_everything_lies_in_the_folder(first, place):
    """Nothing is written beside it."""
    assert [path.name for path in place.iterdir()] == [FOLDER]
    assert (place / FOLDER / "metadata.db").is_file()


LOGGED = """
import os, subprocess, sys
from pathlib import Path
from tfx_lr_finder.local import output_to_log
with output_to_log(Path("out", "run.log")) as terminal:
    print("python's own")
    print("python's warning", file=sys.stderr)
    os.write(2, b"a library's\\n")
    subprocess.run(["echo", "a child's"])
    print("for the user", file=terminal)
    {statement}
print("afterwards")
"""


def test_log_takes_what_python_libraries_and_children_print(tmp_path, pipelines_environment):
    """The terminal shows what is meant for the user, in order, and works again afterwards."""
    process = run(["-c", LOGGED.format(statement="")], tmp_path, pipelines_environment)

    assert (process.stdout, process.stderr) == ("for the user\nafterwards\n", "")
    assert sorted(Path(tmp_path, "out", "run.log").read_text().splitlines()) == [
        "a child's",
        "a library's",
        "python's own",
        "python's warning",
    ]


def test_error_is_said_with_the_place_of_the_log(tmp_path, pipelines_environment):
    """The terminal shows the error itself, and where the rest is; the process fails."""
    statement = "raise LookupError('the reason')"

    process = run(["-c", LOGGED.format(statement=statement)], tmp_path, pipelines_environment)

    assert process.returncode == 1
    assert re.fullmatch(
        r"for the user\n\nFailed\. All that was printed is in \S*out/run\.log\n", process.stdout
    )
    assert process.stderr.endswith("LookupError: the reason\n")
