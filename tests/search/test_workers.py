"""Sweeps and trials as elements of real Beam pipelines: the same results as without."""

import json

import apache_beam as beam
import keras
import pytest
import tensorflow as tf
from apache_beam.options.pipeline_options import PipelineOptions
from tfx.types.standard_artifacts import Examples

from tfx_lr_finder.core.curve import Curve
from tfx_lr_finder.core.trials.halving import Trial
from tfx_lr_finder.search.request import Search, TrialTask
from tfx_lr_finder.search.workers import Workers

MODULE = '''
import os
import shutil
import signal

import keras
import numpy as np
import tensorflow as tf

from tfx_lr_finder import LrFinderFnResult

keras.config.set_dtype_policy("float64")  # Keras keeps it for one thread alone


def lr_finder_fn(fn_args):
    """A model with dropout and random weights on shuffled examples."""
    layers = [keras.layers.Dropout(0.5), keras.layers.Dense(1)]
    model = keras.Sequential([keras.Input((1,)), *layers])
    model.compile(keras.optimizers.SGD(momentum=0.9), "mse")
    assert model.weights[0].dtype == "float64"
    files = tf.data.Dataset.list_files(fn_args.train_files, shuffle=False)
    numbers = tf.data.TFRecordDataset(files, "GZIP").map(
        lambda text: tf.strings.to_number(text, tf.float64)[None]
    )
    pairs = numbers.map(lambda x: (x, 2 * x)).shuffle(64)
    return LrFinderFnResult(model, pairs.batch(4).map(_shifted), pairs.take(16).batch(8))


def _shifted(features, labels):
    return features + tf.random.normal((), dtype=tf.float64), labels


def sometimes_fails(fn_args):
    """Fails for seed 2."""
    if np.random.RandomState(2).uniform() == np.random.uniform():
        raise LookupError("the user's own message")
    return lr_finder_fn(fn_args)


def loses_results(fn_args):
    """Removes what the sweep before it has left, as a disk that is not shared would."""
    shutil.rmtree(fn_args.custom_config["folder"], ignore_errors=True)
    return lr_finder_fn(fn_args)


def is_killed(fn_args):
    """Ends as a process does whose memory is used up."""
    os.kill(os.getpid(), signal.SIGKILL)


def is_empty(fn_args):
    """Has no validation data in its data set."""
    result = lr_finder_fn(fn_args)
    return result._replace(validation_dataset=result.validation_dataset.take(0))
'''
RATES = (1e-3, 1e-2, 1e-1)
MODES = {
    "in_memory": [],
    "multi_threading": ["--direct_running_mode=multi_threading", "--direct_num_workers=2"],
    "multi_processing": ["--direct_running_mode=multi_processing", "--direct_num_workers=2"],
}


@pytest.fixture(scope="module")
def search(tmp_path_factory):
    """A search on 64 numbers, with the user's code in a file that no worker can import."""
    folder = tmp_path_factory.mktemp("search")
    (folder / "Split-train").mkdir()
    (folder / "user_code.py").write_text(MODULE)
    file = str(folder / "Split-train" / "data-00000-of-00001.gz")
    with tf.io.TFRecordWriter(file, tf.io.TFRecordOptions(compression_type="GZIP")) as writer:
        for i in range(64):
            writer.write(str(i / 64).encode())
    examples = Examples()
    examples.uri, examples.split_names = str(folder), '["train"]'
    properties = {
        "module_file": str(folder / "user_code.py"),
        "train_args": "{}",
        "eval_args": '{"splits": ["train"]}',
        "num_steps": 50,
        "seed": 0,
    }
    policy = keras.config.dtype_policy()
    yield Search.of_execution(
        {"examples": [examples]}, properties, {"space": [], "values": {"units": 3}}
    )
    keras.config.set_dtype_policy(policy)


