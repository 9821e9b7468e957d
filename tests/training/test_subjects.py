"""Trials and proofs share model and batches: what each of them finds is as if it had its own."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfx_lr_finder import LrFinderFnResult
from tfx_lr_finder.training.data import first_batches
from tfx_lr_finder.training.graph import Graph
from tfx_lr_finder.training.model.random_state import has_random_operations, seed_everything
from tfx_lr_finder.training.trainings import Trainings

RATES = np.geomspace(1e-3, 0.1, 10)
WIDTH = 3


class Counts:
    """Counts how often the user's code is called, and how many batches its data sets yield."""

    def __init__(self):
        self.calls = self.batches = 0


def plain(layers):
    """Returns the layers of a model without random numbers."""
    return [layers.Dense(4, "relu")]


def at_random(layers):
    """Returns layers with a dropout, which has seeds of its own, and batch statistics."""
    return [layers.BatchNormalization(), layers.Dropout(0.5)]


class Drawing(keras.layers.Layer):
    """A layer with noise of TensorFlow's own, whose state is in no variable."""

    def call(self, inputs, training=False):
        """Adds the same noise to all examples of a batch."""
        return inputs + tf.random.normal((WIDTH,)) if training else inputs


class CallingPython(keras.layers.Layer):
    """A layer that draws from NumPy in each step."""

    def call(self, inputs, training=False):
        """Adds a number to all features of a batch."""
        if not training:
            return inputs
        drawn = tf.numpy_function(np.random.normal, [], tf.float64)
        return inputs + tf.cast(tf.reshape(drawn, ()), inputs.dtype)


def maker(layers, counts=None, is_validated=False, is_built=True):
    """Returns a function that makes a model, and data that are shuffled and disturbed at random."""
    generator = np.random.RandomState(0)
    features = generator.normal(size=(64, WIDTH)).astype(np.float32)
    rows = tf.data.Dataset.from_tensor_slices((features, features.sum(1, keepdims=True)))
    counts = counts or Counts()

    def count():
        counts.batches += 1
        return np.random.normal()

    def noted(x, y):
        noise = tf.numpy_function(count, [], tf.float64)
        return x + tf.cast(tf.reshape(noise, ()), x.dtype), y

    def make(seed):
        counts.calls += 1
        seed_everything(seed)
        inputs = [keras.Input((WIDTH,))] if is_built else []
        model = keras.Sequential([*inputs, *layers(keras.layers), keras.layers.Dense(1)])
        model.compile(keras.optimizers.Adam(), "mse")
        batches = rows.shuffle(64, seed=2).batch(8).map(noted)
        return LrFinderFnResult(model, batches, rows.batch(16) if is_validated else None)

    return make


def search(make, num_trials=3):
    """Returns what a sweep, trials, a longer trial and two proofs find."""
    with Trainings(make, 10, 0) as trainings:
        curve = trainings.sweep(0, RATES, 0.0, 4.0, 0)
        found = [trainings.trial(0, 0.01 * (1 + i), 6) for i in range(num_trials)]
        longer, _ = trainings.trial(0, 0.01, 15, found[0][1])
        proofs = [trainings.proof(0, rate, 10) for rate in (0.01, 0.02)]
        return curve, [trial for trial, _ in found], longer, proofs


MODELS = {
    "plain": plain,
    "at random": at_random,
    "random operations": lambda _: [Drawing()],
    "Python": lambda _: [CallingPython()],
}


@pytest.mark.parametrize("is_validated", [True, False], ids=["validated", "not"])
@pytest.mark.parametrize("name", ["at random", "random operations"])
def test_kept_batches_change_nothing(monkeypatch, name, is_validated):
    """With room for no batch, each training has its own model and data: all is equal bit for bit.

    The data are drawn from NumPy's random numbers while they are read.
    """
    make = maker(MODELS[name], is_validated=is_validated)
    kept = search(make)
    monkeypatch.setattr(first_batches, "MOST_KEPT_BYTES", 0)

    assert search(make) == kept


