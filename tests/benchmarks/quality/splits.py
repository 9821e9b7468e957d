"""Data sets split into training and validation examples, and scaled."""

import dataclasses
from typing import Any

import numpy as np
from numpy.typing import NDArray

VALIDATION_PART = 0.3
MAX_VALIDATION = 600
"""Enough for a steady loss; more would only make the oracle slower."""


@dataclasses.dataclass(frozen=True)
class Data:
    """A supervised data set.

    Attributes:
        train: Features and targets of the training split.
        validation: Features and targets of the validation split.
        num_outputs: Number of classes, or of values to predict.
        is_classification: Whether the targets are classes.
    """

    train: tuple[NDArray[Any], NDArray[Any]]
    validation: tuple[NDArray[Any], NDArray[Any]]
    num_outputs: int
    is_classification: bool

    @property
    def constant_loss(self) -> float:
        """The validation loss of the best predictor that does not look at the features."""
        targets = self.validation[1]
        if not self.is_classification:
            return float(np.mean(np.var(targets, axis=0)))
        shares = np.bincount(targets) / targets.size
        shares = shares[shares > 0]
        return float(-np.sum(shares * np.log(shares)))


def of_classes(x: NDArray[Any], y: NDArray[Any], scaled: bool = True) -> Data:
    """Returns a classification; its features are standardised, or left as they are."""
    train, validation = split(len(x))
    x = standardised(x, train) if scaled else x
    y = y.astype(np.int32)
    return Data((x[train], y[train]), (x[validation], y[validation]), int(y.max()) + 1, True)


def of_values(x: NDArray[Any], y: NDArray[Any]) -> Data:
    """Returns a regression; its features and values are standardised."""
    y = y.astype(np.float32).reshape(len(y), -1)
    train, validation = split(len(x))
    x, y = standardised(x, train), standardised(y, train)
    return Data((x[train], y[train]), (x[validation], y[validation]), y.shape[1], False)


def split(num_examples: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Returns the indices of the training and of the validation examples."""
    shuffled = np.random.default_rng(0).permutation(num_examples)
    num_validation = int(VALIDATION_PART * num_examples)
    return shuffled[num_validation:], shuffled[: min(num_validation, MAX_VALIDATION)]


def standardised(values: NDArray[Any], train: NDArray[np.int64]) -> NDArray[np.float32]:
    """Returns values with the training split's mean 0 and deviation 1, column by column."""
    deviation = values[train].std(axis=0)
    scaled = (values - values[train].mean(axis=0)) / np.where(deviation > 0, deviation, 1)
    return scaled.astype(np.float32)


def of_images(pixels: NDArray[Any], labels: NDArray[Any], greatest: float) -> Data:
    """Returns a classification of grey images, their pixels from 0 to 1."""
    images = (pixels / greatest).astype(np.float32)[..., np.newaxis]
    return of_classes(images, labels, scaled=False)
