"""Sweeps of real, tiny models: known losses, known limits, and everything left as it was."""

import io
import random
import sys

import forked
import keras
import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from tfx_lr_finder import LrFinderFnResult
from tfx_lr_finder.core.curve import Curve
from tfx_lr_finder.core.sweep import StopReason
from tfx_lr_finder.training import loop
from tfx_lr_finder.training.range_test import range_test
from tfx_lr_finder.training.trainings import Trainings

CURVATURE = 100.0
LIMIT = 2 / CURVATURE  # plain gradient descent on 0.5 * CURVATURE * w ** 2 diverges above


def schedule(least, greatest, num_steps):
    """Returns the rates of a sweep by their formula."""
    return least * (greatest / least) ** (np.arange(num_steps) / (num_steps - 1))


def one_batch(rows=4):
    """Returns a data set of one batch of ones, with zeros to be predicted."""
    return tf.data.Dataset.from_tensors((tf.ones((rows, 1)), tf.zeros((rows, 1))))


def parabola(keras_module, *, curvature=CURVATURE, optimizer=None, base=None, **compile_options):
    """Returns a model with one weight w, at first 1, whose loss is 0.5 * curvature * w ** 2."""

    def loss(_, predicted):
        return 0.5 * curvature * tf.square(predicted)

    weight = keras_module.layers.Dense(1, use_bias=False, kernel_initializer="ones")
    model = (base or keras_module.Sequential)([keras_module.Input((1,)), weight])
    model.compile(optimizer or keras_module.optimizers.SGD(0.5), loss, **compile_options)
    return model


def losses_of_parabola(rates, curvature=CURVATURE, clip=np.inf, momentum=0.0):
    """Returns the losses of gradient descent on the parabola, in double precision."""
    weight, velocity, losses = 1.0, 0.0, []
    for rate in rates:
        losses.append(0.5 * curvature * weight**2)
        velocity = momentum * velocity - rate * np.clip(curvature * weight, -clip, clip)
        weight += velocity
    return losses


def reporting(keras_module, report, optimizer=None):
    """Returns a model whose training step only counts and returns `report(model, batch)`."""

    class Reporting(keras_module.Model):
        def train_step(self, batch):
            self.optimizer.iterations.assign_add(1)
            return report(self, batch)

    model = Reporting()
    model.compile(optimizer or keras_module.optimizers.SGD(0.5))
    return model


def telling():
    """Returns a model whose loss is the one number of its batch."""
    return reporting(keras, lambda model, batch: {"loss": tf.reshape(batch, ())})


def numbers(values):
    """Returns a data set of batches of one number each."""
    return tf.data.Dataset.from_tensor_slices(np.asarray(values, dtype=np.float64)).batch(1)


def curves_of(cases):
    """Returns the curve of each case, by its name: of its losses, with its options.

    They share a graph, in chunks of 1, 10 and 100 steps.
    """
    model, names = telling(), list(cases)
    most_steps = max(len(losses) for losses, _ in cases.values())

    def make(seed):
        return LrFinderFnResult(model, numbers(cases[names[seed]][0]))

    curves = {}
    with pytest.MonkeyPatch.context() as patch, Trainings(make, most_steps, 0) as trainings:
        patch.setattr(loop, "SECONDS_A_CHUNK", 1e6)
        for seed, (name, (losses, options)) in enumerate(cases.items()):
            options = {"smoothing": 0.98, "divergence_factor": 4.0, **options}
            curves[name] = trainings.sweep(seed, schedule(1e-6, 10.0, len(losses)), **options)
    return curves


def noisy_model(keras_module):
    """Returns a model with dropout, batch statistics, slots and a metric, not yet built."""
    model = keras_module.Sequential(
        [
            keras_module.layers.Dense(3, activation="relu"),
            keras_module.layers.BatchNormalization(),
            keras_module.layers.Dropout(0.5),
            keras_module.layers.Dense(1),
        ]
    )
    model.compile(keras_module.optimizers.Adam(0.01), "mse", metrics=["mae"], run_eagerly=True)
    return model


def random_batches(rows=4, batches=3, seed=0):
    """Returns a data set of batches of two random features and a random label."""
    generator = np.random.default_rng(seed)
    features = generator.normal(size=(rows * batches, 2)).astype(np.float32)
    labels = generator.normal(size=(rows * batches, 1)).astype(np.float32)
    return tf.data.Dataset.from_tensor_slices((features, labels)).batch(rows)


def only_once(dataset):
    """Returns a data set that yields nothing when it is asked to start over."""
    elements = iter(list(dataset))
    return tf.data.Dataset.from_generator(lambda: elements, output_signature=dataset.element_spec)


@pytest.mark.parametrize(
    "compile_options",
    [{}, {"run_eagerly": True}, {"jit_compile": True}],
    ids=["default", "run_eagerly", "jit_compile"],
)
def test_gradient_descent_on_a_parabola_follows_its_closed_form(keras_module, compile_options):
    """w[i+1] = w[i] * (1 - rate[i] * L): the loss grows exactly where the rate exceeds 2 / L."""
    rates = schedule(1e-3, 0.2, 40)
    weights = np.cumprod([1.0, *(1 - rates[:-1] * CURVATURE)])

    curve = range_test(
        parabola(keras_module, **compile_options),
        one_batch(),
        min_learning_rate=1e-3,
        max_learning_rate=0.2,
        num_steps=40,
        divergence_factor=float("inf"),
    )

    assert curve.stop_reason is StopReason.ALL_STEPS
    np.testing.assert_allclose(curve.learning_rates, rates, rtol=1e-12)
    np.testing.assert_allclose(curve.losses, 0.5 * CURVATURE * weights**2, rtol=1e-3)
    np.testing.assert_array_equal(np.diff(curve.losses) > 0, rates[:-1] > LIMIT)


