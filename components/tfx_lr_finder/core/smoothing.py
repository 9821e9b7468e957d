"""Smooths losses, by moving average or local linear regression, and measures their noise."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]


def exponential_moving_average(losses: ArrayLike, smoothing: float) -> Array:
    """Returns the bias-corrected exponential moving average of a series.

    `a[i] = smoothing * a[i-1] + (1 - smoothing) * losses[i]` from `a[-1] = 0`, and
    `smoothed[i] = a[i] / (1 - smoothing ** (i + 1))`: the correction of Adam's moments
    (D. P. Kingma and J. Ba, arXiv 1412.6980, section 3), so that a constant stays constant.

    Args:
        losses: Array of shape `(n,)`.
        smoothing: Weight of the past, in [0, 1). 0 returns the losses as they are.

    Returns:
        Float64 array of shape `(n,)`.

    Raises:
        ValueError: If `smoothing` is out of its range.
    """
    check_smoothing(smoothing)
    average, smoothed = 0.0, []
    # Python floats give the same bits as NumPy scalars, and this loop is much faster with them.
    for i, loss in enumerate(np.asarray(losses, dtype=np.float64).tolist()):
        average = smoothing * average + (1 - smoothing) * loss
        smoothed.append(average / (1 - smoothing ** (i + 1)))
    return np.array(smoothed)


def check_smoothing(smoothing: float) -> None:
    """Checks the weight of the past in a moving average.

    Raises:
        ValueError: If `smoothing` is not in [0, 1).
    """
    if not 0 <= smoothing < 1:
        raise ValueError(
            "Argument `smoothing` must be in [0, 1). "
            f"Received: smoothing={smoothing}. Choose for example 0.98, or 0 for none."
        )


_REACH = 4
"""Points further away than this many bandwidths have weight 0."""
_MOST_CENTRES = 1000
"""Longer series are smoothed at this many points, and interpolated between them.

The time of the regression grows with the square of the number of points.
"""
_AT_ONCE = 32
"""Number of points that are smoothed in one NumPy operation, to save calls."""


def local_linear(x: Array, y: Array, bandwidth: float) -> tuple[Array, Array]:
    """Returns the local linear regression of `y` on `x`, and its effective numbers of points.

    Value `i` is taken from a line fitted with weights from a Gaussian kernel,
    `w[j] = exp(-(x[j] - x[i])**2 / (2 * bandwidth**2))` (W. S. Cleveland, Robust Locally Weighted
    Regression, 1979, without the robust steps). The effective number of points behind it is
    `sum(w)**2 / sum(w**2)`.

    Args:
        x: Shape `(n,)`, increasing.
        y: Shape `(n,)`.
        bandwidth: Standard deviation of the kernel, in units of `x`.

    Returns:
        The smoothed values and the effective numbers of points, each of shape `(n,)`.
    """
    if x.size > _MOST_CENTRES:
        chosen = np.linspace(0, x.size - 1, _MOST_CENTRES).round().astype(int)
        at_centres = _at(x[chosen], x, y, bandwidth)
        smoothed, num_points = (np.interp(x, x[chosen], values) for values in at_centres)
        return smoothed, num_points
    return _at(x, x, y, bandwidth)


def _at(all_centres: Array, x: Array, y: Array, bandwidth: float) -> tuple[Array, Array]:
    smoothed, num_points = np.empty_like(all_centres), np.empty_like(all_centres)
    reach = _REACH * bandwidth
    for i in range(0, all_centres.size, _AT_ONCE):
        rows = slice(i, i + _AT_ONCE)
        centres = all_centres[rows, np.newaxis]
        first = np.searchsorted(x, centres[0, 0] - reach)
        last = np.searchsorted(x, centres[-1, 0] + reach, side="right")
        distances, values = x[first:last] - centres, y[first:last]
        weights = np.exp(-0.5 * (distances / bandwidth) ** 2) * (np.abs(distances) <= reach)
        total = weights.sum(axis=1, keepdims=True)
        mean_distance = (weights * distances).sum(axis=1, keepdims=True) / total
        mean = (weights * values).sum(axis=1, keepdims=True) / total
        deviations = distances - mean_distance
        spread = (weights * deviations**2).sum(axis=1, keepdims=True)
        products = (weights * deviations * (values - mean)).sum(axis=1, keepdims=True)
        slope = np.divide(products, spread, out=np.zeros_like(spread), where=spread > 0)
        smoothed[rows] = (mean - slope * mean_distance)[:, 0]
        num_points[rows] = (total**2)[:, 0] / (weights**2).sum(axis=1)
    return smoothed, num_points


def head_size(num_losses: int) -> int:
    """Returns the number of first losses whose median is the initial loss: a tenth, at least 3."""
    return min(max(3, num_losses // 10), num_losses)


def initial_loss(losses: Array) -> float:
    """Returns the loss at the start of a curve: the median of its first losses."""
    return float(np.median(losses[: head_size(losses.size)]))


def standard_deviation(residuals: Array) -> float:
    """Returns the standard deviation of residuals about 0, which a few outliers do not change.

    It is 1.4826 times the median absolute residual; the factor makes it exact for normal noise.
    """
    return float(1.4826 * np.median(np.abs(residuals)))
