"""`tfx-lr-finder sweep` where something goes wrong: what is lost, and what it says."""

import functools
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import forked
import pytest
from click.testing import CliRunner
from tf_examples import write_examples

from tfx_lr_finder.command_line import main

PROGRAM = Path(sys.executable).with_name("tfx-lr-finder")
MODULE = """
import os
import sys
import time

import keras
import numpy as np
import tensorflow as tf

FEATURES = {name: tf.io.FixedLenFeature([1], tf.float32) for name in ("x", "y")}


def helper(fn_args, model):
    MISTAKE


def run_fn(fn_args):
    files = tf.data.Dataset.list_files(fn_args.train_files, shuffle=False)
    examples = tf.data.TFRecordDataset(files, compression_type="GZIP").batch(8)
    dataset = examples.map(lambda serialized: tf.io.parse_example(serialized, FEATURES))
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1, kernel_initializer="zeros")])
    model.compile("sgd", "mse")
    helper(fn_args, model)
    model.fit(dataset.map(lambda features: (features["x"], features["y"])))
"""
RIGHT = "pass"
LINE = 1 + MODULE[: MODULE.index("MISTAKE")].count("\n")


@pytest.fixture(autouse=True)
def unchanged_path(monkeypatch):
    """Takes back what a sweep adds to Python's path."""
    monkeypatch.setattr(sys, "path", list(sys.path))


@pytest.fixture(scope="module")
def examples(tmp_path_factory):
    """64 examples of y = 2 x."""
    folder = tmp_path_factory.mktemp("examples")
    rows = [{"x": (-1.0) ** i, "y": 2 * (-1.0) ** i} for i in range(64)]
    write_examples(f"{folder}/Split-train/data-00000-of-00001.gz", rows)
    write_examples(f"{folder}/Split-eval/data-00000-of-00001.gz", rows)
    return folder


def sweep_of(mistake, examples, folder, output, *options):
    """Writes a module with a mistake into a folder; returns the arguments of a sweep of it."""
    module = folder / "module.py"
    module.write_text(MODULE.replace("MISTAKE", mistake))
    given = ["sweep", "--module-file", module, "--examples", examples, "--num-steps", 60]
    return [str(a) for a in [*given, "--output", folder / output, *options]]


@pytest.fixture
def arguments(examples, tmp_path):
    """A function that writes a module with a mistake; returns the arguments of a sweep of it."""
    return lambda mistake=RIGHT, *options, output="found", examples=examples: sweep_of(
        mistake, examples, tmp_path, output, *options
    )


@pytest.fixture
def sweep(arguments):
    """A function that runs a sweep of a module with a mistake in this process."""
    return lambda *given, **named: CliRunner().invoke(main, arguments(*given, **named))


def contents(folder):
    """Returns every file and folder below a folder with what is in it."""
    paths = sorted(Path(folder).rglob("*"))
    return {str(p.relative_to(folder)): p.read_bytes() if p.is_file() else None for p in paths}


@pytest.fixture(scope="module")
def result(examples, tmp_path_factory):
    """The folder with the result of a sweep, which the tests take copies of."""
    folder = tmp_path_factory.mktemp("result")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "path", list(sys.path))
        swept = CliRunner().invoke(main, sweep_of(RIGHT, examples, folder, "found"))
    assert swept.exit_code == 0, swept.stderr
    return folder / "found"


@pytest.fixture
def found(result, tmp_path):
    """A folder with the result of an earlier sweep, and with what is in it."""
    shutil.copytree(result, tmp_path / "found")
    return tmp_path / "found", contents(tmp_path / "found")


FAILURES = {
    "an error": ("raise KeyError('units')", 1),
    "no rate": ("model.compile('sgd', lambda y, p: 0.0 * p)", 3),
    "end of the process": ("sys.exit(0)", 1),
}


@pytest.mark.parametrize(("mistake", "code"), FAILURES.values(), ids=FAILURES)
def test_earlier_result_stays_after_a_failure(found, sweep, mistake, code):
    """Every file of it, and nothing beside it."""
    folder, before = found

    assert sweep(mistake).exit_code == code
    assert contents(folder) == before