@pytest.mark.parametrize(
    "options", [{"clip": 3.0}, {"momentum": 0.9}], ids=["clipped", "with_momentum"]
)
def test_optimizer_of_the_model_takes_the_steps(options):
    """Clipping of gradients and momentum count as they do in training."""
    rates = schedule(1e-3, 0.05, 30)
    optimizer = keras.optimizers.SGD(
        0.5, clipvalue=options.get("clip"), momentum=options.get("momentum", 0.0)
    )

    curve = range_test(
        parabola(keras, optimizer=optimizer),
        one_batch(),
        min_learning_rate=1e-3,
        max_learning_rate=0.05,
        num_steps=30,
        divergence_factor=float("inf"),
    )

    np.testing.assert_allclose(curve.losses, losses_of_parabola(rates, **options), rtol=1e-3)


def gradient_descent(batches, weight, rates, penalty=0.0):
    """Returns weighted squared error plus penalty of a linear model before each of its updates."""
    losses = []
    for rate, (features, labels, sample_weights) in zip(rates, batches, strict=False):
        errors = features @ weight - labels
        losses.append(np.mean(sample_weights * errors**2) + penalty * np.sum(weight**2))
        gradient = 2 * features.T @ (sample_weights * errors) / len(labels)
        weight = weight - rate * (gradient + 2 * penalty * weight)
    return losses


@pytest.mark.parametrize(
    ("penalty", "weighted"),
    [(0.0, False), (0.3, False), (0.0, True)],
    ids=["plain", "regularised", "weighted"],
)
def test_loss_of_a_step_is_that_of_its_batch_alone_before_the_update(
    keras_module, penalty, weighted
):
    """Ten different batches: no mean with those before, with penalty and sample weights."""
    generator = np.random.default_rng(0)
    rates = schedule(1e-3, 0.3, 10)
    batches = [
        (
            generator.normal(size=(4, 2)).astype(np.float32),
            (10 * generator.normal(size=4)).astype(np.float32),
            generator.uniform(0.1, 3, size=4).astype(np.float32) if weighted else np.ones(4),
        )
        for _ in rates
    ]
    features, labels, sample_weights = (np.stack(parts) for parts in zip(*batches, strict=True))
    elements = (features, labels[..., None], sample_weights)[: 3 if weighted else 2]
    model = keras_module.Sequential(
        [
            keras_module.Input((2,)),
            keras_module.layers.Dense(
                1,
                use_bias=False,
                kernel_initializer="ones",
                kernel_regularizer=keras_module.regularizers.L2(penalty),
            ),
        ]
    )
    model.compile(keras_module.optimizers.SGD(0.5), "mse")

    curve = range_test(
        model,
        tf.data.Dataset.from_tensor_slices(elements),
        min_learning_rate=1e-3,
        max_learning_rate=0.3,
        num_steps=10,
        divergence_factor=float("inf"),
    )

    expected = gradient_descent(batches, np.ones(2), rates, penalty)
    np.testing.assert_allclose(curve.losses, expected, rtol=1e-4)


def test_running_mean_of_a_custom_train_step_is_undone(keras_module):
    """A train step may report its own Mean metric, as Keras's tutorials do: the batches count."""

    class Averaging(keras_module.Model):
        def __init__(self):
            super().__init__()
            self.tracker = keras_module.metrics.Mean(name="loss")

        @property
        def metrics(self):
            return [self.tracker]

        def train_step(self, batch):
            self.optimizer.iterations.assign_add(1)
            self.tracker.update_state(batch)
            return {"loss": self.tracker.result()}

    model = Averaging()
    model.compile(keras_module.optimizers.SGD(0.5))

    curve = range_test(model, numbers([5, 1, 4, 2, 3]), num_steps=5)

    assert curve.losses.tolist() == [5, 1, 4, 2, 3]


def test_dropout_is_that_of_training():
    """Half of the time a single unit is dropped, else doubled: the loss is 0 or 4, never 1."""
    model = keras.Sequential(
        [
            keras.Input((1,)),
            keras.layers.Dropout(0.5),
            keras.layers.Dense(1, use_bias=False, kernel_initializer="ones"),
        ]
    )
    model.compile(keras.optimizers.SGD(0.5), "mse")

    curve = range_test(
        model,
        one_batch(rows=1),
        min_learning_rate=1e-30,
        max_learning_rate=1e-29,
        num_steps=40,
        divergence_factor=float("inf"),
    )

    assert set(curve.losses) == {0.0, 4.0}


def doubled_if_positive(x):
    """Doubles features whose mean is positive, in an `if` of Python."""
    if tf.reduce_mean(x) > 0.0:
        return 2.0 * x
    return x


def gated(place, jit_compile):
    """Returns a tf_keras model with Python's `if` on a tensor in its layer, loss or train step."""

    class Gate(tf_keras.layers.Layer):
        def call(self, inputs):
            return doubled_if_positive(inputs) if place == "layer" else 2.0 * inputs

    class Gated(tf_keras.Sequential):
        def train_step(self, batch):
            x, y = batch
            with tf.GradientTape() as tape:
                loss = tf.reduce_mean((self(doubled_if_positive(x), training=True) - y) ** 2)
            weights = self.trainable_variables
            gradients = tape.gradient(loss, weights)
            self.optimizer.apply_gradients(zip(gradients, weights, strict=True))
            return {"loss": loss}

    def loss(labels, predictions):
        return tf.reduce_mean(doubled_if_positive((labels - predictions) ** 2))

    base = Gated if place == "train_step" else tf_keras.Sequential
    model = base([tf_keras.Input((1,)), Gate(), tf_keras.layers.Dense(1, use_bias=False)])
    optimizer = tf_keras.optimizers.SGD(0.01)
    model.compile(optimizer, loss if place == "loss" else "mse", jit_compile=jit_compile)
    model.set_weights([np.ones((1, 1))])
    return model


