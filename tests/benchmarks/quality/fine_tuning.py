"""Data sets for fine-tuning: related to those that a model was trained on before, and smaller."""

import dataclasses
import functools
from collections.abc import Callable

import numpy as np
import sklearn.datasets

from quality import text
from quality.splits import Data, of_classes, of_images, of_values


def _fewer(data: Data, num_examples: int) -> Data:
    """Returns the data with only the first of its training examples."""
    features, targets = data.train
    return dataclasses.replace(data, train=(features[:num_examples], targets[:num_examples]))


def _digits(first: int, last: int) -> Data:
    digits = sklearn.datasets.load_digits()
    kept = (first <= digits.target) & (digits.target <= last)
    return of_images(digits.images[kept], digits.target[kept] - first, 16.0)


def _padded_digits() -> Data:
    """Returns digits of the same size as those of MNIST here, by another hand and scanner."""
    digits = sklearn.datasets.load_digits()
    return of_images(np.pad(digits.images, ((0, 0), (3, 3), (3, 3))), digits.target, 16.0)


def _turned_moons() -> Data:
    """Returns the problem of two moons, turned by 30 degrees."""
    x, y = sklearn.datasets.make_moons(400, noise=0.25, random_state=1)
    sine, cosine = np.sin(np.pi / 6), np.cos(np.pi / 6)
    return of_classes(x @ np.array([[cosine, sine], [-sine, cosine]]), y)


def _friedman_and_one_more() -> Data:
    """Returns Friedman's problem with one more feature that matters."""
    x, y = sklearn.datasets.make_friedman1(400, noise=1.0, random_state=1)
    return of_values(x, y + 5 * x[:, 5])


def _next_character_of_numbers() -> Data:
    return of_classes(*text.next_character(num_examples=2800, group=2), scaled=False)


DATA_SETS: dict[str, Callable[[], Data]] = {
    "digits_0_to_5": functools.partial(_digits, 0, 5),
    "digits_6_to_9": lambda: _fewer(_digits(6, 9), 200),
    "few_digits": lambda: _fewer(_padded_digits(), 100),
    "turned_moons": lambda: _fewer(_turned_moons(), 25),
    "friedman_and_one_more": _friedman_and_one_more,
    "next_character_of_numbers": _next_character_of_numbers,
}
"""25 to 1,960 examples to train on, except the first, which is only for training before."""
