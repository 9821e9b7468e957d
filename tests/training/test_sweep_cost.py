"""What a sweep costs, in counts instead of seconds: traces, operations, round trips, bytes."""

import functools
import itertools
import shutil
import time
from pathlib import Path

import jinja2
import keras
import numpy as np
import pytest
import tensorflow as tf
from matplotlib.figure import Figure
from range_tests import range_tests
from tf_examples import write_examples
from tfx.proto import trainer_pb2
from tfx.types import standard_artifacts
from tfx.utils import proto_utils

from tfx_lr_finder import Evidence, LearningRateSweep, LrFinderFnResult, suggest
from tfx_lr_finder.artifacts import write_sweep
from tfx_lr_finder.core.sweep import StopReason, end_of_sweep
from tfx_lr_finder.search.request import Search
from tfx_lr_finder.training import loop
from tfx_lr_finder.training.loop import GROWTH, SECONDS_A_CHUNK
from tfx_lr_finder.training.range_test import range_test
from tfx_lr_finder.training.steps import build_loop

USER_MODULE = Path(__file__).parents[1] / "data" / "linear" / "linear.py"
CALLS_OF_PYTHON = {"PyFunc", "PyFuncStateless", "EagerPyFunc"}
NUM_STEPS = 100
ROWS = 4
OPERATIONS_A_STEP = 24
"""Most operations that the loop may add to a training step: it adds 19 on TF 2.16."""


def linear_model(keras_module=keras, base=None):
    """Returns a compiled model of two features with a metric."""
    model = (base or keras_module.Sequential)(
        [keras_module.Input((2,)), keras_module.layers.Dense(1)]
    )
    model.compile(keras_module.optimizers.Adam(), "mse", metrics=["mae"])
    return model


def batches():
    """Returns a data set of one batch."""
    return tf.data.Dataset.from_tensors((tf.ones((ROWS, 2)), tf.ones((ROWS, 1))))


def telling():
    """Returns a model whose loss is the mean of its batch, and which wants it to be below 100."""

    class Telling(keras.Model):
        def train_step(self, batch):
            self.optimizer.iterations.assign_add(1)
            tf.debugging.assert_less(batch, tf.cast(100, batch.dtype))
            return {"loss": tf.reduce_mean(batch)}

    model = Telling()
    model.compile(keras.optimizers.SGD(0.5))
    return model


@pytest.fixture
def traced():
    """A traced loop of `NUM_STEPS` steps, and an iterator over its batches."""
    model = linear_model()
    iterator = iter(batches().repeat())
    return build_loop(model, iterator, model.optimizer._learning_rate), iterator


def operations_a_step(function):
    """Returns the number of operations in the body of a graph's loop."""
    graph = function.graph.as_graph_def()
    (loop,) = (node for node in graph.node if node.op in ("While", "StatelessWhile"))
    body = loop.attr["body"].func.name
    (nodes,) = (f.node_def for f in graph.library.function if f.signature.name == body)
    return len(nodes)


@pytest.mark.parametrize("has_own_step", [False, True], ids=["of Keras", "own step"])
def test_graph_is_traced_once_whatever_the_number_of_sweeps(keras_module, has_own_step):
    """Python enters the train step once, though variables of optimizer and metrics come into being.

    One of the user's own is entered twice: `tf.function` traces anew then, and for `fit`, too.
    """
    traces = []

    class Own(keras_module.Sequential):
        def train_step(self, batch):
            return super().train_step(batch)

    def model():
        made = linear_model(keras_module, Own if has_own_step else None)
        train_step = made.train_step

        def counting(batch):
            traces.append(tf.executing_eagerly())
            return train_step(batch)

        made.train_step = counting
        return made

    curves = range_tests(
        lambda _: LrFinderFnResult(model(), batches()),
        range(3),
        min_learning_rate=1e-6,
        max_learning_rate=1e-3,
        num_steps=5,
        smoothing=0.98,
        divergence_factor=4.0,
    )

    found = [list(traces) for _ in curves]

    assert found == 3 * [[False] * (2 if has_own_step else 1)]