@pytest.mark.parametrize(
    ("place", "loss", "jit_compile"),
    [
        ("train_step", 16, False),  # of tf_keras itself, AutoGraph converts more below
        pytest.param("train_step", 16, True, marks=pytest.mark.slow),
        pytest.param("layer", 4, False, marks=pytest.mark.slow),
        pytest.param("layer", 4, True, marks=pytest.mark.slow),
        pytest.param("loss", 8, False, marks=pytest.mark.slow),
        pytest.param("loss", 8, True, marks=pytest.mark.slow),
    ],
)
def test_python_on_tensors_is_converted_for_tf_keras(place, loss, jit_compile):
    """By AutoGraph, as in its `fit`. Features of 1, a weight of 1, and doubled once or twice."""
    curve = range_test(
        gated(place, jit_compile),
        one_batch(),
        validation_data=None if place == "train_step" else one_batch(),
        min_learning_rate=1e-9,
        max_learning_rate=1e-8,
        num_steps=3,
    )

    assert curve.losses[0] == pytest.approx(loss)
    if place != "train_step":
        assert curve.validation_losses[0] == pytest.approx(loss, rel=1e-3)


def test_batch_normalisation_is_that_of_training():
    """Features -5 and 15 become -1 and 1 by their own statistics, not by the moving ones."""
    model = keras.Sequential(
        [
            keras.Input((1,)),
            keras.layers.BatchNormalization(epsilon=1e-6),
            keras.layers.Dense(1, use_bias=False, kernel_initializer="ones"),
        ]
    )
    model.compile(keras.optimizers.SGD(0.5), "mse")
    batch = (tf.constant([[-5.0], [15.0]]), tf.zeros((2, 1)))

    curve = range_test(
        model,
        tf.data.Dataset.from_tensors(batch),
        min_learning_rate=1e-30,
        max_learning_rate=1e-29,
        num_steps=5,
    )

    np.testing.assert_allclose(curve.losses, 1.0, rtol=1e-5)


@pytest.mark.parametrize("dynamic", [False, True], ids=["fixed", "dynamic"])
def test_loss_scaling_does_not_show_in_the_losses(keras_module, dynamic):
    """Under a LossScaleOptimizer the losses are those of the optimizer inside."""
    rates = schedule(1e-3, 0.05, 20)
    inner = keras_module.optimizers.SGD(0.5)
    if dynamic:
        optimizer = keras_module.mixed_precision.LossScaleOptimizer(inner)
    else:
        optimizer = with_fixed_scale(keras_module, inner)

    curve = range_test(
        parabola(keras_module, optimizer=optimizer),
        one_batch(),
        min_learning_rate=1e-3,
        max_learning_rate=0.05,
        num_steps=20,
        divergence_factor=float("inf"),
    )

    np.testing.assert_allclose(curve.losses, losses_of_parabola(rates), rtol=1e-3)


def with_fixed_scale(keras_module, inner):
    """Returns a LossScaleOptimizer whose scale is 1024 for longer than any test."""
    scaled = keras_module.mixed_precision.LossScaleOptimizer
    if keras_module is keras:
        return scaled(inner, initial_scale=1024.0, dynamic_growth_steps=10**6)
    return scaled(inner, dynamic=False, initial_scale=1024.0)


@pytest.fixture
def half_precision(keras_module):
    """Layers compute in half precision, as long as the test runs."""
    keras_module.mixed_precision.set_global_policy("mixed_float16")
    yield
    keras_module.mixed_precision.set_global_policy("float32")


@pytest.mark.usefixtures("half_precision")
def test_model_in_half_precision_can_be_swept(keras_module):
    """With float16 layers and the loss scaling that Keras adds, losses are within its precision."""
    curve = range_test(
        parabola(keras_module, curvature=1.0),
        one_batch(),
        min_learning_rate=0.01,
        max_learning_rate=0.5,
        num_steps=15,
    )

    expected = losses_of_parabola(schedule(0.01, 0.5, 15), curvature=1.0)
    np.testing.assert_allclose(curve.losses, expected, rtol=0.05)


@pytest.mark.usefixtures("half_precision")
def test_step_that_overflows_in_half_precision_is_skipped_as_in_training(keras_module):
    """A gradient of 100 overflows float16 at scales of 32768 to 1024: the first six steps."""
    curve = range_test(
        parabola(keras_module, curvature=100.0),
        one_batch(),
        min_learning_rate=1e-3,
        max_learning_rate=5e-3,
        num_steps=8,
    )

    assert curve.losses[:7].tolist() == [50.0] * 7
    assert curve.losses[7] < 45


def test_model_under_a_distribution_strategy_can_be_swept():
    """Built under a MirroredStrategy of one device, the model has the losses it has without."""
    with tf.distribute.MirroredStrategy(["CPU:0"]).scope():
        model = parabola(keras)

    curve = range_test(
        model,
        one_batch(rows=6),
        min_learning_rate=1e-3,
        max_learning_rate=0.015,
        num_steps=15,
    )

    expected = losses_of_parabola(schedule(1e-3, 0.015, 15))
    np.testing.assert_allclose(curve.losses, expected, rtol=1e-3)
    assert curve.batch_size == 6


def test_model_with_several_named_inputs_and_outputs_can_be_swept():
    """Dictionaries of features and of labels; the loss is the sum of the outputs' losses."""
    inputs = {name: keras.Input((1,), name=name) for name in ("a", "b")}
    layer = {"use_bias": False, "kernel_initializer": "ones"}
    outputs = {
        "sum": keras.layers.Dense(1, name="sum", **layer)(
            keras.layers.Concatenate()([inputs["a"], inputs["b"]])
        ),
        "same": keras.layers.Dense(1, name="same", **layer)(inputs["a"]),
    }
    model = keras.Model(inputs, outputs)
    model.compile(keras.optimizers.SGD(0.5), {"sum": "mse", "same": "mae"})
    features = {"a": tf.constant([[1.0], [2.0]]), "b": tf.constant([[3.0], [4.0]])}
    labels = {"sum": tf.zeros((2, 1)), "same": tf.zeros((2, 1))}

    curve = range_test(
        model,
        tf.data.Dataset.from_tensors((features, labels)),
        min_learning_rate=1e-30,
        max_learning_rate=1e-29,
        num_steps=3,
    )

    np.testing.assert_allclose(curve.losses, (4**2 + 6**2) / 2 + (1 + 2) / 2, rtol=1e-6)
    assert curve.batch_size == 2