def with_function(search, name):
    """Returns the search with another function of the user's module."""
    return Search.of_execution(
        search.inputs, {**search.exec_properties, "lr_finder_fn": name}, None
    )


def in_pipeline(search, folder, mode="in_memory"):
    """Returns the workers of a pipeline in one of Beam's modes."""
    options = PipelineOptions(MODES[mode])
    return Workers(search, lambda: beam.Pipeline(options=options), str(folder))


def both_rounds(run):
    """Returns the trials at all rates, and longer ones at two of them."""
    return [*run(RATES, 4), *run(RATES[1:], 9)]


@pytest.fixture(scope="module")
def curves(search):
    """The curves of three seeds, each swept alone, without Beam."""
    return [curve for seed in range(3) for curve in search.sweeps([seed])]


@pytest.fixture(scope="module")
def trials(search):
    """The trials of both rounds, in this process and in one graph."""
    states = {}
    with search.trainings() as trainings:

        def run(rates, num_steps):
            for rate in rates:
                trial, state = trainings.trial(0, rate, num_steps, states.get(rate))
                states.setdefault(rate, state)
                yield trial

        return both_rounds(run)


def test_results_differ_from_element_to_element(curves, trials):
    """Or else nothing would be shown by their being equal below."""
    assert len({curve.losses[0] for curve in curves}) == 3
    assert len({trial.loss for trial in trials}) == 5


def test_several_in_one_process_are_as_each_alone(search, curves, trials, tmp_path):
    """One after another with one graph, without Beam."""
    tasks = [TrialTask(rate, 4, "", str(tmp_path / str(rate))) for rate in RATES[::-1]]

    assert list(search.sweeps([2, 0, 1])) == [curves[seed] for seed in (2, 0, 1)]
    assert list(search.trials(tasks)) == trials[2::-1]


def test_results_do_not_depend_on_the_threads(search, curves, trials, tmp_path):
    """Bit for bit, in the order of the elements; nothing is left behind."""
    with in_pipeline(search, tmp_path / "results", "multi_threading") as workers:
        assert workers.sweeps([0, 1, 2]) == curves
        assert both_rounds(workers.trials) == trials

    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_trials_do_not_depend_on_the_processes(search, trials, tmp_path):
    """Two worker processes that get nothing but strings give the same results, bit for bit.

    For sweeps, test_local_pipeline compares them.
    """
    with in_pipeline(search, tmp_path / "results", "multi_processing") as workers:
        assert both_rounds(workers.trials) == trials

    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("options", "are_needed"),
    [
        ([], False),
        (["--runner=BundleBasedDirectRunner"], False),
        (["--runner=apache_beam.runners.portability.fn_api_runner.FnApiRunner"], False),
        (MODES["multi_threading"], True),
        (MODES["multi_processing"], True),
        (["--runner=FlinkRunner"], True),
    ],
)
def test_single_worker_in_this_process_is_not_needed(search, tmp_path, options, are_needed):
    """It would trace the graph once more; every other worker is a help."""
    workers = Workers(
        search, lambda: beam.Pipeline(options=PipelineOptions(options)), str(tmp_path / "results")
    )

    assert workers.are_needed is are_needed


def test_processes_that_train_together_need_no_pipeline(search, tmp_path, monkeypatch):
    """Not one is made."""

    def refuse():
        raise AssertionError("a pipeline in a cluster")

    task = {"cluster": {"worker": ["a:1", "b:1"]}, "task": {"type": "worker", "index": 0}}
    monkeypatch.setenv("TF_CONFIG", json.dumps(task))

    assert not Workers(search, refuse, str(tmp_path / "results")).are_needed


