"""The executor: real examples in, a sweep of a user's model, artifacts out."""

import dataclasses
import json
import logging
import math
import re
import tempfile
import time
from pathlib import Path

import keras_tuner
import numpy as np
import pyarrow
import pyarrow.parquet
import pytest
import tensorflow as tf
from tf_examples import write_examples
from tfx.proto import trainer_pb2
from tfx.types import standard_artifacts
from tfx.types.channel import Channel

from tfx_lr_finder import LearningRateFinder, LearningRateSweep, NoLearningRateError, Verdict
from tfx_lr_finder.artifacts import read_evidence
from tfx_lr_finder.core.evidence import Publication
from tfx_lr_finder.core.publishing.interval import HALF_WIDTH_TRIALS, half_width
from tfx_lr_finder.core.rules import minimum
from tfx_lr_finder.core.schedule import Schedule
from tfx_lr_finder.core.suggestion import suggest
from tfx_lr_finder.core.trials.halving import SPACING, settled
from tfx_lr_finder.executor import Executor

USER_MODULE = Path(__file__).parents[1] / "data" / "linear" / "linear.py"
SLOPES = {"train": 2.0, "eval": 3.0}
UPSTREAM = {
    "space": [
        {
            "class_name": "Choice",
            "config": {
                "name": "activation",
                "default": "relu",
                "conditions": [],
                "values": ["relu", "tanh"],
                "ordered": False,
            },
        }
    ],
    "values": {"activation": "tanh", "units": 24, "learning_rate": 0.5},
}


@pytest.fixture(scope="module", autouse=True)
def importable_user_module():
    """Makes `linear.<function>` a dotted path, as of an installed package."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(USER_MODULE.parent))
        yield


@pytest.fixture(scope="module")
def examples(tmp_path_factory):
    """128 training examples of y = 2 x and 16 evaluation examples of y = 3 x, x is 1 or -1."""
    folder = tmp_path_factory.mktemp("examples")
    files = {"train": 128, "eval": 16}
    for split, count in files.items():
        file = f"{folder}/Split-{split}/data_tfrecord-00000-of-00001.gz"
        write_examples(file, rows(split, range(count)))
    return examples_in(folder, [*files])


def rows(split, numbers):
    """Returns the examples of these numbers."""
    return [{"x": (-1.0) ** i, "y": SLOPES[split] * (-1.0) ** i} for i in numbers]


def examples_in(folder, splits):
    """Returns the artifact of examples in a folder."""
    artifact = standard_artifacts.Examples()
    artifact.uri = str(folder)
    artifact.split_names = json.dumps(splits)
    return artifact


class Log(logging.Handler):
    """What the package writes to TFX's log."""

    def __init__(self):
        """Starts without a line."""
        super().__init__()
        self.lines, self.warnings = [], []

    def emit(self, record):
        """Adds a line, to the warnings as well if it is one."""
        if record.pathname.endswith(("tfx_lr_finder/executor.py", "tfx_lr_finder/search/find.py")):
            self.lines.append(record.getMessage())
            if record.levelno >= logging.WARNING:  # TFX shows them without being asked
                self.warnings.append(record.getMessage())

    def __enter__(self):
        """Listens to every level."""
        logger = logging.getLogger("absl")
        self._level = logger.level
        logger.setLevel("INFO")
        logger.addHandler(self)

    def __exit__(self, *_):
        """Listens no longer."""
        logger = logging.getLogger("absl")
        logger.removeHandler(self)
        logger.setLevel(self._level)


class Run:
    """One execution: its outputs in a folder of its own, which nobody made before, and its log."""

    def __init__(self, examples, folder):
        """Makes the output artifacts."""
        self.folder = folder
        self.log = Log()
        self.inputs = {"examples": [examples]}
        self.outputs = {
            "best_hyperparameters": [standard_artifacts.HyperParameters()],
            "learning_rate": [standard_artifacts.Float()],
            "sweep": [LearningRateSweep()],
        }
        for key, (artifact,) in self.outputs.items():
            artifact.uri = str(folder / key / "1")
        self.outputs["learning_rate"][0].uri += "/value"

    def do(self, function="lr_finder_fn", **arguments):
        """Runs the executor on what TFX records of a finder with these arguments."""
        finder = LearningRateFinder(
            examples=Channel(type=standard_artifacts.Examples),
            **{"lr_finder_fn": f"linear.{function}", "num_steps": 100, **arguments},
        )
        properties = {k: v for k, v in finder.spec.exec_properties.items() if v is not None}
        with self.log:
            Executor().Do(self.inputs, self.outputs, properties)
        return self

    def upstream(self, text, folder):
        """Gives the run hyperparameters, a file with this text."""
        folder.mkdir()
        (folder / "best_hyperparameters.txt").write_text(text)
        artifact = standard_artifacts.HyperParameters()
        artifact.uri = str(folder)
        self.inputs["hyperparameters"] = [artifact]
        return self

    @property
    def files(self):
        """Every file that was written, by its path below the folder."""
        paths = sorted(path for path in self.folder.rglob("*") if path.is_file())
        return {str(path.relative_to(self.folder)): path.read_bytes() for path in paths}

    @property
    def sweep(self):
        """The sweep's artifact."""
        return self.outputs["sweep"][0]

    @property
    def curve(self):
        """The curve that was written."""
        return read_evidence(self.sweep).curves[0]

    @property
    def learning_rate(self):
        """The rate in the Float artifact."""
        return float(self.files["learning_rate/1/value"])

    @property
    def hyperparameters(self):
        """The configuration that was written."""
        return json.loads(self.files["best_hyperparameters/1/best_hyperparameters.txt"])


