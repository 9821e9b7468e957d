"""Verdicts: how far a rate that was read off a curve can be trusted."""

import enum
import math

import numpy as np

from tfx_lr_finder.core.curve import Curve
from tfx_lr_finder.core.descent import Course, course_of
from tfx_lr_finder.core.proof import is_clearly_below, loss_to_beat
from tfx_lr_finder.core.smoothing import standard_deviation
from tfx_lr_finder.core.sweep import StopReason

MIN_POINTS = 10
"""A curve with fewer points than this is too short for a verdict."""
MIN_STEPS_PER_DECADE = 7.0
"""A curve with fewer steps per decade than this is too coarse for a verdict.

24 models were swept over seven decades with different numbers of steps. With 100 steps, 23 of the
rates lay within 0.3 decades of the rate from 200 steps; with 50 steps, 12.
"""
ENOUGH_STEPS_PER_DECADE = 14.0
"""A rate from a curve with fewer steps per decade than this comes with a warning."""
EARLY_STOP = 0.25
"""A sweep that ends within this fraction of its planned steps counts as stopped at the start."""
NOISE_RATIO = 4.0
"""A fall of fewer standard errors than this may be chance."""
OUTERMOST = 0.02
"""The outermost fraction of the range, on the logarithmic axis, that counts as its edge."""
RISEN = 0.1
"""The loss counts as risen again after a rise by this fraction of its fall.

The rise must also exceed 3 standard errors of the smoothed loss.
"""
JUMP = 10.0
"""A batch is an outlier if its loss is this many times the greatest of the ten before it."""
AROUND_BLOW_UP = 15
"""An outlier within this many steps of a blow-up, before or after, may have caused it.

The smoothing looks ahead, so the smoothed loss can rise some steps before the outlier itself.
"""


class Verdict(str, enum.Enum):
    """How far a rate can be trusted; see `judge` for the criteria."""

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
        """Whether there is a rate to publish. Unless the verdict is `ok`, it needs a warning."""
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
    """Returns the verdict on a curve alone, before a rule reads a rate off it.

    `start` is the median of the first tenth of the losses. Fall and smoothed loss are those of
    `tfx_lr_finder.core.descent.course_of`. The first criterion that holds is the verdict:

    - `diverged_at_start`: the sweep stopped within the first quarter of its steps, and the loss
      never fell; or its first three losses are below `start - 0.9 |start|`;
    - `too_few_points`: fewer than 10 points, or fewer than 7 steps a decade;
    - `flat`: the loss never fell by 1% of its start after its first tenth;
    - `noisy`: `fall < 4` standard errors of the smoothed loss, from the deviation of the losses
      about it up to its minimum;
    - `ok` otherwise.
    """
    course = course_of(curve)
    stopped_early = (
        curve.stop_reason is not StopReason.ALL_STEPS and len(curve) <= EARLY_STOP * curve.num_steps
    )
    # The loss has blown up within the first tenth. A later fall from there shows no learning.
    rose_at_once = curve.steady_losses[:3].max() < course.start - 0.9 * abs(course.start)
    if (stopped_early and not course.fell) or rose_at_once:
        return Verdict.DIVERGED_AT_START
    # 0.999: rounding may put a sweep of exactly seven steps per decade slightly below seven.
    if len(curve) < MIN_POINTS or curve.steps_per_decade < 0.999 * MIN_STEPS_PER_DECADE:
        return Verdict.TOO_FEW_POINTS
    if not course.fell:
        return Verdict.FLAT
    residuals = (course.capped - course.smoothed)[: course.lowest + 1]
    standard_error = standard_deviation(residuals) / np.sqrt(course.num_points[course.lowest])
    return Verdict.NOISY if course.fall < NOISE_RATIO * standard_error else Verdict.OK


def judge(curve: Curve, learning_rate: float) -> Verdict:
    """Returns the verdict on a rate that a rule read off a curve.

    The first criterion that holds is the verdict. The smoothed loss is the one of
    `tfx_lr_finder.core.descent.course_of`:

    - the criteria of `judge_course`, with `noisy` only after the next two;
    - `disturbed`: a loss or weight that was not finite ended the sweep before the loss had risen;
      or there is an outlier within 15 steps of the first blow-up. An outlier is a batch whose loss
      exceeds both twice the initial loss and ten times the greatest of the ten losses before it.
      It does not count if the loss was already rising: if the last of the ten is more than twice
      the greatest of the earlier nine;
    - `low_end_of_range`: the rate lies within the first 2% of the range, on the logarithmic axis;
    - `not_learning`: the loss at the rate is not 2% below the initial loss and the loss of the
      best constant output, if that is known; or the rate lies beyond the first blow-up;
    - `edge_of_range`, if the sweep reached its last rate: the rate lies within the last 2% of the
      range, or the loss did not rise after its minimum, by a tenth of its fall and 3 standard
      errors.

    Args:
        curve: The curve of a sweep.
        learning_rate: The rate that a rule read off the curve.
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


def advice_on_steps(curve: Curve) -> str:
    """Returns advice if a curve has so few steps per decade that its rate is unsure, else ''."""
    per_decade = curve.steps_per_decade
    if len(curve) < 2 or per_decade >= 0.999 * ENOUGH_STEPS_PER_DECADE:
        return ""
    enough = math.ceil((curve.num_steps - 1) * ENOUGH_STEPS_PER_DECADE / per_decade - 0.01) + 1
    return (
        f"With {per_decade:.3g} steps a decade the rate is unsure: of the rates with "
        f"{MIN_STEPS_PER_DECADE:g}, half were off by more than a factor of 2. "
        f"Raise `num_steps` to {enough}."
    )


def is_at_low_end(curve: Curve, learning_rate: float) -> bool:
    """Returns whether a rate lies within the first 2% of a curve's range."""
    first, last = curve.log_learning_rates[[0, -1]]
    return bool(np.log10(learning_rate) <= first + OUTERMOST * (last - first))


def is_at_high_end(curve: Curve, learning_rate: float) -> bool:
    """Returns whether a rate lies within the last 2% of a curve's range, or beyond it."""
    first, last = curve.log_learning_rates[[0, -1]]
    return bool(np.log10(learning_rate) >= last - OUTERMOST * (last - first))


def learns_at(curve: Curve, course: Course, learning_rate: float) -> bool:
    """Returns whether the smoothed loss at a rate shows that the model learns there."""
    if course.blow_up is not None and learning_rate >= curve.learning_rates[course.blow_up]:
        return False
    bound = loss_to_beat(course.start, curve.constant_loss)
    return is_clearly_below(course.loss_at(learning_rate), bound)


def is_disturbed(curve: Curve, course: Course) -> bool:
    """Returns whether a single batch ended the sweep or caused the first blow-up."""
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
        # A training that diverges by itself already grows in the steps before.
        is_growing = before[-1] > 2 * before[:-1].max()
        if losses[i] > max(high, JUMP * before.max()) and not risen[i - 1] and not is_growing:
            return True
    return False


def _has_turned(course: Course) -> bool:
    """Returns whether the loss rose after its minimum, by 10% of its fall and 3 standard errors."""
    rise = course.smoothed[course.lowest :].max() - course.smoothed[course.lowest]
    return bool(rise > max(RISEN * course.fall, 3 * course.error))
