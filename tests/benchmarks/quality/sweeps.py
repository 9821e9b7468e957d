"""Sweeps through the package's own `range_test`, each with its own initialisation and order."""

import dataclasses
import json
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from quality.data import Data
from quality.models import build
from quality.tasks import Combination
from tfx_lr_finder.curve import Curve
from tfx_lr_finder.sweep import range_test

Array = NDArray[np.float64]

NUM_SEEDS = 5
NUM_PEER_SEEDS = 3
"""For the ranges that only the peers' rules read."""
VALIDATION_BATCH = 256
"""Most examples in the fixed validation batch."""


@dataclasses.dataclass(frozen=True)
class Range:
    """The rates of a sweep.

    Attributes:
        min_learning_rate: The first rate.
        max_learning_rate: The last rate.
        num_steps: Number of rates.
        num_seeds: Number of sweeps.
    """

    min_learning_rate: float
    max_learning_rate: float
    num_steps: int
    num_seeds: int = NUM_SEEDS


RANGES = {
    "own_100": Range(1e-6, 10.0, 100),
    "own_200": Range(1e-6, 10.0, 200),
    "fastai": Range(1e-7, 10.0, 100, NUM_PEER_SEEDS),
    "lightning": Range(1e-8, 1.0, 100, NUM_PEER_SEEDS),
}
"""Ours at two lengths, and the peers' defaults. torch-lr-finder, whose first rate is the
optimizer's, is read from ours: its users start it from 1e-7 to 1e-5, as its README does."""


@dataclasses.dataclass(frozen=True)
class Sweep:
    """One sweep, with the loss of a fixed validation batch beside the training loss.

    Attributes:
        train: The curve of `range_test`, to the first loss that is not finite.
        validation: Losses of the validation batch at the curve's rates, before each update.
    """

    train: Curve
    validation: Array

    @property
    def raw_train(self) -> tuple[Array, Array]:
        """Rates and training losses of all steps, NaN from the first that was not finite."""
        return self._raw(self.train.losses)

    @property
    def raw_validation(self) -> tuple[Array, Array]:
        """Rates and validation losses of all steps, NaN from the first that was not finite."""
        return self._raw(self.validation)

    def _raw(self, losses: Array) -> tuple[Array, Array]:
        padded = np.full(self.train.num_steps, np.nan)
        padded[: losses.size] = losses
        log_rates = self.train.log_learning_rates
        step = (log_rates[-1] - log_rates[0]) / (log_rates.size - 1)
        return 10 ** (log_rates[0] + step * np.arange(padded.size)), padded

    def to_json(self) -> str:
        """Returns the sweep as JSON."""
        return json.dumps({"train": self.train.to_json(), "validation": self.validation.tolist()})

    @classmethod
    def from_json(cls, text: str) -> "Sweep":
        """Returns the sweep that `to_json` wrote."""
        values = json.loads(text)
        return cls(Curve.from_json(values["train"]), np.array(values["validation"]))


class RecordingModel(keras.Model):  # type: ignore[misc]
    """A model whose training step also writes down the loss of a fixed batch.

    Where `range_test` takes validation data itself, this class is not needed any more.
    """

    def record(self, batch: tuple[Any, Any], num_steps: int) -> None:
        """Sets the batch, and the number of steps there will be."""
        x, y = (tf.constant(values) for values in batch)
        # Hidden from Keras in a tuple: not one of the variables that `range_test` puts back.
        self._recording = ((x, y), _Hidden(tf.Variable(tf.zeros(num_steps), trainable=False)))

    @property
    def recorded(self) -> Array:
        """The losses of the batch, shape `(num_steps,)`."""
        return self._recording[1].variable.numpy().astype(np.float64)  # type: ignore[no-any-return]

    def train_step(self, data: Any) -> dict[str, Any]:
        """Records the batch's loss in training mode, then trains as `keras.Model` does."""
        (x, y), hidden = self._recording
        # Stateless: neither batch statistics nor the seeds of dropout change.
        outputs, _ = self.stateless_call(
            [variable.value for variable in self.trainable_variables],
            [variable.value for variable in self.non_trainable_variables],
            x,
            training=True,
        )
        loss = tf.cast(self._compile_loss(y, outputs), tf.float32)
        step = tf.cast(self.optimizer.iterations.value, tf.int32)
        hidden.variable.scatter_nd_update([[step]], [loss])
        return super().train_step(data)  # type: ignore[no-any-return]


@dataclasses.dataclass(frozen=True, eq=False)
class _Hidden:
    variable: Any


def sweep(combination: Combination, data: Data, sweep_range: Range, seed: int) -> Sweep:
    """Runs one sweep to its last rate: each rule stops where its own sweep would have."""
    model = build(combination, data, seed, RecordingModel)
    model.record(
        tuple(values[:VALIDATION_BATCH] for values in data.validation), sweep_range.num_steps
    )
    batches = tf.data.Dataset.from_tensor_slices(data.train)
    batches = batches.shuffle(len(data.train[0]), seed=seed)
    curve = range_test(
        model,
        batches.batch(combination.batch_size, drop_remainder=True),
        min_learning_rate=sweep_range.min_learning_rate,
        max_learning_rate=sweep_range.max_learning_rate,
        num_steps=sweep_range.num_steps,
        divergence_factor=float("inf"),
        seed=seed,
    )
    return Sweep(curve, model.recorded[: len(curve)])
