"""What needs no sweep, or more than one: fixed rates, grids, and short confirming trainings."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from quality.measurement import Measurement
from quality.oracle import BUDGET_PARTS, LOG_RATES
from quality.score import evaluate

Array = NDArray[np.float64]

FIFTH = BUDGET_PARTS.index(0.2)
GRID = np.arange(-5.0, 1.0)
"""Logarithms of the rates of the small grid."""
CANDIDATES = np.array([-0.5, 0.0, 0.5])
"""Decades from the suggestion to the rates that are confirmed."""
DISTANCE_COST = 0.15
SHORT_BUDGET_SHIFT = -1 / 3
"""The best rate of a fifth of the budget lies higher than that of the whole."""


class FixedRate:
    """The rate of the grid that is best for the other combinations with the same optimizer.

    Of both halves: no rule could know more about an optimizer without looking at the task.
    """

    def __init__(self, measurements: Sequence[Measurement]) -> None:
        self._measurements = measurements

    def __call__(self, measurement: Measurement, budget: int) -> Array:
        """Returns the rate; NaN if no other combination has this optimizer."""
        others = [
            m
            for m in self._measurements
            if m.combination.optimizer == measurement.combination.optimizer and m is not measurement
        ]
        if not others:
            return np.array([np.nan])
        regrets = [evaluate(m.oracle, 10**LOG_RATES, budget).regrets for m in others]
        return np.array([10 ** LOG_RATES[int(np.argmin(np.mean(regrets, axis=0)))]])


def short_grid(measurement: Measurement, budget: int) -> Array:
    """Returns the best of six rates, a decade apart, after a fifth of the budget, of each seed."""
    rates = [GRID[np.argmin(_short(seed, GRID))] for seed in measurement.oracle.losses]
    return 10 ** np.array(rates)


def full_grid(measurement: Measurement, budget: int) -> Array:
    """Returns the best of the oracle's rates by one seed alone: a ceiling, slightly too good.

    Too good, as the seed is also one of those that it is scored on.
    """
    return 10 ** LOG_RATES[np.argmin(measurement.oracle.losses[:, :, budget], axis=1)]  # type: ignore[no-any-return]


def confirmed(measurement: Measurement, rates: Array) -> Array:
    """Returns suggestions corrected by three trainings of a fifth of the budget each.

    The least of `log(loss) + 0.15 * (distance in decades) ** 2` over the suggestion and a rate
    half a decade either way; from the middle one to the vertex of the parabola through the three.
    The trainings are read from the oracle, interpolated, each sweep's from another seed.
    """
    seeds = measurement.oracle.losses
    chosen = [
        _confirmed(seeds[i % len(seeds)], log_rate) for i, log_rate in enumerate(np.log10(rates))
    ]
    return 10 ** np.array(chosen)


def _confirmed(seed: Array, log_rate: float) -> float:
    scores = _short(seed, log_rate + CANDIDATES) + DISTANCE_COST * CANDIDATES**2
    best = int(np.argmin(scores))
    offset = CANDIDATES[best]
    curvature = scores[0] - 2 * scores[1] + scores[2]
    if best == 1 and curvature > 0:
        offset = np.clip(0.25 * (scores[0] - scores[2]) / curvature, -0.25, 0.25)
    return float(log_rate + offset + SHORT_BUDGET_SHIFT)


def _short(seed: Array, log_rates: Array) -> Array:
    """Returns the log losses of one seed after a fifth of the budget."""
    return np.interp(log_rates, LOG_RATES, np.log(np.clip(seed[:, FIFTH], 1e-30, 1e30)))
