"""Whether the rate that is set is the rate of the updates: tried out before a sweep.

Nothing is known of an optimizer but what it does: gradients of ones are applied to the weights, at
several rates and for several steps, and all is put back. The training step is not run.
"""

import contextlib
import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from tfx_lr_finder.core.curve import Array
from tfx_lr_finder.training.model.cluster import is_alone
from tfx_lr_finder.training.model.kind import is_tf_keras, package
from tfx_lr_finder.training.model.learning_rate import LearningRate, settable
from tfx_lr_finder.training.model.optimizer_tree import (
    accumulation_steps,
    optimizers_within,
    rated_optimizers,
)
from tfx_lr_finder.training.model.variables import kept_variables, not_among, training_variables

NUM_STEPS = 200
"""So many steps are tried out in a row: as many as a sweep has by default."""
FIRST, LATER = 6, 20
"""Steps whose lengths are taken together: a warm-up shows in the first ones."""
MAX_RATIO = 2.5
"""The typical length of a step changes by less under a constant gradient. Measured: at most 1.8,
of the optimizers of both Kerases, AdaBelief and Lookahead."""
TRIED_RATE = 1e-3
"""The rate of these steps: neither lost beside the weights nor changing them much."""
MAX_ELEMENTS = 50_000_000
"""Elements that are updated in all of them: about a second."""


MAX_ROUNDING = 0.01


class AppliedRateError(ValueError):
    """An update does not follow the rate that is set."""


def swept_optimizers(model: Any) -> list[Any]:
    """Returns the optimizers within the model's whose rates its weights follow.

    Args:
        model: A compiled Keras model; where it is not built, all that have a rate are returned.

    Raises:
        AppliedRateError: If the weights follow none of several.
    """
    parts, variables = rated_optimizers(model.optimizer), _tried_variables(model)
    if len(parts) == 1 or not variables:
        return parts
    if is_tf_keras(model):  # else it is built
        with model.distribute_strategy.scope():
            model.optimizer.build(model.trainable_variables)
    with contextlib.ExitStack() as stack:
        rates = [stack.enter_context(settable(part)) for part in parts]
        for rate in rates:
            rate.assign(1.0)
        whole, swept = _updated(model, variables), []
        for part, rate in zip(parts, rates, strict=True):
            rate.assign(0.5)
            if any(map(_differ, whole, _updated(model, variables))):
                swept.append(part)
            rate.assign(1.0)
    if not swept:
        raise _not_followed(model, [variable.name for variable in variables])
    return swept


