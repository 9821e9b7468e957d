"""The loss of fixed validation batches in the course of a sweep."""

import json

import forked
import keras
import numpy as np
import pytest
import tensorflow as tf
from range_tests import range_tests

from tfx_lr_finder import LrFinderFnResult
from tfx_lr_finder.core.sweep import StopReason, exponential_learning_rates
from tfx_lr_finder.training.judge.validation import MAX_BATCHES, ValidationError, validation_batches
from tfx_lr_finder.training.model.random_state import seed_everything
from tfx_lr_finder.training.range_test import range_test
from tfx_lr_finder.training.trainings import Trainings

VALIDATED_ROWS = 3  # in a batch; other batches have 4


def line(keras_module, optimizer=None, base=None):
    """Returns a model with one weight, at first 1, for y = 0: the loss is w**2."""
    weight = keras_module.layers.Dense(1, use_bias=False, kernel_initializer="ones")
    model = (base or keras_module.Sequential)([keras_module.Input((1,)), weight])
    model.compile(optimizer or keras_module.optimizers.SGD(0.5), "mse", metrics=["mae"])
    return model


def batches(*sizes, rows=4):
    """Returns a batch of features of each size, with zeros to be predicted."""
    parts = [(tf.fill((rows, 1), float(size)), tf.zeros((rows, 1))) for size in sizes]
    return tf.data.Dataset.from_tensor_slices(tuple(map(tf.stack, zip(*parts, strict=True))))


def noisy(keras_module):
    """Returns a model with dropout, batch statistics and slots."""
    layers = keras_module.layers
    model = keras_module.Sequential([keras_module.Input((2,)), layers.BatchNormalization()])
    model.add(layers.Dropout(0.5))
    model.add(layers.Dense(1))
    model.compile(keras_module.optimizers.SGD(0.1, momentum=0.9), "mse", metrics=["mae"])
    return model


def random_batches(seed=0, rows=4, number=6):
    """Returns batches of two random features and a random label."""
    generator = np.random.default_rng(seed)
    x, y = generator.normal(size=(2, rows * number, 2)).astype(np.float32)
    return tf.data.Dataset.from_tensor_slices((x, y[:, :1])).batch(rows)


def test_loss_is_that_after_the_update(keras_module):
    """A step multiplies w by 1 - 2 rate; features of sizes 1 and 3 give (1 + 9) / 2 w**2."""
    rates = exponential_learning_rates(1e-3, 0.3, 20)

    curve = range_test(
        line(keras_module),
        batches(1),
        validation_data=batches(1, 3),
        min_learning_rate=1e-3,
        max_learning_rate=0.3,
        num_steps=20,
    )

    expected = 5 * np.cumprod(1 - 2 * rates) ** 2
    np.testing.assert_allclose(curve.validation_losses, expected, rtol=1e-4)
    np.testing.assert_allclose(curve.losses[1:], expected[:-1] / 5, rtol=1e-4)