def names(folder):
    """Returns the names in a folder, but for the bytecode that Python keeps of a module."""
    return {path.name for path in folder.iterdir()} - {"__pycache__"}


def test_failure_leaves_no_folder(sweep, tmp_path):
    """Where there was none before."""
    assert sweep("raise KeyError('units')", output="a/b/found").exit_code == 1
    assert names(tmp_path) == {"module.py"}


WAITS = "print('waiting', file=sys.stderr, flush=True); [time.sleep(0.1) for _ in range(999)]"
COMMAND = "import sys; from tfx_lr_finder.command_line import main; main(sys.argv[1:])"


def program(arguments, errors):
    """Starts the installed program; returns its process, and what waits for its exit code."""
    with errors.open("w") as file:
        # A shell lets its jobs in the background ignore SIGINT, and with them the tests.
        heed = functools.partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
        process = subprocess.Popen([PROGRAM, *arguments], stderr=file, preexec_fn=heed)
    return process, lambda: process.wait(timeout=60)


def fork(arguments, errors):
    """Does the same with a process that has loaded TensorFlow and TFX already."""
    process = forked.start(["-c", COMMAND, *arguments], os.devnull, errors)

    def wait():
        process.join(timeout=60)
        return process.exitcode

    return process, wait


@pytest.mark.parametrize(
    ("start", "sweeps", "sign", "code"),
    [
        pytest.param(program, 1, signal.SIGINT, 130, marks=pytest.mark.slow),
        (fork, 1, signal.SIGTERM, 143),
        (fork, 2, signal.SIGINT, 130),
        (fork, 2, signal.SIGTERM, 143),
    ],
)
def test_interruption_leaves_the_earlier_result(
    found, arguments, tmp_path, start, sweeps, sign, code
):
    """It ends with the exit code that shells have for it."""
    folder, before = found
    errors = tmp_path / "errors"
    process, exit_code = start(arguments(WAITS, "--num-sweeps", sweeps), errors)
    try:
        deadline = time.monotonic() + 120
        while not (errors.exists() and "waiting" in errors.read_text()):
            assert time.monotonic() < deadline, errors.read_text()
            time.sleep(0.1)

        os.kill(process.pid, sign)

        assert exit_code() == code, errors.read_text()
    finally:
        process.kill()
    assert contents(folder) == before


def test_full_disk_leaves_the_earlier_result(found, arguments):
    """It stands for one that no file may be of more than 20,000 bytes."""
    folder, before = found
    limit = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))\n"

    process = forked.run(["-c", limit + COMMAND, *arguments()])

    assert process.returncode == 1
    assert "File too large" in process.stderr
    assert contents(folder) == before


@pytest.mark.parametrize(
    "inside", ["examples", "sweep/examples", "link"], ids=["beside", "below", "by a link"]
)
def test_input_inside_of_the_output_folder_is_refused(sweep, tmp_path, examples, inside):
    """It is not read, and stays."""
    path = tmp_path / "found" / inside
    path.parent.mkdir(parents=True)
    if inside == "link":
        path.symlink_to(examples)
    else:
        write_examples(path / "Split-train" / "data.gz", [{"x": 1.0, "y": 2.0}])
    before = contents(tmp_path / "found")

    result = sweep(examples=path)

    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith(
        "Error: --output must not be the folder of an input, which could be replaced. "
        f"Received: {path} in {tmp_path / 'found'}. Name another folder. "
    )
    assert contents(tmp_path / "found") == before


