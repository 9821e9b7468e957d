"""Smoothing without a lag: what an average over the past cannot give."""

import numpy as np

from tfx_lr_finder.curve import Array

_REACH = 4
"""Points further away than this many bandwidths weigh nothing."""


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
    smoothed, num_points = np.empty_like(y), np.empty_like(y)
    firsts = np.searchsorted(x, x - _REACH * bandwidth)
    lasts = np.searchsorted(x, x + _REACH * bandwidth, side="right")
    for i, (first, last) in enumerate(zip(firsts, lasts, strict=True)):
        distances, values = x[first:last] - x[i], y[first:last]
        weights = np.exp(-0.5 * (distances / bandwidth) ** 2)
        mean_distance = weights @ distances / weights.sum()
        mean = weights @ values / weights.sum()
        spread = weights @ (distances - mean_distance) ** 2
        slope = (
            weights @ ((distances - mean_distance) * (values - mean)) / spread if spread else 0.0
        )
        smoothed[i] = mean - slope * mean_distance
        num_points[i] = weights.sum() ** 2 / (weights @ weights)
    return smoothed, num_points
