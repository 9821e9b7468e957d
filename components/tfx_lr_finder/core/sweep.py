"""The learning rates of a sweep, its arguments, and the test of when it ends: pure functions."""

import enum
import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from tfx_lr_finder.core.smoothing import Array, check_smoothing, exponential_moving_average

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


Check = Callable[[str, Any], object]
"""Checks the value of the argument with a name, and raises a ValueError if it is refused."""


def must(holds: Callable[[Any], bool], rule: str, example: str) -> Check:
    """Returns a check of an argument, from a condition and from the words of its message."""

    def check(name: str, value: Any) -> None:
        if not holds(value):
            raise ValueError(
                f"Argument `{name}` must {rule}. Received: {name}={value!r}. "
                f"Choose for example {example}."
            )

    return check


check_rate = must(lambda rate: 0 < rate < math.inf, "be greater than 0 and finite", "1e-3")
_CHECKS: dict[str, Check] = {
    "min_learning_rate": check_rate,
    "max_learning_rate": check_rate,
    "num_steps": must(
        lambda steps: 2 <= steps <= MAX_STEPS,
        f"be from 2 to {MAX_STEPS:,}: more steps show nothing more",
        "200",
    ),
    "smoothing": lambda _, weight: check_smoothing(weight),
    "divergence_factor": must(
        lambda factor: factor > 1, "be greater than 1", "4, or 1e9 to go on whatever happens"
    ),
}


def check_sweep(values: Mapping[str, Any]) -> None:
    """Checks the arguments of a sweep, by name; other values are ignored.

    A check of several arguments is made only if all of them are among `values`. So a pipeline can
    be checked when it is built, although some of its options are known only when it runs.

    Raises:
        ValueError: If an argument is out of its range, the first rate is not below the last, or
            neighbouring rates would be equal.
    """
    for name, check in _CHECKS.items():
        if name in values:
            check(name, values[name])
    if not {"min_learning_rate", "max_learning_rate"} <= values.keys():
        return
    least, greatest = values["min_learning_rate"], values["max_learning_rate"]
    received = f"Received: min_learning_rate={least}, max_learning_rate={greatest}."
    if not least < greatest:
        raise ValueError(
            "Argument `max_learning_rate` must be greater than `min_learning_rate`. "
            f"{received} Swap them, or choose for example 1e-6 and 10."
        )
    num_steps = values.get("num_steps", 2)
    if not are_apart(exponential_learning_rates(least, greatest, num_steps)):
        raise ValueError(
            f"The ends of the range must be further apart, for {num_steps} rates between them. "
            f"{received} Choose for example 1e-6 and 10."
        )


def exponential_learning_rates(
    min_learning_rate: float, max_learning_rate: float, num_steps: int
) -> Array:
    """Returns the learning rates of a sweep, equally spaced on a logarithmic axis.

    `rate[i] = min * (max / min) ** (i / (num_steps - 1))`, with both ends exact
    (L. N. Smith, arXiv 1506.01186, section 3.3, with exponential instead of linear growth).

    Args:
        min_learning_rate: The first rate. The arguments are in the ranges of `check_sweep`.
        max_learning_rate: The last rate.
        num_steps: Number of rates.

    Returns:
        Float64 array of shape `(num_steps,)`.
    """
    return np.geomspace(min_learning_rate, max_learning_rate, num_steps)


def are_apart(rates: Array) -> bool:
    """Returns whether the logarithms of the rates strictly increase: slopes are taken over them."""
    return bool(np.all(np.diff(np.log10(rates)) > 0))


EARLIEST_END = 0.1
"""A sweep can diverge only after this fraction of its steps."""


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