def chunks(num_steps, step_seconds):
    """Returns the chunks of a sweep whose steps take so long; none of them is done."""
    model = linear_model()
    iterator = iter(batches().repeat())
    loop = build_loop(model, iterator, model.optimizer._learning_rate)
    trips = []

    def steps(iterator, first, end, validation):
        trips.append((int(first), int(end)))
        time.sleep(float(step_seconds(first)) * (trips[-1][1] - trips[-1][0]))
        loop.done.assign(end)

    rates = np.geomspace(1e-6, 1e-3, num_steps)
    ended = functools.partial(
        end_of_sweep, num_steps=num_steps, smoothing=0.98, divergence_factor=float("inf")
    )
    losses, _, reason, _ = loop._replace(steps=steps).run(iterator, rates, ended)
    assert (losses.size, reason) == (num_steps, StopReason.ALL_STEPS)
    return trips


@pytest.mark.parametrize("num_steps", [2, 200, 2000])
def test_fast_sweep_hardly_returns_to_python(num_steps):
    """Every step is done once, in order; the first chunks find out how long a step takes."""
    trips = chunks(num_steps, lambda _: 1e-5)

    assert [0, *(end for _, end in trips)] == [*(first for first, _ in trips), num_steps]
    assert len(trips) <= 8  # five, unless the machine stalls in one of the first


def test_slow_sweep_returns_to_python_in_time():
    """A signal is noticed then, and a progress bar moves: steps of 20 ms."""
    trips = chunks(40, lambda _: 0.02)

    assert all((end - first) * 0.02 <= SECONDS_A_CHUNK for first, end in trips)
    assert len(trips) <= 10


def test_batches_that_were_read_ahead_foretell_little():
    """The first step takes nothing, those after wait for their batches: chunks grow slowly."""
    trips = chunks(100, lambda first: 0.0 if first == 0 else 0.02)

    sizes = [end - first for first, end in trips]
    assert all(size <= GROWTH * last for last, size in itertools.pairwise(sizes))
    assert all(size * 0.02 <= SECONDS_A_CHUNK for size in sizes)


def test_loop_adds_few_operations_to_a_step(traced):
    """Beside a model of a few operations, every one of the loop's own shows."""
    loop, iterator = traced
    model = linear_model()

    @tf.function(autograph=False)
    def bare(iterator):
        def body(step, _):
            return step + 1, model.train_step(iterator.get_next())["loss"]

        return tf.while_loop(lambda step, _: step < 2, body, (0, 0.0))

    added = operations_a_step(loop.steps) - operations_a_step(bare.get_concrete_function(iterator))

    assert 0 < added <= OPERATIONS_A_STEP


def operations(function):
    """Returns the kind of every operation in a graph and in the functions that it calls."""
    graph = function.graph.as_graph_def()
    bodies = [graph.node, *(body.node_def for body in graph.library.function)]
    return {node.op for body in bodies for node in body}


def test_nothing_in_a_chunk_returns_to_python(traced):
    """No operation of the loop calls Python; it would show in a model that has one that does."""

    class Calling(keras.Sequential):
        def train_step(self, batch):
            tf.py_function(lambda: None, [], [])
            return super().train_step(batch)

    model, iterator = linear_model(base=Calling), iter(batches().repeat())
    calling = build_loop(model, iterator, model.optimizer._learning_rate)

    assert not operations(traced[0].steps) & CALLS_OF_PYTHON
    assert operations(calling.steps) & CALLS_OF_PYTHON


def bytes_read():
    """Returns how many bytes this process has read from files so far."""
    (line,) = (s for s in Path("/proc/self/io").read_text().splitlines() if s.startswith("rchar"))
    return int(line.split()[1])


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    """Eight TFRecord files of 4 MiB in records of 4 KiB."""
    folder = tmp_path_factory.mktemp("shards")
    for i in range(8):
        with tf.io.TFRecordWriter(str(folder / f"data-{i:05d}-of-00008")) as writer:
            for _ in range(1024):
                writer.write(b"\0" * 4096)
    return sorted(str(file) for file in folder.iterdir())


def test_sweep_reads_a_small_part_of_a_large_data_set(shards):
    """Twenty batches of 16 KiB out of 32 MiB: less than a tenth is read, buffers included."""
    parsed = tf.data.TFRecordDataset(shards).map(lambda r: tf.io.decode_raw(r, tf.float32))
    range_test(telling(), parsed.take(4).batch(ROWS), num_steps=2)
    before = bytes_read()

    range_test(telling(), parsed.batch(ROWS), num_steps=20)

    assert 20 * ROWS * 4096 <= bytes_read() - before < 8 * 1024 * 4096 / 10


