"""Variables, learning rate and random state: changed within, as before afterwards."""

import random

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfx_lr_finder.training.model.learning_rate import settable_learning_rate
from tfx_lr_finder.training.model.random_state import (
    global_generators,
    kept_random_state,
    seed_everything,
)
from tfx_lr_finder.training.model.variables import kept_variables, training_variables

FEATURES = np.random.default_rng(0).normal(size=(4, 2))


class InterruptionError(Exception):
    """What the tests raise in the middle of a context."""


def built_model(keras_module):
    """Returns a model with statistics, a seeded dropout, slots and a metric, after one step."""
    model = keras_module.Sequential(
        [
            keras_module.Input((2,)),
            keras_module.layers.Dense(3),
            keras_module.layers.BatchNormalization(),
            keras_module.layers.Dropout(0.5),
            keras_module.layers.Dense(1),
        ]
    )
    model.compile(keras_module.optimizers.Adam(0.01), "mse", metrics=["mae"], run_eagerly=True)
    model.train_on_batch(FEATURES, np.zeros((4, 1)))
    return model


def test_training_variables_are_all_that_a_step_changes(keras_module):
    """Kernels, biases, statistics, Adam's slots and counter, and the metrics' sums: once each."""
    model = built_model(keras_module)
    weights, adam = len(model.weights), 2 * len(model.trainable_weights)

    variables = training_variables(model)

    held = {id(variable) for variable in variables}
    assert len(held) == len(variables)
    assert held.issuperset(id(variable) for variable in model.variables)
    assert held.issuperset(id(variable) for m in model.metrics for variable in m.variables)
    assert id(model.optimizer.iterations) in held
    assert len(variables) >= weights + adam + len(["iterations", "learning_rate"])


def test_step_in_between_leaves_no_trace(keras_module):
    """After a training step within, every value of the model is bit for bit what it was."""
    model = built_model(keras_module)
    variables = training_variables(model)
    before = [variable.numpy() for variable in variables]

    with kept_variables(variables):
        model.train_on_batch(FEATURES, np.ones((4, 1)))
        changed = [
            not np.array_equal(variable.numpy(), value)
            for variable, value in zip(variables, before, strict=True)
        ]

    assert sum(changed) > len(variables) / 2
    for variable, value in zip(variables, before, strict=True):
        np.testing.assert_array_equal(variable.numpy(), value)


@pytest.mark.parametrize(
    "error", [InterruptionError, KeyboardInterrupt], ids=["error", "interrupt"]
)
def test_variables_are_restored_when_something_is_raised(error):
    """Whatever ends the context, the values are back."""
    variables = [tf.Variable([1.0, 2.0]), tf.Variable(3)]

    def fail():
        with kept_variables(variables):
            variables[0].assign([8.0, 9.0])
            variables[1].assign(10)
            raise error("enough")

    with pytest.raises(error, match="enough"):
        fail()

    assert [variable.numpy().tolist() for variable in variables] == [[1.0, 2.0], 3]


def test_variables_may_be_given_by_an_iterator():
    """A generator of variables, which can be read once, is kept as a list is."""
    variable = tf.Variable(1.0)

    with kept_variables(v for v in [variable]):
        variable.assign(2.0)

    assert variable.numpy() == 1.0


@pytest.fixture(params=["number", "schedule"])
def learning_rate(request, keras_module):
    """A rate of 0.5, as a number or by a schedule."""
    if request.param == "number":
        return 0.5
    return keras_module.optimizers.schedules.PolynomialDecay(0.5, 10)


@pytest.fixture(params=["plain", "loss_scaling"])
def optimizer(request, keras_module, learning_rate):
    """An optimizer of the given rate, plain or under a LossScaleOptimizer."""
    optimizer = keras_module.optimizers.SGD(learning_rate)
    if request.param == "loss_scaling":
        optimizer = keras_module.mixed_precision.LossScaleOptimizer(optimizer)
    return optimizer


def test_rate_that_is_set_is_the_rate_of_the_update(keras_module, optimizer):
    """Plain descent moves a weight by rate times gradient, with the rate set and not its own."""
    model = keras_module.Sequential(
        [
            keras_module.Input((1,)),
            keras_module.layers.Dense(1, use_bias=False, kernel_initializer="zeros"),
        ]
    )
    model.compile(optimizer, lambda _, predicted: predicted, run_eagerly=True)

    with settable_learning_rate(optimizer) as variable:
        variable.assign(0.125)
        model.train_on_batch(np.ones((1, 1)), np.zeros((1, 1)))

    assert model.get_weights()[0].item() == -0.125


