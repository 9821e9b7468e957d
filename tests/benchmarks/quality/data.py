"""The data sets: all of them ship with packages or lie in the repository."""

import functools
import pathlib
from collections.abc import Callable
from typing import Any

import numpy as np
import sklearn.datasets
from numpy.typing import NDArray

from quality import fine_tuning, problems, text
from quality.drawn import NUM_DRAWS
from quality.labels import LABELS, relabelled
from quality.splits import Data, of_classes, of_images, of_values, split, standardised

_HERE = pathlib.Path(__file__).parent
_PENGUINS = _HERE.parents[2] / "pipelines" / "penguin" / "data" / "penguins.csv"


def load(name: str) -> Data:
    """Returns the data set of that name, the same each time."""
    return DATA_SETS[name]()


def _digits() -> Data:
    digits = sklearn.datasets.load_digits()
    return of_images(digits.images, digits.target, 16.0)


def _noisy_digits() -> Data:
    # A fifth of the labels says nothing: what over-fits shows in the validation loss alone.
    digits, random = sklearn.datasets.load_digits(), np.random.default_rng(6)
    is_wrong = random.random(digits.target.size) < 0.2
    wrong = random.integers(0, 10, digits.target.size)
    return of_images(digits.images, np.where(is_wrong, wrong, digits.target), 16.0)


def _digits_pixels() -> Data:
    return _pixels(sklearn.datasets.load_digits().data / 16)


def _photos(num_examples: int = 1500, size: int = 8) -> tuple[NDArray[Any], NDArray[Any]]:
    """Returns grey pieces of two photographs, and which of them each is from."""
    photos = [photo.mean(axis=2) for photo in sklearn.datasets.load_sample_images().images]
    random = np.random.default_rng(7)
    labels = random.integers(0, len(photos), num_examples)
    least = np.min([photo.shape for photo in photos], axis=0)
    corners = random.integers(0, least - size, (num_examples, 2))
    pieces = [
        photos[label][y : y + size, x : x + size]
        for label, (y, x) in zip(labels, corners, strict=True)
    ]
    return np.stack(pieces), labels


def _photo_pixels() -> Data:
    pieces, _ = _photos()
    return _pixels(pieces.reshape(len(pieces), -1) / 255)


def _pixels(pixels: NDArray[Any]) -> Data:
    pixels = pixels.astype(np.float32)
    train, validation = split(len(pixels))
    return Data((pixels[train],) * 2, (pixels[validation],) * 2, pixels.shape[1], False)


def _mnist() -> Data:
    with np.load(_HERE / "data" / "mnist_14x14.npz") as arrays:
        return of_images(arrays["images"], arrays["labels"], 255.0)


def _table(path: pathlib.Path) -> NDArray[np.float64]:
    return np.genfromtxt(path, delimiter=",", skip_header=1)


def _iris() -> Data:
    # The petals alone separate the species: a loss near 0 has no meaningful ratio to another.
    x, y = sklearn.datasets.load_iris(return_X_y=True)
    return of_classes(x[:, :2], y)


def _penguins() -> Data:
    # For the same reason the two columns that leave some doubt.
    table = _table(_PENGUINS)
    return of_classes(table[:, [2, 4]], table[:, 0])


def _body_mass() -> Data:
    table = _table(_PENGUINS)
    species = np.eye(3)[table[:, 0].astype(int)]
    return of_values(np.column_stack([species, table[:, 1:4]]), table[:, 4])


def _taxi() -> Data:
    table = _table(_HERE / "data" / "taxi.csv")
    return of_classes(table[:, :-1], table[:, -1])


def _fare() -> Data:
    # Logarithms, as a few trips cost and last many times the median.
    table = _table(_HERE / "data" / "taxi.csv")
    return of_values(
        np.column_stack([np.log1p(table[:, 1:3]), table[:, 3:6]]), np.log1p(table[:, 0])
    )


def _friedman() -> Data:
    return of_values(*sklearn.datasets.make_friedman1(1500, noise=1.0, random_state=0))


def _moons() -> Data:
    return of_classes(*sklearn.datasets.make_moons(1000, noise=0.25, random_state=0))


def _swiss() -> Data:
    return of_values(*sklearn.datasets.make_swiss_roll(1500, noise=0.5, random_state=0))


