"""A training at a constant rate that is judged at its end, and can go on from there."""

import math
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from tfx_lr_finder.core.proof import mean_of_last
from tfx_lr_finder.core.trials.halving import Trial
from tfx_lr_finder.training.checks.applied_rate import AppliedRateError
from tfx_lr_finder.training.graph import Graph
from tfx_lr_finder.training.model.variables import values_of
from tfx_lr_finder.training.subject import Subject


class State(NamedTuple):
    """What a trial has left, for a longer trial at the same rate.

    Random numbers go on, too. Those whose state is in no variable start over, as those of
    tf_keras's dropout.

    Attributes:
        num_steps: Number of steps so far.
        values: The values of the graph's variables.
    """

    num_steps: int
    values: list[npt.NDArray[Any]]


def run_trial(
    graph: Graph,
    subject: Subject,
    seed: int,
    learning_rate: float,
    num_steps: int,
    start: State | None,
) -> tuple[Trial, State | None]:
    """Trains up to a number of steps, and returns the result.

    A trial from the initial state also returns the state at its end, to go on from. A rate that
    the optimizer cannot apply for so many steps counts as one that diverges.

    The loss is that of the validation data or, if there are none, of held-out examples. Without
    these it is the mean loss of the batches of the last fifth of the steps.

    Args:
        graph: A graph that can train the subject.
        subject: What is trained, with the batches from the first step of this run.
        seed: The random seed of the training.
        learning_rate: The rate.
        num_steps: Number of steps, counted from the initial state.
        start: The state that an earlier trial left; None for the initial state.
    """
    final_loss: float | None = None
    end: State | None = None

    def judge() -> None:
        nonlocal final_loss, end
        if start is None:
            end = State(num_steps, values_of(graph.variables))
        final_loss = graph.final_loss(subject)

    rates = np.full(num_steps - (start.num_steps if start else 0), learning_rate)
    validated = np.zeros(rates.size, bool)  # it is judged at its end alone
    description = f"Trial at {learning_rate:.3g}"
    try:
        record = graph.run(
            subject,
            seed,
            rates,
            0.0,
            math.inf,
            description,
            judge,
            start and start.values,
            validated,
        )
    except AppliedRateError:
        return Trial(learning_rate, math.inf, num_steps), None
    loss = math.inf
    if record.losses.size == rates.size:  # or else one of them was not finite
        loss = mean_of_last(record.losses, num_steps) if final_loss is None else final_loss
    return Trial(learning_rate, loss if math.isfinite(loss) else math.inf, num_steps), end
