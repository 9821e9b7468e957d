"""What a sweep costs, in counts instead of seconds: traces, operations, round trips, bytes."""

import time
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfx_lr_finder.curve import StopReason
from tfx_lr_finder.sweep import range_test, range_tests
from tfx_lr_finder.sweep_loop import NUM_CHUNKS, build_loop

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
    rates = np.geomspace(1e-6, 1e-3, NUM_STEPS)
    return build_loop(model, iterator, model.optimizer._learning_rate, rates), iterator


def operations_a_step(function):
    """Returns the number of operations in the body of a graph's loop."""
    graph = function.graph.as_graph_def()
    (loop,) = (node for node in graph.node if node.op in ("While", "StatelessWhile"))
    body = loop.attr["body"].func.name
    (nodes,) = (f.node_def for f in graph.library.function if f.signature.name == body)
    return len(nodes)


@pytest.mark.parametrize("num_sweeps", [1, 4])
def test_graph_is_traced_once_whatever_the_number_of_sweeps(keras_module, num_sweeps):
    """Python enters the train step as often for four sweeps, each of a new model, as for one."""
    traces = []

    class Counting(keras_module.Sequential):
        def train_step(self, batch):
            traces.append(tf.executing_eagerly())
            return super().train_step(batch)

    curves = range_tests(
        lambda _: (linear_model(keras_module, Counting), batches()),
        range(num_sweeps),
        train_steps=None,
        min_learning_rate=1e-6,
        max_learning_rate=1e-3,
        num_steps=20,
        smoothing=0.98,
        divergence_factor=4.0,
        graph_seed=0,
    )

    assert len(list(curves)) == num_sweeps
    # Twice where variables come into being in the first trace: tf.function traces anew then.
    assert len(traces) <= 2
    assert not any(traces)


@pytest.mark.parametrize("num_steps", [2, 19, 20, 21, 200, 1999])
def test_sweep_returns_to_python_a_bounded_number_of_times(num_steps):
    """Hardly more than `NUM_CHUNKS` times where steps are fast, and all steps are done."""
    model = linear_model()
    iterator = iter(batches().repeat())
    rates = np.geomspace(1e-6, 1e-3, num_steps)
    loop = build_loop(model, iterator, model.optimizer._learning_rate, rates)
    trips = []

    def steps(iterator, first, end):
        trips.append((int(first), int(end)))
        return loop.steps(iterator, first, end)

    losses, reason, _ = loop._replace(steps=steps).run(iterator, 0.98, float("inf"))

    assert reason is StopReason.ALL_STEPS
    assert losses.size == num_steps
    assert len(trips) <= NUM_CHUNKS + 5  # the first ones find out how fast
    assert [0, *(end for _, end in trips)] == [*(first for first, _ in trips), num_steps]


def test_slow_sweep_returns_to_python_about_every_second():
    """A signal is noticed then, and a progress bar moves: steps of 0.1 s, thousands of them."""
    model = linear_model()
    iterator = iter(batches().repeat())
    rates = np.geomspace(1e-6, 1e-3, 10_000)
    loop = build_loop(model, iterator, model.optimizer._learning_rate, rates)
    trips = []

    def steps(iterator, first, end):
        trips.append(int(end - first))
        if len(trips) == 4:
            raise InterruptedError
        time.sleep(0.1 * trips[-1])

    with pytest.raises(InterruptedError):
        loop._replace(steps=steps).run(iterator, 0.98, float("inf"))

    assert trips[0] == 1
    assert all(5 <= trip <= 10 for trip in trips[1:])


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


def numbers(values):
    """Returns a data set of batches of one number each."""
    return tf.data.Dataset.from_tensor_slices(np.asarray(values, dtype=np.float64)).batch(1)


def test_step_that_fails_beyond_the_end_of_the_curve_does_no_harm():
    """The sweep has diverged at the sixth of a chunk of ten; the eighth fails."""
    losses = [4, 2, 1, 1, 1, 9, 9, 1e3, *[1] * 192]

    curve = range_test(telling(), numbers(losses), num_steps=200, smoothing=0.0)

    assert curve.stop_reason is StopReason.DIVERGED
    assert curve.losses.tolist() == losses[:6]


def test_step_that_fails_before_the_end_is_an_error():
    """The steps before it do not make a curve."""
    losses = [4, 2, 1, 1, 1, 2, 1, 1e3, *[1] * 192]

    with pytest.raises(ValueError, match=r"(?s)must be trainable.*InvalidArgumentError"):
        range_test(telling(), numbers(losses), num_steps=200, smoothing=0.0)


def test_batch_size_is_that_of_the_curve():
    """Greater batches beyond its end do not count."""
    values = np.repeat([2.0, 1.0, 9.0, 1.0], [2, 2, 2, 6])
    dataset = tf.data.Dataset.from_tensor_slices(values).batch(2)
    late = tf.data.Dataset.from_tensors(tf.ones(6, tf.float64))

    curve = range_test(telling(), dataset.take(3).concatenate(late), num_steps=40, smoothing=0.0)

    assert curve.stop_reason is StopReason.DIVERGED
    assert curve.batch_size == 2
