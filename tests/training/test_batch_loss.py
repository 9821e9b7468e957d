"""Each recorded loss is that of its batch, whatever the training step keeps of others."""

import json

import forked
import keras
import numpy as np
import pytest
import tensorflow as tf

from tfx_lr_finder.training.range_test import range_test

NUM_STEPS = 6


def batches(number=4, rows=4):
    """Returns batches of two features and a label."""
    generator = np.random.RandomState(0)
    x = generator.normal(size=(number * rows, 2)).astype(np.float32)
    y = generator.normal(size=(number * rows, 1)).astype(np.float32)
    return tf.data.Dataset.from_tensor_slices((x, y)).batch(rows)


class Tracker:
    """Keeps the mean of a loss in variables of its own, of which Keras knows nothing."""

    def __init__(self):
        self.total, self.count = (tf.Variable(0.0, trainable=False) for _ in range(2))

    def mean(self, loss):
        """Returns the mean of the losses so far."""
        return self.total.assign_add(loss) / self.count.assign_add(1.0)


def model_of(keras_module, report, prepare=None):
    """Returns a compiled model whose step reports its loss by a function of model and loss.

    Another function may give it attributes before it is built.
    """
    layers = keras_module.layers

    class Own(keras_module.Model):
        def __init__(self):
            super().__init__()
            self.inner = keras_module.Sequential([layers.Dense(3), layers.Dropout(0.5)])
            self.dense = layers.Dense(1)
            if prepare is not None:
                prepare(self)

        def call(self, x, training=False):
            return self.dense(self.inner(x, training=training))

        @property
        def metrics(self):
            return []

        def train_step(self, batch):
            x, y = batch
            with tf.GradientTape() as tape:
                loss = tf.reduce_mean((self(x, training=True) - y) ** 2)
            weights = self.trainable_variables
            gradients = tape.gradient(loss, weights)
            self.optimizer.apply_gradients(zip(gradients, weights, strict=True))
            return {"loss": report(self, loss)}

    keras_module.utils.set_random_seed(1)
    model = Own()
    model(tf.zeros((1, 2)))
    model.compile(keras_module.optimizers.SGD(0.1))
    return model


def losses_of(model, **options):
    """Returns the losses of a sweep that is never stopped."""
    defaults = {"min_learning_rate": 1e-3, "max_learning_rate": 0.1, "num_steps": NUM_STEPS}
    options = {**defaults, "divergence_factor": float("inf"), **options}
    return range_test(model, batches(), **options).losses


def test_mean_of_a_metric_that_is_not_listed_is_that_of_the_batch(keras_module):
    """The model's `metrics` is empty; one tracker is its own, one a nested model's, one in a list.

    If one of the three means differs, the reported number is none of them.
    """
    expected = losses_of(model_of(keras_module, lambda _, loss: loss))
    trackers = [keras_module.metrics.Mean() for _ in range(3)]

    def report(_, loss):
        for tracker in trackers:
            tracker.update_state(loss)
        first, *others = (tracker.result() for tracker in trackers)
        return first + sum(tf.abs(other - first) for other in others)

    def prepare(model):
        model.tracker, model.inner.tracker, last = trackers
        model.trackers = [last]

    model = model_of(keras_module, report, prepare)

    np.testing.assert_array_equal(losses_of(model), expected)


def test_mean_that_no_metric_keeps_is_refused(keras_module):
    """The running mean of an object that Keras does not know."""
    tracker = Tracker()
    model = model_of(keras_module, lambda _, loss: tracker.mean(loss))

    with pytest.raises(
        ValueError,
        match=r"(?s)must be that of its batch alone\. Received: model .* depends on what earlier "
        r"steps left in .*keep its mean in a metric that is an attribute of the model",
    ):
        losses_of(model)


def test_number_that_the_training_depends_on_is_no_mean(keras_module):
    """An annealed weight of the loss changes the gradients as it changes the loss."""

    class Annealed(keras_module.Sequential):
        def train_step(self, batch):
            x, y = batch
            self.weight.assign(self.weight * 0.5)
            with tf.GradientTape() as tape:
                loss = (1 + self.weight) * tf.reduce_mean((self(x, training=True) - y) ** 2)
            weights = self.trainable_variables
            gradients = tape.gradient(loss, weights)
            self.optimizer.apply_gradients(zip(gradients, weights, strict=True))
            return {"loss": loss}

    model = Annealed([keras_module.Input((2,)), keras_module.layers.Dense(1)])
    model.weight = tf.Variable(1.0, trainable=False)
    model.compile(keras_module.optimizers.SGD(0.1))

    assert losses_of(model).size == NUM_STEPS


