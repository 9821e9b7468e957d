"""A short training at a constant rate: its loss in closed form."""

import keras as keras3
import numpy as np
import pytest
import tensorflow as tf

from tfx_lr_finder.training.trial import validation_loss

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


def loss_of(model, dataset=None, validation_dataset=None, **options):
    """Returns the validation loss after three steps at the constant rate."""
    return validation_loss(
        model,
        dataset or ones(),
        validation_dataset or ones(size=3.0),
        **{"learning_rate": RATE, "num_steps": 3, **options},
    )


@pytest.mark.parametrize("num_steps", [1, 3, 7])
def test_loss_is_that_of_the_closed_form(keras_module, num_steps):
    """Each step multiplies w by 1 - 2 rate; features of size 3 give 9 w**2."""
    expected = 9 * (1 - 2 * RATE) ** (2 * num_steps)

    assert loss_of(line(keras_module), num_steps=num_steps) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("scaled", [False, True], ids=["plain", "loss_scaling"])
def test_rate_is_constant_also_where_the_optimizer_has_a_schedule(keras_module, scaled):
    """The schedule is not read, and is there again afterwards."""
    decay = keras_module.optimizers.schedules.ExponentialDecay(9.0, 1, 0.1)
    optimizer = inner = keras_module.optimizers.SGD(decay)
    if scaled:
        optimizer = keras_module.mixed_precision.LossScaleOptimizer(inner)
    model = line(keras_module, optimizer)

    assert loss_of(model) == pytest.approx(9 * (1 - 2 * RATE) ** 6, rel=1e-5)
    assert inner._learning_rate is decay


def test_optimizer_has_its_own_rate_afterwards(keras_module):
    """The rate is the trial's for its steps alone."""
    model = line(keras_module)

    loss_of(model)

    assert float(model.optimizer.learning_rate) == 0.5


def test_one_step_is_one_update_where_gradients_are_accumulated():
    """Three steps of four batches: batches of 0, 1, 2 and 3 have a mean square of 3.5."""
    optimizer = keras3.optimizers.SGD(0.5, gradient_accumulation_steps=4)
    sizes = tf.data.Dataset.from_tensor_slices(np.float32([0.0, 1.0, 2.0, 3.0]))
    dataset = sizes.map(lambda size: (tf.fill((4, 1), size), tf.zeros((4, 1))))

    loss = loss_of(line(keras3, optimizer), dataset)

    assert loss == pytest.approx(9 * (1 - 2 * RATE * 3.5) ** 6, rel=1e-5)


@pytest.mark.parametrize("num_batches", [2, None], ids=["short", "endless"])
def test_training_data_of_any_length_will_do(keras_module, num_batches):
    """They start over when they are used up."""
    expected = 9 * (1 - 2 * RATE) ** 10

    assert loss_of(line(keras_module), ones(num_batches), num_steps=5) == pytest.approx(
        expected, rel=1e-5
    )


def test_training_data_that_end_too_early_are_refused(keras_module):
    """As those of a generator, which can be read once: the rate would have had fewer steps."""
    left = iter(range(2))
    once = tf.data.Dataset.from_generator(
        lambda: left, output_signature=tf.TensorSpec((), tf.int32)
    )

    with pytest.raises(ValueError, match=r"the batches of 5 steps.* Received: .* after one pass"):
        loss_of(line(keras_module), once.flat_map(lambda _: ones()), num_steps=5)


def test_validation_is_no_training(keras_module):
    """Dropout and batch statistics are those of prediction; the weights stay."""
    layers = keras_module.layers
    dense = layers.Dense(1, use_bias=False, kernel_initializer="ones")
    model = keras_module.Sequential([keras_module.Input((1,)), layers.Dropout(0.5), dense])
    model.compile(keras_module.optimizers.SGD(0.5), "mse")

    assert loss_of(model, learning_rate=1e-30, num_steps=1) == pytest.approx(9.0, rel=1e-5)


def test_all_validation_batches_count_unless_their_number_is_given(keras_module):
    """Batches with losses 1 and 9: both, or the first alone."""
    dataset = ones(size=1.0).concatenate(ones(size=3.0))
    options = {"learning_rate": 1e-30, "num_steps": 1}

    assert loss_of(line(keras_module), None, dataset, **options) == pytest.approx(5.0)
    assert loss_of(
        line(keras_module), None, dataset, validation_steps=1, **options
    ) == pytest.approx(1.0)


def test_endless_validation_data_need_a_number_of_batches(keras_module):
    """With one they will do."""
    endless = ones(None, size=3.0)

    with pytest.raises(
        ValueError, match=r"must end, or the number .*Received: a data set without end\. Drop its"
    ):
        loss_of(line(keras_module), None, endless)

    assert loss_of(line(keras_module), None, endless, validation_steps=2) == pytest.approx(
        9 * (1 - 2 * RATE) ** 6, rel=1e-5
    )


@pytest.mark.parametrize(
    "dataset", [[(np.ones((4, 1)), np.zeros((4, 1)))], np.ones((4, 1))], ids=["list", "array"]
)
def test_validation_data_that_are_no_data_set_are_refused(dataset):
    """As training data are: the message has the type."""
    name = type(dataset).__name__
    with pytest.raises(
        ValueError, match=rf"(?s)validation data must be a tf\.data\.Dataset.*of type {name}"
    ):
        validation_loss(line(keras3), ones(), dataset, learning_rate=RATE, num_steps=1)


def test_empty_validation_data_are_refused(keras_module):
    """A loss of no batch would be 0, and every rate as good as any other."""
    with pytest.raises(ValueError, match=r"must yield at least one batch\. Received: none\."):
        loss_of(line(keras_module), None, ones(0))


@pytest.mark.parametrize("learning_rate", [1e30, 1e4])
def test_training_that_blows_up_has_an_infinite_loss(keras_module, learning_rate):
    """Neither NaN nor an error: it is simply the worst."""
    loss = loss_of(line(keras_module), learning_rate=learning_rate, num_steps=30)

    assert loss == float("inf")


def test_loss_that_is_no_number_is_the_worst(keras_module):
    """A NaN among the labels makes no rate the best."""
    dataset = ones().map(lambda x, y: (x, y * float("nan")))

    assert loss_of(line(keras_module), dataset) == float("inf")