@pytest.fixture
def new_run(examples, tmp_path):
    """An execution that has not begun."""
    return Run(examples, tmp_path / "outputs")


@pytest.fixture(scope="module")
def run(examples, tmp_path_factory):
    """An execution on the raw examples, with every default but the 100 steps."""
    return Run(examples, tmp_path_factory.mktemp("run") / "outputs").do()


def test_outputs_are_one_file_each_and_the_sweep(run):
    """The stock Trainer wants exactly one file among the hyperparameters."""
    assert list(run.files) == [
        "best_hyperparameters/1/best_hyperparameters.txt",
        "learning_rate/1/value",
        "sweep/1/curve.png",
        "sweep/1/report.html",
        "sweep/1/sweep.json",
        "sweep/1/tensorboard/search/events.out.tfevents.0",
        "sweep/1/tensorboard/sweep_1/events.out.tfevents.0",
    ]


def test_curve_is_the_closed_form_of_gradient_descent(run):
    """With x = ±1 the loss is (w - 2)**2: each step multiplies it by (1 - 2 rate)**2."""
    rates = 1e-6 * 10 ** (7 * np.arange(100) / 99)
    losses = SLOPES["train"] ** 2 * np.r_[1.0, np.cumprod((1 - 2 * rates[:-1]) ** 2)]
    exact = int(np.argmax(losses < 1e-4))  # below, the weight's float32 rounds the error

    curve = run.curve

    assert exact == 79
    assert curve.learning_rates == pytest.approx(rates[: len(curve)], rel=1e-9)
    assert curve.losses[:exact] == pytest.approx(losses[:exact], rel=1e-3)


def test_sweep_stops_where_gradient_descent_diverges(run):
    """Above a rate of 2 / L = 1 the error grows at each step."""
    curve = run.curve

    assert curve.stop_reason.value == "diverged"
    assert curve.learning_rates[-1] > 1.0
    assert curve.losses[-1] > curve.losses[-2]


def test_found_rate_is_one_that_gradient_descent_converges_with(run):
    """Between a thousandth of the limit 2 / L = 1 and the limit."""
    assert 1e-3 < run.learning_rate < 1.0


def test_rate_is_the_same_in_every_output(run):
    """Float, hyperparameters and property hold one number."""
    rate = run.learning_rate

    assert run.hyperparameters["values"] == {"learning_rate": rate}
    assert run.sweep.get_float_custom_property("learning_rate") == rate
    assert run.outputs["learning_rate"][0].read() == rate


def test_last_line_says_what_was_found(new_run, capsys):
    """On the standard output, so it does not depend on the level of the log."""
    new_run.do()

    last = capsys.readouterr().out.splitlines()[-1]
    report = f"{new_run.sweep.uri}/report.html"
    assert re.fullmatch(
        rf"LearningRateFinder: Learning rate [\d.]+ \([\d.]+ to [\d.]+ in 9 of 10 repetitions\), "
        rf"verdict \w+\. Report: {re.escape(report)}",
        last,
    )
    assert f"Learning rate {new_run.learning_rate:.3g} " in last


def test_evidence_says_when_and_of_what_the_rate_was_found(run, examples):
    """The code, the examples and their splits; a pipeline's executor knows its name, too."""
    evidence = read_evidence(run.sweep)

    assert 0 <= time.time() - evidence.ended < 3600
    assert evidence.origin == {
        "Code": "linear.lr_finder_fn",
        "Examples": examples.uri,
        "Training splits": "train",
    }


def test_keras_tuner_reads_the_hyperparameters(run):
    """As the Trainer's module does it."""
    hyperparameters = keras_tuner.HyperParameters.from_config(run.hyperparameters)

    assert hyperparameters.get("learning_rate") == run.learning_rate


def test_facts_of_the_sweep_are_properties(run):
    """Rule, verdict, stop reason, steps, points, batch size and seed."""
    strings = [
        run.sweep.get_string_custom_property(name) for name in ("rule", "verdict", "stop_reason")
    ]
    integers = [
        run.sweep.get_int_custom_property(name)
        for name in ("num_steps", "num_points", "batch_size", "seed")
    ]

    assert strings == ["descent", "ok", "diverged"]
    assert integers == [100, len(run.curve), 8, 0]


