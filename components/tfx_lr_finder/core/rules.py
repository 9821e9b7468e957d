"""Rules: pure functions from a curve to a learning rate, registered by name.

To add a rule, write a function of a `Curve` and decorate it with `@rule`. The first line of its
docstring is shown in the report. In the formulas, `s` is the smoothed loss.
"""

import bisect
from collections.abc import Callable

import numpy as np

from tfx_lr_finder.core.curve import Curve
from tfx_lr_finder.core.descent import course_of, descent_rate
from tfx_lr_finder.core.errors import NoLearningRateError
from tfx_lr_finder.core.smoothing import Array
from tfx_lr_finder.core.verdict import Verdict

Rule = Callable[[Curve], float]

RULES: dict[str, Rule] = {}
"""All rules, by name."""

READ_RISES: set[str] = set()
"""Names of the rules that can read a rate off a loss that never fell, but rises."""

DEFAULT_RULE = "descent"


def rule(function: Rule) -> Rule:
    """Decorator that adds a rule to `RULES` under the name of the function."""
    RULES[function.__name__] = function
    return function


def reads_rises(function: Rule) -> Rule:
    """Decorator of a rule that can read a rate off a loss that never fell, but rises."""
    READ_RISES.add(function.__name__)
    return function


def can_read(name: str, verdict: Verdict) -> bool:
    """Returns whether a rule can read a rate off a curve, by the verdict on the curve's course."""
    return verdict.has_rate or (verdict is Verdict.FLAT and name in READ_RISES)


def get_rule(name: str) -> Rule:
    """Returns the rule with a name.

    Raises:
        ValueError: If there is no such rule. The message lists all rules.
    """
    if name not in RULES:
        raise ValueError(
            f"Argument `rule` must name a known rule: {', '.join(sorted(RULES))}. "
            f"Received: rule={name!r}."
        )
    return RULES[name]


@rule
@reads_rises
def descent(curve: Curve) -> float:
    """Returns the rate at which the loss has nearly stopped falling, shifted for the training.

    See `tfx_lr_finder.core.descent.descent_rate` for the formula. It reads the validation losses,
    or the raw losses if there are no validation losses, and uses the length of the training if it
    is known. The other rules read the smoothed loss, as in their publications.

    Raises:
        NoLearningRateError: If the curve has only one point, or its loss neither falls nor rises.
    """
    if len(curve) < 2:
        raise NoLearningRateError(Verdict.TOO_FEW_POINTS, curve)
    course = course_of(curve)
    if not course.shows_rate:
        raise NoLearningRateError(Verdict.FLAT, curve)
    return descent_rate(curve, course)


ARTICLE_FACTOR = 4.0
"""Smith's sweep ends where the smoothed loss exceeds this multiple of the least loss so far."""


def article_end(curve: Curve) -> int:
    """Returns the number of points that the sweep of Smith's article would have recorded.

    That sweep ends with the first point whose smoothed loss is above 4 times the least batch loss
    so far. This package's sweep compares with the least smoothed loss instead, and so goes on for
    longer. Once the least loss is negative, its multiple is no upper bound, and no point ends the
    sweep.
    """
    least = np.minimum.accumulate(curve.losses)
    above = (least >= 0) & (curve.smoothed_losses > ARTICLE_FACTOR * least)
    return int(np.argmax(above)) + 1 if above.any() else len(curve)


STEEPEST_SKIP = 3
"""Number of slopes at the start that `steepest` skips: they average over too few losses."""


@rule
def steepest(curve: Curve) -> float:
    """Returns the rate at which the smoothed loss falls most between two consecutive steps.

    `k = argmin over i >= 3 of (s[i+1] - s[i]) / (log10 rate[i+1] - log10 rate[i])`, and the
    result is `rate[k+1]`, the end of the steepest step (L. N. Smith, arXiv 1506.01186, section
    3.3). The curve is read up to `article_end`.

    Raises:
        NoLearningRateError: If the smoothed loss does not fall after the third step.
    """
    end = article_end(curve)
    slopes = np.diff(curve.smoothed_losses[:end]) / np.diff(curve.log_learning_rates[:end])
    slopes = slopes[STEEPEST_SKIP:]
    if not np.any(slopes < 0):
        raise NoLearningRateError(Verdict.FLAT, curve)
    return float(curve.learning_rates[STEEPEST_SKIP + int(np.argmin(slopes)) + 1])