@pytest.fixture(params=["number", "schedule", "loss_scaling", "loss_scaling_schedule"])
def optimizer(request, keras_module):
    """An optimizer with a rate of 0.5, given as a number or by a schedule."""
    learning_rate = 0.5
    if "schedule" in request.param:
        decay = keras_module.optimizers.schedules.ExponentialDecay
        learning_rate = decay(0.5, decay_steps=3, decay_rate=0.5)
    optimizer = keras_module.optimizers.SGD(learning_rate)
    if "loss_scaling" in request.param:
        optimizer = keras_module.mixed_precision.LossScaleOptimizer(optimizer)
    return optimizer


def test_rates_of_the_training_steps_are_the_schedule(keras_module, optimizer):
    """The rate within each step, told as its loss, is the curve's; then it is its own again."""
    inner = getattr(optimizer, "inner_optimizer", optimizer)
    own = inner._learning_rate
    model = reporting(
        keras_module, lambda model, _: {"loss": model.optimizer.learning_rate}, optimizer
    )

    curve = range_test(
        model,
        one_batch(),
        min_learning_rate=1e-5,
        max_learning_rate=3.0,
        num_steps=30,
        divergence_factor=float("inf"),
    )

    assert (curve.learning_rates[0], curve.learning_rates[-1]) == (1e-5, 3.0)
    np.testing.assert_allclose(curve.learning_rates, schedule(1e-5, 3.0, 30), rtol=1e-12)
    np.testing.assert_array_equal(curve.losses, curve.learning_rates.astype(np.float32))
    assert inner._learning_rate is own
    assert float(optimizer.learning_rate) == 0.5


def test_schedule_is_back_also_when_the_step_cannot_be_built(keras_module):
    """A train step that raises leaves the optimizer with its schedule."""

    def fail(model, batch):
        raise KeyError("no such feature")

    decay = keras_module.optimizers.schedules.ExponentialDecay(0.5, 10, 0.9)
    model = reporting(keras_module, fail, keras_module.optimizers.SGD(decay))

    with pytest.raises(ValueError, match="no such feature"):
        range_test(model, one_batch(), num_steps=3)

    assert model.optimizer._learning_rate is decay


def test_curve_keeps_what_the_sweep_was_asked_for():
    """Smoothing, number of steps, batch size, seed and length of the training are recorded."""
    curve = range_test(telling(), numbers([1, 2]), num_steps=7, smoothing=0.5, seed=9, epochs=161)

    assert (curve.smoothing, curve.num_steps, curve.batch_size, curve.seed) == (0.5, 7, 1, 9)
    assert curve.train_steps == 322


def test_defaults_are_those_of_the_component():
    """From 1e-6 to 10 in 200 steps, smoothed by 0.98, for a training of unknown length."""
    curve = range_test(telling(), numbers([1]))

    assert (curve.learning_rates[0], curve.learning_rates[-1]) == (1e-6, 10.0)
    assert (len(curve), curve.num_steps, curve.smoothing, curve.seed) == (200, 200, 0.98, 0)
    assert curve.train_steps is None


@pytest.mark.parametrize(
    ("name", "options", "scaled", "is_plain"),
    [
        ("SGD", {}, False, True),
        ("SGD", {}, True, True),
        ("SGD", {"momentum": 0.9}, False, False),
        ("Adam", {}, False, False),
    ],
    ids=["sgd", "sgd_loss_scaling", "momentum", "adam"],
)
def test_curve_knows_whether_the_optimizer_has_no_memory(
    keras_module, name, options, scaled, is_plain
):
    """Gradient descent without momentum is told from every other, also under loss scaling."""
    optimizer = getattr(keras_module.optimizers, name)(0.5, **options)
    if scaled:
        optimizer = keras_module.mixed_precision.LossScaleOptimizer(optimizer)
    model = reporting(keras_module, lambda model, batch: {"loss": 1.0}, optimizer)

    assert range_test(model, one_batch(), num_steps=2).is_plain_sgd is is_plain


def test_every_step_takes_the_next_batch():
    """However the steps are cut into chunks, the curve holds each batch's loss once, in order."""
    cases = {str(n): (100 + np.arange(n) / 8, {}) for n in (2, 11, 12, 45)}

    for name, curve in curves_of(cases).items():
        np.testing.assert_array_equal(curve.losses, cases[name][0], name)


def test_short_data_set_starts_over_and_is_reshuffled():
    """Three passes over eight batches: each holds all of them, in an order of its own."""
    dataset = tf.data.Dataset.range(100, 108).shuffle(8, seed=1).batch(1)

    curve = range_test(telling(), dataset, num_steps=24)

    passes = [tuple(part) for part in curve.losses.reshape(3, 8)]
    assert [sorted(part) for part in passes] == [list(range(100, 108))] * 3
    assert len(set(passes)) == 3


def test_end_of_a_short_data_set_may_be_a_smaller_batch():
    """Batches of 3, 3 and 1 rows, over and over; the batch size is the greatest."""
    model = reporting(keras, lambda model, batch: {"loss": tf.shape(batch)[0]})

    curve = range_test(model, tf.data.Dataset.range(7).batch(3), num_steps=6)

    assert curve.losses.tolist() == [3, 3, 1, 3, 3, 1]
    assert curve.batch_size == 3


def counting_generator(read, values):
    """Returns a data set of the values, which notes in `read` each one that is asked for."""

    def generate():
        for value in values():
            read.append(value)
            yield [value]

    return tf.data.Dataset.from_generator(
        generate, output_signature=tf.TensorSpec((1,), tf.float64)
    )


def endless():
    """Yields 1 for ever."""
    while True:
        yield 1.0