@pytest.fixture(scope="module")
def other_run(examples, tmp_path_factory):
    """An execution on the evaluation examples, with upstream values and with other options."""
    folder = tmp_path_factory.mktemp("other")
    run = Run(examples, folder / "outputs").upstream(json.dumps(UPSTREAM), folder / "upstream")
    return run.do(
        train_args=trainer_pb2.TrainArgs(splits=["eval"]),
        min_learning_rate=1e-4,
        max_learning_rate=0.5,
        num_steps=50,
        smoothing=0.5,
        rule="minimum",
        seed=3,
        learning_rate_name="step_size",
    )


def test_options_reach_the_sweep(other_run):
    """Range, steps, smoothing and seed."""
    curve = other_run.curve

    assert curve.learning_rates[[0, -1]] == pytest.approx([1e-4, 0.5])
    assert (curve.num_steps, curve.smoothing, curve.seed) == (50, 0.5, 3)


def test_rule_is_the_one_that_was_asked_for(other_run):
    """`minimum` is a tenth of the rate of the least loss, as far as the article's sweep goes."""
    assert other_run.sweep.get_string_custom_property("rule") == "minimum"
    assert other_run.learning_rate == minimum(other_run.curve) < 0.05


def test_splits_are_those_of_the_training_arguments(other_run):
    """The first loss is that of y = 3 x; its two batches are gone through again and again."""
    assert other_run.curve.losses[0] == pytest.approx(SLOPES["eval"] ** 2)
    assert len(other_run.curve) == 50


def test_rate_has_the_name_that_was_asked_for(other_run):
    """A rate of another name is added; one of the usual name is a value like any other."""
    assert other_run.hyperparameters["values"] == {
        **UPSTREAM["values"],
        "step_size": other_run.learning_rate,
    }


def test_divergence_factor_reaches_the_sweep(new_run):
    """The sweep ends with the first loss above a billion times the best, not earlier."""
    new_run.do(divergence_factor=1e9, smoothing=0)

    losses = new_run.curve.losses
    ratios = losses / np.minimum.accumulate(losses)
    assert new_run.curve.stop_reason.value == "diverged"
    assert ratios[-1] > 1e9
    assert 4 < ratios[-2] <= 1e9


@pytest.fixture(scope="module")
def kubeflow_run(examples, tmp_path_factory):
    """An execution with parameters as they come back from JSON, and a rate to fall back on."""
    run = Run(examples, tmp_path_factory.mktemp("kubeflow") / "outputs")
    properties = {
        "lr_finder_fn": "linear.lr_finder_fn",
        "train_args": "{}",
        "eval_args": "{}",
        "max_learning_rate": 10,
        "num_steps": 100,
        "divergence_factor": 4,
        "on_failure": "default",
        "default_learning_rate": 0.003,
    }
    Executor().Do(run.inputs, run.outputs, properties)
    return run


def test_integers_for_floats_are_the_same_options(kubeflow_run, run):
    """A float without a fraction may come back from JSON as an integer; absent ones are default."""
    assert kubeflow_run.curve == run.curve


@pytest.fixture(scope="module")
def random_runs(examples, tmp_path_factory):
    """Two executions from a random weight on shuffled examples, with the same seed."""
    return [
        Run(examples, tmp_path_factory.mktemp("random") / "outputs").do(
            "random_start", seed=1, num_steps=50
        )
        for _ in range(2)
    ]


def test_same_inputs_give_the_same_files(random_runs):
    """Byte for byte but for the time it took, also from a random start, in a shuffled order."""
    first, second = random_runs

    assert evidence(first) == evidence(second)
    assert timeless(first.files) == timeless(second.files)


def evidence(run):
    """Returns what a run's sweep.json says, but for its time."""
    return dataclasses.replace(read_evidence(run.sweep), seconds=0.0, ended=0.0)


def timeless(files):
    """Returns the files in which the time is not written."""
    with_time = ("sweep.json", "report.html", "tensorboard/search/events.out.tfevents.0")
    return {k: content for k, content in files.items() if not k.endswith(with_time)}


@pytest.fixture(scope="module")
def noted(examples, tmp_path_factory):
    """An execution with upstream hyperparameters, and what the user's function was given."""
    folder = tmp_path_factory.mktemp("noted")
    run = Run(examples, folder / "outputs").upstream(json.dumps(UPSTREAM), folder / "upstream")
    run.do(
        "notes_arguments",
        custom_config={"note": str(folder / "note.json")},
        train_args=trainer_pb2.TrainArgs(num_steps=70),
    )
    return run, json.loads((folder / "note.json").read_text())


def test_rate_that_upstream_does_not_have_is_a_warning_in_the_log(other_run, noted):
    """A module that reads it by another name would go on with the upstream rate."""
    added, verdict = other_run.log.warnings

    assert added == (
        "The upstream hyperparameters have no 'step_size': it is added to them. "
        f"Received: {', '.join(sorted(UPSTREAM['values']))}. "
        "If one of these is the learning rate, set learning_rate_name to its name."
    )
    assert verdict.startswith("Learning rate")  # it lies at the end of the range
    assert noted[0].log.warnings == []


