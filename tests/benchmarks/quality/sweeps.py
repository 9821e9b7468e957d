"""Sweeps through the package's own `range_test`, each with its own initialisation and order."""

import dataclasses

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from quality.models import build
from quality.splits import Data
from quality.tasks import Combination
from tfx_lr_finder.core.curve import Curve
from tfx_lr_finder.training.range_test import range_test

Array = NDArray[np.float64]

NUM_SEEDS = 5
NUM_FEWER_SEEDS = 3
"""For the ranges that only the peers' rules read, and for the many combinations that are drawn."""


@dataclasses.dataclass(frozen=True)
class Range:
    """The rates of a sweep.

    Attributes:
        min_learning_rate: The first rate.
        max_learning_rate: The last rate.
        num_steps: Number of rates.
        num_seeds: Number of sweeps.
        validates: Whether the validation loss is recorded, which no peer does.
    """

    min_learning_rate: float
    max_learning_rate: float
    num_steps: int
    num_seeds: int = NUM_SEEDS
    validates: bool = True


RANGES = {
    "own_100": Range(1e-6, 10.0, 100),
    "own_200": Range(1e-6, 10.0, 200),
    "fastai": Range(1e-7, 10.0, 100, NUM_FEWER_SEEDS, validates=False),
    "lightning": Range(1e-8, 1.0, 100, NUM_FEWER_SEEDS, validates=False),
}
"""Ours at two lengths, and the peers' defaults. torch-lr-finder, whose first rate is the
optimizer's, is read from ours: its users start it from 1e-7 to 1e-5, as its README does."""

GREATEST_RATES = {"adafactor": 0.07}
"""Where sweeps end earlier: within 200 steps, Adafactor applies no rate above 1 / sqrt(200)."""

FURTHER_RANGES = ("own_200", "fastai")
"""Names of the ranges of the further combinations: of the default rule, and of the best peer."""


def num_seeds(combination: Combination, sweep_range: Range) -> int:
    """Returns how many sweeps of a range a combination gets."""
    return min(sweep_range.num_seeds, NUM_FEWER_SEEDS if combination.is_drawn else NUM_SEEDS)


def sweep(combination: Combination, data: Data, sweep_range: Range, seed: int) -> Curve:
    """Runs one sweep to its last rate: each rule stops where its own sweep would have."""
    model = build(combination, data, seed)
    greatest = GREATEST_RATES.get(combination.optimizer, sweep_range.max_learning_rate)
    train, validation = map(tf.data.Dataset.from_tensor_slices, (data.train, data.validation))
    shuffled = train.shuffle(len(data.train[0]), seed=seed)
    return range_test(
        model,
        shuffled.batch(combination.batch_size, drop_remainder=True),
        validation_data=validation.batch(combination.batch_size) if sweep_range.validates else None,
        min_learning_rate=sweep_range.min_learning_rate,
        max_learning_rate=greatest,
        num_steps=sweep_range.num_steps,
        divergence_factor=float("inf"),
        seed=seed,
    )


def all_steps(curve: Curve, losses: Array) -> tuple[Array, Array]:
    """Returns the rate and the loss of all steps, NaN from the first that was not finite.

    Args:
        curve: The curve of a sweep to its last rate.
        losses: Its losses, or its validation losses.
    """
    padded = np.full(curve.num_steps, np.nan)
    padded[: losses.size] = losses
    log_rates = curve.log_learning_rates
    step = (log_rates[-1] - log_rates[0]) / (log_rates.size - 1)
    return 10 ** (log_rates[0] + step * np.arange(padded.size)), padded
