"""Trials of a model: their losses in closed form, and longer ones that go on from shorter ones."""

import functools
import importlib

import keras as keras3
import numpy as np
import pytest
import tensorflow as tf

from tfx_lr_finder import LrFinderFnResult
from tfx_lr_finder.core.trials.halving import Trial
from tfx_lr_finder.training.trainings import Trainings

RATE = 0.125


def line(keras_module, optimizer=None):
    """Returns a model with one weight, at first 1, for y = 0: the loss is w**2."""
    weight = keras_module.layers.Dense(1, use_bias=False, kernel_initializer="ones")
    model = keras_module.Sequential([keras_module.Input((1,)), weight])
    model.compile(optimizer or keras_module.optimizers.SGD(0.5), "mse")
    return model


def ones(num_batches=1, size=1.0):
    """Returns batches of features of one size, with zeros to be predicted."""
    batch = (tf.fill((4, 1), size), tf.zeros((4, 1)))
    return tf.data.Dataset.from_tensors(batch).repeat(num_batches)


def trials_of(make, *runs):
    """Returns the trials of some rates up to some numbers of steps, in one graph.

    A trial of a rate goes on from the first one of this rate, if its run says so by a third part.
    """
    trials, states = [], {}
    with Trainings(lambda seed: LrFinderFnResult(*make()), 10, 0) as trainings:
        for rate, num_steps, *goes_on in runs:
            trial, state = trainings.trial(0, rate, num_steps, states[rate] if goes_on else None)
            states.setdefault(rate, state)
            trials.append(trial)
    return trials


@pytest.mark.parametrize("num_steps", [1, 3, 30])
def test_loss_is_that_of_the_closed_form(keras_module, num_steps):
    """Each step multiplies w by 1 - 2 rate; features of size 3 give 9 w**2."""
    expected = 9 * (1 - 2 * RATE) ** (2 * num_steps)

    (trial,) = trials_of(lambda: (line(keras_module), ones(), ones(size=3.0)), (RATE, num_steps))

    assert trial == Trial(RATE, pytest.approx(expected, rel=1e-5), num_steps)


def test_optimizer_is_as_before(keras_module):
    """The rate is the trial's for its steps alone, and a schedule is there again."""
    decay = keras_module.optimizers.schedules.ExponentialDecay(9.0, 1, 0.1)
    model = line(keras_module, keras_module.optimizers.SGD(decay))

    trials_of(lambda: (model, ones(), ones(size=3.0)), (RATE, 3))

    assert model.optimizer._learning_rate is decay
    assert model.weights[0].numpy() == 1.0


def test_one_step_is_one_update_where_gradients_are_accumulated():
    """Batches of 0, 1, 2 and 3 have a mean square of 3.5; a longer trial goes on behind them."""
    sizes = tf.data.Dataset.from_tensor_slices(np.float32([0.0, 1.0, 2.0, 3.0]))
    dataset = sizes.map(lambda size: (tf.fill((4, 1), size), tf.zeros((4, 1))))

    def make():
        optimizer = keras3.optimizers.SGD(0.5, gradient_accumulation_steps=4)
        return line(keras3, optimizer), dataset, ones(size=3.0)

    losses = [trial.loss for trial in trials_of(make, (RATE, 3), (RATE, 5, "on"))]

    assert losses == pytest.approx([9 * (1 - 2 * RATE * 3.5) ** (2 * n) for n in (3, 5)], rel=1e-5)


def at_random(keras_module, optimizer):
    """Returns a function that makes a model with dropout, and shuffled batches.

    In tf_keras it is without dropout, whose random numbers there have no state that can be kept.
    """
    generator = np.random.RandomState(0)
    features = generator.normal(size=(64, 3)).astype(np.float32)
    data = tf.data.Dataset.from_tensor_slices((features, features.sum(1, keepdims=True)))
    layers = keras_module.layers

    def make():
        keras_module.utils.set_random_seed(1)
        model = keras_module.Sequential(
            [
                keras_module.Input((3,)),
                layers.BatchNormalization(),
                layers.Dropout(0.5 if keras_module is keras3 else 0.0, seed=3),
                layers.Dense(1),
            ]
        )
        model.compile(optimizer(), "mse")
        return model, data.shuffle(64, seed=2).batch(8), data.batch(64)

    return make