def test_user_code_gets_the_upstream_hyperparameters(noted):
    """The model is built with the values that the Trainer will have, but for the rate."""
    _, note = noted

    assert note["hyperparameters"] == UPSTREAM


def test_length_of_the_training_is_recorded_with_the_curve(noted, run):
    """It is the Trainer's number of steps, and None where none was said."""
    assert noted[0].curve.train_steps == 70
    assert run.curve.train_steps is None


@pytest.mark.parametrize(
    ("user_code", "train_steps"),
    [
        ({"lr_finder_fn": "linear.of_known_length"}, 300),
        ({"lr_finder_fn": None, "run_fn": "linear.run_fn"}, 600),
    ],
    ids=["lr_finder_fn", "run_fn"],
)
def test_length_that_the_users_code_says_counts(examples, tmp_path, user_code, train_steps):
    """Not the Trainer's `num_steps`, which may be those of one of many epochs."""
    run = Run(examples, tmp_path).do(train_args=trainer_pb2.TrainArgs(num_steps=20), **user_code)

    assert run.curve.train_steps == train_steps


def test_user_code_gets_steps_and_configuration(noted):
    """The Trainer's steps; none where none were said; the user's own configuration."""
    _, note = noted

    assert (note["train_steps"], note["eval_steps"]) == (70, None)
    assert list(note["custom_config"]) == ["note"]


def test_upstream_hyperparameters_are_merged(noted):
    """Every value but the rate is the upstream one."""
    run, _ = noted

    assert run.hyperparameters["values"] == {
        "activation": "tanh",
        "units": 24,
        "learning_rate": run.learning_rate,
    }
    assert run.hyperparameters["space"][0] == UPSTREAM["space"][0]
    assert run.learning_rate != 0.5


def test_working_folder_is_removed(noted):
    """What the user's code wrote beside the sweep is gone."""
    _, note = noted

    assert Path(note["working_dir"]).is_relative_to(tempfile.gettempdir())
    assert not Path(note["working_dir"]).exists()


def check_refused(run, error, message, function="lr_finder_fn", **arguments):
    """Checks that an execution fails with this error and leaves no file behind."""
    with pytest.raises(error, match=message):
        run.do(function, **arguments)

    assert run.files == {}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("rate: 0.1", r"must be JSON\. Received: 'rate: 0\.1' in .*/upstream/best_hyperparameters"),
        ("", r"must be JSON\. Received: ''"),
        ('{"learning_rate": 0.1}', r"must have the form .*Received: '\{\"learning_rate\": 0\.1\}'"),
        ("[]", r"must have the form .*Received: '\[\]'"),
        ('{"space": [1], "values": {}}', r"must have the form .*Received: "),
        ('{"space": [], "values": {"clip": Infinity}}', r"must be JSON.*Infinity is not JSON"),
    ],
    ids=["not JSON", "empty", "plain dict", "list", "entry that is no entry", "infinite"],
)
def test_upstream_hyperparameters_of_another_form_are_refused(new_run, tmp_path, text, message):
    """Before the sweep; the message shows what was received and where."""
    new_run.upstream(text, tmp_path / "upstream")

    check_refused(new_run, ValueError, message)


def test_parameter_server_is_refused(new_run, monkeypatch):
    """Before anything is loaded: this process would wait for the others without end."""
    config = {"cluster": {"chief": ["a:1"], "ps": ["b:1"]}, "task": {"type": "ps", "index": 0}}
    monkeypatch.setenv("TF_CONFIG", json.dumps(config))

    message = r"must be workers, .*Received: a TF_CONFIG with the jobs \['chief', 'ps'\]\. Leave"
    check_refused(new_run, ValueError, message)


def test_processes_that_do_not_train_together_are_refused(new_run, monkeypatch):
    """Each would sweep for itself, on its part of the batch."""
    config = {"cluster": {"worker": ["a:1", "b:1"]}, "task": {"type": "worker", "index": 0}}
    monkeypatch.setenv("TF_CONFIG", json.dumps(config))

    message = r"train one model together\. Received: .* 2 of them, and a model of 1 replica.*Build"
    check_refused(new_run, ValueError, message)


def test_missing_function_is_refused(new_run):
    """The message says what may be given, and what was."""
    check_refused(
        new_run,
        ValueError,
        r"must be .*`run_fn\(fn_args\)` or .*Received: 'linear\.no_such_fn', where there is none",
        "no_such_fn",
    )


def training_examples(folder, suffix, num_files, splits=("train",)):
    """Writes the 128 training examples, dealt out to splits and files; returns their artifact."""
    files = [
        f"{folder}/Split-{split}/data_tfrecord-{i:05}-of-{num_files:05}{suffix}"
        for split in splits
        for i in range(num_files)
    ]
    for number, file in enumerate(files):
        write_examples(file, rows("train", range(number, 128, len(files))))
    return examples_in(folder, splits)


