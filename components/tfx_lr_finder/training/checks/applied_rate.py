"""Checks before a sweep that the optimizer's updates follow the rate that is set.

The check knows nothing of the optimizer's code, and looks only at its updates. It applies gradients
of equal numbers to the weights, at several rates and for several steps, and restores everything.
The training step is not run.
"""

import contextlib
import math
from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from tfx_lr_finder.core.smoothing import Array
from tfx_lr_finder.training.checks.tried_updates import (
    FIRST,
    LATER,
    kept,
    lengths_of,
    traced,
    tried_variables,
    updated,
)
from tfx_lr_finder.training.keras_types import Model, Optimizer, Variable
from tfx_lr_finder.training.model.kind import is_of_keras, is_tf_keras
from tfx_lr_finder.training.model.learning_rate import LearningRate, settable
from tfx_lr_finder.training.model.optimizer_tree import optimizers_within, rated_optimizers
from tfx_lr_finder.training.model.variables import kept_variables, not_among, training_variables

MAX_RATIO = 2.5
"""Greatest ratio of the typical step lengths of two groups of steps under a constant gradient.

Measured: at most 1.8, for the optimizers of both Kerases, AdaBelief and Lookahead.
"""
TRIED_RATE = 1e-3
"""Rate of the tried steps: it survives rounding, and hardly changes the weights."""
MAX_ROUNDING = 0.01
"""Greatest relative error by which a number type may round a rate."""


class AppliedRateError(ValueError):
    """An update does not follow the rate that is set."""


def swept_optimizers(model: Model) -> list[Optimizer]:
    """Returns the optimizers within the model's optimizer whose rates the weights follow.

    Args:
        model: A compiled Keras model. If it is not built, all optimizers with a rate are returned.

    Raises:
        AppliedRateError: If several optimizers have a rate, and the weights follow none of them.
    """
    parts, variables = rated_optimizers(model.optimizer), tried_variables(model)
    if len(parts) == 1 or not variables:
        return parts
    if is_tf_keras(model):  # an optimizer of Keras 3 is built already
        with model.distribute_strategy.scope():
            model.optimizer.build(model.trainable_variables)
    with contextlib.ExitStack() as stack:
        rates = [stack.enter_context(settable(part)) for part in parts]
        for rate in rates:
            rate.assign(1.0)
        whole, swept = updated(model, variables), []
        for part, rate in zip(parts, rates, strict=True):
            rate.assign(0.5)
            if any(map(_differ, whole, updated(model, variables))):
                swept.append(part)
            rate.assign(1.0)
    if not swept:
        raise _not_followed(model, [variable.name for variable in variables])
    return swept


def check_holds(model: Model, learning_rate: LearningRate, rates: Array) -> None:
    """Checks two known obstacles to a rate: a number type that cannot hold it, and Adafactor.

    Raises:
        AppliedRateError: If the type of the optimizer's rate or of a weight rounds a rate by more
            than 1%; or if Keras's Adafactor would not apply a rate.
    """
    for part in optimizers_within(model.optimizer):
        done = int(part.iterations.numpy())
        wrong = rates > 1 / np.sqrt(done + np.arange(1, rates.size + 1))
        if type(part).__name__ == "Adafactor" and np.any(wrong):
            raise AppliedRateError(
                "The optimizer must apply the rate that it is given. "
                f"Received: model {model.name!r} with Adafactor, which applies no more than "
                f"1 / sqrt(step), and rates up to {rates[-1]:.3g} in {rates.size} steps. Sweep to "
                f"max_learning_rate={np.floor(100 / np.sqrt(done + rates.size)) / 100:.2g}."
            )
    weights = model.trainable_variables if model.built else ()
    parts = [*learning_rate.variables, *weights]
    for dtype in {tf.as_dtype(part.dtype) for part in parts}:
        rates = rates[rates > 0]
        held = rates.astype(dtype.as_numpy_dtype).astype(float)
        wrong = np.abs(held / rates - 1) > MAX_ROUNDING
        if np.any(wrong):
            raise AppliedRateError(
                "Every rate must be one that the types of the optimizer's rate and of the weights "
                f"can hold. Received: {rates[wrong][0]:.3g}, which is {held[wrong][0]:.3g} in "
                f"{dtype.name}. Sweep from min_learning_rate={_least_held(dtype):.2g}, or keep "
                "weights and rate in float32, for example by the policy `mixed_float16`."
            )


