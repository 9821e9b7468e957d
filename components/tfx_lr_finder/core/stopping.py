"""When a sweep ends: a pure function of its losses."""

import numpy as np

from tfx_lr_finder.core.curve import Array, StopReason, exponential_moving_average

EARLIEST_END = 10
"""The smoothed loss is compared with its best from this part of the steps on: a tenth."""


def check_ends(smoothing: float, divergence_factor: float) -> None:
    """Checks what `end_of_sweep` takes.

    Raises:
        ValueError: If an argument is out of its range.
    """
    exponential_moving_average((), smoothing)
    if not divergence_factor > 1:
        raise ValueError(
            "Argument `divergence_factor` must be greater than 1. "
            f"Received: divergence_factor={divergence_factor}. Choose for example 4."
        )


def end_of_sweep(
    losses: Array, num_steps: int, smoothing: float, divergence_factor: float
) -> tuple[int, StopReason] | None:
    """Returns how many of the losses are on the curve and why it ends there.

    Args:
        losses: The loss of every step so far, shape `(n,)`.
        num_steps: Number of steps there are to be, at least `n`.
        smoothing: Weight of the past in the smoothed loss, in [0, 1).
        divergence_factor: Greater than 1; see `range_test`.

    Returns:
        The number of losses and the reason, or None if the sweep goes on.
    """
    is_finite = np.isfinite(losses)
    num_finite = losses.size if is_finite.all() else int(is_finite.argmin())
    smoothed = exponential_moving_average(losses[:num_finite], smoothing)
    # Over a few losses the average is nearly as noisy as they are: the first of small batches may
    # be a hundredth of the usual one.
    first = num_steps // EARLIEST_END
    averages = smoothed[first:]
    best = np.minimum.accumulate(averages)
    # An infinite factor gives an infinite bound, or NaN where the scale is 0: nothing is above.
    with np.errstate(over="ignore", invalid="ignore"):
        scale = np.where(best > 0, best, np.maximum(-best, averages[:1] - best))
        diverged = averages > best + (divergence_factor - 1) * scale
    if diverged.any():
        return first + int(diverged.argmax()) + 1, StopReason.DIVERGED
    if num_finite < losses.size:
        return num_finite, StopReason.NON_FINITE
    return (num_steps, StopReason.ALL_STEPS) if losses.size == num_steps else None