@pytest.mark.parametrize(
    "values", [endless, lambda: [1.0] * 5, lambda: [1.0] * 500], ids=["endless", "short", "long"]
)
def test_exactly_the_batches_of_the_steps_are_read(values):
    """Thirteen steps read thirteen batches, neither one more nor a whole data set."""
    read = []

    curve = range_test(telling(), counting_generator(read, values), num_steps=13)

    assert len(curve) == 13
    assert len(read) == 13


@pytest.mark.parametrize(
    ("batch", "rows"),
    [
        (tf.zeros((5, 2)), 5),
        ((tf.zeros((4, 2)), tf.zeros((4, 1))), 4),
        ({"a": tf.zeros((3, 2)), "b": tf.zeros((3, 7))}, 3),
        (tf.ragged.constant([[1.0], [2.0, 3.0], []]), 3),
        (tf.sparse.from_dense(np.eye(6)), 6),
    ],
    ids=["tensor", "tuple", "dictionary", "ragged", "sparse"],
)
def test_batch_size_is_the_number_of_rows(batch, rows):
    """Whatever a batch is made of, its number of examples is known."""
    model = reporting(keras, lambda model, batch: {"loss": 1.0})

    curve = range_test(model, tf.data.Dataset.from_tensors(batch), num_steps=2)

    assert curve.batch_size == rows


def test_sweep_stops_before_the_first_loss_that_is_not_finite():
    """Chunks of 1, 10 and 29 steps: the loss of step k and what follows is not on the curve."""
    first = {"second": 1, "end of a chunk": 10, "start of a chunk": 11, "last": 39}
    values = [float("nan"), float("nan"), float("inf"), -float("inf")]
    cases = {
        name: ([*(10 + np.arange(k) / 8), value, *[1.0] * (39 - k)], {})
        for (name, k), value in zip(first.items(), values, strict=True)
    }

    for name, curve in curves_of(cases).items():
        k = first[name]
        assert curve.stop_reason is StopReason.NON_FINITE, name
        assert curve.losses.tolist() == cases[name][0][:k], name
        assert (len(curve.learning_rates), curve.num_steps) == (k, 40), name


@pytest.mark.parametrize("value", [float("nan"), float("inf")], ids=str)
def test_first_loss_that_is_not_finite_is_refused(value):
    """There is no curve: the message names the rate and what to look for."""
    with pytest.raises(
        ValueError,
        match=r"first batch must be finite.*learning_rate=1e-06.*Look for NaN",
    ):
        range_test(telling(), numbers([value, 1, 1]), num_steps=3)


def test_sweep_stops_once_the_loss_is_too_far_above_its_best():
    """At most best + (factor - 1) * scale goes on; above, the point is the curve's last.

    The scale is the best loss so far; where that is negative or zero, the greater of its size
    and the fall since the first.
    """
    cases = {
        "positive": ([4, 2, 1, 3.99, 2, 4.01, 9, 9], 4.0),
        "lesser factor": ([4, 2, 1, 1.49, 1, 1.51, 9, 9], 1.5),
        "no fall": ([1, 1, 1, 1, 1, 4.01, 9, 9], 4.0),
        "negative": ([-1, -2, 0, 3.99, -2, 4.01, 9, 9], 4.0),
        "negative rising": ([-4, -2, -1, 7.99, -4, 8.01, 9, 9], 4.0),
        "crosses zero": ([10, 5, -2, 33.9, 0, 34.1, 99, 99], 4.0),
        "falls to zero": ([5, 2, 0, 14.9, 0, 15.1, 99, 99], 4.0),
        "greater factor": ([4, 3, 2, 1, 2, 1e30, 1, 1], 1e9),
    }
    options = {
        name: (losses, {"smoothing": 0.0, "divergence_factor": factor})
        for name, (losses, factor) in cases.items()
    }

    for name, curve in curves_of(options).items():
        assert curve.stop_reason is StopReason.DIVERGED, name
        assert curve.losses.tolist() == cases[name][0][:6], name


def test_divergence_is_judged_by_the_smoothed_loss():
    """The sweep stops at the first average over all so far that is above four times the least."""
    losses = np.concatenate([np.linspace(2, 1, 20), np.geomspace(1, 1e4, 40)])
    cases = {smoothing: (losses, {"smoothing": smoothing}) for smoothing in (0.5, 0.9, 0.98)}

    for smoothing, curve in curves_of(cases).items():
        smoothed = np.array(
            [
                np.average(losses[: i + 1], weights=smoothing ** np.arange(i, -1, -1.0))
                for i in range(losses.size)
            ]
        )
        above = smoothed > 4 * np.minimum.accumulate(smoothed)

        assert curve.stop_reason is StopReason.DIVERGED
        assert len(curve) == np.argmax(above) + 1
        np.testing.assert_allclose(curve.smoothed_losses, smoothed[: len(curve)], rtol=1e-12)


def test_training_that_diverges_stops_the_sweep():
    """Gradient descent on a parabola stops above its limit 2 / L, where its loss is fourfold."""
    rates = schedule(1e-3, 10.0, 50)
    losses = np.array(losses_of_parabola(rates))
    end = np.argmax(losses > 4 * np.minimum.accumulate(losses)) + 1

    curve = range_test(
        parabola(keras),
        one_batch(),
        min_learning_rate=1e-3,
        max_learning_rate=10.0,
        num_steps=50,
        smoothing=0.0,
    )

    assert curve.stop_reason is StopReason.DIVERGED
    assert len(curve) == end
    assert curve.learning_rates[-1] > LIMIT
    np.testing.assert_allclose(curve.losses, losses[:end], rtol=1e-3)


def test_infinite_factor_never_stops():
    """A loss that grows without end is followed to the last step."""
    losses = np.geomspace(1, 1e30, 25)

    curve = range_test(telling(), numbers(losses), num_steps=25, divergence_factor=float("inf"))

    assert curve.stop_reason is StopReason.ALL_STEPS
    np.testing.assert_array_equal(curve.losses, losses)


