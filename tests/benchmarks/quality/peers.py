"""The peers' rules exactly as published, with their own smoothing, stopping and trimming.

Each reads the raw losses of a whole sweep, NaN from the first loss that was not finite. Where a
peer raises or answers None, the rule returns None.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
PeerRule = Callable[[Array, Array], float | None]
"""From rates and raw losses, both of shape `(num_steps,)`, to a rate or None."""


def _average(losses: Array, exponent: int) -> Array:
    """Returns the moving average with weight 0.98, its correction `exponent` steps ahead."""
    average, smoothed = 0.0, np.empty_like(losses)
    for i, loss in enumerate(losses):
        average = 0.98 * average + 0.02 * loss
        smoothed[i] = average / (1 - 0.98 ** (i + exponent))
    return smoothed


def _up_to_divergence(smoothed: Array) -> Array:
    """Returns the losses up to the first that exceeds 4 times the best before it."""
    best = np.inf
    for i, loss in enumerate(smoothed):
        if loss > 4 * best:
            return smoothed[: i + 1]
        best = min(best, loss) if not np.isnan(loss) else best
    return smoothed


def _article_curve(losses: Array) -> Array:
    """Returns the smoothed losses up to the first above 4 times the least loss of a batch."""
    smoothed = _average(losses, 1)
    above = smoothed > 4 * np.fmin.accumulate(losses)
    return smoothed[: int(np.argmax(above)) + 1] if above.any() else smoothed


def article_steepest(rates: Array, losses: Array) -> float | None:
    """Returns the rate after the greatest fall between two smoothed losses, the first 3 skipped."""
    smoothed = _article_curve(losses)
    falls = np.diff(smoothed)[3:]
    return float(rates[int(np.nanargmin(falls)) + 4]) if np.isfinite(falls).any() else None


def article_minimum(rates: Array, losses: Array) -> float | None:
    """Returns a tenth of the rate of the least smoothed loss."""
    smoothed = _article_curve(losses)
    return float(rates[int(np.nanargmin(smoothed))] / 10)


def _fastai_curve(rates: Array, losses: Array) -> tuple[Array, Array]:
    smoothed = _up_to_divergence(_average(losses, 1))
    smoothed = smoothed[losses.size // 10 : -5]
    not_a_number = np.flatnonzero(np.isnan(smoothed))
    smoothed = smoothed[: not_a_number[0]] if not_a_number.size else smoothed
    return rates[losses.size // 10 :][: smoothed.size], smoothed


def fastai_valley(rates: Array, losses: Array) -> float | None:
    """Returns fastai's `valley`: half-way through the longest decreasing subsequence."""
    rates, smoothed = _fastai_curve(rates, losses)
    if not smoothed.size:
        return None
    lengths = np.ones(smoothed.size, int)
    start = end = 0
    for i in range(1, smoothed.size):
        before = lengths[:i][smoothed[i] < smoothed[:i]]
        lengths[i] = max(1, before.max(initial=0) + 1)
        if lengths[end] < lengths[i]:
            end, start = i, i - int(lengths[i])
    section = (end - start) / 3
    return float(rates[start + int(section) + int(section / 2)])


def fastai_slide(rates: Array, losses: Array) -> float | None:
    """Returns fastai's `slide`: before the steep slope at the end, 15 points back."""
    rates, smoothed = _fastai_curve(rates, losses)
    if smoothed.size < 16:
        return None
    slopes = np.gradient(smoothed)
    right, left = -1, -16
    suggestion = rates[left]
    while left >= -smoothed.size and abs(slopes[right] - slopes[left]) > 0.005:
        suggestion = rates[left]
        right, left = right - 1, left - 1
    return float(suggestion)


def fastai_minimum(rates: Array, losses: Array) -> float | None:
    """Returns fastai's `minimum`: a tenth of the rate of the least loss."""
    rates, smoothed = _fastai_curve(rates, losses)
    return float(rates[int(np.argmin(smoothed))] / 10) if smoothed.size else None


def fastai_steep(rates: Array, losses: Array) -> float | None:
    """Returns fastai's `steep`: where the loss falls most for its logarithm of the rate."""
    rates, smoothed = _fastai_curve(rates, losses)
    if smoothed.size < 2:
        return None
    return float(rates[int(np.argmin(np.diff(smoothed) / np.diff(np.log(rates))))])


def _lightning_curve(rates: Array, losses: Array) -> tuple[Array, Array]:
    smoothed = _average(losses, 2)  # the correction is one step ahead, in every release
    best = smoothed[0]
    last = smoothed.size
    for i, loss in enumerate(smoothed[1:], start=1):
        if loss > 4 * best:
            last = i + 1
            break
        best = loss if loss < best else best
    rates, smoothed = rates[:last][10:-1], smoothed[:last][10:-1]
    finite = np.isfinite(smoothed)
    return rates[finite], smoothed[finite]


def lightning_before_2_5_3(rates: Array, losses: Array) -> float | None:
    """Returns Lightning's steepest fall a point, as released before 2.5.3."""
    rates, smoothed = _lightning_curve(rates, losses)
    return float(rates[int(np.argmin(np.gradient(smoothed)))]) if rates.size > 1 else None


def lightning_since_2_5_3(rates: Array, losses: Array) -> float | None:
    """Returns Lightning's steepest fall against the rate itself, as released since 2.5.3."""
    rates, smoothed = _lightning_curve(rates, losses)
    return float(rates[int(np.argmin(np.gradient(smoothed, rates)))]) if rates.size > 1 else None


def torch_lr_finder(rates: Array, losses: Array) -> float | None:
    """Returns torch-lr-finder's steepest fall a point, 10 points skipped before and 5 behind."""
    smoothed = [losses[0]]
    best = losses[0]
    for loss in losses[1:]:
        smoothed.append(0.05 * loss + 0.95 * smoothed[-1])
        best = smoothed[-1] if smoothed[-1] < best else best
        if smoothed[-1] > 5 * best:
            break
    if len(smoothed) < 17:
        return None
    # An argmin with NaN is the first NaN, as there.
    return float(rates[10 + int(np.argmin(np.gradient(smoothed[10:-5])))])


ARTICLE_RULES: dict[str, PeerRule] = {
    "article: steepest": article_steepest,
    "article: minimum / 10": article_minimum,
}
FASTAI_RULES: dict[str, PeerRule] = {
    "fastai: valley": fastai_valley,
    "fastai: slide": fastai_slide,
    "fastai: minimum": fastai_minimum,
    "fastai: steep": fastai_steep,
}
LIGHTNING_RULES: dict[str, PeerRule] = {
    "Lightning before 2.5.3": lightning_before_2_5_3,
    "Lightning since 2.5.3": lightning_since_2_5_3,
}
TORCH_RULES: dict[str, PeerRule] = {"torch-lr-finder": torch_lr_finder}