@pytest.mark.parametrize(
    ("suffix", "num_files", "splits"),
    [("", 12, ["train"]), (".gz", 2, ["train", "more", "most"])],
    ids=["plain files", "compressed splits"],
)
def test_examples_of_any_layout_give_the_same_curve(tmp_path, run, suffix, num_files, splits):
    """Compressed or not, in many files, in several splits: they are the same examples."""
    examples = training_examples(tmp_path, suffix, num_files, splits)

    other = Run(examples, tmp_path / "outputs").do(
        "reads_with_tfx",
        train_args=trainer_pb2.TrainArgs(splits=splits),
        eval_args=trainer_pb2.EvalArgs(splits=splits),
    )

    assert other.curve == run.curve


def test_remote_file_system_is_read_and_written(tmp_path, run):
    """Every file goes through TFX's file systems: here one in memory, under a scheme of its own."""
    remote = f"ram://{tmp_path.name}"
    other = Run(training_examples(f"{remote}/examples", ".gz", 1), tmp_path / "outputs")
    for key, (artifact,) in other.outputs.items():
        artifact.uri = f"{remote}/{key}/1" + ("/value" if key == "learning_rate" else "")

    other.do("reads_with_tfx", eval_args=trainer_pb2.EvalArgs(splits=["train"]))

    assert other.files == {}
    assert other.curve == run.curve
    for name in run.files:
        assert tf.io.gfile.exists(f"{remote}/{name}")
    assert tf.io.gfile.GFile(f"{remote}/learning_rate/1/value").read() == str(run.learning_rate)


@pytest.fixture
def parquet_run(tmp_path):
    """An execution on the same examples as Parquet, as TFX's ParquetExampleGen names them."""
    x = np.float32([1, -1] * 64)
    (tmp_path / "Split-train").mkdir()
    table = pyarrow.table({"x": x, "y": SLOPES["train"] * x})
    pyarrow.parquet.write_table(table, tmp_path / "Split-train" / "data_parquet-00000-of-00001")
    artifact = examples_in(tmp_path, ["train"])
    artifact.set_string_custom_property("file_format", "parquet")
    artifact.set_string_custom_property("payload_format", "FORMAT_PARQUET")
    return Run(artifact, tmp_path / "outputs")


def test_parquet_is_what_the_users_code_reads(parquet_run, run):
    """The files reach the user's code whatever their format."""
    parquet_run.do("reads_parquet", eval_args=trainer_pb2.EvalArgs(splits=["train"]))

    assert parquet_run.curve == run.curve


def test_parquet_is_not_read_by_tfx(parquet_run):
    """TFX has no data set of Parquet files: its own error arrives."""
    splits = trainer_pb2.EvalArgs(splits=["train"])

    check_refused(parquet_run, NotImplementedError, "^$", "reads_with_tfx", eval_args=splits)


@pytest.mark.parametrize(
    ("function", "received"), [("a_pair", "of type tuple"), ("nothing", "None of type NoneType")]
)
def test_another_result_is_refused(new_run, function, received):
    """The message says what was returned and what to return."""
    message = rf"must return an LrFinderFnResult\. Received: .*{received}\. Return `LrFinderFnRes"

    check_refused(new_run, TypeError, message, function)


@pytest.mark.parametrize(
    ("function", "message"),
    [
        ("not_compiled", r"must be compiled.* Received: model 'raw' without an optimizer\. Call"),
        ("not_a_model", r"`model` must be a Keras model\. Received: <function _model"),
        ("empty_data", r"must yield .*Received: a data set that is empty.*Check the split"),
        ("a_list", r"(?s)must be a tf\.data\.Dataset of batches .*of type list"),
        ("without_labels", r"(?s)Received: .*float32.*Yield batches as `model\.fit` takes them"),
        ("features_by_name", r"(?s)Received: .*float32.*Yield batches as `model\.fit` takes them"),
        ("four_parts", r"(?s)Received: .*float32.*Yield batches as `model\.fit` takes them"),
        ("not_a_number", r"must be finite\. Received: .* learning_rate=1e-06.* Look for NaN in"),
    ],
    ids=lambda value: value if "`" not in value and "\\" not in value else "",
)
def test_mistake_of_the_user_is_refused(new_run, function, message):
    """The message says the rule, what was received and the remedy."""
    check_refused(new_run, ValueError, message, function)


@pytest.mark.parametrize("function", ["a_list", "a_pair", "without_labels"])
def test_message_shows_no_more_than_the_beginning_of_what_it_received(new_run, function):
    """A data set or a model of any size makes a message that can be read in a log."""
    with pytest.raises((TypeError, ValueError), match="Received: ") as raised:
        new_run.do(function)

    assert len(str(raised.value)) < 2000


