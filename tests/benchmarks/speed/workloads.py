"""Five models of everyday kinds, each with its batches."""

import dataclasses
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf

NUM_EXAMPLES = 8192


@dataclasses.dataclass(frozen=True)
class Workload:
    """A model and the data that it is trained on.

    Attributes:
        name: What it is called in the table.
        layers: Returns the output of the model for its input.
        shape: Shape of an example's input.
        vocabulary: Number of different tokens, or 0 where the input is numbers.
        num_classes: Number of classes.
        batch_size: Number of examples in a batch.
        num_steps: Number of steps that are timed together.
    """

    name: str
    layers: Callable[[Any], Any]
    shape: tuple[int, ...]
    vocabulary: int
    num_classes: int
    batch_size: int
    num_steps: int

    def model(self) -> keras.Model:
        """Returns the compiled model, always with the same initial weights."""
        keras.utils.set_random_seed(0)
        inputs = keras.Input(self.shape, dtype="int32" if self.vocabulary else "float32")
        model = keras.Model(inputs, keras.layers.Dense(self.num_classes)(self.layers(inputs)))
        model.compile(
            keras.optimizers.Adam(1e-3),
            keras.losses.SparseCategoricalCrossentropy(from_logits=True),
            metrics=["accuracy"],
        )
        return model

    def dataset(self) -> tf.data.Dataset:
        """Returns the batches: one pass over the examples.

        TensorFlow does not tune the pipeline while it runs. Its end would wait for the thread that
        does, now and then, by up to the time that it took.
        """
        generator = np.random.default_rng(0)
        size = (NUM_EXAMPLES, *self.shape)
        if self.vocabulary:
            x = generator.integers(self.vocabulary, size=size).astype(np.int32)
        else:
            x = generator.normal(size=size).astype(np.float32)
        y = generator.integers(self.num_classes, size=NUM_EXAMPLES)
        options = tf.data.Options()
        options.autotune.enabled = False
        dataset = tf.data.Dataset.from_tensor_slices((x, y)).batch(self.batch_size)
        return dataset.with_options(options)


def _tabular(x: Any) -> Any:
    for _ in range(2):
        x = keras.layers.Dense(16, activation="relu")(x)
    return x


def _mlp(x: Any) -> Any:
    return keras.layers.Dropout(0.2)(keras.layers.Dense(128, activation="relu")(x))


def _cnn(x: Any) -> Any:
    for filters in (16, 32):
        x = keras.layers.Conv2D(filters, 3, activation="relu")(x)
        x = keras.layers.MaxPooling2D()(x)
    return keras.layers.Flatten()(x)


def _embedding(x: Any) -> Any:
    x = keras.layers.GlobalAveragePooling1D()(keras.layers.Embedding(10_000, 32)(x))
    return keras.layers.Dense(32, activation="relu")(x)


def _transformer(x: Any) -> Any:
    x = keras.layers.Embedding(1000, 64)(x)
    for _ in range(2):
        attended = keras.layers.MultiHeadAttention(4, 16, dropout=0.1)(x, x)
        x = keras.layers.LayerNormalization()(x + attended)
        hidden = keras.layers.Dense(128, activation="gelu")(x)
        x = keras.layers.LayerNormalization()(x + keras.layers.Dense(64)(hidden))
    return keras.layers.GlobalAveragePooling1D()(x)


TABULAR = Workload("tabular 8-16-16-3", _tabular, (8,), 0, 3, 32, 1000)
"""The smallest: whatever is done around its training step shows most."""

WORKLOADS = (
    TABULAR,
    Workload("MLP 784-128-10", _mlp, (784,), 0, 10, 32, 300),
    Workload("CNN 28x28", _cnn, (28, 28, 1), 0, 10, 32, 100),
    Workload("embedding 10,000x32", _embedding, (20,), 10_000, 2, 32, 300),
    Workload("transformer, 2 blocks", _transformer, (32,), 1000, 2, 16, 60),
)
"""The workloads of parts 1 and 2."""