def test_proof_validates_only_what_it_reads():
    """Of 20 steps the start and the last 4, of 40 the start and the last 8; two batches each."""
    computed = []

    def squared(y, predicted):
        if y.shape[0] == VALIDATED_ROWS:
            tf.numpy_function(lambda: computed.append(1), [], [])
        return tf.reduce_mean((y - predicted) ** 2, axis=-1)

    def make(seed):
        model = line(keras)
        model.compile(keras.optimizers.SGD(0.5), squared)
        return LrFinderFnResult(model, batches(1), batches(1, 3, rows=VALIDATED_ROWS))

    numbers = []
    with Trainings(make, most_steps=41, graph_seed=0) as trainings:
        for num_steps in (20, 40):
            before = len(computed)
            proof = trainings.proof(0, 0.01, num_steps)
            numbers.append(len(computed) - before)
            expected = 5 * 0.98 ** (2 * np.arange(num_steps + 1))
            assert proof.start_loss == pytest.approx(expected[0])
            assert proof.loss == pytest.approx(expected[-num_steps // 5 :].mean(), rel=1e-4)

    assert numbers[1] - numbers[0] == 2 * (8 - 4)


def test_sample_weights_count_and_penalties_do_not(keras_module):
    """Weights of a half halve the error; a penalty of the weights says nothing of the data."""
    penalty = keras_module.regularizers.L2(0.25)
    weight = keras_module.layers.Dense(
        1, use_bias=False, kernel_initializer="ones", kernel_regularizer=penalty
    )
    model = keras_module.Sequential([keras_module.Input((1,)), weight])
    model.compile(keras_module.optimizers.SGD(0.5), "mse")
    weighted = batches(3).map(lambda x, y: (x, y, tf.fill((4, 1), 0.5)))

    curve = range_test(
        model,
        batches(1),
        validation_data=weighted,
        min_learning_rate=1e-9,
        max_learning_rate=1e-8,
        num_steps=3,
    )

    np.testing.assert_allclose(curve.validation_losses, 0.5 * 9, rtol=1e-5)


def test_validation_leaves_no_trace_in_the_training(keras_module):
    """Dropout, batch statistics and metrics go on as without it: the losses are bit for bit."""
    model = noisy(keras_module)
    before = [variable.numpy() for variable in model.variables]

    without = range_test(model, random_batches(), num_steps=8)
    curve = range_test(model, random_batches(), validation_data=random_batches(1), num_steps=8)

    assert without.validation_losses is None
    np.testing.assert_array_equal(curve.losses, without.losses)
    assert curve.validation_losses.shape == curve.losses.shape
    for variable, value in zip(model.variables, before, strict=True):
        np.testing.assert_array_equal(variable.numpy(), value)


def test_memory_of_the_training_is_not_that_of_the_validation(keras_module):
    """A stateful recurrent layer goes on from the last training batch: the losses are the same."""
    keras_module.utils.set_random_seed(0)
    layers = keras_module.layers
    model = keras_module.Sequential([keras_module.Input(batch_shape=(4, 2, 1))])
    model.add(layers.SimpleRNN(2, stateful=True, unroll=True))
    model.add(layers.Dense(1))
    model.compile("sgd", "mse")
    of_fixed_shape = random_batches().unbatch().batch(4, drop_remainder=True)
    training = of_fixed_shape.map(lambda x, y: (x[..., None], y))
    validation = training.map(lambda x, y: (50 * x, y))

    without = range_test(model, training, num_steps=6)
    curve = range_test(model, training, validation_data=validation, num_steps=6)

    np.testing.assert_array_equal(curve.losses, without.losses)


def test_order_of_the_validation_data_is_that_of_the_seed():
    """Data drawn by NumPy are drawn as the seed says, and the caller's numbers go on."""

    def drawn():
        for _ in range(3):
            yield np.random.normal(size=(4, 2)), np.zeros((4, 1))

    signature = tf.TensorSpec((4, 2)), tf.TensorSpec((4, 1))
    dataset = tf.data.Dataset.from_generator(drawn, output_signature=signature)
    options = {"validation_data": dataset, "num_steps": 3}
    curves, next_numbers = [], []
    for _ in range(2):
        keras.utils.set_random_seed(3)
        np.random.normal(size=len(curves))
        model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
        model.compile("sgd", "mse")
        curves.append(range_test(model, random_batches(), **options))
        next_numbers.append(np.random.normal())

    np.random.seed(3)
    assert next_numbers == list(np.random.normal(size=2))
    np.testing.assert_array_equal(curves[0].validation_losses, curves[1].validation_losses)


def test_batch_statistics_are_those_of_the_validation_batch(keras_module):
    """In training mode: features of any scale are normalised by themselves."""
    layers = keras_module.layers
    model = keras_module.Sequential([keras_module.Input((2,)), layers.BatchNormalization()])
    model.compile(keras_module.optimizers.SGD(0.5), "mse")
    scaled = random_batches(1, number=1).map(lambda x, y: (1e3 * x, tf.zeros_like(x)))

    curve = range_test(
        model,
        random_batches().map(lambda x, y: (x, x)),
        validation_data=scaled,
        min_learning_rate=1e-9,
        max_learning_rate=1e-8,
        num_steps=3,
    )

    np.testing.assert_allclose(curve.validation_losses, 1.0, rtol=1e-3)


@pytest.mark.parametrize(
    ("rows", "available", "taken"),
    [(4, 2, 2), (4, 100, MAX_BATCHES), (64, 100, 4), (100, 100, 3), (500, 2, 1)],
)
def test_first_256_examples_are_taken_in_at_most_eight_batches(rows, available, taken):
    """Whole batches, as many as are needed or there are; each is read once."""
    read = []

    def generate():
        for i in range(available):
            read.append(i)
            yield np.ones((rows, 1), np.float32), np.zeros((rows, 1), np.float32)

    spec = tf.TensorSpec((rows, 1), tf.float32)
    dataset = tf.data.Dataset.from_generator(generate, output_signature=(spec, spec))

    found = validation_batches(line(keras), dataset)

    assert found.number == taken
    assert next(found.iterator)[0].shape == (rows, 1)
    assert read.count(taken - 1) == 1


def test_endless_validation_data_are_not_read_to_their_end():
    """Of a data set without end the same few batches come again and again."""
    numbered = batches(*range(1, 21)).repeat()

    curve = range_test(
        line(keras),
        batches(0),
        validation_data=numbered,
        num_steps=10,
    )

    expected = np.mean(np.arange(1, MAX_BATCHES + 1) ** 2)
    np.testing.assert_allclose(curve.validation_losses, expected, rtol=1e-5)


def test_model_with_a_train_step_of_its_own_goes_without(keras_module):
    """Nothing else can tell what its loss is."""

    class Own(keras_module.Sequential):
        def train_step(self, batch):
            return super().train_step(batch)

    curve = range_test(
        line(keras_module, base=Own), batches(1), validation_data=batches(1), num_steps=3
    )

    assert curve.validation_losses is None


def test_features_may_be_ragged_or_sparse_and_named():
    """Batches keep their structure."""

    class Total(keras.Model):
        def build(self, _):
            self.scale = self.add_weight(shape=(), initializer="ones")

        def call(self, features):
            total = tf.reduce_sum(features["ragged"], axis=1)
            total += tf.sparse.reduce_sum(features["sparse"], axis=1)
            return self.scale * tf.reshape(total, (-1, 1))

    model = Total()
    model.compile(keras.optimizers.SGD(0.1), "mse")
    features = {
        "ragged": tf.ragged.constant([[1.0], [1.0, 1.0]]),
        "sparse": tf.sparse.from_dense([[1.0, 0.0], [0.0, 0.0]]),
    }
    dataset = tf.data.Dataset.from_tensors((features, tf.zeros((2, 1))))

    curve = range_test(
        model,
        dataset,
        validation_data=dataset,
        min_learning_rate=1e-9,
        max_learning_rate=1e-8,
        num_steps=3,
    )

    np.testing.assert_allclose(curve.validation_losses, 4.0, rtol=1e-5)


def test_curve_ends_before_a_validation_loss_that_is_not_finite():
    """The training of zeros goes on; the weight, and with it the validation loss, does not."""
    model = line(keras, optimizer=keras.optimizers.SGD(0.5, weight_decay=1e3))

    curve = range_test(
        model,
        batches(0),
        validation_data=batches(1),
        min_learning_rate=1.0,
        max_learning_rate=100.0,
        num_steps=50,
        divergence_factor=float("inf"),
    )

    assert curve.stop_reason is StopReason.NON_FINITE
    assert 0 < len(curve) < 50


def test_first_validation_loss_that_is_not_finite_is_refused():
    """The message says which data they are."""
    message = r"must be finite\. Received: a NaN or infinite loss of the validation data"
    with pytest.raises(ValueError, match=message):
        range_test(line(keras), batches(1), validation_data=batches(np.nan))


@pytest.mark.parametrize(
    ("dataset", "message"),
    [
        (
            [1, 2],
            r"as `model\.fit` takes them\. Received: .*validation_data of type list, and from",
        ),
        (batches(1).take(0), r"must yield at least one batch\. Received: none"),
    ],
    ids=["no_data_set", "empty"],
)
def test_data_without_a_batch_are_refused(dataset, message):
    """Before anything is traced."""
    with pytest.raises(ValueError, match=message):
        range_test(line(keras), batches(1), validation_data=dataset)


def test_batches_of_another_form_are_refused():
    """The message names the validation data and has the error of Keras."""
    wrong = tf.data.Dataset.from_tensors((tf.ones((4, 7)), tf.zeros((4, 1))))

    with pytest.raises(ValidationError, match=r"as `model\.evaluate` takes them.*\(4, 7\)"):
        range_test(line(keras), batches(1), validation_data=wrong)


def test_each_of_several_sweeps_has_validation_data_of_its_own():
    """The curve of a seed is the one that it has alone."""

    def make(seed):
        seed_everything(seed)
        return LrFinderFnResult(noisy(keras), random_batches(seed), random_batches(10 + seed))

    def curves(*seeds):
        return [*range_tests(make, seeds, num_steps=5, divergence_factor=9.0)]

    assert curves(0, 1)[1:] == curves(1)


REPLICAS = """
import json, sys, importlib
import tensorflow as tf
devices = tf.config.list_physical_devices("CPU")
tf.config.set_logical_device_configuration(devices[0], [tf.config.LogicalDeviceConfiguration()] * 2)
keras = importlib.import_module(sys.argv[1])
from tfx_lr_finder import range_test
with tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"]).scope():
    weight = keras.layers.Dense(
        1, use_bias=False, kernel_initializer="ones", kernel_regularizer=keras.regularizers.L2(0.25)
    )
    model = keras.Sequential([keras.Input((1,)), weight])
    model.compile(keras.optimizers.SGD(0.5), "mse")
data = tf.data.Dataset.from_tensors((tf.fill((6, 1), 3.0), tf.zeros((6, 1))))
curve = range_test(
    model, data, validation_data=data, min_learning_rate=1e-9, max_learning_rate=1e-8,
    num_steps=3,
)
print(json.dumps(curve.validation_losses.tolist()))
"""


def test_replicas_share_each_batch(keras_module):
    """Two logical CPUs: the loss is that of one, 9, without the penalty of 0.25."""
    process = forked.run(["-c", REPLICAS, keras_module.__name__])

    assert process.returncode == 0, process.stderr
    output = process.stdout
    np.testing.assert_allclose(json.loads(output.splitlines()[-1]), 9, rtol=1e-5)
