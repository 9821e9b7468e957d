"""The data of `fit`, of every kind: a sweep sees the batches that `fit` would see."""

import logging

import keras as keras3
import numpy as np
import pandas as pd
import pytest
import tensorflow as tf

from tfx_lr_finder import range_test
from tfx_lr_finder.core.schedule import Schedule
from tfx_lr_finder.training import fit_arguments

ROWS = 37  # with batches of 4, the last one is smaller
X = np.random.default_rng(0).normal(size=(ROWS, 2)).astype(np.float32)
Y = X[:, :1] - 3 * X[:, 1:] ** 2
WEIGHTS = np.linspace(0.5, 1.5, ROWS, dtype=np.float32)
STEPS = 25
READ_AHEAD = 20


def linear(keras, optimizer="sgd"):
    """Returns a compiled linear model, whose weights are 1."""
    dense = keras.layers.Dense(1, kernel_initializer="ones", use_bias=False)
    model = keras.Sequential([keras.Input((2,)), dense])
    model.compile(optimizer, "mse")
    return model


def batches(*arrays):
    """Returns batches of 4 as a tf.data.Dataset."""
    return tf.data.Dataset.from_tensor_slices(arrays).batch(4)


def generated(passes=1):
    """Returns a generator of the same batches."""
    return ((X[i : i + 4], Y[i : i + 4]) for _ in range(passes) for i in range(0, ROWS, 4))


def sequence(keras, **options):
    """Returns the same batches as Keras's own kind of Python data set."""

    class Batches(keras.utils.Sequence):
        def __len__(self):
            return 10

        def __getitem__(self, index):
            return X[4 * index : 4 * index + 4], Y[4 * index : 4 * index + 4]

    return Batches(**options)


def losses(keras, **arguments):
    """Returns the losses of a sweep without shuffling, in batches of 4."""
    given = {"shuffle": False, "batch_size": 4, **arguments}
    if "batch_size" not in arguments and not hasattr(given["x"], "shape"):
        del given["batch_size"]
    return range_test(linear(keras), num_steps=STEPS, max_learning_rate=0.01, **given).losses


KINDS = {
    "arrays": lambda keras: {"x": X, "y": Y},
    "tensors": lambda keras: {"x": tf.constant(X), "y": tf.constant(Y)},
    "data frames": lambda keras: {"x": pd.DataFrame(X), "y": pd.DataFrame(Y)},
    "python data set": lambda keras: {"x": sequence(keras)},
    "generator": lambda keras: {"x": generated()},
    "endless generator": lambda keras: {"x": generated(passes=10**6)},
}


@pytest.mark.parametrize("kind", KINDS)
def test_batches_of_every_kind_are_those_of_a_data_set(keras_module, kind):
    """The rates change the model: each batch is the same one, in the same order."""
    expected = losses(keras_module, x=batches(X, Y))

    np.testing.assert_allclose(losses(keras_module, **KINDS[kind](keras_module)), expected, 1e-6)


def test_weights_of_examples_are_those_of_a_data_set(keras_module):
    """Also next to a part of the examples that validates."""
    arguments = {"x": X, "y": Y, "sample_weight": WEIGHTS, "validation_split": 0.2}
    weighted = batches(X[:29], Y[:29], WEIGHTS[:29])

    np.testing.assert_allclose(
        losses(keras_module, **arguments), losses(keras_module, x=weighted), 1e-6
    )


def test_part_that_validates_is_the_last_one(keras_module):
    """As in `fit`: its loss is recorded, and it is not trained on."""
    options = {"num_steps": STEPS, "shuffle": False, "max_learning_rate": 0.01}

    curve = range_test(linear(keras_module), X, Y, validation_split=0.2, batch_size=4, **options)
    expected = range_test(
        linear(keras_module), batches(X[:29], Y[:29]), validation_data=(X[29:], Y[29:]), **options
    )

    np.testing.assert_allclose(curve.losses, expected.losses, 1e-6)
    np.testing.assert_allclose(curve.validation_losses, expected.validation_losses, 1e-6)


def test_inputs_by_name_are_taken(keras_module):
    """A dict of arrays, as a model with several inputs takes it."""
    inputs = {name: keras_module.Input((2,), name=name) for name in ("a", "b")}
    outputs = keras_module.layers.Dense(1)(keras_module.layers.Add()(list(inputs.values())))
    model = keras_module.Model(inputs, outputs)
    model.compile("sgd", "mse")

    curve = range_test(model, {"a": X, "b": -X}, Y, batch_size=4, num_steps=STEPS)

    assert curve.batch_size == 4


