"""The rates of a sweep's steps, and when it ends: pure functions."""

import enum

import numpy as np

from tfx_lr_finder.core.smoothing import Array, exponential_moving_average

MAX_STEPS = 10_000
"""No sweep has more: over seven decades its rate grows by 0.16% a step, which no loss shows."""


class StopReason(str, enum.Enum):
    """Why a sweep ended."""

    ALL_STEPS = "all_steps"
    """Every step was done; the greatest learning rate was reached."""
    DIVERGED = "diverged"
    """The smoothed loss rose too far above its best value; that point is the curve's last."""
    NON_FINITE = "non_finite"
    """The loss was NaN or infinite; that point is not part of the curve."""

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
    """Returns the rates of a sweep, equally spaced on a logarithmic axis.

    `rate[i] = min * (max / min) ** (i / (num_steps - 1))`, with both ends exact
    (L. N. Smith, arXiv 1506.01186, section 3.3, with exponential instead of linear growth).

    Args:
        min_learning_rate: The first rate, greater than 0.
        max_learning_rate: The last rate, greater than `min_learning_rate` and finite.
        num_steps: Number of rates, from 2 to 10,000.

    Returns:
        Float64 array of shape `(num_steps,)`.

    Raises:
        ValueError: If an argument is out of its range, or the rates would be equal.
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
    """Returns whether rates differ also on the logarithmic axis, where every slope is taken."""
    return bool(np.all(np.diff(np.log10(rates)) > 0))


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