def check_holds(model: Any, learning_rate: LearningRate, rates: Array) -> None:
    """Checks what is known to keep a rate from being applied: the types, and Keras's Adafactor.

    Raises:
        AppliedRateError: If a rate is rounded by more than a hundredth in the type of the
            optimizer's rate or of a weight; or if Adafactor would not apply it.
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


def _least_held(dtype: Any) -> float:
    """Returns a rate from which on the type rounds by less than a hundredth."""
    return float(np.finfo(dtype.as_numpy_dtype).smallest_subnormal) / (2 * MAX_ROUNDING)


def check_applied(model: Any, learning_rate: LearningRate, greatest: float) -> None:
    """Checks that each update has the rate that is set.

    Every weight that an update changes must be another one at half of the greatest rate. And the
    steps of an optimizer that is not Keras's own must keep their length under a constant gradient,
    unless what changes it are slots alone, as in Adagrad.

    Args:
        model: A compiled Keras model; where it is not built there is nothing to check.
        learning_rate: What its rate is set by.
        greatest: The greatest rate that will be set.

    Raises:
        AppliedRateError: If one of the two does not hold.
    """
    variables = _tried_variables(model)
    if not variables:
        return
    with kept_variables(learning_rate.variables):
        followed = _followed(model, variables, learning_rate, greatest)
        if not all(followed):  # a small rate may be lost beside great weights
            at_one = _followed(model, variables, learning_rate, 1.0)
            followed = [any(each) for each in zip(followed, at_one, strict=True)]
        if not all(followed):
            names = zip(variables, followed, strict=True)
            raise _not_followed(model, [variable.name for variable, ok in names if not ok])
        if not all(map(_is_of_keras, optimizers_within(model.optimizer))):
            learning_rate.assign(TRIED_RATE)
            _check_steady(model, variables, learning_rate)


def _is_of_keras(optimizer: Any) -> bool:
    return package(type(optimizer)) in ("keras", "tf_keras")


def _tried_variables(model: Any) -> list[Any]:
    """Returns the weights that the optimizer was built for, and whose update it alone decides."""
    return [
        variable
        for variable in (model.trainable_variables if model.built else ())
        if getattr(variable, "constraint", None) is None
        and not getattr(variable, "overwrite_with_gradient", False)
        and _is_known(model.optimizer, variable)
    ]


def _is_known(optimizer: Any, variable: Any) -> bool:
    """Returns whether an optimizer that is built was built for a variable."""
    for part in optimizers_within(optimizer):
        indices = vars(part).get("_trainable_variables_indices", vars(part).get("_index_dict"))
        if indices:
            return part._var_key(variable) in indices
    return True


def _updated(model: Any, variables: Sequence[Any]) -> list[Array]:
    """Returns the weights after an update, and puts everything back."""
    update = _update(model, variables)
    run = update if is_alone() else tf.function(update, autograph=False)
    with _kept(model, training_variables(model)):
        for _ in range(accumulation_steps(model.optimizer)):
            run(tf.constant(1.0))
        return [np.array(variable.numpy()) for variable in variables]


def _update(model: Any, variables: Sequence[Any]) -> Any:
    """Returns a function that applies gradients, each filled with one number."""
    optimizer = model.optimizer
    scale_loss = getattr(optimizer, "scale_loss", lambda loss: loss)  # of Keras 3

    def apply(number: Any) -> None:
        scaled = scale_loss(number)
        gradients = [tf.fill(v.shape, tf.cast(scaled, v.dtype)) for v in variables]
        if hasattr(optimizer, "get_unscaled_gradients"):  # tf_keras has them unscaled by hand
            factor = optimizer.get_scaled_loss(tf.ones_like(number))
            gradients = optimizer.get_unscaled_gradients(
                [gradient * tf.cast(factor, gradient.dtype) for gradient in gradients]
            )
        optimizer.apply_gradients(list(zip(gradients, variables, strict=True)))

    return lambda number: model.distribute_strategy.run(apply, args=(number,))


@contextlib.contextmanager
def _kept(model: Any, variables: Sequence[Any]) -> Iterator[None]:
    """Puts variables back, and the counters that an optimizer keeps in Python."""
    numbers = [
        (part, {k: v for k, v in vars(part).items() if isinstance(v, bool | int | float)})
        for part in optimizers_within(model.optimizer)
    ]
    try:
        with kept_variables(variables):
            yield
    finally:
        for part, values in numbers:
            for name, value in values.items():
                object.__setattr__(part, name, value)


def _differ(first: Array, second: Array) -> bool:
    return not np.array_equal(first, second, equal_nan=True)


def _followed(
    model: Any, variables: Sequence[Any], learning_rate: LearningRate, rate: float
) -> list[bool]:
    """Returns for each variable whether an update by the whole rate differs from one by half."""
    updated = []
    for part in (0.5, 1.0):
        learning_rate.assign(part * rate)
        updated.append(_updated(model, variables))
    return list(map(_differ, *updated))


def _check_steady(model: Any, variables: Sequence[Any], learning_rate: LearningRate) -> None:
    """Checks that no counter within the optimizer changes the rate."""
    # One variable suffices, unless the optimizer wants the gradients of all.
    least = min(variables, key=lambda v: (not np.any(v.numpy()), math.prod(v.shape)))
    with _kept(model, training_variables(model)):
        try:
            step, tried = _traced(model, [least]), least
        except ValueError:
            step, tried = _traced(model, variables), least
    touched = not_among(step.graph.variables, learning_rate.variables)
    counters = [variable for variable in touched if variable.shape.rank == 0]
    lengths = _lengths(model, step, tried, touched, [])
    if np.allclose(lengths, _lengths(model, step, tried, touched, counters), rtol=1e-2):
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


def _traced(model: Any, variables: Sequence[Any]) -> Any:
    update = tf.function(_update(model, variables), autograph=False)
    return update.get_concrete_function(tf.TensorSpec((), tf.float32))


def _lengths(
    model: Any, step: Any, variable: Any, touched: Sequence[Any], frozen: Sequence[Any]
) -> Array:
    """Returns by how much each step moves a variable, while some variables keep their values."""
    num_batches = accumulation_steps(model.optimizer)
    num_elements = sum(math.prod(v.shape) for v in touched)
    num_steps = int(np.clip(MAX_ELEMENTS / num_elements, FIRST + 1, NUM_STEPS))
    values = [tf.identity(v) for v in frozen]

    @tf.function(autograph=False)
    def steps() -> tf.Tensor:
        def body(done: Any, lengths: Any) -> tuple[Any, Any]:
            before = tf.identity(variable)
            # An optimizer may divide by the spread of gradients: they are 1/2 and 3/2 in turn.
            gradient = 0.5 + tf.cast(done % 2, tf.float32)
            for _ in range(num_batches):
                step(gradient)
            moved = tf.norm(tf.cast(tf.identity(variable) - before, tf.float32))
            for each, value in zip(frozen, values, strict=True):
                each.assign(value)
            return done + 1, lengths.write(done, moved)

        empty = tf.TensorArray(tf.float32, num_steps)
        return tf.while_loop(lambda done, _: done < num_steps, body, (0, empty))[1].stack()

    with _kept(model, touched):
        return np.asarray(steps.get_concrete_function()())


def _not_followed(model: Any, names: Sequence[str]) -> AppliedRateError:
    return AppliedRateError(
        "Every weight must follow the learning rate that is set. "
        f"Received: model {model.name!r} with {_names(model)}; an update at another rate leaves "
        f"{', '.join(names[:5])}{' and others' if len(names) > 5 else ''} as they were. "
        "Let the optimizer read its `learning_rate` in each update, or keep the optimizer within "
        "it, whose rate counts, as an attribute."
    )


def _names(model: Any) -> str:
    return " around ".join(type(part).__name__ for part in optimizers_within(model.optimizer))
