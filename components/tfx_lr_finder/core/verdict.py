"""How far the rate that a curve suggests can be trusted."""

import enum

import numpy as np

from tfx_lr_finder.core.curve import Curve
from tfx_lr_finder.core.descent import Course, course_of
from tfx_lr_finder.core.proof import is_clearly_below
from tfx_lr_finder.core.smoothing import local_linear
from tfx_lr_finder.core.sweep import StopReason

MIN_POINTS = 10
"""Fewer points than this show no course."""
MIN_STEPS_PER_DECADE = 7.0
"""Nor do fewer steps a decade.

Of 28 sweeps of 50 steps over seven decades, 21 had a rate within 0.3 decades of that of 200 steps;
of 30 steps, 8.
"""
FLAT_FALL = 0.01
"""A fall of less than this part of the initial loss is no fall."""
EARLY_STOP = 0.25
"""A sweep that stops within this part of its steps stopped at the start."""
NOISE_RATIO = 4.0
"""A fall of fewer standard errors than this may be chance."""
EDGE = 0.02
"""The outer part of the range, on the logarithmic axis, that counts as its edge."""
BANDWIDTH = 0.25
"""Standard deviation, in decades, of the kernel that smooths the curve for the verdict."""
RISEN = 0.1
"""A loss that rises by this part of its fall has turned."""
JUMP = 10.0
"""A batch stands out whose loss is this many times the greatest of the ten before it."""
AROUND_BLOW_UP = 15
"""A batch that stands out may have caused a blow-up within this many steps of it.

The smoothed loss shows it some steps before the batch itself.
"""


class Verdict(str, enum.Enum):
    """What is known of a rate; see `judge` for each criterion."""

    OK = "ok"
    NOISY = "noisy"
    DISTURBED = "disturbed"
    NOT_LEARNING = "not_learning"
    EDGE = "edge_of_range"
    LOW_END = "low_end_of_range"
    FLAT = "flat"
    DIVERGED_AT_START = "diverged_at_start"
    TOO_FEW_POINTS = "too_few_points"

    @property
    def has_rate(self) -> bool:
        """Whether there is a rate to publish, with a warning where it is not `ok`."""
        return self not in (
            Verdict.LOW_END,
            Verdict.FLAT,
            Verdict.DIVERGED_AT_START,
            Verdict.TOO_FEW_POINTS,
        )

    @property
    def meaning(self) -> str:
        """The verdict in words, with what to do next."""
        return _MEANINGS[self]


_MEANINGS = {
    Verdict.OK: "The model learns at this rate, which lies well inside the range. Train with it.",
    Verdict.NOISY: "The fall of the loss is hardly larger than its noise, or the sweeps disagree. "
    "Raise `num_steps`, `num_sweeps` or the batch size before you rely on the rate.",
    Verdict.DISTURBED: "The sweep was cut short or thrown off by one batch, so the rate may be "
    "much too low. Look for NaN, infinities and outliers in features, labels and weights.",
    Verdict.NOT_LEARNING: "At this rate the loss is not clearly below its start and the loss of "
    "the best constant output, or the rate lies beyond the first blow-up. Standardise the labels, "
    "or start the bias of the output layer at the best constant; else give more steps.",
    Verdict.EDGE: "The rate lies at the upper end of the range, or the loss had not risen there. "
    "Raise `max_learning_rate`.",
    Verdict.LOW_END: "The rate lies at the lower end of the range. "
    "Lower `min_learning_rate`, and check the scale of features and labels.",
    Verdict.FLAT: "The loss never fell. Check labels, loss function and trainable weights; if they "
    "are right, raise `num_steps`, `max_learning_rate`, or `min_learning_rate`, so that more "
    "steps lie at the rates that matter.",
    Verdict.DIVERGED_AT_START: "The loss blew up before it fell. "
    "Lower `min_learning_rate`, and check the scale of features and labels.",
    Verdict.TOO_FEW_POINTS: f"A curve of fewer than {MIN_POINTS} points, or of fewer than "
    f"{MIN_STEPS_PER_DECADE:g} steps a decade, shows no course. "
    "Raise `num_steps`, or lower `min_learning_rate` if the sweep stopped early.",
}