@pytest.mark.parametrize(
    ("function", "error", "message"),
    [
        ("raises", LookupError, "^\"the user's own message\"$|^the user's own message$"),
        (
            "raises_attribute_error",
            AttributeError,
            "'FnArgs' object has no attribute 'no_such_argument'",
        ),
    ],
)
def test_error_of_the_users_function_arrives_as_it_is(new_run, function, error, message):
    """Neither its type nor its message is changed."""
    check_refused(new_run, error, message, function)


def test_working_folder_is_removed_after_an_error(new_run, tmp_path, monkeypatch):
    """Nothing stays in the folder for temporary files."""
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))

    check_refused(new_run, ValueError, "a data set that is empty", "empty_data")

    assert list((tmp_path / "temporary").iterdir()) == []


@pytest.fixture(scope="module")
def failed(examples, tmp_path_factory):
    """An execution whose loss never falls, and the error that it ended with."""
    run = Run(examples, tmp_path_factory.mktemp("failed") / "outputs")
    with pytest.raises(NoLearningRateError) as raised:
        run.do("without_learning")
    return run, raised.value


def test_flat_curve_is_refused_with_its_points(failed):
    """TFX deletes the outputs of a failed execution: the message itself is the evidence."""
    run, error = failed

    assert re.search(
        r"\(flat\)\. The loss never fell\. Check labels.*Received: 100 of 100 steps, "
        r"stopped because every step was done, rate and loss 1\.0e-06: 0, .*, 1\.0e\+01: 0\.",
        str(error),
    )
    assert run.files == {}


def test_error_carries_the_verdict(failed):
    """A caller can tell the reasons apart without reading the message."""
    assert failed[1].verdict is Verdict.FLAT


def test_log_of_a_failure_has_its_sweeps(failed):
    """What was done before the error is known, too."""
    assert [line.split()[0] for line in failed[0].log.lines] == ["Learning-rate", "Sweep,"]


def test_divergence_at_the_start_is_refused_with_its_points(new_run):
    """From a rate of 2 on the error triples at once, and more with each step."""
    message = r"\(diverged_at_start\)\. .*Lower `min_learning_rate`.*2\.0e\+00: 4, 2\.3e\+00: 38"

    check_refused(
        new_run,
        NoLearningRateError,
        message,
        min_learning_rate=2,
        max_learning_rate=2000,
        smoothing=0,
    )


@pytest.fixture(scope="module")
def fallen_back(examples, tmp_path_factory):
    """Two sweeps whose loss never falls, with trials to come and a rate to fall back on."""
    run = Run(examples, tmp_path_factory.mktemp("fallen_back") / "outputs")
    options = {"num_sweeps": 2, "trial_steps": 5}
    return run.do("without_learning", on_failure="default", default_learning_rate=0.003, **options)


def test_default_rate_is_published(fallen_back):
    """In every output, as a rate that was found would be."""
    assert fallen_back.learning_rate == 0.003
    assert fallen_back.hyperparameters["values"] == {"learning_rate": 0.003}
    assert fallen_back.sweep.get_float_custom_property("learning_rate") == 0.003


def test_default_rate_has_no_interval(fallen_back):
    """Every repetition that falls back publishes the same rate."""
    assert read_evidence(fallen_back.sweep).published.interval is None
    assert not fallen_back.sweep.has_custom_property("learning_rate_low")
    assert not fallen_back.sweep.has_custom_property("learning_rate_high")


def test_default_rate_is_recorded_as_such(fallen_back):
    """The rule is `default`, and the verdict says why."""
    assert fallen_back.sweep.get_string_custom_property("rule") == "default"
    assert fallen_back.sweep.get_string_custom_property("verdict") == "flat"


def test_default_rate_comes_with_the_evidence(fallen_back):
    """The curve that gave no rate, its picture and its page are there."""
    assert fallen_back.curve.losses == pytest.approx(np.zeros(100))
    assert fallen_back.files["sweep/1/curve.png"].startswith(b"\x89PNG")
    assert b"The loss never fell" in fallen_back.files["sweep/1/report.html"]


def test_default_rate_is_not_tried(fallen_back):
    """Nothing is trained around a rate that no sweep suggested; the verdict is the first one's."""
    evidence = read_evidence(fallen_back.sweep)

    assert evidence.published == Publication(0.003, Verdict.FLAT, is_default=True)
    assert evidence.read is None
    assert (len(evidence.curves), evidence.trials) == (2, ())
    assert not fallen_back.sweep.has_custom_property("spread")


def test_default_rate_is_a_warning_in_the_log(fallen_back):
    """It is seen without being asked for."""
    equal, line = fallen_back.log.warnings
    assert equal.startswith("Sweeps with losses of their own: 1 of 2. Only these count.")
    assert line.startswith("No learning rate can be suggested (flat).")
    assert line.endswith("Using default_learning_rate instead.")


def test_default_rate_is_not_used_where_a_rate_is_found(kubeflow_run, run):
    """It is for failures alone."""
    assert kubeflow_run.learning_rate == run.learning_rate
    assert kubeflow_run.sweep.get_string_custom_property("rule") == "descent"


