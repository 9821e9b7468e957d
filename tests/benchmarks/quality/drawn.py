"""Combinations that chance composed, so that no taste decides what the rules are measured on."""

import dataclasses
from typing import Any

import numpy as np

NUM_DRAWS = 160
"""Even numbers are drawn for choices, odd ones for the report."""

KINDS = {
    "table": [
        "iris",
        "wine",
        "cancer",
        "diabetes",
        "penguins",
        "body_mass",
        "taxi",
        "fare",
        "friedman",
        "moons",
        "swiss",
        "rings",
        "blobs",
        "imbalanced",
        "correlated",
    ],
    "images": ["digits", "noisy_digits", "photos", "mnist"],
    "pixels": ["digits_pixels", "photo_pixels"],
    "sequences": [
        "adding",
        "series",
        "distinct",
        "majority",
        "order",
        "docstrings",
        "next_character",
    ],
}
"""The data sets of each kind; for tables there are also problems drawn anew."""
BODIES = {
    "table": {"linear": 0.2, "dense": 0.8},
    "images": {"linear": 0.1, "dense": 0.3, "convolutions": 0.45, "attention": 0.15},
    "pixels": {"dense": 1.0},
    "sequences": {
        "mean": 0.15,
        "convolutions": 0.2,
        "simple_rnn": 0.15,
        "gru": 0.18,
        "lstm": 0.14,
        "attention": 0.18,
    },
}
"""What a network may consist of, and how often."""


@dataclasses.dataclass(frozen=True)
class Network:
    """A network composed of parts.

    Attributes:
        body: Its kind, one of `BODIES`.
        widths: Units of its hidden layers, 8 to 128.
        activation: Name of their activation.
        normalization: "batch", "layer" or "none".
        dropout: The part of the last hidden units that is dropped.
        initializer: Name of the kernels' initializer.
    """

    body: str
    widths: tuple[int, ...]
    activation: str
    normalization: str
    dropout: float
    initializer: str

    def __str__(self) -> str:
        """The network in words that make a file name."""
        widths = "_".join(map(str, self.widths))
        parts = f"{self.normalization}_{self.dropout:g}_{self.initializer}"
        return f"{self.body}_{widths}_{self.activation}_{parts}"


def draw(number: int) -> tuple[str, Network, str, int, int]:
    """Returns data, model, optimizer, batch size and budget of a number, always the same."""
    random = np.random.default_rng([1, number])

    def one_of(shares: dict[Any, float]) -> Any:
        return [*shares][random.choice(len(shares), p=[*shares.values()])]

    kind = one_of({"table": 0.52, "images": 0.16, "pixels": 0.08, "sequences": 0.24})
    is_new = kind == "table" and random.random() < 0.5
    data = f"drawn_{number}" if is_new else str(random.choice(KINDS[kind]))
    body = one_of(BODIES[kind])
    depth = one_of({1: 0.3, 2: 0.4, 3: 0.2, 4: 0.1})
    model = Network(
        body,
        tuple(int(2**power) for power in random.integers(3, 8, depth)),
        one_of({"relu": 0.55, "tanh": 0.2, "gelu": 0.15, "elu": 0.1}),
        one_of({"none": 0.6, "batch": 0.25, "layer": 0.15}),
        one_of({0.0: 0.65, 0.2: 0.15, 0.5: 0.2}),
        one_of({"glorot_uniform": 0.75, "he_normal": 0.25}),
    )
    return (
        data,
        model,
        one_of({"sgd": 0.2, "momentum": 0.2, "adam": 0.28, "adamw": 0.16, "rmsprop": 0.16}),
        # The smallest table has 105 examples to train on.
        one_of({16: 0.2, 32: 0.4, 64: 0.4} if kind == "table" else {32: 0.4, 64: 0.4, 128: 0.2}),
        one_of({200: 0.3, 300: 0.3, 400: 0.4}),
    )