@pytest.fixture(scope="module")
def examples(tmp_path_factory):
    """Examples of a split of one file, and of one of forty such files, by their number."""
    artifacts = {}
    for count in (1, 40):
        folder = tmp_path_factory.mktemp("examples")
        split = folder / "Split-train"
        first = split / f"data_tfrecord-00000-of-{count:05d}.gz"
        write_examples(first, [{"x": 1.0, "y": 1.0}] * 1000)
        for i in range(1, count):
            shutil.copyfile(first, split / f"data_tfrecord-{i:05d}-of-{count:05d}.gz")
        artifacts[count] = standard_artifacts.Examples()
        artifacts[count].uri = str(folder)
        artifacts[count].split_names = '["train", "eval"]'
    return artifacts


def test_search_of_the_component_reads_no_more_of_more_files(examples):
    """Two sweeps over forty files read what they read of one, the user's module included."""
    properties = {
        "module_file": str(USER_MODULE),
        "train_args": proto_utils.proto_to_json(trainer_pb2.TrainArgs(num_steps=100)),
        "eval_args": proto_utils.proto_to_json(trainer_pb2.EvalArgs()),
        "num_steps": 20,
        "min_learning_rate": 1e-3,
        "max_learning_rate": 0.1,
    }

    def read(count):
        search = Search.of_execution({"examples": [examples[count]]}, properties, None)
        before = bytes_read()
        assert [curve.batch_size for curve in search.sweeps([0, 1])] == [8, 8]
        return bytes_read() - before

    read(1)  # loads what Python loads once

    assert read(40) == pytest.approx(read(1), rel=0.1)


def test_picture_and_page_are_made_once(make_curve, tmp_path, monkeypatch):
    """The files of a search show one picture: in the page, by itself and in TensorBoard."""
    made = []

    def counting(owner, name):
        method = getattr(owner, name)

        def count(*args, **kwargs):
            made.append(name)
            return method(*args, **kwargs)

        monkeypatch.setattr(owner, name, count)

    counting(Figure, "savefig")
    counting(jinja2.Template, "render")
    curve = make_curve([*np.linspace(2, 1, 80), *np.geomspace(1, 9, 20)])
    artifact = LearningRateSweep()
    artifact.uri = str(tmp_path)

    write_sweep(artifact, Evidence.of(suggest(curve), [curve]))

    assert sorted(made) == ["render", "savefig"]
    picture = (tmp_path / "curve.png").read_bytes()
    assert picture in b"".join(file.read_bytes() for file in tmp_path.rglob("events*"))


def numbers(values):
    """Returns a data set of batches of one number each."""
    return tf.data.Dataset.from_tensor_slices(np.asarray(values, dtype=np.float64)).batch(1)


def test_step_that_fails_beyond_the_end_of_the_curve_does_no_harm(monkeypatch):
    """The sweep has diverged at the sixth step; the eighth fails, in the same chunk."""
    monkeypatch.setattr(loop, "SECONDS_A_CHUNK", 1e6)  # of 1, 10 and 100 steps
    losses = [4, 2, 1, 1, 1, 9, 9, 1e3, *[1] * 32]

    curve = range_test(telling(), numbers(losses), num_steps=40, smoothing=0.0)

    assert curve.stop_reason is StopReason.DIVERGED
    assert curve.losses.tolist() == losses[:6]


def test_step_that_fails_before_the_end_is_an_error():
    """The steps before it do not make a curve."""
    losses = [4, 2, 1, 1, 1, 2, 1, 1e3, *[1] * 192]

    with pytest.raises(ValueError, match=r"(?s)must be trainable.*InvalidArgumentError"):
        range_test(telling(), numbers(losses), num_steps=200, smoothing=0.0)


def test_batch_size_is_that_of_the_curve(monkeypatch):
    """Greater batches beyond its end do not count, though they are of the same chunk."""
    monkeypatch.setattr(loop, "SECONDS_A_CHUNK", 1e6)  # of 1 and 10 steps
    values = np.repeat([2.0, 1.0, 9.0, 1.0], [2, 8, 2, 6])
    dataset = tf.data.Dataset.from_tensor_slices(values).batch(2)
    late = tf.data.Dataset.from_tensors(tf.ones(6, tf.float64))

    curve = range_test(telling(), dataset.take(6).concatenate(late), num_steps=40, smoothing=0.0)

    assert curve.stop_reason is StopReason.DIVERGED
    assert curve.batch_size == 2