def test_not_built_model_is_as_it_was(monkeypatch):
    """Its weights come into being in its first training, and are there again for the next."""
    make = maker(plain, is_validated=True, is_built=False)
    kept = search(make)
    monkeypatch.setattr(first_batches, "MOST_KEPT_BYTES", 0)

    assert search(make) == kept


@pytest.mark.parametrize(
    ("is_validated", "calls"), [(True, 3), (False, 4)], ids=["validated", "not"]
)
def test_user_code_is_called_once_for_all_trials_and_proofs(is_validated, calls):
    """Beside that: for the sweep, for the best constant output, and for held-out examples."""
    for num_trials in (1, 3):
        counts = Counts()
        search(maker(plain, counts, is_validated), num_trials)
        assert counts.calls == calls


def test_batches_of_all_trials_and_proofs_are_read_once():
    """Of 10 steps of the sweep, of the constant's labels, and of the longest trial, 15 steps.

    A data set may read a few batches ahead.
    """
    numbers = []
    for num_trials in (1, 3):
        counts = Counts()
        search(maker(plain, counts, is_validated=True), num_trials)
        numbers.append(counts.batches)

    assert numbers[0] == numbers[1]
    assert 10 + 15 < numbers[0] < 10 + 10 + 15 + 8


def test_batches_that_are_too_large_are_read_by_each_training(monkeypatch):
    """And the user's code is called for each of them, for a model and data of its own."""
    monkeypatch.setattr(first_batches, "MOST_KEPT_BYTES", 0)
    counts = Counts()

    search(maker(plain, counts, is_validated=True), 3)

    # A sweep, a constant, batches that turn out too large, four trials and two proofs.
    assert counts.calls == 1 + 1 + 1 + 4 + 2


@pytest.mark.parametrize("is_validated", [True, False], ids=["validated", "not"])
def test_one_graph_serves_sweep_trials_and_proofs(is_validated):
    """The step is traced once; held-out examples are in the graph of the sweep already."""
    traces = []

    class Noting(keras.layers.Layer):
        def call(self, inputs, training=False):
            if training and tf.is_symbolic_tensor(inputs):
                traces.append(1)
            return inputs

    model_layers = lambda _: [Noting()]  # noqa: E731
    counts = []
    for num_trials in (1, 3):
        traces.clear()
        search(maker(model_layers, is_validated=is_validated), num_trials)
        counts.append(len(traces))
    with Trainings(maker(model_layers, is_validated=True), 10, 0) as trainings:
        traces.clear()
        trainings.sweep(0, RATES, 0.0, 4.0)

    # A graph of a sweep that is validated has the step and the validation loss.
    assert counts == [len(traces), len(traces)]


@pytest.mark.parametrize("name", ["at random", "random operations"])
def test_sweep_does_not_depend_on_the_proofs_that_follow(name):
    """The examples that are held out of the proofs are not held out of the sweep, nor recorded."""
    curves = []
    for proof_seed in (None, 0, 5):
        with Trainings(maker(MODELS[name]), 10, 0) as trainings:
            curves.append(trainings.sweep(0, RATES, 0.0, 4.0, proof_seed))

    assert curves[0] == curves[1] == curves[2]
    assert curves[0].validation_losses is None


@pytest.mark.parametrize(
    ("name", "is_random"),
    [("plain", False), ("at random", False), ("random operations", True), ("Python", True)],
)
def test_random_operations_are_known(monkeypatch, name, is_random):
    """Those whose state is in no variable: only for them a graph must be prepared anew."""
    found = []
    run = Graph.run

    def noted(graph, *args, **options):
        found.append((graph.is_random, has_random_operations(graph.loop.steps.graph)))
        return run(graph, *args, **options)

    monkeypatch.setattr(Graph, "run", noted)
    with Trainings(maker(MODELS[name], is_validated=True), 10, 0) as trainings:
        trainings.trial(0, 0.01, 3)

    assert found == [(is_random, is_random)]
