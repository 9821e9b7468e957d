"""The default rule `descent`: the rate at which the loss has nearly stopped falling, shifted.

The landmark lies between the rate at which 80% of the fall is done and the rate of the lowest
loss. The constants are fitted, not derived: they say how far from the landmark the best rate lay on
the half of `make quality` that is set apart for choices, and on 26 further tasks, if not said
otherwise.
"""

import dataclasses

import numpy as np

from tfx_lr_finder.core.curve import Curve
from tfx_lr_finder.core.proof import is_clearly_below, loss_to_beat
from tfx_lr_finder.core.schedule import Schedule
from tfx_lr_finder.core.smoothing import (
    Array,
    head_size,
    initial_loss,
    local_linear,
    standard_deviation,
)

BANDWIDTH = 0.25
"""Standard deviation of the smoothing kernel, in decades."""
CAP = 1.0
"""Losses are capped at the initial loss plus this fraction of it."""
FLAT_FALL = 0.01
"""A fall below this fraction of the initial loss counts as flat."""
DONE = 0.8
"""Fraction of the fall that is done at the first of the two places that make the landmark."""
WEIGHT = 0.75
"""Weight of that place in the landmark; the rest is the weight of the lowest loss's place."""
SHIFT_PLAIN_SGD = 0.1
"""Decades from the landmark to the rate, for gradient descent without momentum."""
SHIFT_PEAK = 0.3
"""Decades from the best constant rate up to the best peak of a schedule that decays.

Such a training may start higher, since the low rates at its end make up for it. Chosen on six tasks
of the half for choices, with cosine and one cycle.
"""
BELOW_BLOW_UP = 0.1
"""A peak is raised to at most this many decades below the first blow-up, or the curve's end."""
STEPS_PER_DECADE = 80.0
"""With this many steps per decade, the rate is the landmark itself: the shift is 0.

What a sweep has learned by the time it reaches a rate is proportional to the sum of all rates so
far, hence to the rate times the steps per decade. So with half as many steps, the landmark comes
at twice the rate. For gradient descent without momentum, the landmark lies near the edge of
stability, which does not depend on the number of steps.
"""
EDGE_DISTANCE = 0.4
"""If the loss never fell, the landmark lies this many decades below the edge of stability.

Fitted on 22 combinations of model and data that were drawn for this constant: mostly texts and
gated networks, which start on a plateau.
"""
EDGE_RISE = 0.03
"""Beyond the edge of stability, the loss exceeds its start by this fraction of it ..."""
EDGE_WIDTH = 0.2
"""... for this many decades, or to the end of the curve."""
EDGE_ERRORS = 3.0
"""The rise at the edge must also exceed this many standard errors."""
BLOW_UP = 0.5
"""A blow-up is a rise by this fraction of the fall, after this fraction of the greatest fall."""
BLOW_UP_ERRORS = 5.0
"""The rise of a blow-up must also exceed this many standard errors."""
REFERENCE_STEPS = 400
"""Trainings of at least this many steps use the rate unchanged."""
STEPS_EXPONENT = -0.5
"""Shorter trainings need a higher rate, proportional to their number of steps to this power."""
STEPS_EXPONENT_PLAIN_SGD = -0.2
"""Exponent for gradient descent without momentum, which higher rates make unstable at once."""


@dataclasses.dataclass(frozen=True)
class Course:
    """The smoothed loss over the rate: where it starts, how low it falls, where it blows up.

    Attributes:
        log_rates: Base-10 logarithm of the rates, shape `(n,)`.
        head: Number of points whose median is the initial loss.
        start: The initial loss.
        base: The loss from which learning counts: the loss of the best constant output, if it is
            known, below `start`, and the smoothed loss gets 2% below it; otherwise `start`.
        capped: The losses, capped at `start + |start|`, shape `(n,)`.
        smoothed: Local linear regression of `capped` (0.25 decades), shape `(n,)`.
        num_points: The number of points that each smoothed loss averages over, shape `(n,)`.
        error: Standard error of `smoothed`, from the deviation of the first losses about `start`.
        lowest: Index of the least smoothed loss before the first blow-up.
        blow_up: Index of the first clear rise after a clear fall; None if there was none.
    """

    log_rates: Array
    head: int
    start: float
    base: float
    capped: Array
    smoothed: Array
    num_points: Array
    error: float
    lowest: int
    blow_up: int | None

    @property
    def fall(self) -> float:
        """The initial loss minus the least smoothed loss."""
        return float(self.start - self.smoothed[self.lowest])

    def loss_at(self, learning_rate: float) -> float:
        """The smoothed loss at a rate."""
        return float(np.interp(np.log10(learning_rate), self.log_rates, self.smoothed))

    @property
    def fell(self) -> bool:
        """Whether the loss fell by at least 1% of the initial loss."""
        # With its minimum among the first losses, the loss only rose.
        is_later = self.lowest >= self.head
        return is_later and self.fall > 0 and self.fall >= FLAT_FALL * abs(self.start)

    @property
    def landmark(self) -> float:
        """Base-10 logarithm of the rate that `descent` shifts.

        Three quarters of the way from the lowest loss down to the point after the last one, before
        the lowest loss, at which less than 80% of the fall from `base` is done. If the loss never
        fell, it is the logarithm of the rate 0.4 decades below the edge.
        """
        if not self.fell:
            return self.edge - EDGE_DISTANCE
        lowest = self.smoothed[self.lowest]
        undone = np.flatnonzero(
            self.smoothed[: self.lowest] > self.base - DONE * (self.base - lowest)
        )
        done = self.log_rates[undone[-1] + 1 if undone.size else 0]
        return float(WEIGHT * done + (1 - WEIGHT) * self.log_rates[self.lowest])

    @property
    def edge(self) -> float:
        """Base-10 logarithm of the rate at which the loss starts to stay clearly above its start.

        It must exceed its start by 3% and by 3 standard errors, for 0.2 decades or to the end of
        the curve. If it never does, this is the last rate of the curve.
        """
        rise = max(EDGE_RISE * abs(self.start), EDGE_ERRORS * self.error)
        above = self.smoothed > self.start + rise
        ends = np.searchsorted(self.log_rates, self.log_rates + EDGE_WIDTH, side="right")
        counts = np.append(0, np.cumsum(above))
        starts = np.arange(above.size)
        # Points from which every point of the next EDGE_WIDTH decades is above.
        lasting = np.flatnonzero(counts[ends] - counts[starts] == ends - starts)
        return float(self.log_rates[lasting[0] if lasting.size else -1])

    @property
    def shows_rate(self) -> bool:
        """Whether a rate can be read off: the loss fell, or rose 0.4 decades after the head."""
        head, last = self.log_rates[[self.head - 1, -1]]
        return self.fell or head + EDGE_DISTANCE < self.edge < last