def _rings() -> Data:
    return of_classes(
        *sklearn.datasets.make_gaussian_quantiles(
            n_samples=1500, n_features=4, n_classes=3, random_state=0
        )
    )


def _blobs() -> Data:
    return of_classes(
        *sklearn.datasets.make_classification(
            1500, 20, n_informative=6, n_classes=4, flip_y=0.1, random_state=0
        )
    )


def _imbalanced() -> Data:
    return of_classes(
        *sklearn.datasets.make_classification(
            2000, 12, n_informative=5, weights=[0.93], class_sep=0.7, random_state=0
        )
    )


def _correlated(num_examples: int = 1500, width: int = 20) -> Data:
    """Returns features of which some directions vary a tenth as much as others, and three sums."""
    random = np.random.default_rng(9)
    directions = np.linalg.qr(random.normal(size=(width, width)))[0]
    x = (random.normal(size=(num_examples, width)) * np.logspace(0, -1, width)) @ directions
    y = x @ random.normal(size=(width, 3))
    return of_values(x, y + random.normal(0, 0.3, y.shape) * y.std())


def _adding(length: int = 12, num_examples: int = 2000) -> Data:
    """Returns series of numbers of which two are marked; the value is their sum."""
    random = np.random.default_rng(8)
    numbers = random.uniform(0, 1, (num_examples, length))
    marked = random.random((num_examples, length)).argsort(axis=1) < 2
    x = np.stack([numbers, marked], axis=2)
    return of_values(x, (numbers * marked).sum(axis=1) + random.normal(0, 0.1, num_examples))


def _series(length: int = 24, num_examples: int = 1500) -> Data:
    """Returns pieces of waves of different lengths in noise, and the value that follows."""
    random = np.random.default_rng(4)
    periods, phases = (
        random.uniform(6, 24, num_examples),
        random.uniform(0, 2 * np.pi, num_examples),
    )
    time = np.arange(length + 1)
    waves = np.sin(2 * np.pi * time / periods[:, np.newaxis] + phases[:, np.newaxis])
    waves += random.normal(0, 0.2, waves.shape)
    return of_values(waves[:, :-1, np.newaxis], waves[:, -1])


def _distinct() -> Data:
    tokens, counts = text.distinct()
    train, validation = split(len(tokens))
    counts = standardised(counts[:, np.newaxis], train)
    return Data((tokens[train], counts[train]), (tokens[validation], counts[validation]), 1, False)


def _drawn(number: int) -> Data:
    x, y = problems.drawn(number)
    return of_classes(x, y) if y.dtype.kind == "i" else of_values(x, y)


def _relabelled(name: str) -> Data:
    original, deviation, mean = LABELS[name]
    return relabelled(load(original), deviation, mean)


def _tokens(make: Callable[[], text.Text]) -> Callable[[], Data]:
    return lambda: of_classes(*make(), scaled=False)


def _bundled(load_set: Callable[..., Any], form: Callable[..., Data]) -> Callable[[], Data]:
    return lambda: form(*load_set(return_X_y=True))


DATA_SETS: dict[str, Callable[[], Data]] = {
    "iris": _iris,
    "wine": _bundled(sklearn.datasets.load_wine, of_classes),
    "cancer": _bundled(sklearn.datasets.load_breast_cancer, of_classes),
    "diabetes": _bundled(sklearn.datasets.load_diabetes, of_values),
    "digits": _digits,
    "noisy_digits": _noisy_digits,
    "digits_pixels": _digits_pixels,
    "photos": lambda: of_images(*_photos(), 255.0),
    "photo_pixels": _photo_pixels,
    "mnist": _mnist,
    "penguins": _penguins,
    "body_mass": _body_mass,
    "taxi": _taxi,
    "fare": _fare,
    "friedman": _friedman,
    "moons": _moons,
    "swiss": _swiss,
    "rings": _rings,
    "blobs": _blobs,
    "imbalanced": _imbalanced,
    "correlated": _correlated,
    "adding": _adding,
    "series": _series,
    "distinct": _distinct,
    "majority": _tokens(text.majority),
    "order": _tokens(text.order),
    "docstrings": _tokens(text.docstrings),
    "next_character": _tokens(text.next_character),
    **{f"drawn_{number}": functools.partial(_drawn, number) for number in range(NUM_DRAWS)},
    **{name: functools.partial(_relabelled, name) for name in LABELS},
    **fine_tuning.DATA_SETS,
}
"""Every data set by its name."""
