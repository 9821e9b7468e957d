"""A training at a constant rate that is judged at its end, and can go on from there."""

import math
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from tfx_lr_finder.core.proof import mean_of_last
from tfx_lr_finder.core.trials.halving import Trial
from tfx_lr_finder.training.checks.applied_rate import AppliedRateError
from tfx_lr_finder.training.graph import Graph
from tfx_lr_finder.training.judge.validation import inference_loss
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
        graph: A graph for trials.
        subject: What is trained, with the batches from the first step of this run.
        seed: The random seed of the training.
        learning_rate: The rate.
        num_steps: Number of steps, counted from the initial state.
        start: The state that an earlier trial left; None for the initial state.
    """
    loss, values = math.inf, list[npt.NDArray[Any]]()

    def judge() -> None:
        nonlocal loss, values
        if start is None:
            values = values_of(graph.variables)
        if subject.validation is not None:
            loss = inference_loss(graph.subject.model, subject.validation.batches)
            loss = graph.loop.workers_mean(loss)

    rates = np.full(num_steps - (start.num_steps if start else 0), learning_rate)
    description = f"Trial at {learning_rate:.3g}"
    try:
        record = graph.run(
            subject, seed, rates, 0.0, math.inf, description, judge, start and start.values
        )
    except AppliedRateError:
        return Trial(learning_rate, math.inf, num_steps), None
    is_whole = record.losses.size == rates.size
    if is_whole and subject.validation is None:
        loss = mean_of_last(record.losses, num_steps)
    loss = loss if is_whole and math.isfinite(loss) else math.inf
    return Trial(learning_rate, loss, num_steps), State(num_steps, values) if values else None
