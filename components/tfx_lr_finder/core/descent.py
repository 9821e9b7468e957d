"""The default rule: where on the curve the descent is nearly done, and how far below to stay.

Nothing here knows why a rate is good; the constants say how far the best constant rate lay from
the landmark on the tasks that they were fitted on: the half for choices of `make quality`, and
others drawn as some of these are.
"""

import dataclasses

import numpy as np

from tfx_lr_finder.core.curve import Curve
from tfx_lr_finder.core.smoothing import Array, local_linear

BANDWIDTH = 0.25
"""Standard deviation of the smoothing kernel, in decades."""
HEAD = 0.2
"""The part of the curve whose median is the initial loss."""
CAP = 1.0
"""Losses count as at most this much above the initial one, in units of it."""
FLAT_FALL = 0.01
"""A fall of less than this part of the initial loss is none."""
DONE = 0.95
"""The landmark: this part of the descent is done."""
SHIFT_PLAIN_SGD = 0.1
"""Decades from the landmark to the rate, for gradient descent without momentum."""
STEPS_PER_DECADE = 75.0
"""Where a sweep has so many steps a decade, the rate is that of the landmark.

What a sweep has learned when it reaches a rate goes with the sum of the rates so far, which is the
rate times the steps a decade: with half as many steps the landmark comes at twice the rate.
Gradient descent without momentum has its landmark near the edge of stability, which does not
depend on the number of steps.
"""
EDGE_DISTANCE = 0.4
"""The landmark where the sweep saw no descent: so many decades below the edge of stability.

Fitted on 22 combinations drawn for it, mostly texts and gated networks that start on a plateau.
"""
REFERENCE_STEPS = 400
"""A training of at least so many steps takes the rate as it is."""
STEPS_EXPONENT = -0.4
"""A shorter one a higher rate: the best goes with the number of steps to this power."""
STEPS_EXPONENT_PLAIN_SGD = -0.1
"""The same for gradient descent without momentum, which higher rates make unstable at once."""


@dataclasses.dataclass(frozen=True)
class Course:
    """The course of a loss over the rate.

    Attributes:
        log_rates: Logarithm to base 10 of the rates, shape `(n,)`.
        head: Number of points in the first fifth.
        start: The initial loss, the median of the first fifth.
        smoothed: Local linear regression of the capped losses, shape `(n,)`.
        error: Standard error of `smoothed`.
        lowest: Index of the least smoothed loss before the first blow-up.
        blow_up: Index from which the loss rose clearly after a clear fall; None if it did not.
    """

    log_rates: Array
    head: int
    start: float
    smoothed: Array
    error: float
    lowest: int
    blow_up: int | None

    @property
    def fall(self) -> float:
        """How far the loss fell."""
        return float(self.start - self.smoothed[self.lowest])

    def loss_at(self, learning_rate: float) -> float:
        """The smoothed loss at a rate."""
        return float(np.interp(np.log10(learning_rate), self.log_rates, self.smoothed))

    @property
    def fell(self) -> bool:
        """Whether the sweep saw a descent at all."""
        is_later = self.lowest >= self.head  # or else the loss only rose
        return is_later and self.fall > 0 and self.fall >= FLAT_FALL * abs(self.start)

    @property
    def landmark(self) -> float:
        """Logarithm of the rate from which on, up to the lowest loss, 95% of the fall is done.

        Where there was none, of the rate 0.4 decades below the edge.
        """
        if not self.fell:
            return self.edge - EDGE_DISTANCE
        undone = np.flatnonzero(self.smoothed[: self.lowest] > self.start - DONE * self.fall)
        return float(self.log_rates[undone[-1] + 1 if undone.size else 0])

    @property
    def edge(self) -> float:
        """Logarithm of the rate from which the loss is clearly above its start, for 0.2 decades.

        The last rate of the curve if there is none.
        """
        rise = max(0.03 * abs(self.start), 3 * self.error)
        above = self.smoothed > self.start + rise
        ends = np.searchsorted(self.log_rates, self.log_rates + 0.2, side="right")
        counts = np.append(0, np.cumsum(above))
        starts = np.arange(above.size)
        lasting = np.flatnonzero(counts[ends] - counts[starts] == ends - starts)
        return float(self.log_rates[lasting[0] if lasting.size else -1])

    @property
    def shows_rate(self) -> bool:
        """Whether the loss fell, or at least rose at rates well above the first ones."""
        head, last = self.log_rates[[self.head - 1, -1]]
        return self.fell or head + EDGE_DISTANCE < self.edge < last


def course_of(curve: Curve) -> Course:
    """Returns the course of a curve's steady losses."""
    losses = curve.steady_losses
    head = max(3, int(HEAD * losses.size))
    start = float(np.median(losses[:head]))
    deviation = 1.4826 * float(np.median(np.abs(losses[:head] - start)))
    capped = np.minimum(losses, start + CAP * abs(start))
    smoothed, num_points = local_linear(curve.log_learning_rates, capped, BANDWIDTH)
    error = deviation / float(np.sqrt(np.median(num_points)))
    blow_up = _first_blow_up(smoothed, start, error)
    lowest = int(np.argmin(smoothed[: smoothed.size if blow_up is None else blow_up + 1]))
    return Course(curve.log_learning_rates, head, start, smoothed, error, lowest, blow_up)


def descent_rate(curve: Curve) -> float:
    """Returns the rate of the landmark, shifted for the optimizer and the length of the training.

    With `u` the logarithm of the rate and `fall` the descent of the smoothed loss to its minimum:

        u*   = u after the last point before the minimum where less than 95% of `fall` is done
        rate = 10 ** (u* + shift) * (min(train_steps, 400) / 400) ** exponent

    For gradient descent without momentum the shift is 0.1 and the exponent -0.1. For every other
    optimizer they are `log10(steps_per_decade / 75)`, since what a sweep has learned at a rate
    goes with the rate times the steps a decade, and -0.4. Where the loss did not fall, `u*` lies
    0.4 decades below the rate from which it rises. The rate is kept within the curve.
    """
    factor = budget_factor(curve.train_steps, curve.is_plain_sgd)
    rate = 10 ** (course_of(curve).landmark + _shift(curve)) * factor
    return float(np.clip(rate, curve.learning_rates[0], curve.learning_rates[-1]))


def budget_factor(train_steps: int | None, is_plain_sgd: bool) -> float:
    """Returns what the rate of a long training is multiplied by for one of so many steps.

    `(min(train_steps, 400) / 400) ** exponent`; 1 where their number is not known.
    """
    steps = min(train_steps or REFERENCE_STEPS, REFERENCE_STEPS)
    exponent = STEPS_EXPONENT_PLAIN_SGD if is_plain_sgd else STEPS_EXPONENT
    return float((steps / REFERENCE_STEPS) ** exponent)


def _shift(curve: Curve) -> float:
    if curve.is_plain_sgd:
        return SHIFT_PLAIN_SGD
    return float(np.log10(curve.steps_per_decade / STEPS_PER_DECADE))


def _first_blow_up(smoothed: Array, start: float, error: float) -> int | None:
    """Returns the index at which the loss first has risen clearly after a clear fall."""
    best = np.minimum.accumulate(smoothed)
    fallen = start - best
    has_fallen = (fallen > 0) & (fallen >= 0.5 * (start - smoothed.min()))
    blown_up = has_fallen & (smoothed - best > np.maximum(0.5 * fallen, 5 * error))
    return int(np.argmax(blown_up)) if blown_up.any() else None