@pytest.mark.parametrize("sweeps", [1, 2])
@pytest.mark.parametrize(
    ("mistake", "message"),
    [
        ("{}['units']", "KeyError: 'units'"),
        ("raise ValueError('mine')", "ValueError: mine"),
        ("raise RuntimeError('mine')", "RuntimeError: mine"),
        ("open('/no/such/file')", r"FileNotFoundError: \[Errno 2\] .*: '/no/such/file'"),
        ("assert 1 == 2", "AssertionError"),
        ("keras.layers.Dense(1, activation='none such')", "ValueError: .*none such"),
    ],
)
def test_error_of_the_users_code_has_type_file_and_line(sweep, tmp_path, mistake, message, sweeps):
    """Of whatever type it is, and whether it is raised there or in what is called there."""
    result = sweep(mistake, "--num-sweeps", sweeps)

    assert (result.exit_code, result.stdout) == (1, "")
    place = rf"\(at {tmp_path}/module\.py, line {LINE}\)"
    assert re.fullmatch(rf"Error: {message}.* {place}\n", result.stderr)


def test_error_while_the_module_is_loaded_has_its_place(arguments, tmp_path):
    """At its top level."""
    given = arguments()
    (tmp_path / "module.py").write_text("import os\nos.environ['NO_SUCH_VARIABLE']\n")

    result = CliRunner().invoke(main, given)

    place = f"(at {tmp_path / 'module.py'}, line 2)"
    assert result.stderr == f"Error: KeyError: 'NO_SUCH_VARIABLE' {place}\n"


def test_error_in_the_syntax_has_its_place(arguments, tmp_path):
    """Where Python says it is."""
    given = arguments()
    (tmp_path / "module.py").write_text("import os\n\ndef run_fn(:\n")

    result = CliRunner().invoke(main, given)

    assert re.fullmatch(
        rf"Error: SyntaxError: invalid syntax .*\(at {tmp_path}/module\.py, line 3\)\n",
        result.stderr,
    )


def test_end_of_the_process_in_the_users_code_is_an_error(sweep, tmp_path):
    """Or else a script would take it for a rate that was found."""
    result = sweep("sys.exit(0)")

    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith(
        "Error: The user's code must not end the process. Received: SystemExit(0), as `sys.exit` "
        "raises it. Raise an error, or return."
    )


@pytest.mark.parametrize("sweeps", [1, 2])
@pytest.mark.parametrize(
    ("mistake", "argument", "option"),
    [
        ("range(fn_args.train_steps)", "train_steps", "--train-steps"),
        (
            "os.path.join(fn_args.transform_graph_path, 'x')",
            "transform_graph_path",
            "--transform-graph",
        ),
        ("open(fn_args.transform_output + '/x')", "transform_output", "--transform-graph"),
        ("open(fn_args.schema_path)", "schema_path", "--schema"),
        ("keras.models.load_model(fn_args.base_model)", "base_model", "--base-model"),
        ("fn_args.custom_config['units']", "custom_config", "--custom-config"),
    ],
)
def test_error_says_which_option_was_not_given(sweep, mistake, argument, option, sweeps):
    """Where the user's code has read None for it."""
    result = sweep(mistake, "--num-sweeps", sweeps)

    assert result.exit_code == 1
    assert re.search(
        rf"It read `fn_args\.{argument}`, which is None because [^.]* was not given "
        rf"\({option} on the command line\)\. \(at .*, line {LINE}\)\n$",
        result.stderr,
    )


def test_option_that_was_given_is_not_named(sweep):
    """Nor one that nobody has read."""
    result = sweep("range(fn_args.train_steps); {}['units']", "--train-steps", 7)

    assert "It read" not in result.stderr


READS = {
    "README": 'rate = fn_args.hyperparameters["values"]["learning_rate"]',
    "keras_tuner": "import keras_tuner; rate = keras_tuner.HyperParameters.from_config("
    'fn_args.hyperparameters).get("learning_rate")',
    "declared": "import keras_tuner; rate = keras_tuner.HyperParameters.from_config("
    'fn_args.hyperparameters).Float("learning_rate", 1e-4, 1e-1)',
    "if any": 'rate = fn_args.hyperparameters["values"]["learning_rate"] '
    "if fn_args.hyperparameters else 0.5",
}