def judge_course(curve: Curve) -> Verdict:
    """Returns what can be said of a curve before any rule is asked.

    With `start` the median of the first tenth of the losses (at least 3), `s` the losses (capped
    at `start + |start|`) smoothed by local linear regression (0.25 decades), and
    `fall = start - min s`, the minimum over the rest of the curve:

    - `diverged_at_start`: the sweep stopped within the first quarter of its steps, and
      `fall < 0.01 |start|`; or its first three losses are below a tenth of `start`;
    - `too_few_points`: fewer than 10 points, or fewer than 7 steps a decade;
    - `flat`: `fall < 0.01 |start|`;
    - `noisy`: `fall < 4` standard errors of `s`, from the median absolute deviation of the
      losses about `s` up to the minimum of `s`;
    - `ok` otherwise.
    """
    head = max(3, len(curve) // 10)
    start = float(np.median(curve.steady_losses[:head]))
    losses = np.minimum(curve.steady_losses, start + abs(start))
    smoothed, num_points = local_linear(curve.log_learning_rates, losses, BANDWIDTH)
    rest = min(head, len(curve) - 1)
    lowest = rest + int(np.argmin(smoothed[rest:]))
    fall = start - smoothed[lowest]
    fell = fall > 0 and fall >= FLAT_FALL * abs(start)
    stopped_early = (
        curve.stop_reason is not StopReason.ALL_STEPS and len(curve) <= EARLY_STOP * curve.num_steps
    )
    # From a start that has blown up already, even a fall is none.
    rose_at_once = curve.steady_losses[:3].max() < start - 0.9 * abs(start)
    if (stopped_early and not fell) or rose_at_once:
        return Verdict.DIVERGED_AT_START
    # Rounding may take a little from exactly seven.
    if len(curve) < MIN_POINTS or curve.steps_per_decade < 0.999 * MIN_STEPS_PER_DECADE:
        return Verdict.TOO_FEW_POINTS
    if not fell:
        return Verdict.FLAT
    residuals = np.abs(losses - smoothed)[: lowest + 1]
    standard_error = 1.4826 * np.median(residuals) / np.sqrt(num_points[lowest])
    return Verdict.NOISY if fall < NOISE_RATIO * standard_error else Verdict.OK


def judge(curve: Curve, learning_rate: float) -> Verdict:
    """Returns the verdict on a rate that a rule read off a curve.

    Criteria, the first that holds, with the loss smoothed as in `judge_course`:

    - those of `judge_course`;
    - `disturbed`: a loss or weight that was not finite ended the sweep before the loss had risen;
      or a batch whose loss is ten times that of the ten before it, the last of which is not twice
      the others, and above twice the initial loss, came within 15 steps of the first blow-up;
    - `low_end_of_range`: the rate lies within the first 2% of the range, on the logarithmic axis;
    - `not_learning`: the loss at the rate is not 2% below the initial loss and, where it is known,
      that of the best constant output; or the rate lies beyond the first blow-up;
    - `edge_of_range`, when the sweep reached its last rate: the rate lies within the last 2% of
      the range, or the loss did not rise after its minimum, by a tenth of its fall.

    Args:
        curve: The curve of a sweep.
        learning_rate: The rate that a rule suggested on it.
    """
    verdict = judge_course(curve)
    if not verdict.has_rate:
        return verdict
    course = course_of(curve)
    if is_disturbed(curve, course):
        return Verdict.DISTURBED
    if is_at_low_end(curve, learning_rate):
        return Verdict.LOW_END
    if verdict is Verdict.NOISY:
        return verdict
    if not learns_at(curve, course, learning_rate):
        return Verdict.NOT_LEARNING
    if curve.stop_reason is StopReason.ALL_STEPS and (
        is_at_high_end(curve, learning_rate) or not _has_turned(course)
    ):
        return Verdict.EDGE
    return Verdict.OK


def is_at_low_end(curve: Curve, learning_rate: float) -> bool:
    """Returns whether a rate lies within the first 2% of a curve's range."""
    first, last = curve.log_learning_rates[[0, -1]]
    return bool(np.log10(learning_rate) <= first + EDGE * (last - first))


def is_at_high_end(curve: Curve, learning_rate: float) -> bool:
    """Returns whether a rate lies within the last 2% of a curve's range, or beyond it."""
    first, last = curve.log_learning_rates[[0, -1]]
    return bool(np.log10(learning_rate) >= last - EDGE * (last - first))


def learns_at(curve: Curve, course: Course, learning_rate: float) -> bool:
    """Returns whether a curve shows that something is learned at a rate."""
    if course.blow_up is not None and learning_rate >= curve.learning_rates[course.blow_up]:
        return False
    bound = min(course.start, np.inf if curve.constant_loss is None else curve.constant_loss)
    return is_clearly_below(course.loss_at(learning_rate), bound)


def is_disturbed(curve: Curve, course: Course) -> bool:
    """Returns whether a single batch decided where the curve ends, or where it blows up."""
    losses, steady = curve.losses, curve.steady_losses
    risen = steady > course.smoothed[course.lowest] + 0.5 * max(course.fall, 0.0)
    if curve.stop_reason is StopReason.NON_FINITE:
        last = max(3, len(curve) // 50)
        return course.lowest >= len(curve) - last and not risen[-last:].any()
    if course.blow_up is None:
        return False
    high = course.start + abs(course.start)
    first, last = course.blow_up - AROUND_BLOW_UP, course.blow_up + AROUND_BLOW_UP
    for i in range(max(2, first), min(last, len(curve))):
        before = losses[max(0, i - 10) : i]
        # A training that diverges fast has a loss that grows for some steps before.
        is_growing = before[-1] > 2 * before[:-1].max()
        if losses[i] > max(high, JUMP * before.max()) and not risen[i - 1] and not is_growing:
            return True
    return False


def _has_turned(course: Course) -> bool:
    """Returns whether the loss rose again after its least value."""
    rise = course.smoothed[course.lowest :].max() - course.smoothed[course.lowest]
    return bool(rise > max(RISEN * course.fall, 3 * course.error))