def test_default_rate_does_not_hide_a_mistake(new_run):
    """A model that is not compiled is an error whatever is to be done without a rate."""
    check_refused(
        new_run,
        ValueError,
        "must be compiled",
        "not_compiled",
        on_failure="default",
        default_learning_rate=0.003,
    )


def test_written_numbers_are_plain_json(run):
    """No NaN and no infinity, which other readers of JSON refuse."""

    def refuse(name):
        raise AssertionError(f"{name} in the JSON")

    for name in ("best_hyperparameters/1/best_hyperparameters.txt", "sweep/1/sweep.json"):
        json.loads(run.files[name], parse_constant=refuse)
    assert math.isfinite(run.learning_rate)


@pytest.fixture(scope="module")
def three_sweeps(examples, tmp_path_factory):
    """An execution of three sweeps from random weights on shuffled examples."""
    run = Run(examples, tmp_path_factory.mktemp("three") / "outputs")
    return run.do("random_start", num_sweeps=3, num_steps=50)


def test_curves_of_several_sweeps_are_those_of_single_ones(three_sweeps, random_runs):
    """Seeds 0, 1 and 2; the second curve is, bit for bit, that of a run of its own."""
    curves = read_evidence(three_sweeps.sweep).curves

    assert [curve.seed for curve in curves] == [0, 1, 2]
    assert curves[1] == random_runs[0].curve


def test_another_seed_is_another_start(three_sweeps):
    """The seed decides the initial weight: the very first losses differ."""
    assert len({curve.losses[0] for curve in read_evidence(three_sweeps.sweep).curves}) == 3


def test_rate_of_several_sweeps_is_their_median(three_sweeps):
    """It is in every output; the spread is in the artifact and among its properties."""
    evidence = read_evidence(three_sweeps.sweep)
    rates = [suggest(curve).learning_rate for curve in evidence.curves]

    assert three_sweeps.learning_rate == pytest.approx(np.median(rates), rel=1e-12)
    assert three_sweeps.hyperparameters["values"]["learning_rate"] == three_sweeps.learning_rate
    assert evidence.spread == pytest.approx(np.std(np.log10(rates), ddof=1))
    assert three_sweeps.sweep.get_float_custom_property("spread") == evidence.spread
    assert three_sweeps.sweep.get_int_custom_property("num_sweeps") == 3


def test_single_sweep_has_no_spread(run):
    """One rate says nothing of how far others would lie from it."""
    assert run.sweep.get_int_custom_property("num_sweeps") == 1
    assert not run.sweep.has_custom_property("spread")


@pytest.mark.parametrize("sweeps", ["run", "three_sweeps"])
def test_interval_is_that_of_the_sweeps(sweeps, request):
    """In the artifact and among its properties; three sweeps that agree narrow it."""
    sweep = request.getfixturevalue(sweeps).sweep
    evidence = read_evidence(sweep)
    ends = [sweep.get_float_custom_property(f"learning_rate_{end}") for end in ("low", "high")]
    width = half_width(evidence.read)
    rate = evidence.published.learning_rate

    assert tuple(ends) == evidence.published.interval
    assert ends == pytest.approx([rate / 10**width, rate * 10**width])


def test_outputs_of_several_sweeps_are_those_of_one(three_sweeps, run):
    """What the workers left for us is gone; TensorBoard has the events of each sweep."""
    files = [[name for name in r.files if "/tensorboard/" not in name] for r in (three_sweeps, run)]

    assert files[0] == files[1]
    assert not (three_sweeps.folder / "sweep/1/unfinished").exists()


def test_rates_that_are_far_apart_are_noisy(new_run):
    """Features of two scales: each sweep is fine, but the rates differ by far more than two."""
    new_run.do("of_random_scale", num_sweeps=2)

    evidence = read_evidence(new_run.sweep)
    assert {suggest(curve).verdict for curve in evidence.curves} == {Verdict.OK}
    assert evidence.spread > 0.3
    assert new_run.sweep.get_string_custom_property("verdict") == "noisy"


def test_sweep_that_fails_fails_the_execution(new_run):
    """The second of three: the error is the user's own, and nothing is left."""
    check_refused(new_run, LookupError, "the user's own", "for_one_seed", num_sweeps=3)


@pytest.fixture(scope="module")
def tried(examples, tmp_path_factory):
    """An execution with two sweeps and trials of five steps."""
    run = Run(examples, tmp_path_factory.mktemp("tried") / "outputs")
    return run.do("with_validation", num_sweeps=2, trial_steps=5)


