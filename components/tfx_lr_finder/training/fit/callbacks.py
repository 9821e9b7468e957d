"""What the callbacks of a `fit` do to the learning rate."""

import inspect
from collections.abc import Iterator
from types import CodeType
from typing import Any

import numpy as np

from tfx_lr_finder.core.schedule import Schedule, schedule_of
from tfx_lr_finder.training.model.kind import is_of_keras
from tfx_lr_finder.training.model.learning_rate import has_schedule

_RATE_NAMES = {"learning_rate", "lr"}
"""Names by which a callback's code reaches the rate of an optimizer."""

MOST_EPOCHS = 10_000
"""A function is not asked about more epochs than this: its schedule counts as not known."""


def schedule_by(callbacks: Any, epochs: range, optimizer: Any) -> Schedule | None:
    """Returns how the callbacks of a `fit` move the rate; None if none of them does.

    If the optimizer has a schedule of its own, no callback can. The function of a
    `LearningRateScheduler` is called for every epoch. `ReduceLROnPlateau`, and any other callback
    whose code mentions the rate, may move it as the training goes: such a schedule is not known.

    Args:
        callbacks: What `fit` was given: a callback, several in a list, or None.
        epochs: The epochs of the training.
        optimizer: The optimizer, whose rate the first epoch starts from.
    """
    if has_schedule(optimizer):
        return None
    several = callbacks if isinstance(callbacks, list | tuple) else [callbacks]
    parts = [part for each in several for part in getattr(each, "callbacks", [each])]
    all_found = [_schedule_by(part, epochs, optimizer) for part in parts]
    found = [schedule for schedule in all_found if schedule is not None]
    return found[0] if len(found) == 1 else (Schedule.UNKNOWN if found else None)


def _schedule_by(callback: Any, epochs: range, optimizer: Any) -> Schedule | None:
    classes = type(callback).__mro__
    of_keras = {kind.__name__ for kind in classes if is_of_keras(kind)}
    if "LearningRateScheduler" in of_keras:
        if len(epochs) > MOST_EPOCHS:
            return Schedule.UNKNOWN
        try:
            rates = _rates(callback.schedule, epochs, float(optimizer.learning_rate))
            return schedule_of(np.array(list(rates)))
        except Exception:  # the training itself will show it
            return Schedule.UNKNOWN
    if "ReduceLROnPlateau" in of_keras:
        return Schedule.UNKNOWN
    methods = dict(inspect.getmembers(type(callback), inspect.isfunction)).values()
    functions = [*methods, *filter(inspect.isfunction, getattr(callback, "__dict__", {}).values())]
    own = [function for function in functions if not is_of_keras(function)]
    names = {name for function in own for name in _names(function.__code__)}
    return Schedule.UNKNOWN if names & _RATE_NAMES else None


def _rates(schedule: Any, epochs: range, rate: float) -> Iterator[float]:
    """Yields the rate of each epoch, from a first rate on."""
    for epoch in epochs:
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