@rule
def minimum(curve: Curve) -> float:
    """Returns a tenth of the rate at which the smoothed loss is lowest.

    `rate[argmin s] / 10`, at least `rate[0]`: one order of magnitude below the rate at which the
    loss turns. It is a common alternative to `steepest`, and fastai's `minimum`. The curve is read
    up to `article_end`.

    Raises:
        NoLearningRateError: If the smoothed loss is lowest at the first step.
    """
    lowest = int(np.argmin(curve.smoothed_losses[: article_end(curve)]))
    if lowest == 0:
        raise NoLearningRateError(Verdict.FLAT, curve)
    return float(max(curve.learning_rates[lowest] / 10, curve.learning_rates[0]))


@rule
def valley(curve: Curve) -> float:
    """Returns the rate in the middle of the longest valley of the smoothed loss.

    The valley ends where the longest strictly decreasing subsequence of `s` ends, and has as many
    points as that subsequence. Of several longest subsequences, the one that ends last counts.
    The result is the recorded rate half-way between the valley's first and last point. This is
    fastai's `valley` (from ESRI's arcgis.learn), limited to the range of the curve.

    Raises:
        NoLearningRateError: If the smoothed loss never falls.
    """
    length, last = _longest_decrease(curve.smoothed_losses)
    if length == 1:
        raise NoLearningRateError(Verdict.FLAT, curve)
    return float(curve.learning_rates[last - length // 2])


SLIDE_INTERVAL = 1.2
"""Decades between the two slopes that `slide` compares: fastai's 15 points of 0.08 decades."""
SLIDE_THRESHOLD = 0.0625
"""Difference of slopes, in initial losses per decade: fastai's 0.005 per point of 0.08 decades."""


@rule
def slide(curve: Curve) -> float:
    """Returns the rate before the steep slope at the end of the curve begins.

    The slope is the gradient of `s` over `log10 rate`, divided by the absolute value of the
    initial `s` so that the unit of the loss does not matter. A window of 1.2 decades slides left
    from the end of the curve while the slopes at its two ends differ by more than 0.0625. The
    result is the rate at the left end of the window where it stops. This is fastai's `slide`, in
    decades instead of points.

    Raises:
        NoLearningRateError: If the curve is shorter than the window.
    """
    log_rates, smoothed = curve.log_learning_rates, curve.smoothed_losses
    if log_rates[-1] - log_rates[0] < SLIDE_INTERVAL:
        raise NoLearningRateError(Verdict.TOO_FEW_POINTS, curve)
    slopes = np.gradient(smoothed, log_rates) / (abs(smoothed[0]) or 1.0)
    left = 0
    for right in range(len(curve) - 1, 0, -1):
        left = int(np.searchsorted(log_rates, log_rates[right] - SLIDE_INTERVAL, side="right")) - 1
        if left <= 0 or abs(slopes[right] - slopes[left]) <= SLIDE_THRESHOLD:
            break
    return float(curve.learning_rates[max(left, 0)])


def _longest_decrease(values: Array) -> tuple[int, int]:
    """Returns the length and the last index of the longest strictly decreasing subsequence.

    Of several longest subsequences, the one that ends last counts.
    """
    # The values are negated, so that `ends` increases and can be bisected. ends[k] is the least
    # last value of all increasing subsequences of length k + 1.
    ends: list[float] = []
    last = 0
    for i, value in enumerate(-values):
        length = bisect.bisect_left(ends, value) + 1
        if length >= len(ends):
            last = i
        ends[length - 1 : length] = [value]
    return len(ends), last
