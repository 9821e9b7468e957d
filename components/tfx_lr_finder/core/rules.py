"""Rules that read a learning rate off a curve: pure functions, known by name.

A new rule is a function of a `Curve` with `@rule` above it.
"""

import bisect
from collections.abc import Callable

import numpy as np

from tfx_lr_finder.core.curve import Curve
from tfx_lr_finder.core.descent import descent_rate
from tfx_lr_finder.core.errors import NoLearningRateError
from tfx_lr_finder.core.smoothing import Array
from tfx_lr_finder.core.verdict import Verdict

Rule = Callable[[Curve], float]

RULES: dict[str, Rule] = {}
"""Every rule by its name."""

DEFAULT_RULE = "descent"


def rule(function: Rule) -> Rule:
    """Enters a rule in `RULES` under its function's name."""
    RULES[function.__name__] = function
    return function


def get_rule(name: str) -> Rule:
    """Returns the rule of that name.

    Raises:
        ValueError: If there is none; the message lists those that there are.
    """
    if name not in RULES:
        raise ValueError(
            f"Argument `rule` must name a known rule: {', '.join(sorted(RULES))}. "
            f"Received: rule={name!r}."
        )
    return RULES[name]


@rule
def descent(curve: Curve) -> float:
    """Returns the rate at which most of the descent is done, less a margin for the optimizer.

    See `tfx_lr_finder.core.descent.descent_rate` for the formula. It reads the validation losses
    or, where there are none, the raw losses, and takes the length of the training into account
    where it is known. The other rules read the smoothed loss, as they were published.

    Raises:
        NoLearningRateError: If the curve has one point only.
    """
    if len(curve) < 2:
        raise NoLearningRateError(Verdict.TOO_FEW_POINTS, curve)
    return descent_rate(curve)


ARTICLE_FACTOR = 4.0
"""The article's sweep ends where the smoothed loss exceeds the least loss this many times."""


def article_end(curve: Curve) -> int:
    """Returns how many points of a curve the article's own sweep would have recorded.

    It ends with the first point whose smoothed loss is above 4 times the least loss of a batch so
    far, where the package's own goes on, for it compares with the least smoothed loss. Losses
    below 0, with which it would end at once, do not end it.
    """
    least = np.minimum.accumulate(curve.losses)
    above = (least >= 0) & (curve.smoothed_losses > ARTICLE_FACTOR * least)
    return int(np.argmax(above)) + 1 if above.any() else len(curve)


STEEPEST_SKIP = 3
"""Points at the start that `steepest` leaves out: their average is over too few losses."""


@rule
def steepest(curve: Curve) -> float:
    """Returns the rate at which the smoothed loss falls most between two consecutive steps.

    `k = argmin over i >= 3 of (s[i+1] - s[i]) / (log10 rate[i+1] - log10 rate[i])`, and the
    answer is `rate[k+1]`, where the fall has arrived (L. N. Smith, arXiv 1506.01186, section 3.3).
    The curve is read up to where the article's own sweep ends, see `article_end`.

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

    `rate[argmin s] / 10`, at least `rate[0]`: the common alternative to the steepest fall
    (fastai's `minimum`), one order of magnitude below the loss's turning point. The curve is read
    up to where the article's own sweep ends, see `article_end`.

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

    The valley ends where the longest strictly decreasing subsequence of `s` ends (the latest of
    several), and has as many points as that subsequence. The answer is the recorded rate half-way
    between the valley's first and last point. It is the rule of fastai's `valley` (from ESRI's
    arcgis.learn), kept within the curve.

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
"""Difference of slopes, in losses a decade: fastai's 0.005 a point of 0.08 decades."""


@rule
def slide(curve: Curve) -> float:
    """Returns the rate before the steep slope at the end of the curve begins.

    With `g` the gradient of `s` against `log10 rate`, divided by the initial `s` so that the unit
    of the loss does not matter, a window of 1.2 decades slides left from the end while the slopes
    at its two ends differ by more than 0.0625; the answer is the rate at its left end where it
    stops. It is the rule of fastai's `slide`, in decades instead of points.

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

    Of several, the one that ends last.
    """
    # ends[k] is the greatest (negated: least) last value of a subsequence of length k + 1.
    ends: list[float] = []
    last = 0
    for i, value in enumerate(-values):
        length = bisect.bisect_left(ends, value) + 1
        if length >= len(ends):
            last = i
        ends[length - 1 : length] = [value]
    return len(ends), last
