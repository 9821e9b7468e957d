"""The learning rate of an optimizer, as what can be set."""

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

import tensorflow as tf

from tfx_lr_finder.training.model.optimizer_tree import rated_optimizers
from tfx_lr_finder.training.model.variables import kept_variables


class LearningRate:
    """The rates within an optimizer as one: the greatest of them, the others in proportion.

    Attributes:
        variables: Those that hold the rates.
        dtype: The type of the first.
    """

    def __init__(self, variables: Sequence[Any], rates: Sequence[float]) -> None:
        self.variables = list(variables)
        self.dtype = variables[0].dtype
        self._shares = [rate / max(rates) for rate in rates]

    def assign(self, value: Any) -> None:
        """Sets the greatest rate."""
        for variable, share in zip(self.variables, self._shares, strict=True):
            variable.assign(value if share == 1 else tf.cast(value, variable.dtype) * share)


@contextlib.contextmanager
def settable_learning_rate(
    optimizer: Any, swept: Sequence[Any] | None = None
) -> Iterator[LearningRate]:
    """Yields what holds the optimizer's learning rate.

    An optimizer built with a schedule, which refuses another rate, reads a variable of ours in
    its place; the schedule is back at the end.

    Args:
        optimizer: An optimizer of Keras 3 or tf_keras.
        swept: Those within it whose rates are set, by default all that have one. Of several, the
            greatest rate is set, and the others keep their proportion to it.

    Raises:
        ValueError: If one of several has a schedule, or all of their rates are 0.
    """
    swept = rated_optimizers(optimizer) if swept is None else swept
    rates = [1.0] if len(swept) == 1 else [_number(part) for part in swept]
    if not max(rates) > 0:
        raise ValueError(
            "One of the rates within an optimizer must be greater than 0: they are swept in "
            f"proportion. Received: {type(optimizer).__name__} with the rates {rates}."
        )
    with contextlib.ExitStack() as stack:
        variables = [stack.enter_context(settable(part)) for part in swept]
        yield LearningRate(variables, rates)


def _number(optimizer: Any) -> float:
    """Returns the rate of one of several optimizers."""
    own = optimizer._learning_rate
    if not hasattr(own, "assign"):
        raise ValueError(
            "Several rates within an optimizer must be numbers: they are swept in proportion. "
            f"Received: {type(optimizer).__name__} with {type(own).__name__}. "
            "Give it the rate at the schedule's peak for the search."
        )
    return float(own.numpy())


@contextlib.contextmanager
def settable(optimizer: Any) -> Iterator[Any]:
    """Yields the variable that holds the rate of one optimizer, or stands for its schedule."""
    own = optimizer._learning_rate  # neither Keras 3 nor tf_keras has a public way to a schedule
    if hasattr(own, "assign"):
        with kept_variables([own]):
            yield own
        return
    # Past the optimizer's own `__setattr__`, which would add the variable to its checkpoints.
    variable = tf.Variable(0.0, trainable=False, name="learning_rate")
    object.__setattr__(optimizer, "_learning_rate", variable)
    try:
        yield variable
    finally:
        object.__setattr__(optimizer, "_learning_rate", own)