def test_error_of_an_element_arrives_with_its_traceback(search, tmp_path):
    """Of four sweeps the one with seed 2 fails: where in the user's code, and with what."""
    failing = with_function(search, "sometimes_fails")

    with (
        pytest.raises(
            RuntimeError,
            match=r"(?s)One of 4 sweeps failed on its worker:\nTraceback.*user_code\.py.*"
            r"in sometimes_fails.*LookupError: the user's own message",
        ),
        in_pipeline(failing, tmp_path / "results", "multi_threading") as workers,
    ):
        workers.sweeps([0, 1, 2, 3])

    assert list(tmp_path.iterdir()) == []


def test_error_of_a_trial_arrives(search, tmp_path):
    """The remedy of the error itself is in the message."""
    with (
        pytest.raises(
            RuntimeError,
            match=r"(?s)One of 3 trials failed.*ValueError: The validation data must yie",
        ),
        in_pipeline(with_function(search, "is_empty"), tmp_path / "results") as workers,
    ):
        workers.trials(RATES, 4)


def test_results_that_do_not_arrive_are_an_error(search, tmp_path):
    """The first file is gone when all is done: never fewer curves than sweeps in silence."""

    folder = tmp_path / "results"
    properties = {
        **with_function(search, "loses_results").exec_properties,
        "custom_config": json.dumps({"folder": str(folder / "0")}),
    }

    workers = in_pipeline(Search.of_execution(search.inputs, properties, None), folder)
    message = r"must leave the results of 2 sweeps in .*results/0\. Received: 1\. Check that every"

    with pytest.raises(RuntimeError, match=message), workers:
        workers.sweeps([0, 1])


@pytest.mark.slow
def test_lost_worker_is_named(search, tmp_path):
    """What Beam says of it, and what helps."""
    killed = with_function(search, "is_killed")
    message = (
        r"(?s)Beam must run 2 sweeps to their end\. Received: .* it has lost a worker\. "
        r"Most often a worker is killed because its memory is used up: "
    )

    with (
        pytest.raises(RuntimeError, match=message),
        in_pipeline(killed, tmp_path / "results", "multi_processing") as workers,
    ):
        workers.sweeps([0, 1])

    assert list(tmp_path.iterdir()) == []


def test_search_travels_as_text(search):
    """Artifacts, parameters and hyperparameters are what they were."""
    read = Search.from_json(search.to_json())

    assert read.exec_properties == search.exec_properties
    assert read.hyperparameters == search.hyperparameters
    (examples,) = read.inputs["examples"]
    assert type(examples) is Examples
    assert (examples.uri, examples.split_names) == (
        search.inputs["examples"][0].uri,
        '["train"]',
    )
    assert read.options == search.options


@pytest.mark.parametrize("kind", ["jsonable", "class", "proto"])
def test_data_that_name_a_class_are_nothing_but_data(search, tmp_path, kind):
    """TFX's own JSON would import what hyperparameters or properties of artifacts name."""
    (tmp_path / "imported_by_data.py").write_text("raise LookupError('run')")
    named = {"__tfx_object_type__": kind, "__module__": "imported_by_data", "__class__": "Any"}
    config = {"space": [], "values": {"units": 3, "note": named}}
    examples = Examples()
    examples.set_json_value_custom_property("note", named)
    given = Search.of_execution({"examples": [examples]}, search.exec_properties, config)

    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(tmp_path)
        read = Search.from_json(given.to_json())

    assert read.hyperparameters == config
    (examples,) = read.inputs["examples"]
    assert examples.get_json_value_custom_property("note") == named


def test_search_without_hyperparameters_travels_too(search):
    """None is none."""
    bare = Search.of_execution(search.inputs, search.exec_properties, None)

    assert Search.from_json(bare.to_json()).hyperparameters is None


def test_results_are_what_they_are_said_to_be(curves, trials):
    """Curves of sweeps and trials of rates."""
    assert all(type(curve) is Curve for curve in curves)
    assert all(type(trial) is Trial for trial in trials)
    assert [trial.learning_rate for trial in trials] == [*RATES, *RATES[1:]]
    assert [trial.num_steps for trial in trials] == [4, 4, 4, 9, 9]
