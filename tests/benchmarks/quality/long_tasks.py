"""Trainings of 2,500 to 8,000 steps on data that they do not exhaust."""

import dataclasses
import functools
import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray
from sklearn.datasets import load_sample_images

layers = keras.layers
optimizers = keras.optimizers

NUM_VALIDATED = 2048
"""Examples that judge a training; they are kept out of it."""
CONTEXT = 8
"""Characters from which the next one is predicted."""
PATCH = 8
"""Width of the parts of photographs that are denoised."""


@dataclasses.dataclass(frozen=True)
class LongTask:
    """A long training.

    Attributes:
        name: Data, model, optimizer and batch size.
        data: Returns features and labels, more than the training reads.
        build: Returns a new model.
        loss: Returns its loss.
        optimizer: Returns its optimizer, for a rate or a schedule.
        batch_size: Examples in a batch.
        num_steps: Steps of the training.
    """

    name: str
    data: Callable[[], tuple[NDArray[Any], NDArray[Any]]]
    build: Callable[[], Any]
    loss: Callable[[], Any]
    optimizer: Callable[[Any], Any]
    batch_size: int
    num_steps: int


@functools.cache
def characters() -> tuple[NDArray[Any], NDArray[Any]]:
    """Returns parts of Keras's own source code, and the character after each."""
    folder = Path(importlib.util.find_spec("keras").origin).parent / "src"
    files = sorted(folder.rglob("*.py"))
    chosen = np.random.RandomState(1).permutation(len(files))[:250]
    text = np.concatenate([np.frombuffer(files[i].read_bytes(), np.uint8) for i in chosen])
    text = np.minimum(text, 127).astype(np.int32)
    starts = np.random.RandomState(2).randint(0, len(text) - CONTEXT - 1, 300_000)
    return text[starts[:, None] + np.arange(CONTEXT)], text[starts + CONTEXT]


@functools.cache
def photographs() -> tuple[NDArray[Any], NDArray[Any]]:
    """Returns parts of scikit-learn's photographs with noise, and without."""
    images = [image.mean(-1) / 255 for image in load_sample_images().images]
    random, parts = np.random.RandomState(3), []
    for number in range(100_000):
        image = images[number % 2]
        y, x = (random.randint(0, size - PATCH) for size in image.shape)
        parts.append(image[y : y + PATCH, x : x + PATCH])
    clean = np.array(parts, np.float32)[..., None]
    return clean + 0.1 * random.randn(*clean.shape).astype(np.float32), clean


def flat_photographs() -> tuple[NDArray[Any], NDArray[Any]]:
    """Returns the same as vectors."""
    return tuple(part.reshape(len(part), -1) for part in photographs())


@functools.cache
def teacher(num_features: int, width: int, num_outputs: int, seed: int) -> Any:
    """Returns random features and what a random network says of them."""
    random = np.random.RandomState(seed)
    x = random.randn(300_000, num_features).astype(np.float32)
    sizes = ((num_features, width, 1.5), (width, width, 1.5), (width, num_outputs, 2.0))
    first, second, last = (
        random.randn(rows, columns) / rows**0.5 * scale for rows, columns, scale in sizes
    )
    return x, (np.tanh(np.tanh(x @ first) @ second) @ last).astype(np.float32)


def teacher_classes() -> tuple[NDArray[Any], NDArray[Any]]:
    """Returns random features and the greatest of a random network's ten outputs."""
    x, y = teacher(24, 32, 10, 6)
    return x, y.argmax(1).astype(np.int32)


def dense(*sizes: int, activation: str = "relu", batch_norm: bool = False) -> Any:
    """Returns a network of dense layers; the first size is that of the features."""
    first, *hidden, last = sizes
    parts = [keras.Input((first,))]
    for size in hidden:
        norm = [layers.BatchNormalization()] if batch_norm else []
        parts += [layers.Dense(size), *norm, layers.Activation(activation)]
    return keras.Sequential([*parts, layers.Dense(last)])


def of_characters(*parts: Any) -> Any:
    """Returns a network on characters."""
    first = [keras.Input((CONTEXT,), dtype="int32"), layers.Embedding(128, 16)]
    return keras.Sequential([*first, *parts, layers.Dense(128)])


def convolutions() -> Any:
    """Returns a network of convolutions on parts of photographs."""
    inner = [layers.Conv2D(12, 3, padding="same", activation="relu") for _ in range(2)]
    last = layers.Conv2D(1, 3, padding="same")
    return keras.Sequential([keras.Input((PATCH, PATCH, 1)), *inner, last])


def momentum(rate: Any) -> Any:
    """Returns gradient descent with momentum."""
    return optimizers.SGD(rate, momentum=0.9)


ENTROPY = functools.partial(keras.losses.SparseCategoricalCrossentropy, from_logits=True)
ERROR = keras.losses.MeanSquaredError
STUDENT = functools.partial(teacher, 16, 24, 1, 5)


def _mlp() -> Any:
    return of_characters(layers.Flatten(), layers.Dense(128, "relu"))


LONG_TASKS = (
    LongTask("characters-mlp-adam-64", characters, _mlp, ENTROPY, optimizers.Adam, 64, 4000),
    LongTask("characters-mlp-momentum-32", characters, _mlp, ENTROPY, momentum, 32, 6000),
    LongTask(
        "characters-gru-rmsprop-64",
        characters,
        lambda: of_characters(layers.GRU(48, unroll=True)),
        ENTROPY,
        optimizers.RMSprop,
        64,
        2500,
    ),
    LongTask(
        "photographs-mlp-adamw-32",
        flat_photographs,
        lambda: dense(PATCH**2, 96, 96, PATCH**2),
        ERROR,
        optimizers.AdamW,
        32,
        6000,
    ),
    LongTask("photographs-cnn-momentum-16", photographs, convolutions, ERROR, momentum, 16, 3000),
    LongTask(
        "teacher-tanh-adam-32",
        STUDENT,
        lambda: dense(16, 64, 64, 1, activation="tanh"),
        ERROR,
        optimizers.Adam,
        32,
        8000,
    ),
    LongTask(
        "teacher-relu_batch_norm-sgd-64",
        STUDENT,
        lambda: dense(16, 64, 64, 1, batch_norm=True),
        ERROR,
        optimizers.SGD,
        64,
        6000,
    ),
    LongTask(
        "teacher_classes-relu-adam-32",
        teacher_classes,
        lambda: dense(24, 64, 64, 10),
        ENTROPY,
        optimizers.Adam,
        32,
        8000,
    ),
    LongTask(
        "teacher_classes-gelu-nadam-128",
        teacher_classes,
        lambda: dense(24, 64, 64, 64, 10, activation="gelu"),
        ENTROPY,
        optimizers.Nadam,
        128,
        3000,
    ),
)