def _least_held(dtype: tf.DType) -> float:
    """Returns a rate above which a number type rounds by less than 1%."""
    return float(np.finfo(dtype.as_numpy_dtype).smallest_subnormal) / (2 * MAX_ROUNDING)


def check_applied(model: Model, learning_rate: LearningRate, greatest: float) -> None:
    """Checks that each update has the rate that is set.

    An update at the greatest rate and one at half of it must give different values of each weight.
    An optimizer that is not Keras's own must also keep the length of its steps under a constant
    gradient. Its length may change if only slots cause the change, as in Adagrad.

    Args:
        model: A compiled Keras model. If it is not built, nothing is checked.
        learning_rate: Sets the rate of the model's optimizer.
        greatest: The greatest rate that will be set.

    Raises:
        AppliedRateError: If an update does not follow the rate, or the steps change their length.
    """
    variables = tried_variables(model)
    if not variables:
        return
    with kept_variables(learning_rate.variables):
        followed = _followed(model, variables, learning_rate, greatest)
        if not all(followed):  # a small rate may be lost in rounding beside large weights
            at_one = _followed(model, variables, learning_rate, 1.0)
            followed = [any(each) for each in zip(followed, at_one, strict=True)]
        if not all(followed):
            names = zip(variables, followed, strict=True)
            raise _not_followed(model, [variable.name for variable, ok in names if not ok])
        if not all(is_of_keras(type(part)) for part in optimizers_within(model.optimizer)):
            learning_rate.assign(TRIED_RATE)
            _check_steady(model, variables, learning_rate)


def _differ(first: Array, second: Array) -> bool:
    return not np.array_equal(first, second, equal_nan=True)


def _followed(
    model: Model, variables: Sequence[Variable], learning_rate: LearningRate, rate: float
) -> list[bool]:
    """Returns for each variable whether updates at a rate and at half of it differ."""
    weights = []
    for part in (0.5, 1.0):
        learning_rate.assign(part * rate)
        weights.append(updated(model, variables))
    return list(map(_differ, *weights))


def _check_steady(model: Model, variables: Sequence[Variable], learning_rate: LearningRate) -> None:
    """Checks that no counter within the optimizer changes the length of the steps."""
    # One variable is enough, unless the optimizer needs the gradients of all.
    least = min(variables, key=lambda v: (not np.any(v.numpy()), math.prod(v.shape)))
    with kept(model, training_variables(model)):
        try:
            step, tried = traced(model, [least]), least
        except ValueError:
            step, tried = traced(model, variables), least
    touched = not_among(step.graph.variables, learning_rate.variables)
    counters = [variable for variable in touched if variable.shape.rank == 0]
    lengths = lengths_of(model, step, tried, touched, [])
    # If the lengths are the same with frozen counters, any change is due to slots.
    if np.allclose(lengths, lengths_of(model, step, tried, touched, counters), rtol=1e-2):
        return
    groups = np.split(lengths, range(FIRST, lengths.size, LATER))
    typical = [np.median(group[group > 0]) for group in groups if np.any(group > 0)]
    if len(typical) > 1 and max(typical) > MAX_RATIO * min(typical):
        raise AppliedRateError(
            "Each update must have the rate that the optimizer is given. "
            f"Received: model {model.name!r} with {_names(model)}, whose steps at a constant rate "
            f"and a constant gradient change their length {max(typical) / min(typical):.2g}-fold "
            f"in {lengths.size} steps. Build it without a warm-up or decay of its own; give it a "
            "`LearningRateSchedule` instead, in whose place the sweep sets the rate."
        )


def _not_followed(model: Model, names: Sequence[str]) -> AppliedRateError:
    return AppliedRateError(
        "Every weight must follow the learning rate that is set. "
        f"Received: model {model.name!r} with {_names(model)}; an update at another rate leaves "
        f"{', '.join(names[:5])}{' and others' if len(names) > 5 else ''} as they were. "
        "Let the optimizer read its `learning_rate` in each update, or keep the optimizer within "
        "it, whose rate counts, as an attribute."
    )


def _names(model: Model) -> str:
    return " around ".join(type(part).__name__ for part in optimizers_within(model.optimizer))