@pytest.mark.parametrize(
    ("module", "name"),
    [("keras", name) for name in ("Adam", "Nadam", "Adafactor", "Ftrl")]
    + [pytest.param("tf_keras", name, marks=pytest.mark.slow) for name in ("Adam", "Nadam")],
)
def test_longer_trial_is_as_one_from_the_start(module, name):
    """Weights, slots, batch statistics, dropout and data go on where the shorter one ended."""
    optimizer = getattr(importlib.import_module(module).optimizers, name)
    if name == "Adafactor":  # or else it chooses its rate itself
        optimizer = functools.partial(optimizer, relative_step=False)
    make = at_random(importlib.import_module(module), optimizer)

    *_, in_parts, at_once = trials_of(make, (0.01, 5), (0.03, 5), (0.01, 13, "on"), (0.01, 13))

    assert in_parts == at_once


def test_trial_does_not_depend_on_others(keras_module):
    """Nor on their order."""
    make = at_random(keras_module, keras_module.optimizers.Adam)

    assert trials_of(make, (0.01, 5), (0.1, 5)) == trials_of(make, (0.1, 5), (0.01, 5))[::-1]


def test_trial_is_the_training_of_a_proof():
    """The same weights and batches; a proof's loss is the greater of two."""
    make = at_random(keras3, keras3.optimizers.Adam)
    with Trainings(lambda seed: LrFinderFnResult(*make()), 50, 0) as trainings:
        proof = trainings.proof(0, 1e-3, 40)
        trial, _ = trainings.trial(0, 1e-3, 40)

    assert trial.loss <= proof.loss


def test_rate_that_adafactor_cannot_apply_counts_as_diverging():
    """It applies no more than 1 / sqrt(step), also in a trial that goes on from an earlier one."""

    def make():
        optimizer = keras3.optimizers.Adafactor(relative_step=False)
        return at_random(keras3, lambda: optimizer)()

    with Trainings(lambda seed: LrFinderFnResult(*make()), 10, 0) as trainings:
        low, state = trainings.trial(0, 0.05, 100)
        high, _ = trainings.trial(0, 0.2, 100)
        longer, _ = trainings.trial(0, 0.05, 500, state)

    assert np.isfinite(low.loss)
    assert (high.loss, longer.loss) == (float("inf"), float("inf"))


def test_divergence_is_an_infinite_loss(keras_module):
    """A rate of 1e30 leaves no finite weight."""
    (trial,) = trials_of(lambda: (line(keras_module), ones(), ones()), (1e30, 5))

    assert trial == Trial(1e30, float("inf"), 5)


def test_without_validation_data_the_last_losses_judge():
    """Sparse features cannot be held out one by one: the mean of the last fifth of the steps."""
    batch = (tf.sparse.from_dense(tf.ones((4, 1))), tf.zeros((4, 1)))
    dataset = tf.data.Dataset.from_tensors(batch)

    (trial,) = trials_of(lambda: (line(keras3), dataset), (RATE, 10))

    losses = (1 - 2 * RATE) ** (2 * np.arange(10))
    assert trial.loss == pytest.approx(losses[-2:].mean(), rel=1e-5)


def test_training_data_that_end_too_early_are_refused():
    """As those of a generator, which can be read once: the rate would have had fewer steps."""
    left = iter(range(2))
    once = tf.data.Dataset.from_generator(
        lambda: left, output_signature=tf.TensorSpec((), tf.int32)
    )

    with pytest.raises(ValueError, match=r"the batches of 5 steps.* Received: .* after one pass"):
        trials_of(lambda: (line(keras3), once.flat_map(lambda _: ones()), ones()), (RATE, 5))
