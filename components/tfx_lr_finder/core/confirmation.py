"""Chooses between the suggested rate, a lower and a higher one, by a short training at each."""

import dataclasses
import math
from collections.abc import Sequence

import numpy as np

from tfx_lr_finder.core.descent import budget_factor
from tfx_lr_finder.core.smoothing import Array
from tfx_lr_finder.core.stored_json import MAY_BE_INFINITE

SPACING = 0.75
"""Decades between two candidate rates."""
PULL = 0.15
"""Weight of the squared distance from the suggestion, in decades, in a candidate's score."""


@dataclasses.dataclass(frozen=True)
class Trial:
    """A short training at a constant rate.

    Attributes:
        learning_rate: The rate, greater than 0.
        loss: Validation loss at the end of the training; `inf` if it was not finite.
    """

    learning_rate: float
    loss: float = dataclasses.field(metadata=MAY_BE_INFINITE)


def candidate_rates(learning_rate: float) -> tuple[float, float, float]:
    """Returns three rates: 0.75 decades below the suggested rate, that rate, 0.75 decades above."""
    return learning_rate / 10**SPACING, learning_rate, learning_rate * 10**SPACING


def confirmed_rate(
    trials: Sequence[Trial], trial_steps: int, train_steps: int | None, is_plain_sgd: bool
) -> float:
    """Returns the best rate for the whole training, from short trainings at the candidate rates.

    With `u` the base-10 logarithm of a rate, and `u0` the logarithm of the suggested rate:

        score(u) = log(loss(u)) + 0.15 * (u - u0) ** 2

    If a loss is 0 or negative, `loss / max |loss|` takes the place of every `log(loss)`. The rate
    with the least score wins. If that is the middle rate, the result is the vertex of the parabola
    through the three scores instead. The best rate of a short training is higher than the best
    rate of a long one, so the result is multiplied by `factor(train_steps) / factor(trial_steps)`,
    where `factor(T) = (min(T, 400) / 400) ** exponent` as in the rule `descent`.

    Args:
        trials: One trial for each rate of `candidate_rates`, in the same order.
        trial_steps: Number of steps of each trial.
        train_steps: Number of steps of the whole training. None if not known, which counts as 400.
        is_plain_sgd: Whether the optimizer is gradient descent without momentum.

    Raises:
        ValueError: If no trial ended with a finite loss.
    """
    u = np.log10([trial.learning_rate for trial in trials])
    losses = np.array([trial.loss for trial in trials])
    if not np.isfinite(losses).any():
        raise ValueError(
            "At least one of the confirmation's trainings must end with a finite validation loss. "
            f"Received: {[(trial.learning_rate, trial.loss) for trial in trials]}. "
            "Look for NaN in the evaluation data, or set confirmation_steps=0."
        )
    scores = _log(losses) + PULL * (u - u[1]) ** 2
    best = int(np.argmin(scores))
    log_rate = u[best] + (_vertex(scores) * SPACING if best == 1 else 0.0)
    whole, short = (budget_factor(steps, is_plain_sgd) for steps in (train_steps, trial_steps))
    return float(10**log_rate * whole / short)


def _log(losses: Array) -> Array:
    """Returns the logarithms of losses; if one is 0 or negative, `loss / max |loss|` instead."""
    if losses.min() > 0:
        return np.log(losses)
    greatest = np.abs(losses[np.isfinite(losses)]).max()
    return losses / greatest if greatest > 0 else losses


def _vertex(scores: Array) -> float:
    """Returns the vertex of the parabola through three scores, as an offset from the middle one.

    The unit is the spacing of the scores, and the offset is limited to [-0.5, 0.5]. It is 0 if
    the parabola has no minimum, or a score is infinite.
    """
    left, middle, right = scores
    curvature = left - 2 * middle + right
    if not 0 < curvature < math.inf:
        return 0.0
    return float(np.clip((left - right) / (2 * curvature), -0.5, 0.5))