def test_arrays_are_shuffled_by_the_seed(keras_module):
    """As `fit` shuffles them: another seed, another order."""
    model = linear(keras_module)

    first, again, other = (
        range_test(model, X, Y, batch_size=4, num_steps=STEPS, seed=seed).losses
        for seed in (0, 0, 1)
    )

    assert (first == again).all()
    assert (first[:10] != other[:10]).any()


def test_arrays_are_shuffled_by_the_seed_also_beside_a_generator(keras_module):
    """The generator validates: it is read once, and the arrays are shuffled for each seed."""
    arguments = {"batch_size": 4, "validation_data": generated(), "validation_steps": 3}

    with fit_arguments.made_by_fit(linear(keras_module), X, Y, arguments, STEPS) as make:
        first, other, again = (make(seed) for seed in (0, 1, 0))

    batch, other_batch, same = (next(iter(made.dataset))[0] for made in (first, other, again))
    np.testing.assert_array_equal(batch, same)
    assert (batch != other_batch).numpy().any()
    for made in (first, other, again):
        validating = [features for features, *_ in made.validation_dataset]
        np.testing.assert_allclose(np.concatenate(validating), X[:12])


def test_generator_is_read_for_the_sweep_alone(keras_module, caplog):
    """And some batches ahead, by Keras. The user hears of it, since `fit` would get the rest."""
    data = generated(passes=10)

    with caplog.at_level(logging.WARNING, "absl"):
        range_test(linear(keras_module), data, validation_data=generated(), num_steps=STEPS)

    assert "the search took 25 batches of it" in caplog.text
    assert 100 - STEPS - READ_AHEAD <= sum(1 for _ in data) <= 100 - STEPS


def test_generator_of_large_batches_is_not_read_beyond_a_bound(keras_module, monkeypatch, caplog):
    """The sweep starts over on what has been read."""
    monkeypatch.setattr(fit_arguments, "MOST_GENERATED_BYTES", 100)  # a batch has 4 * 3 * 4 bytes

    with caplog.at_level(logging.WARNING, "absl"):
        curve = range_test(
            linear(keras_module), generated(10), num_steps=STEPS, max_learning_rate=0.01
        )

    assert len(curve) == STEPS
    assert "the search took 3 batches of it" in caplog.text


@pytest.mark.parametrize("kind", ["generator", "data set"])
def test_weights_that_are_none_are_left_out(keras_module, kind):
    """Keras 3 has an Optional for the None of a generator, and TensorFlow one for a data set."""
    if kind == "generator":
        data = ((*batch, None) for batch in generated())
    else:
        data = batches(X, Y).map(lambda x, y: (x, y, None))

    np.testing.assert_allclose(losses(keras_module, x=data), losses(keras_module, x=generated()))


def test_texts_of_a_generator_count_with_their_length(monkeypatch, caplog):
    """As encoded images: 60 characters in each of 4 rows, and 24 bytes more."""
    monkeypatch.setattr(fit_arguments, "MOST_GENERATED_BYTES", 4 * (60 + 24) * 3 - 1)
    texts = ((tf.constant([["x" * 60]] * 4), tf.ones((4, 0))) for _ in range(9))

    with (
        caplog.at_level(logging.WARNING, "absl"),
        fit_arguments.made_by_fit(linear(keras3), texts, None, {}, STEPS) as make,
    ):
        make(0)

    assert "the search took 3 batches of it" in caplog.text


def test_workers_of_a_python_data_set_are_restored():
    """The search reads by one worker."""
    data = sequence(keras3, workers=3)

    range_test(linear(keras3), data, num_steps=STEPS)

    assert data.workers == 3


@pytest.mark.parametrize(
    ("arguments", "train_steps", "schedule"),
    [
        ({}, None, Schedule.UNKNOWN),
        ({"epochs": 3}, 30, Schedule.DECAYING),
        ({"epochs": 3, "steps_per_epoch": 7}, 21, Schedule.DECAYING),
    ],
    ids=["not_known", "epochs", "steps"],
)
def test_length_and_schedule_are_known_with_the_epochs(arguments, train_steps, schedule):
    """Without them, a training of one epoch would be guessed, and the rate be too high."""
    decay = keras3.callbacks.LearningRateScheduler(lambda epoch, rate: rate * 0.1)

    curve = range_test(
        linear(keras3), X, Y, batch_size=4, callbacks=[decay], num_steps=STEPS, **arguments
    )

    assert (curve.train_steps, curve.schedule) == (train_steps, schedule)


def test_argument_that_fit_does_not_have_is_refused(keras_module):
    """A typing error is not passed over."""
    with pytest.raises(TypeError, match=r"unexpected keyword argument 'epoch'"):
        range_test(linear(keras_module), X, Y, epoch=3)
