"""Further combinations: what the two halves lack. Nothing is chosen on them."""

import dataclasses
from collections.abc import Callable

from quality.tasks import Combination, Half


@dataclasses.dataclass(frozen=True)
class Group:
    """Combinations that share a table of the report.

    Attributes:
        title: Of the table.
        combinations: The combinations.
        row: Returns the name of the row that a combination belongs to.
    """

    title: str
    combinations: tuple[Combination, ...]
    row: Callable[[Combination], str] = lambda combination: combination.name


OPTIMIZERS = (
    "nesterov",
    "sgd_decay",
    "adam_decay",
    "nadam",
    "lamb",
    "lion",
    "adafactor",
    "adagrad",
)
"""Optimizers of no other combination. Muon of Keras 3.12 fails, even in `fit`."""

_PROBLEMS = (
    ("rings", "mlp", 32, 400),
    ("friedman", "mlp", 32, 400),
    ("digits", "cnn", 64, 200),
)

FURTHER = (
    Group(
        "Other optimizers",
        tuple(
            Combination(Half.REPORT, data, model, optimizer, batch_size, budget)
            for optimizer in OPTIMIZERS
            for data, model, batch_size, budget in _PROBLEMS
        ),
        row=lambda combination: combination.optimizer,
    ),
    Group(
        "Fine-tuning",
        tuple(
            Combination(Half.REPORT, *row, pretrained_on=pretrained_on)
            for pretrained_on, *row in (
                ("digits_0_to_5", "digits_6_to_9", "mlp", "momentum", 16, 300),
                ("digits_0_to_5", "digits_6_to_9", "cnn", "adam", 32, 200),
                ("mnist", "few_digits", "cnn_batch_norm", "adamw", 16, 200),
                ("moons", "turned_moons", "mlp", "adam", 16, 200),
                ("friedman", "friedman_and_one_more", "mlp", "momentum", 32, 400),
                ("next_character", "next_character_of_numbers", "gru", "adamw", 64, 200),
            )
        ),
    ),
    Group(
        "Labels",
        tuple(
            Combination(Half.REPORT, *row)
            for row in (
                ("friedman_offset", "mlp", "adam", 32, 400),
                ("series_kelvin", "mlp", "momentum", 32, 400),
                ("diabetes_raw", "mlp", "sgd", 32, 400),
                ("body_mass_grams", "mlp_batch_norm", "adam", 32, 400),
                ("friedman_tiny", "linear_regression", "momentum", 64, 400),
                ("friedman_tiny", "mlp", "adam", 64, 400),
                ("friedman_huge", "mlp", "sgd", 64, 400),
                ("friedman_huge", "mlp", "adam", 64, 400),
            )
        ),
    ),
)
"""24 with other optimizers, six that start from trained weights, eight with other labels."""
