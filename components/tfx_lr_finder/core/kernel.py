"""Smoothing without a lag: what an average over the past cannot give."""

import numpy as np

from tfx_lr_finder.core.curve import Array

_REACH = 4
"""Points further away than this many bandwidths weigh nothing."""
_MOST_CENTRES = 1000
"""Between so many values the others are interpolated: the time would grow as their square."""
_AT_ONCE = 32
"""So many values are worked out at once: NumPy is fast only on more than a few numbers."""


def local_linear(x: Array, y: Array, bandwidth: float) -> tuple[Array, Array]:
    """Returns the local linear regression of `y` on `x`, and how many points each value rests on.

    A Gaussian kernel weighs the points: `w[j] = exp(-(x[j] - x[i])**2 / (2 * bandwidth**2))`
    (W. S. Cleveland, Robust Locally Weighted Regression, 1979, without the robust steps). The
    number of points is `sum(w)**2 / sum(w**2)`.

    Args:
        x: Shape `(n,)`, increasing.
        y: Shape `(n,)`.
        bandwidth: Standard deviation of the kernel, in units of `x`.
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