def test_rate_is_read_in_the_finder_as_in_the_trainer(sweep):
    """Without a Tuner there is one, too: the middle of the range, on the logarithmic axis."""
    check = "assert abs(rate - 0.001 ** 0.5) < 1e-12"
    checks = "; ".join(f"{read}; {check}, {name!r}" for name, read in READS.items())

    result = sweep(checks, "--min-learning-rate", 1e-3, "--max-learning-rate", 1)

    assert result.exit_code == 0, result.stderr


@pytest.mark.parametrize("command", ["suggest", "plot", "report", "compare"])
def test_folder_that_sweep_was_given_is_taken(found, tmp_path, command):
    """`found`, as well as `found/sweep` and `found/sweep/sweep.json`."""
    folder, _ = found
    written = [] if command == "suggest" else ["--output", str(tmp_path / "written")]

    shown = [
        CliRunner().invoke(main, [command, str(folder / path), *written]).stdout
        for path in ("", "sweep", "sweep/sweep.json")
    ]

    lines = [text.splitlines()[0].split("  ")[:2] for text in shown]
    assert lines[0] == lines[1] == lines[2]
    assert all(shown)


def test_path_may_have_any_character(sweep, examples, tmp_path):
    """Also those that stand for others in a pattern."""
    name = "[a] b*c what? 100% {x} ä"
    folder = tmp_path / name
    shutil.copytree(examples, folder)
    upstream = folder / "hyperparameters"
    upstream.mkdir()
    (upstream / "best.txt").write_text('{"space": [], "values": {"learning_rate": 0.5}}')
    check = 'assert fn_args.hyperparameters["values"] == {"learning_rate": 0.5}'

    result = sweep(check, "--hyperparameters", upstream, examples=folder, output=f"found {name}")

    assert result.exit_code == 0, result.stderr
    assert CliRunner().invoke(main, ["suggest", str(tmp_path / f"found {name}")]).exit_code == 0


def test_beam_takes_the_arguments_after_two_dashes(sweep, tmp_path):
    """With two threads as its workers, no sweep runs in the main thread."""
    notes = tmp_path / "threads"
    record = (
        f"import threading; open({str(notes)!r}, 'a').write("
        "f'{threading.current_thread() is threading.main_thread()}\\n')"
    )
    beam = ["--", "--direct_running_mode=multi_threading", "--direct_num_workers=2"]

    result = sweep(record, "--num-sweeps", "2", *beam)

    assert result.exit_code == 0, result.stderr
    sweeps = notes.read_text().split()[:2]
    assert sweeps == ["False", "False"]


def test_argument_of_no_option_is_refused(sweep):
    """It is no argument of Beam's."""
    result = sweep(RIGHT, "mode=fast")

    assert result.exit_code == 2
    assert (
        "Every argument but Beam's own must belong to an option. Received: 'mode=fast'. "
        "Beam's stand after --, and each is one --name=value." in result.stderr
    )


@pytest.mark.parametrize("command", ["plot", "report", "compare"])
def test_full_disk_leaves_the_earlier_file(found, tmp_path, command):
    """It stands for one that no file may be of more than 2,000 bytes."""
    folder, _ = found
    file = tmp_path / "earlier"
    file.write_text("earlier")
    limited = "import resource, sys; from tfx_lr_finder.command_line import main\n"
    limited += "import matplotlib.font_manager\n"
    limited += "resource.setrlimit(resource.RLIMIT_FSIZE, (2_000, 2_000))\nmain(sys.argv[1:])"

    process = subprocess.run(
        [sys.executable, "-c", limited, command, folder, "--output", file],
        capture_output=True,
        text=True,
    )

    assert process.returncode == 1
    assert "File too large" in process.stderr
    assert file.read_text() == "earlier"
    assert names(tmp_path) == {"earlier", "found"}


def test_picture_may_be_written_to_a_pipe(found):
    """As to any file that is none."""
    folder, _ = found

    process = subprocess.run(
        [PROGRAM, "plot", folder, "--output", "/dev/stdout"], capture_output=True, check=True
    )

    assert process.stdout.startswith(b"\x89PNG")
