"""What the callbacks of a `fit` do to the learning rate."""

import inspect
from collections.abc import Iterator
from types import CodeType
from typing import Any

import numpy as np

from tfx_lr_finder.core.schedule import Schedule, schedule_of
from tfx_lr_finder.training.model.kind import package

_RATE_NAMES = {"learning_rate", "lr"}
"""Names by which a callback's code reaches the rate of an optimizer."""


def schedule_by(callbacks: Any, epochs: int, optimizer: Any) -> Schedule | None:
    """Returns how the callbacks of a `fit` move the rate; None if none of them does.

    The function of a `LearningRateScheduler` is called for every epoch. Any other callback that
    sets the rate, such as `ReduceLROnPlateau`, may do so as the training goes: its schedule is not
    known.

    Args:
        callbacks: What `fit` was given: a callback, several in a list, or None.
        epochs: Number of epochs of the training.
        optimizer: The optimizer, whose rate the first epoch starts from.
    """
    several = callbacks if isinstance(callbacks, list | tuple) else [callbacks]
    parts = [part for each in several for part in getattr(each, "callbacks", [each])]
    all_found = [_schedule_by(part, epochs, optimizer) for part in parts]
    found = [schedule for schedule in all_found if schedule is not None]
    return found[0] if len(found) == 1 else (Schedule.UNKNOWN if found else None)


def _schedule_by(callback: Any, epochs: int, optimizer: Any) -> Schedule | None:
    if package(type(callback)) in ("keras", "tf_keras"):
        name = type(callback).__name__
        if name == "LearningRateScheduler":
            try:
                rates = _rates(callback.schedule, epochs, float(optimizer.learning_rate))
                return schedule_of(np.array(list(rates)))
            except Exception:  # the training itself will show it
                return Schedule.UNKNOWN
        return Schedule.UNKNOWN if name == "ReduceLROnPlateau" else None
    methods = inspect.getmembers(type(callback), inspect.isfunction)
    own = [method for _, method in methods if package(method) not in ("keras", "tf_keras")]
    names = {name for method in own for name in _names(method.__code__)}
    return Schedule.UNKNOWN if names & _RATE_NAMES else None


def _rates(schedule: Any, epochs: int, rate: float) -> Iterator[float]:
    """Yields the rate of each epoch, from a first rate on."""
    for epoch in range(epochs):
        try:
            rate = float(schedule(epoch, rate))
        except TypeError:  # Keras, too, knows functions of the epoch alone
            rate = float(schedule(epoch))
        yield rate


def _names(code: CodeType) -> Iterator[str]:
    """Yields the names of a function's code and of the functions inside it."""
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _names(constant)
        elif isinstance(constant, str):
            yield constant