def test_trials_are_the_closed_form(tried):
    """After n steps w = 2 (1 - (1 - 2 rate)**n); on y = 3 x the loss is (w - 3)**2.

    The longer ones, too, which go on from the shorter ones.
    """
    evidence = read_evidence(tried.sweep)
    rates = np.array([trial.learning_rate for trial in evidence.trials])
    steps = np.array([trial.num_steps for trial in evidence.trials])
    weights = SLOPES["train"] * (1 - (1 - 2 * rates) ** steps)
    losses = (weights - SLOPES["eval"]) ** 2

    assert (steps[0], steps[-1]) == (5, 5 + (8 - np.sum(steps == 5)) * 5 // 2)
    assert rates[1] == suggest(evidence.curves).learning_rate
    assert rates[2] == pytest.approx(rates[1] * 10**SPACING)
    assert [trial.loss for trial in evidence.trials] == pytest.approx(losses, rel=1e-4)


def test_published_rate_is_that_of_the_trials(tried):
    """In every output; the rule is still that of the sweep."""
    evidence = read_evidence(tried.sweep)
    read = suggest(evidence.curves)
    rate = settled(evidence.trials, Schedule.CONSTANT, (1e-6, 10.0))

    assert evidence.curves[0].schedule is Schedule.CONSTANT
    assert tried.learning_rate == evidence.published.learning_rate == rate
    assert tried.hyperparameters["values"]["learning_rate"] == rate
    assert tried.sweep.get_float_custom_property("learning_rate") == rate
    assert evidence.read == read
    assert rate != evidence.read.learning_rate
    assert tried.sweep.get_string_custom_property("rule") == "descent"
    assert tried.sweep.get_int_custom_property("num_trials") == len(evidence.trials)
    assert tried.sweep.get_int_custom_property("search_steps") == evidence.num_steps


def test_interval_of_trials_is_wider_than_that_of_a_sweep(tried):
    """It lies around the published rate, not around the one that was read."""
    published = read_evidence(tried.sweep).published
    width = 10**HALF_WIDTH_TRIALS

    assert published.interval == pytest.approx(
        (published.learning_rate / width, published.learning_rate * width)
    )


def test_long_training_gets_trials_within_the_budget(new_run):
    """Without being asked for; what they cost stands in the log and in the properties."""
    new_run.do("with_validation", train_args=trainer_pb2.TrainArgs(num_steps=6_000))

    evidence = read_evidence(new_run.sweep)
    assert evidence.trials[0].num_steps == (600 - 120) // 8
    assert evidence.num_steps - len(evidence.curves[0]) <= 600


def test_log_has_a_line_for_each_event(tried):
    """The start, each sweep, trial and proof, and the rate with its verdict in words."""
    patterns = [
        r"Learning-rate search: 2 sweep\(s\) of 100 steps from 1e-06 to 10, rule descent\.",
        r"Sweep, seed 0 \(Sequential of 1 parameters, SGD\): "
        r"\d+ of 100 steps, stopped because the loss diverged\.",
        r"Sweep, seed 1 .*",
        r"Sweeps with losses of their own: 1 of 2\. Only these count\. .*",
        r"The search: 2 sweeps of 100 steps, up to 6 trials of 5 steps, of which the best 2 go on, "
        r"and a proof of 120 steps: at most 360 steps\.",
        *[r"Trial at [\d.e-]+: loss [\d.e+-]+ after 5 steps\."] * 4,
        *[r"Trial at [\d.e-]+: loss [\d.e+-]+ after 15 steps\."] * 2,
        r"Proof at [\d.e-]+: in 120 steps from a loss of 9 to [\d.e+-]+ "
        r"\(validation data; best constant: 9\)\.",
        r"Learning rate [\d.e-]+ \(rule descent, verdict ok\), found in \d+\.\d s\. "
        + re.escape(Verdict.OK.meaning),
    ]
    assert len(tried.log.lines) == len(patterns)
    for pattern, line in zip(patterns, tried.log.lines, strict=True):
        assert re.fullmatch(pattern, line)


def test_short_training_gets_no_trials(run):
    """By default: they would be too short to tell more than the sweep."""
    assert read_evidence(run.sweep).trials == ()


def test_trials_without_validation_data_are_judged_by_their_last_losses(new_run):
    """The mean of the last fifth, where no example is held out: on y = 2 x it is (w - 2)**2."""
    new_run.do(trial_steps=5)

    for trial in read_evidence(new_run.sweep).trials:
        last = np.arange(trial.num_steps)[-max(1, round(trial.num_steps / 5)) :]
        losses = (2 * (1 - 2 * trial.learning_rate) ** last) ** 2
        assert trial.loss == pytest.approx(losses.mean(), rel=1e-3)


def test_default_rate_comes_with_the_proofs_that_failed(new_run):
    """From the best weight the loss can only rise; the report lists what shows it."""
    options = {"on_failure": "default", "default_learning_rate": 0.003}

    new_run.do("at_the_minimum", num_steps=200, **options)

    evidence = read_evidence(new_run.sweep)
    assert evidence.published == Publication(0.003, Verdict.FLAT, is_default=True)
    assert evidence.read == suggest(evidence.curves)
    assert evidence.proofs
    assert not any(proof.learns for proof in evidence.proofs)
    count = len(evidence.proofs)
    sentence = f"The default rate was published: the model did not learn in {count} short training"
    assert sentence in new_run.files["sweep/1/report.html"].decode()
