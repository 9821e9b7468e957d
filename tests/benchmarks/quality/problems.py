"""Tables drawn anew: features and targets of problems that differ in kind, size and noise."""

from collections.abc import Callable
from typing import Any

import numpy as np
import sklearn.datasets
from numpy.typing import NDArray

Problem = tuple[NDArray[Any], NDArray[Any]]
"""Features, shape `(n, columns)`, and targets: classes are integers, values are not."""


def drawn(number: int) -> Problem:
    """Returns the problem of a number, always the same."""
    random = np.random.default_rng([2, number])
    num_examples = int(random.choice([400, 800, 1500, 2500]))
    make = _MAKERS[int(random.integers(len(_MAKERS)))]
    return make(random, num_examples)


def _separable(random: np.random.Generator, num_examples: int) -> Problem:
    columns = int(random.choice([6, 12, 24, 50]))
    return sklearn.datasets.make_classification(  # type: ignore[no-any-return]
        num_examples,
        columns,
        n_informative=max(3, columns // 2),
        n_classes=int(random.choice([2, 3, 5])),
        class_sep=random.uniform(0.5, 1.5),
        flip_y=random.choice([0.02, 0.1, 0.2]),
        random_state=int(random.integers(2**31)),
    )


def _curved(random: np.random.Generator, num_examples: int) -> Problem:
    make = random.choice([sklearn.datasets.make_circles, sklearn.datasets.make_moons])
    noise, seed = random.choice([0.1, 0.2, 0.35]), int(random.integers(2**31))
    return make(num_examples, noise=noise, random_state=seed)  # type: ignore[no-any-return]


def _exclusive(random: np.random.Generator, num_examples: int) -> Problem:
    """Returns two classes: whether two of the columns have the same sign, with wrong labels."""
    x = random.normal(size=(num_examples, int(random.choice([4, 8]))))
    is_wrong = random.random(num_examples) < random.choice([0.05, 0.2])
    return x, ((x[:, 0] * x[:, 1] > 0) ^ is_wrong).astype(int)


def _mixture(random: np.random.Generator, num_examples: int) -> Problem:
    columns, num_classes = int(random.choice([3, 8, 20])), int(random.choice([3, 6, 10]))
    centres = random.normal(size=(num_classes, columns)) * random.choice([0.7, 1.2])
    classes = random.integers(0, num_classes, num_examples)
    return centres[classes] + random.normal(size=(num_examples, columns)), classes


def _teacher(random: np.random.Generator, num_examples: int) -> Problem:
    """Returns the values of a network with random weights."""
    columns, units, outputs = (int(random.choice(c)) for c in ([4, 10, 30], [4, 16], [1, 3]))
    x = random.normal(size=(num_examples, columns))
    hidden = np.tanh(x @ random.normal(size=(columns, units)) * 2 / np.sqrt(columns))
    y = hidden @ random.normal(size=(units, outputs))
    return x, _with_noise(random, y, [0.05, 0.2, 0.5])


def _waves(random: np.random.Generator, num_examples: int) -> Problem:
    columns = int(random.choice([1, 2, 3]))
    x = random.uniform(-1, 1, (num_examples, columns))
    frequencies = random.normal(0, random.choice([2, 4]), (columns, 3))
    y = np.sin(x @ frequencies + random.uniform(0, 2 * np.pi, 3)).sum(axis=1)
    return x, _with_noise(random, y, [0.05, 0.3])


def _quadratic(random: np.random.Generator, num_examples: int) -> Problem:
    columns = int(random.choice([5, 15, 40]))
    x = random.normal(size=(num_examples, columns))
    y = x @ random.normal(size=columns) + 0.5 * (x[:, :2] ** 2).sum(axis=1)
    return x, _with_noise(random, y, [0.1, 0.4, 1.0])


def _with_noise(
    random: np.random.Generator, y: NDArray[np.float64], parts: list[float]
) -> NDArray[np.float64]:
    """Returns values with noise of one of these parts of their deviation."""
    return y + random.normal(0, random.choice(parts) * y.std(), y.shape)  # type: ignore[no-any-return]


_MAKERS: tuple[Callable[[np.random.Generator, int], Problem], ...] = (
    _separable,
    _curved,
    _exclusive,
    _mixture,
    _teacher,
    _waves,
    _quadratic,
)
