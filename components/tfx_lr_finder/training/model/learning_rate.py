"""Sets the learning rate of an optimizer, also of one with a schedule or several rates."""

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from tfx_lr_finder.core.schedule import Schedule, schedule_of
from tfx_lr_finder.training.keras_types import Optimizer, Variable
from tfx_lr_finder.training.model.optimizer_tree import accumulation_steps, rated_optimizers
from tfx_lr_finder.training.model.variables import kept_variables


class LearningRate:
    """All rates within an optimizer, set together: their proportion stays the same.

    Attributes:
        variables: The variables that hold the rates.
        dtype: The type of the first variable.
    """

    def __init__(self, variables: Sequence[Variable], rates: Sequence[float]) -> None:
        self.variables = list(variables)
        self.dtype = variables[0].dtype
        self._shares = [rate / max(rates) for rate in rates]

    def assign(self, value: float | tf.Tensor) -> None:
        """Sets the greatest rate to a value, and the other rates in proportion."""
        for variable, share in zip(self.variables, self._shares, strict=True):
            variable.assign(value if share == 1 else tf.cast(value, variable.dtype) * share)


@contextlib.contextmanager
def settable_learning_rate(
    optimizer: Optimizer, swept: Sequence[Optimizer] | None = None
) -> Iterator[LearningRate]:
    """Yields an object that sets the optimizer's learning rate; restores the rate on exit.

    An optimizer built with a schedule refuses another rate. Its schedule is replaced by a variable,
    and restored on exit.

    Args:
        optimizer: An optimizer of Keras 3 or tf_keras.
        swept: The optimizers within `optimizer` whose rates are set; by default all that have a
            rate. Of several rates, the greatest is set, and the others keep their proportion to it.

    Raises:
        ValueError: If one of several optimizers has a schedule, or all of their rates are 0.
    """
    swept = rated_optimizers(optimizer) if swept is None else swept
    rates = _proportions(swept)
    if not max(rates) > 0:
        raise ValueError(
            "One of the rates within an optimizer must be greater than 0: they are swept in "
            f"proportion. Received: {type(optimizer).__name__} with the rates {rates}."
        )
    with contextlib.ExitStack() as stack:
        variables = [stack.enter_context(settable(part)) for part in swept]
        yield LearningRate(variables, rates)


def set_learning_rate(swept: Sequence[Any], learning_rate: float) -> None:
    """Sets the rate of optimizers: the greatest of their rates, and the others in proportion.

    Args:
        swept: Optimizers whose rates are numbers.
        learning_rate: The rate.
    """
    LearningRate([part._learning_rate for part in swept], _proportions(swept)).assign(learning_rate)


def check_settable(optimizer: Optimizer) -> None:
    """Checks that an optimizer has no schedule, so that its rate can be set.

    Raises:
        ValueError: If it has one.
    """
    if has_schedule(optimizer):
        raise ValueError(
            "The optimizer's rate must be a number, which the search can set. "
            f"Received: {type(optimizer).__name__} with a LearningRateSchedule. Compile the model "
            "with a number, and give the schedule to `fit` and to the search as a "
            "`LearningRateScheduler` in `callbacks`; or read the schedule's peak off a "
            "`range_test`."
        )


def _proportions(swept: Sequence[Optimizer]) -> list[float]:
    """Returns numbers that are in the proportion of the optimizers' rates."""
    return [1.0] if len(swept) == 1 else [_number(part) for part in swept]


def _number(optimizer: Any) -> float:
    """Returns the rate of one of several optimizers, which must be a number."""
    own = optimizer._learning_rate
    if not hasattr(own, "assign"):
        raise ValueError(
            "Several rates within an optimizer must be numbers: they are swept in proportion. "
            f"Received: {type(optimizer).__name__} with {type(own).__name__}. "
            "Give it the rate at the schedule's peak for the search."
        )
    return float(own.numpy())


@contextlib.contextmanager
def settable(optimizer: Any) -> Iterator[Variable]:
    """Yields the variable with one optimizer's rate, or a variable in place of its schedule."""
    own = optimizer._learning_rate  # neither Keras has public access to a schedule
    if hasattr(own, "assign"):
        with kept_variables([own]):
            yield own
        return
    # The optimizer's own `__setattr__` would add the variable to its checkpoints.
    variable = tf.Variable(0.0, trainable=False, name="learning_rate")
    object.__setattr__(optimizer, "_learning_rate", variable)
    try:
        yield variable
    finally:
        object.__setattr__(optimizer, "_learning_rate", own)


SAMPLES = 33
"""A schedule is looked at in at most 33 steps of the training."""


def has_schedule(optimizer: Optimizer) -> bool:
    """Returns whether a rate within an optimizer is a schedule, which nothing else can set."""
    rates = [vars(part)["_learning_rate"] for part in rated_optimizers(optimizer)]
    return not all(hasattr(rate, "assign") for rate in rates)


def optimizer_schedule(optimizer: Optimizer, train_steps: int | None) -> Schedule:
    """Returns how an optimizer's rate moves in a training by itself.

    Args:
        optimizer: An optimizer of Keras 3 or tf_keras.
        train_steps: Number of updates of the training; None if not known.
    """
    if not has_schedule(optimizer):
        return Schedule.CONSTANT
    part, *others = rated_optimizers(optimizer)
    if train_steps is None or others:
        return Schedule.UNKNOWN
    schedule, first = vars(part)["_learning_rate"], int(part.iterations.numpy())
    # Keras asks a schedule with the number of batches, from all trainings of the model.
    last = first + train_steps * accumulation_steps(optimizer) - 1
    steps = np.unique(np.linspace(first, last, SAMPLES).round().astype(int))
    for dtype in (tf.int64, tf.float32):  # of the user's arithmetic, Keras's variable takes both
        try:
            return schedule_of(np.array([float(schedule(tf.cast(n, dtype))) for n in steps]))
        except Exception:
            continue
    return Schedule.UNKNOWN