@pytest.mark.parametrize("raises", [False, True], ids=["returns", "raises"])
def test_optimizer_has_its_own_rate_afterwards(optimizer, raises):
    """The rate, or the very schedule, is back, also when an error is raised."""
    inner = getattr(optimizer, "inner_optimizer", optimizer)
    own = inner._learning_rate

    try:
        with settable_learning_rate(optimizer) as variable:
            variable.assign(7.0)
            assert float(optimizer.learning_rate) == 7.0
            if raises:
                raise InterruptionError
    except InterruptionError:
        pass

    assert inner._learning_rate is own
    assert float(optimizer.learning_rate) == 0.5


def test_schedule_does_not_add_variables_to_the_checkpoints_of_the_optimizer(
    keras_module, tmp_path
):
    """A checkpoint after the context holds what one before it does, under the same names."""
    schedule = keras_module.optimizers.schedules.ExponentialDecay(0.5, 10, 0.9)
    optimizer = keras_module.optimizers.SGD(schedule)

    def names(file_name):
        path = tf.train.Checkpoint(optimizer=optimizer).write(str(tmp_path / file_name))
        return [name for name, _ in tf.train.list_variables(path)]

    before = names("before")
    with settable_learning_rate(optimizer):
        pass

    assert names("after") == before


def numbers():
    """Returns the next numbers of each global source of random numbers."""
    return [
        random.random(),
        np.random.random(),
        float(tf.random.uniform(())),
        float(tf.random.get_global_generator().uniform(())),
        float(keras.random.uniform(())),
    ]


def test_sources_go_on_where_they_were():
    """The numbers after the context are those that would have come without it."""
    keras.utils.clear_session()  # Keras 3's own generator is made anew, from Python's seed
    seed_everything(3)
    tf.random.get_global_generator().reset_from_seed(3)
    undisturbed = [numbers(), numbers()]

    keras.utils.clear_session()
    seed_everything(3)
    tf.random.get_global_generator().reset_from_seed(3)
    first = numbers()
    with kept_random_state(8):
        numbers()
        numbers()

    assert [first, numbers()] == undisturbed


def test_sources_go_on_where_they_were_after_an_error():
    """The state is put back also when an error is raised."""

    def states():
        generator = tf.random.get_global_generator().state.numpy().tolist()
        return random.getstate(), np.random.get_state()[2], generator

    def fail():
        with kept_random_state(8):
            numbers()
            raise InterruptionError("enough")

    before = states()
    with pytest.raises(InterruptionError, match="enough"):
        fail()

    assert states() == before


def test_numbers_within_depend_on_the_seed_alone():
    """Same seed, same numbers of every source, whatever came before; another seed, others."""
    drawn = []
    for seed in (1, 1, 2):
        numbers()
        with kept_random_state(seed):
            drawn.append(numbers())

    assert drawn[0] == drawn[1]
    assert all(a != b for a, b in zip(drawn[0], drawn[2], strict=True))


def test_without_a_global_seed_there_is_none_afterwards():
    """A program that never set TensorFlow's seed draws other numbers in each run, as before."""
    tf.random.set_seed(None)

    with kept_random_state(1):
        pass

    assert tf.random.uniform((8,)).numpy().tolist() != tf.random.uniform((8,)).numpy().tolist()
    assert tf.compat.v1.get_seed(None) == (None, None)


def test_seeding_everything_repeats_every_source():
    """After the same seed each gives the same number again, and after another seed another."""
    drawn = []
    for seed in (5, 5, 6):
        seed_everything(seed)
        drawn.append(numbers())

    assert drawn[0] == drawn[1]
    assert all(a != b for a, b in zip(drawn[0], drawn[2], strict=True))


def test_seeding_reaches_a_generator_that_has_been_replaced():
    """A graph goes on to draw from what was there when it was traced."""
    generators = global_generators()
    seed_everything(5)
    expected = [generator.state.numpy().tolist() for generator in generators]
    keras.utils.clear_session()  # drops that of Keras 3
    seed_everything(6)

    seed_everything(5, generators)

    assert [generator.state.numpy().tolist() for generator in generators] == expected