def values_of(model):
    """Returns the values of weights, statistics and seeds, of the optimizer, and the metrics."""
    optimizer = model.optimizer.variables
    if callable(optimizer):
        optimizer = optimizer()
    return {
        "model": [variable.numpy() for variable in model.variables],
        "optimizer": [variable.numpy() for variable in optimizer],
        "metrics": [np.array(value) for value in model.get_metrics_result().values()],
    }


@pytest.fixture(scope="module", params=["returns", "raises"])
def before_and_after(request, keras_module):
    """A trained model's values before and after a sweep that returns, or raises in its middle."""
    model = noisy_model(keras_module)
    model.fit(random_batches(batches=1), verbose=0)
    before = values_of(model)
    dataset = random_batches(seed=1)
    if request.param == "returns":
        range_test(model, dataset, num_steps=12, divergence_factor=float("inf"))
    else:
        with pytest.raises(ValueError, match="The data set must yield"):
            range_test(model, only_once(dataset), num_steps=12, divergence_factor=float("inf"))
    return before, values_of(model)


@pytest.mark.parametrize("part", ["model", "optimizer", "metrics"])
def test_model_is_left_as_it_was(before_and_after, part):
    """Every value is bit for bit what it was: also Adam's slots, counters and batch statistics."""
    before, after = before_and_after

    assert len(before[part]) > 1
    assert len(after[part]) == len(before[part])
    for value, value_before in zip(after[part], before[part], strict=True):
        np.testing.assert_array_equal(value, value_before)


def test_training_goes_on_as_if_there_had_been_no_sweep(keras_module):
    """Two epochs with a sweep in between end with the weights of two epochs without."""
    weights = []
    for swept in (False, True):
        keras_module.utils.set_random_seed(5)
        model = keras_module.Sequential(
            [keras_module.layers.Dense(3), keras_module.layers.Dense(1)]
        )
        decay = keras_module.optimizers.schedules.ExponentialDecay(0.1, 2, 0.5)
        model.compile(keras_module.optimizers.Adam(decay), "mse", run_eagerly=True)
        model.fit(random_batches(), verbose=0)
        if swept:
            range_test(model, random_batches(seed=1), num_steps=6)
        model.fit(random_batches(), verbose=0)
        weights.append(np.concatenate([weight.ravel() for weight in model.get_weights()]))

    np.testing.assert_array_equal(weights[1], weights[0])


def test_loss_scale_is_left_as_it_was(keras_module):
    """The scale of a LossScaleOptimizer and its count of good steps are part of its state."""
    optimizer = keras_module.mixed_precision.LossScaleOptimizer(keras_module.optimizers.SGD(0.01))
    model = parabola(keras_module, optimizer=optimizer, run_eagerly=True)
    model.fit(one_batch(), verbose=0)

    def scale():
        if keras_module is keras:
            return [variable.numpy().item() for variable in optimizer.variables]
        return [float(optimizer.loss_scale), int(optimizer.dynamic_counter)]

    before = scale()
    range_test(model, one_batch(), num_steps=5)

    assert scale() == before


def draws():
    """Returns a number of each global source of random numbers."""
    return [
        random.random(),
        np.random.random(),
        tf.random.uniform(()),
        tf.random.get_global_generator().uniform(()),
        keras.random.uniform(()),
    ]


def drawing():
    """Returns a model whose loss, on batch i, is a number of source i, drawn within the step."""

    def step(model, batch):
        return {"loss": tf.gather(tf.stack(draws()), tf.cast(batch[0], tf.int32))}

    return reporting(keras, step)


def test_next_random_numbers_are_those_without_a_sweep():
    """A sweep that draws in its steps does not move any global source of random numbers."""

    def start():
        keras.utils.clear_session()  # Keras 3's own generator is made anew, from Python's seed
        keras.utils.set_random_seed(7)
        tf.random.get_global_generator().reset_from_seed(7)
        return [float(number) for number in draws()]

    undisturbed = [start(), [float(number) for number in draws()]]
    first = start()
    range_test(drawing(), numbers(range(5)), num_steps=5)

    assert [first, [float(number) for number in draws()]] == undisturbed


def test_next_initial_weights_are_those_without_a_sweep(keras_module):
    """The generator that Keras draws seeds from stays where it was, also when it builds a model."""

    def kernel_of_the_next_layer(swept):
        keras_module.utils.set_random_seed(7)
        model = keras_module.Sequential([keras_module.layers.Dense(1)])
        model.compile(keras_module.optimizers.SGD(0.5), "mse")
        if swept:
            range_test(model, random_batches(), num_steps=3)
        layer = keras_module.layers.Dense(4)
        layer.build((None, 2))
        return layer.get_weights()[0]

    np.testing.assert_array_equal(
        kernel_of_the_next_layer(swept=True), kernel_of_the_next_layer(swept=False)
    )


def test_same_seed_gives_the_same_curve_bit_for_bit():
    """Dropout, random weights, a shuffled data set: from the same seed, the same curve."""
    curves = []
    for _ in range(2):
        keras.utils.set_random_seed(3)
        model = keras.Sequential([keras.layers.Dropout(0.5), keras.layers.Dense(1)])
        model.compile(keras.optimizers.Adam(), "mse")
        dataset = random_batches(rows=1, batches=12).unbatch().shuffle(12, seed=4).batch(4)
        curves.append(range_test(model, dataset, num_steps=10, seed=1))

    assert curves[0] == curves[1]


def test_same_model_gives_the_same_curve_twice():
    """A sweep leaves nothing behind that a second one of the same model would feel."""
    model = parabola(keras)

    first = range_test(model, one_batch(), num_steps=10)

    assert range_test(model, one_batch(), num_steps=10) == first


def test_seed_decides_on_random_operations_that_have_none():
    """Same seed, same losses; another seed, others; of every source, whatever the global seed."""

    def losses(seed, global_seed):
        keras.utils.set_random_seed(global_seed)
        curve = range_test(
            drawing(), numbers(range(5)), num_steps=5, seed=seed, divergence_factor=float("inf")
        )
        return curve.losses

    first = losses(seed=1, global_seed=10)

    np.testing.assert_array_equal(losses(seed=1, global_seed=20), first)
    assert np.all(losses(seed=2, global_seed=10) != first)


