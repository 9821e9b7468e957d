"""Candidates for the package's default rule: pure functions of rates and raw losses."""

import dataclasses

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

BANDWIDTH = 0.25
"""Standard deviation of the smoothing kernel, in decades."""
CAP = 2.0
"""Losses count as at most this many initial losses: a blow-up must not drag the smoother."""
HEAD = 0.2
"""The part of the sweep whose median is the initial loss."""
FLAT_DROP = 0.01
"""A drop of less than this part of the initial loss is none."""
EDGE_DISTANCE = 1.15
"""Decades below the edge of stability, where no descent was seen."""
REFERENCE_BUDGET = 400
"""Below so many steps of training, a higher rate is better."""


@dataclasses.dataclass(frozen=True)
class Constants:
    """The constants of a candidate for one class of optimizers.

    Attributes:
        shift: Decades from the landmark to the suggestion.
        exponent: The best rate goes with the budget to this power, below the reference budget.
    """

    shift: float
    exponent: float = 0.0


@dataclasses.dataclass(frozen=True)
class ClassConstants:
    """The constants of a candidate.

    Attributes:
        plain: For SGD without momentum.
        lagging: For optimizers whose step builds up over about ten updates.
    """

    plain: Constants
    lagging: Constants

    def of(self, optimizer: str) -> Constants:
        """Returns the constants of an optimizer of the benchmark."""
        return self.plain if optimizer == "sgd" else self.lagging


@dataclasses.dataclass(frozen=True)
class Form:
    """Which landmark a candidate reads.

    Attributes:
        descent: The part of the descent that is done at the first of two points.
        weight: The weight of that point; the rest is the minimum's.
    """

    descent: float
    weight: float


FORMS = {
    "descent75": Form(0.75, 0.75),
    "landmark75": Form(0.75, 1.0),
    "landmark95": Form(0.95, 1.0),
}
"""`descent75` blends two points; the others are one point, and simpler."""


@dataclasses.dataclass(frozen=True)
class Landmark:
    """A place on the curve.

    Attributes:
        log_rate: Logarithm to base 10 of its rate.
        is_descent: Whether a descent was seen; otherwise it lies below the edge of stability and
            is the suggestion itself.
    """

    log_rate: float
    is_descent: bool


def rate_at(place: Landmark, budget: int, constants: Constants) -> float:
    """Returns the rate of a landmark, shifted if a descent was seen, for a budget."""
    shift = constants.shift if place.is_descent else 0.0
    return float(10 ** (place.log_rate + shift) * budget_factor(budget, constants.exponent))


def budget_factor(budget: int, exponent: float) -> float:
    """Returns what a rate is multiplied by if the training has only so many steps."""
    return float((min(budget, REFERENCE_BUDGET) / REFERENCE_BUDGET) ** exponent)


def landmark(rates: Array, losses: Array, descent: float, weight: float) -> Landmark:
    """Returns the place between a part of the descent and the minimum.

    Args:
        rates: Shape `(n,)`, equally spaced on a logarithmic axis.
        losses: Shape `(n,)`, raw; NaN or infinite once they blew up.
        descent: The part of the descent that is done at the first of two points.
        weight: The weight of that point; the rest is the minimum's.
    """
    u = np.log10(rates)
    head = losses[: max(3, int(HEAD * losses.size))]
    start = float(np.median(head))
    deviation = 1.4826 * float(np.median(np.abs(head - start)))
    capped = np.where(np.isfinite(losses), losses, np.inf)
    smoothed = _local_linear(u, np.minimum(capped, CAP * start))
    error = deviation / np.sqrt(max(1.0, BANDWIDTH * 3.5 / (u[1] - u[0])))
    lowest = _first_minimum(smoothed, start, error)
    drop = start - smoothed[lowest]
    if drop < FLAT_DROP * abs(start):
        return Landmark(_edge(u, smoothed, start, error) - EDGE_DISTANCE, False)
    above = np.flatnonzero(smoothed[:lowest] > start - descent * drop)
    done = u[above[-1] + 1] if above.size else u[0]
    return Landmark(float(weight * done + (1 - weight) * u[lowest]), True)


def _local_linear(x: Array, y: Array) -> Array:
    """Returns the local linear regression of `y` on `x` with a Gaussian kernel."""
    distance = x[np.newaxis, :] - x[:, np.newaxis]
    weights = np.exp(-0.5 * (distance / BANDWIDTH) ** 2)
    moments = [(weights * distance**k).sum(axis=1) for k in range(3)]
    values = [(weights * distance**k) @ y for k in range(2)]
    determinant = moments[0] * moments[2] - moments[1] ** 2
    return (moments[2] * values[0] - moments[1] * values[1]) / determinant  # type: ignore[no-any-return]


def _first_minimum(smoothed: Array, start: float, error: float) -> int:
    """Returns the index of the least loss before the first blow-up."""
    best = np.minimum.accumulate(smoothed)
    fallen = start - best
    blown_up = (
        (fallen >= 0.5 * (start - smoothed.min()))
        & (fallen > 0)
        & (smoothed - best > np.maximum(0.5 * fallen, 5 * error))
    )
    last = int(np.argmax(blown_up)) + 1 if blown_up.any() else smoothed.size
    return int(np.argmin(smoothed[:last]))


def _edge(u: Array, smoothed: Array, start: float, error: float) -> float:
    """Returns the first place from which the loss is clearly above its start for 0.2 decades."""
    above = smoothed > start + max(0.03 * abs(start), 3 * error)
    for i in np.flatnonzero(above):
        if above[(u >= u[i]) & (u <= u[i] + 0.2)].all():
            return float(u[i])
    return float(u[-1])
