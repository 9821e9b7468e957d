"""Features, optimizers and compile options that people bring: each is swept as it is."""

import numpy as np
import pytest
import tensorflow as tf

from tfx_lr_finder import LrFinderFnResult
from tfx_lr_finder.training.trainings import Trainings

NUM_STEPS = 20
ROWS = 64
X = np.linspace(-1, 1, ROWS, dtype=np.float32)[:, None]


def pairs(features):
    """Returns batches of 8 of some features, with `2 x` to be predicted."""
    return tf.data.Dataset.from_tensor_slices((features, 2 * X)).batch(8)


def sparse_features(keras):
    """A sparse tensor for a layer that takes one."""
    inputs = keras.Input((1,), sparse=True)
    model = keras.Model(inputs, keras.layers.Dense(1)(inputs))
    model.compile("sgd", "mse")
    return model, pairs(tf.sparse.from_dense(X))


def linear(keras, optimizer="sgd", dtype=None, base=None, **compile_options):
    """A linear model on dense features."""
    layers = [keras.Input((1,)), keras.layers.Dense(1, dtype=dtype)]
    model = (base or keras.Sequential)(layers)
    model.compile(optimizer, **{"loss": "mse", **compile_options})
    return model, pairs(X)


def ragged_features(keras):
    """Sequences of different lengths for a layer of the user's, which takes their mean."""

    class Mean(keras.Model):
        def __init__(self):
            super().__init__()
            self.dense = keras.layers.Dense(1)

        def call(self, inputs):
            return self.dense(tf.reduce_mean(inputs, axis=1)[:, None])

    model = Mean()
    model.compile("sgd", "mse")
    ragged = tf.RaggedTensor.from_row_lengths(
        tf.repeat(X[:, 0], tf.range(ROWS) % 3 + 1), tf.range(ROWS) % 3 + 1
    )
    return model, pairs(ragged)


def bfloat16(keras):
    """Half precision without loss scaling."""
    return linear(keras, dtype="mixed_bfloat16")


def one_row(keras):
    """A data set of a single example."""
    model, dataset = linear(keras)
    return model, dataset.unbatch().take(1).batch(8)


def steps_per_execution(keras):
    """Several batches for one call of the training function."""
    return linear(keras, steps_per_execution=5)


def weight_decay(keras):
    """AdamW."""
    return linear(keras, keras.optimizers.AdamW(weight_decay=0.01))


def moving_average(keras):
    """Weights averaged by the optimizer."""
    return linear(keras, keras.optimizers.SGD(use_ema=True, ema_overwrite_frequency=3))


def norm_clipped(keras):
    """Gradients clipped by their norm."""
    return linear(keras, keras.optimizers.Adam(clipnorm=1.0))


def globally_clipped(keras):
    """Gradients clipped by the norm of all."""
    return linear(keras, keras.optimizers.Adam(global_clipnorm=1.0))


def metrics_with_state(keras):
    """Metrics that keep what they saw."""
    metrics = [keras.metrics.AUC(), keras.metrics.RootMeanSquaredError()]
    model, _ = linear(keras, loss="binary_crossentropy", metrics=metrics)
    model.layers[-1].activation = keras.activations.sigmoid
    labels = (X > 0).astype(np.float32)
    return model, tf.data.Dataset.from_tensor_slices((X, labels)).batch(8)


BROUGHT = [
    sparse_features,
    ragged_features,
    bfloat16,
    one_row,
    steps_per_execution,
    weight_decay,
    moving_average,
    norm_clipped,
    globally_clipped,
    metrics_with_state,
]


@pytest.mark.parametrize("brought", BROUGHT, ids=lambda brought: brought.__name__)
def test_losses_are_those_of_training_and_fall(keras_module, brought):
    """At rates that change nothing they are those of Keras's own step; greater rates reach weights.

    The second sweep starts where the first one did, in its graph.
    """
    model, dataset = brought(keras_module)
    least, greater = np.geomspace(1e-12, 1e-11, NUM_STEPS), np.geomspace(1e-2, 0.1, 10 * NUM_STEPS)

    with Trainings(lambda _: LrFinderFnResult(model, dataset), greater.size, 0) as trainings:
        still, falling = (trainings.sweep(0, rates, 0.98, 4.0) for rates in (least, greater))

    assert len(still) == NUM_STEPS
    assert still.batch_size == (1 if brought is one_row else 8)
    if hasattr(model.optimizer, "weight_decay"):
        model.optimizer.weight_decay = None
    model.optimizer.learning_rate = 1e-12
    losses = []
    for batch in dataset:
        model.reset_metrics()
        losses.append(model.train_step(batch)["loss"])
    np.testing.assert_allclose(still.losses[: len(losses)], losses, rtol=2e-2)
    assert falling.losses[-8:].mean() < falling.losses[:8].mean()