def test_train_step_is_traced_once_and_never_run_in_python(keras_module):
    """Python enters the train step of a built model once, in a graph, for any number of steps.

    Even if `fit` would run each in Python.
    """
    eagerly = []

    class Counting(keras_module.Sequential):
        def train_step(self, batch):
            eagerly.append(tf.executing_eagerly())
            return super().train_step(batch)

    model = parabola(keras_module, base=Counting, run_eagerly=True)
    range_test(model, one_batch(), num_steps=2)  # may trace twice: variables come into being
    eagerly.clear()

    range_test(model, one_batch(), num_steps=60)

    assert eagerly == [False]


def test_nothing_is_printed_without_a_terminal(capsys):
    """In a pipeline's log there is no progress bar."""
    range_test(telling(), numbers([1]), num_steps=30)

    assert capsys.readouterr() == ("", "")


def test_progress_is_shown_in_a_terminal(monkeypatch):
    """Where there is a terminal, a bar runs to the last step."""

    class Terminal(io.StringIO):
        def isatty(self):
            return True

    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)

    range_test(telling(), numbers([1]), num_steps=30)

    assert "Learning-rate sweep" in terminal.getvalue()
    assert "30/30" in terminal.getvalue()


@pytest.mark.parametrize("model", [None, "model", object()], ids=["none", "string", "object"])
def test_what_is_no_model_is_refused(model):
    """The message names the argument, the value and its type."""
    with pytest.raises(
        ValueError,
        match=rf"`model` must be a Keras model\. Received: .* of type {type(model).__name__}",
    ):
        range_test(model, one_batch())


def test_model_that_is_not_compiled_is_refused(keras_module):
    """The message tells to compile it."""
    model = keras_module.Sequential([keras_module.layers.Dense(1)], name="raw")

    with pytest.raises(
        ValueError, match=r"must be compiled.* Received: model 'raw'.* Call `model\.compile"
    ):
        range_test(model, one_batch())


def test_model_that_trains_by_other_optimizers_is_refused(keras_module):
    """As adversarial networks do: compiled with none, they have Keras's default one, unused."""

    class Adversarial(keras_module.Model):
        def __init__(self):
            super().__init__(name="gan")
            self.dense = keras_module.layers.Dense(1)

        def compile(self, critic_optimizer):
            super().compile()
            self.critic_optimizer = critic_optimizer

        def train_step(self, batch):
            x, y = batch
            with tf.GradientTape() as tape:
                loss = tf.reduce_mean((self.dense(x) - y) ** 2)
            weights = self.dense.trainable_variables
            self.critic_optimizer.apply_gradients(
                zip(tape.gradient(loss, weights), weights, strict=True)
            )
            return {"loss": loss}

    model = Adversarial()
    model.compile(keras_module.optimizers.SGD(0.1))

    with pytest.raises(
        ValueError,
        match=r"must apply gradients by `model\.optimizer`.* Received: model 'gan', in \d+ steps "
        r"no update by its \w+\. .*`super\(\)\.compile\(optimizer=",
    ):
        range_test(model, random_batches(), num_steps=20)


def test_optimizer_that_bounds_its_rate_is_refused(keras_module):
    """Adafactor as it comes: whatever it is given, at most one over the root of the step."""

    def model(**options):
        made = keras_module.Sequential([keras_module.Input((2,)), keras_module.layers.Dense(1)])
        made.compile(keras_module.optimizers.Adafactor(**options), "mse")
        return made

    with pytest.raises(
        ValueError,
        match=r"must apply the rate that it is given\. Received: .* with "
        r"Adafactor\(relative_step=True\).*relative_step=False",
    ):
        range_test(model(), random_batches())

    with pytest.raises(
        ValueError,
        match=r"must apply the rate that it is given\. Received: .* with Adafactor, which applies "
        r"no more than 1 / sqrt\(step\), and rates up to 10 in 3 steps\. "
        r".*max_learning_rate=0\.57\.",
    ):
        range_test(model(relative_step=False), random_batches(), num_steps=3)

    curve = range_test(
        model(relative_step=False), random_batches(), num_steps=3, max_learning_rate=0.57
    )
    assert len(curve) == 3


def test_legacy_optimizer_is_refused():
    """tf_keras's older ones have no rate that a graph can set; the message names the newer one."""
    model = tf_keras.Sequential([tf_keras.layers.Dense(1)], name="old")
    model.compile(tf_keras.optimizers.legacy.Adam(), "mse")

    with pytest.raises(
        ValueError,
        match=r"must be of Keras 3 or of `tf_keras\.optimizers`, not of its `legacy`\. "
        r"Received: model 'old' with tf_keras\.\S+\.Adam\. .*`tf_keras\.optimizers\.Adam`",
    ):
        range_test(model, one_batch())


@pytest.mark.parametrize(
    ("data", "received"),
    [("words", "x of type str"), (7, "x of type int"), (None, "no data")],
    ids=["string", "number", "none"],
)
def test_what_fit_does_not_take_is_refused(keras_module, data, received):
    """The message has the type received, and Keras's own words."""
    with pytest.raises(
        ValueError,
        match=rf"as `model\.fit` takes them\. Received: {received}, and from Keras \w+: ",
    ):
        range_test(parabola(keras_module), data)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"min_learning_rate": 0.0}, r"must be greater than 0.*Received: min_learning_rate=0\.0"),
        ({"max_learning_rate": 1e-7}, r"must be greater than `min.*max_learning_rate=1e-07"),
        ({"max_learning_rate": 1e-6 * (1 + 1e-15)}, r"must be further apart, for 200 rates"),
        ({"num_steps": 1}, r"`num_steps` must be from 2 to 10,000.*Received: num_steps=1\."),
        ({"smoothing": 1.0}, r"`smoothing` must be in \[0, 1\).*Received: smoothing=1\.0"),
        (
            {"divergence_factor": 1.0},
            r"`divergence_factor` must be greater than 1\. Received: divergence_factor=1\.0\.",
        ),
        ({"divergence_factor": float("nan")}, r"Received: divergence_factor=nan\."),
    ],
    ids=["min", "max", "narrow", "num_steps", "smoothing", "divergence_factor", "nan_factor"],
)
def test_argument_out_of_range_is_refused_before_the_model_is_looked_at(options, message):
    """The message names the argument and the value received."""
    with pytest.raises(ValueError, match=message):
        range_test(None, None, **options)