def course_of(curve: Curve) -> Course:
    """Returns the course of a curve's validation losses, or of its losses if it has none."""
    losses = curve.steady_losses
    head, start = head_size(losses.size), initial_loss(losses)
    deviation = standard_deviation(losses[:head] - start)
    capped = np.minimum(losses, start + CAP * abs(start))
    smoothed, num_points = local_linear(curve.log_learning_rates, capped, BANDWIDTH)
    error = deviation / float(np.sqrt(np.median(num_points)))
    blow_up = _first_blow_up(smoothed, start, error)
    lowest = int(np.argmin(smoothed[: smoothed.size if blow_up is None else blow_up + 1]))
    bound = loss_to_beat(start, curve.constant_loss)
    return Course(
        log_rates=curve.log_learning_rates,
        head=head,
        start=start,
        base=bound if is_clearly_below(float(smoothed[lowest]), bound) else start,
        capped=capped,
        smoothed=smoothed,
        num_points=num_points,
        error=error,
        lowest=lowest,
        blow_up=blow_up,
    )


def descent_rate(curve: Curve, course: Course) -> float:
    """Returns the rate of a course's landmark, shifted for optimizer and length of the training.

    With `u` the base-10 logarithm of the rate, `low` the minimum of the smoothed loss, and `base`
    the initial loss or, if `low` is 2% below it, the lower loss of the best constant output:

        u80  = u after the last point before the minimum where less than 80% of `base - low` is done
        u*   = 0.75 * u80 + 0.25 * u of the minimum
        rate = 10 ** (u* + shift) * (min(train_steps, 400) / 400) ** exponent

    For gradient descent without momentum, the shift is 0.1 and the exponent -0.2. For every other
    optimizer, the shift is `log10(steps_per_decade / 80)` and the exponent -0.5; see
    `STEPS_PER_DECADE` for the reason. If the loss fell and the rate of the training decays, the
    result is its peak, up to 0.3 decades higher: it is not raised above a place 0.1 below the first
    blow-up, or below the end of the curve. If the loss did not fall, `u*` lies 0.4 decades below
    the rate from which the loss rises. The result is limited to the range of the curve.
    """
    factor = budget_factor(curve.train_steps, curve.is_plain_sgd)
    log_rate = course.landmark + _shift(curve) + np.log10(factor)
    if curve.schedule is Schedule.DECAYING and course.fell:
        end = course.log_rates[-1] if course.blow_up is None else course.log_rates[course.blow_up]
        # A peak in the blow-up would ruin the training before it decays.
        log_rate = max(log_rate, min(log_rate + SHIFT_PEAK, end - BELOW_BLOW_UP))
    return float(np.clip(10**log_rate, curve.learning_rates[0], curve.learning_rates[-1]))


def budget_factor(train_steps: int | None, is_plain_sgd: bool) -> float:
    """Returns the factor from the rate for 400 or more steps to the rate for `train_steps`.

    `(min(train_steps, 400) / 400) ** exponent`; 1 if `train_steps` is None.
    """
    steps = min(train_steps or REFERENCE_STEPS, REFERENCE_STEPS)
    exponent = STEPS_EXPONENT_PLAIN_SGD if is_plain_sgd else STEPS_EXPONENT
    return float((steps / REFERENCE_STEPS) ** exponent)


def _shift(curve: Curve) -> float:
    if curve.is_plain_sgd:
        return SHIFT_PLAIN_SGD
    return float(np.log10(curve.steps_per_decade / STEPS_PER_DECADE))


def _first_blow_up(smoothed: Array, start: float, error: float) -> int | None:
    """Returns the index of the first clear rise after a clear fall; None if there is none.

    A fall is clear once it reaches half of the curve's greatest fall. A rise is clear if it exceeds
    half of the fall before it and 5 standard errors.
    """
    best = np.minimum.accumulate(smoothed)
    fallen = start - best
    has_fallen = (fallen > 0) & (fallen >= BLOW_UP * (start - smoothed.min()))
    blown_up = has_fallen & (smoothed - best > np.maximum(BLOW_UP * fallen, BLOW_UP_ERRORS * error))
    return int(np.argmax(blown_up)) if blown_up.any() else None