def test_metrics_of_the_users_own_report_the_loss_of_the_batch(keras_module):
    """Keras's training step, whose logs a model replaces by those of its own tracker."""

    class Own(keras_module.Sequential):
        def compute_metrics(self, x, y, y_pred, sample_weight=None):
            loss = tf.reduce_mean((y_pred - y) ** 2)
            self.tracker.update_state(loss)
            return {"loss": self.tracker.result()}

    def made(base):
        keras_module.utils.set_random_seed(1)
        model = base([keras_module.Input((2,)), keras_module.layers.Dense(1)])
        model.tracker = keras_module.metrics.Mean(name="own")
        model.compile(keras_module.optimizers.SGD(0.1), "mse")
        return model

    expected = losses_of(made(keras_module.Sequential))

    np.testing.assert_allclose(losses_of(made(Own)), expected, rtol=1e-6)


def test_every_batch_is_read_once(keras_module):
    """The first one is tried out, and is then the first of the sweep."""
    read = []

    def generate():
        for number in range(100):
            read.append(number)
            yield np.full((4, 2), number, np.float32), np.zeros((4, 1), np.float32)

    specs = (tf.TensorSpec((4, 2)), tf.TensorSpec((4, 1)))
    dataset = tf.data.Dataset.from_generator(generate, output_signature=specs)
    model = model_of(keras_module, lambda _, loss: loss)
    train_step = type(model).train_step

    def telling(self, batch):
        train_step(self, batch)
        return {"loss": tf.reduce_mean(batch[0])}

    type(model).train_step = telling

    losses = range_test(model, dataset, num_steps=4, divergence_factor=float("inf")).losses

    assert losses.tolist() == [0.0, 1.0, 2.0, 3.0]
    assert read == [0, 1, 2, 3]


REPLICAS = """
import importlib, json, sys
import numpy as np
import tensorflow as tf
devices = tf.config.list_physical_devices("CPU")
tf.config.set_logical_device_configuration(devices[0], [tf.config.LogicalDeviceConfiguration()] * 2)
keras = importlib.import_module(sys.argv[1])
from tfx_lr_finder import range_test

def batch(rows):
    y = 1 + np.arange(rows, dtype=np.float32)[:, None]
    return tf.data.Dataset.from_tensor_slices((np.ones((rows, 2), np.float32), y)).batch(4)

def curve_of(is_own):
    class Own(keras.Sequential):
        def train_step(self, batch):
            x, y = batch
            with tf.GradientTape() as tape:
                loss = tf.reduce_mean((self(x, training=True) - y) ** 2)
            weights = self.trainable_variables
            gradients = [tf.zeros_like(weight) for weight in weights]
            self.optimizer.apply_gradients(zip(gradients, weights))
            return {"loss": loss}

    with tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"]).scope():
        layer = keras.layers.Dense(1, kernel_initializer="zeros")
        model = (Own if is_own else keras.Sequential)([keras.Input((2,)), layer])
        model.compile(keras.optimizers.SGD(0.1), "mse")
    data = batch(4).concatenate(batch(3)).concatenate(batch(1))
    curve = range_test(
        model, data, validation_data=data, num_steps=3,
        min_learning_rate=1e-9, max_learning_rate=1e-8,
    )
    validation = curve.validation_losses
    return [curve.losses.tolist(), None if validation is None else validation.tolist()]

print(json.dumps([curve_of(is_own) for is_own in (False, True)]))
"""


def test_batch_of_fewer_rows_than_replicas():
    """Of two replicas one has fewer rows, or none: the loss is that of all rows."""
    result = forked.run(["-c", REPLICAS, "keras"])
    assert result.returncode == 0, result.stderr

    of_keras, of_own_step = json.loads(result.stdout.splitlines()[-1])

    expected = [np.mean(np.arange(1, rows + 1) ** 2) for rows in (4, 3, 1)]
    np.testing.assert_allclose(of_keras[0], expected, rtol=1e-5)
    np.testing.assert_allclose(of_own_step[0], expected, rtol=1e-5)
    np.testing.assert_allclose(of_keras[1], [np.mean(expected)] * 3, rtol=1e-5)
    assert of_own_step[1] is None


@pytest.mark.parametrize("takes_mode", [True, False], ids=["with mode", "without"])
def test_validation_loss_is_told_the_mode_as_by_keras(takes_mode):
    """A `compute_loss` of the user's own gets `training` where it takes it."""

    class WithMode(keras.Sequential):
        def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=None):
            assert training is not None
            return tf.reduce_mean((y_pred - y) ** 2)

    class Without(keras.Sequential):
        def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None):
            return tf.reduce_mean((y_pred - y) ** 2)

    base = WithMode if takes_mode else Without
    model = base([keras.Input((2,)), keras.layers.Dense(1)])
    model.compile(keras.optimizers.SGD(0.1), "mse")

    curve = range_test(
        model, batches(), validation_data=batches(), num_steps=3, max_learning_rate=1e-2
    )

    assert curve.validation_losses.size == 3
