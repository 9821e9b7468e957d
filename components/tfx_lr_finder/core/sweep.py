"""The learning rates of a sweep, and the test of when it ends: pure functions."""

import enum

import numpy as np

from tfx_lr_finder.core.smoothing import Array, exponential_moving_average

MAX_STEPS = 10_000
"""Greatest number of steps in a sweep.

With 10,000 steps over seven decades, the rate grows by 0.16% a step. No loss shows finer steps.
"""


class StopReason(str, enum.Enum):
    """Why a sweep ended."""

    ALL_STEPS = "all_steps"
    """All steps were done, up to the greatest learning rate."""
    DIVERGED = "diverged"
    """The smoothed loss rose too far above its best value. That point is the curve's last one."""
    NON_FINITE = "non_finite"
    """A loss or a weight was NaN or infinite. That point is not part of the curve."""

    @property
    def meaning(self) -> str:
        """The reason in words."""
        return _MEANINGS[self]


_MEANINGS = {
    StopReason.ALL_STEPS: "every step was done",
    StopReason.DIVERGED: "the loss diverged",
    StopReason.NON_FINITE: "the loss was not finite",
}


def exponential_learning_rates(
    min_learning_rate: float, max_learning_rate: float, num_steps: int
) -> Array:
    """Returns the learning rates of a sweep, equally spaced on a logarithmic axis.

    `rate[i] = min * (max / min) ** (i / (num_steps - 1))`, with both ends exact
    (L. N. Smith, arXiv 1506.01186, section 3.3, with exponential instead of linear growth).

    Args:
        min_learning_rate: The first rate, greater than 0.
        max_learning_rate: The last rate, greater than `min_learning_rate` and finite.
        num_steps: Number of rates, from 2 to 10,000.

    Returns:
        Float64 array of shape `(num_steps,)`.

    Raises:
        ValueError: If an argument is out of its range, or neighbouring rates would be equal.
    """
    if not 0 < min_learning_rate < max_learning_rate < float("inf"):
        raise ValueError(
            "Learning rates must satisfy 0 < min_learning_rate < max_learning_rate < infinity. "
            f"Received: min_learning_rate={min_learning_rate}, "
            f"max_learning_rate={max_learning_rate}. Choose for example 1e-6 and 10."
        )
    if not 2 <= num_steps <= MAX_STEPS:
        raise ValueError(
            f"Argument `num_steps` must be from 2 to {MAX_STEPS:,}: the range has two ends, and "
            "more steps show nothing more. "
            f"Received: num_steps={num_steps}. Choose for example 200."
        )
    rates = np.geomspace(min_learning_rate, max_learning_rate, num_steps)
    if not are_apart(rates):
        raise ValueError(
            f"The ends of the range must be further apart, for {num_steps} rates between them. "
            f"Received: min_learning_rate={min_learning_rate}, "
            f"max_learning_rate={max_learning_rate}. Choose for example 1e-6 and 10."
        )
    return rates


def are_apart(rates: Array) -> bool:
    """Returns whether the logarithms of the rates strictly increase: slopes are taken over them."""
    return bool(np.all(np.diff(np.log10(rates)) > 0))


EARLIEST_END = 0.1
"""A sweep can diverge only after this fraction of its steps."""


def check_ends(smoothing: float, divergence_factor: float) -> None:
    """Checks the arguments of `end_of_sweep` that a user can set.

    Raises:
        ValueError: If an argument is out of its range.
    """
    exponential_moving_average((), smoothing)  # refuses a smoothing out of range
    if not divergence_factor > 1:
        raise ValueError(
            "Argument `divergence_factor` must be greater than 1. "
            f"Received: divergence_factor={divergence_factor}. Choose for example 4."
        )


def end_of_sweep(
    losses: Array, num_steps: int, smoothing: float, divergence_factor: float
) -> tuple[int, StopReason] | None:
    """Returns the number of losses on the curve and why the sweep ends, or None to go on.

    Args:
        losses: The loss of every step so far, shape `(n,)`.
        num_steps: Number of planned steps, at least `n`.
        smoothing: Weight of the past in the smoothed loss, in [0, 1).
        divergence_factor: Greater than 1; see `range_test` for the formula.
    """
    is_finite = np.isfinite(losses)
    num_finite = losses.size if is_finite.all() else int(is_finite.argmin())
    smoothed = exponential_moving_average(losses[:num_finite], smoothing)
    # At the start, the average is over few losses and noisy: the first loss of small batches may
    # be a hundredth of the usual loss, and would count as the best one.
    first = int(num_steps * EARLIEST_END)
    averages = smoothed[first:]
    best = np.minimum.accumulate(averages)
    # An infinite factor makes the bound infinite, or NaN where the scale is 0. Both comparisons
    # are False: the sweep goes on.
    with np.errstate(over="ignore", invalid="ignore"):
        # A multiple of a best loss of 0 or less would not lie above it.
        scale = np.where(best > 0, best, np.maximum(-best, averages[:1] - best))
        diverged = averages > best + (divergence_factor - 1) * scale
    if diverged.any():
        return first + int(diverged.argmax()) + 1, StopReason.DIVERGED
    if num_finite < losses.size:
        return num_finite, StopReason.NON_FINITE
    return (num_steps, StopReason.ALL_STEPS) if losses.size == num_steps else None