@pytest.mark.parametrize("num_steps", [2, 50])
def test_empty_data_set_is_refused(num_steps):
    """There is no batch to begin with."""
    with pytest.raises(ValueError, match=r"The data set must yield.*Received: .*empty"):
        range_test(telling(), numbers([]), num_steps=num_steps)


def test_data_set_that_cannot_start_over_is_refused():
    """A generator that is used up after three batches does not do for five steps."""
    with pytest.raises(ValueError, match=r"The data set must yield.*start"):
        range_test(telling(), only_once(numbers([1, 1, 1])), num_steps=5)


@pytest.mark.parametrize(
    "batch",
    [
        (tf.ones((4, 1)), tf.ones((4, 1)), tf.ones(4), tf.ones(4)),
        tf.ones((4, 1)),
        (tf.ones((4, 3)), tf.ones((4, 1))),
        (tf.constant(["a"] * 4), tf.ones((4, 1))),
    ],
    ids=["four_parts", "no_labels", "too_many_features", "strings"],
)
def test_batches_of_a_wrong_structure_are_refused(batch):
    """The message shows the structure of the batches and what Keras says to it."""
    with pytest.raises(
        ValueError, match=r"(?s)must be trainable on the batches.*TensorSpec\(.*Yield batches as"
    ) as info:
        range_test(parabola(keras), tf.data.Dataset.from_tensors(batch), num_steps=3)

    assert info.value.__cause__ is not None


def test_model_compiled_without_a_loss_is_refused():
    """Keras's own words, that there is no loss, are in the message."""
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    model.compile(keras.optimizers.SGD(0.5))

    with pytest.raises(ValueError, match=r"(?s)must be trainable.*No loss"):
        range_test(model, one_batch(), num_steps=3)


def test_label_out_of_range_is_refused():
    """A class that the model does not know: the message has the label."""
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(3)])
    model.compile(
        keras.optimizers.SGD(0.5),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    )
    batch = (tf.ones((2, 1)), tf.constant([0, 9]))

    with pytest.raises(ValueError, match=r"(?s)must be trainable.*label value of 9"):
        range_test(model, tf.data.Dataset.from_tensors(batch), num_steps=3)


@pytest.mark.parametrize(
    ("logs", "received"),
    [
        ({"accuracy": 1.0}, r"must return a dict with the key 'loss'.*Received: \['accuracy'\]"),
        ({}, r"must return a dict with the key 'loss'.*Received: \[\]"),
        (1.0, r"must return a dict with the key 'loss'.*Received: 1\.0"),
        (None, r"must return a dict with the key 'loss'.*Received: None"),
        ({"loss": [1.0, 2.0]}, r"must be a scalar.*Received: shape \(2,\)"),
        ({"loss": [[1.0]]}, r"must be a scalar.*Received: shape \(1, 1\)"),
    ],
    ids=["other_key", "no_key", "number", "nothing", "vector", "matrix"],
)
def test_train_step_without_a_scalar_loss_is_refused(logs, received):
    """The message says what the train step returned."""
    with pytest.raises(ValueError, match=received):
        range_test(reporting(keras, lambda model, batch: logs), one_batch(), num_steps=3)


def test_training_of_no_steps_is_refused_before_the_sweep(keras_module):
    """What the model is to be trained for is checked before anything is run."""
    result = LrFinderFnResult(keras_module.Sequential(), random_batches(), train_steps=0)

    with (
        pytest.raises(ValueError, match=r"`train_steps` must be at least 1.*train_steps=0"),
        Trainings(lambda _: result, 10, 0) as trainings,
    ):
        trainings.sweep(0, schedule(1e-6, 10.0, 10), 0.98, 4.0)


def test_integers_of_numpy_are_integers():
    """Steps, seed and epochs may come out of NumPy; the curve can be written all the same."""
    model = keras.Sequential([keras.layers.Dense(1)])
    model.compile(keras.optimizers.SGD(0.5), "mse")

    numbers = {"num_steps": np.int64(6), "seed": np.int64(3), "epochs": np.int64(10)}
    curve = range_test(model, random_batches(), **numbers)

    assert Curve.from_json(curve.to_json()) == curve


def test_deterministic_operations_can_be_swept():
    """TensorFlow forbids its global generator then; the sweep does without it."""
    code = """
import keras, tensorflow as tf
from tfx_lr_finder import range_test
keras.utils.set_random_seed(1)
tf.config.experimental.enable_op_determinism()
model = keras.Sequential([keras.layers.Dense(1)])
model.compile("sgd", "mse")
batches = tf.data.Dataset.from_tensors((tf.ones((4, 2)), tf.ones((4, 1))))
print(len(range_test(model, batches, num_steps=10, max_learning_rate=0.1)))
"""
    result = forked.run(["-c", code])

    assert result.stdout == "10\n", result.stderr


@pytest.mark.parametrize(
    "error",
    [
        MemoryError("no room for the table"),
        tf.errors.ResourceExhaustedError(None, None, "no room for the table"),
        tf.errors.AbortedError(None, None, "no room for the table"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_error_that_no_batch_causes_keeps_its_own_words(error):
    """To yield other batches would not help."""

    def large(labels, outputs):
        raise error

    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    model.compile("sgd", large)
    dataset = tf.data.Dataset.from_tensors((tf.ones((4, 2)), tf.zeros((4, 1))))

    with pytest.raises(type(error), match="no room for the table") as raised:
        range_test(model, dataset)

    assert "Yield batches" not in str(raised.value)
