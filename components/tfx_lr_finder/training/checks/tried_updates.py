"""Tries updates of an optimizer, and undoes them."""

import contextlib
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from tfx_lr_finder.core.smoothing import Array
from tfx_lr_finder.training.keras_types import Model, Optimizer, TracedFunction, Variable
from tfx_lr_finder.training.model.cluster import is_alone
from tfx_lr_finder.training.model.optimizer_tree import accumulation_steps, optimizers_within
from tfx_lr_finder.training.model.variables import kept_variables, training_variables

NUM_STEPS = 200
"""At most 200 steps are tried in a row: as many as a sweep has by default."""
FIRST, LATER = 6, 20
"""Steps per group whose lengths are compared: of the first group, where a warm-up shows, and of
each later group."""
MAX_ELEMENTS = 50_000_000
"""Greatest number of elements that all tried steps together update: about a second."""


def tried_variables(model: Model) -> list[Variable]:
    """Returns the trainable weights that the optimizer knows and that nothing else changes."""
    return [
        variable
        for variable in (model.trainable_variables if model.built else ())
        if getattr(variable, "constraint", None) is None
        and not getattr(variable, "overwrite_with_gradient", False)
        and _is_known(model.optimizer, variable)
    ]


def _is_known(optimizer: Optimizer, variable: Variable) -> bool:
    """Returns whether an optimizer was built for a variable; True if it is not built yet."""
    part: Any  # these members are private
    for part in optimizers_within(optimizer):
        indices = vars(part).get("_trainable_variables_indices", vars(part).get("_index_dict"))
        if indices:
            return part._var_key(variable) in indices
    return True


def updated(model: Model, variables: Sequence[Variable]) -> list[Array]:
    """Makes one update, returns the weights after it, and restores everything."""
    update = _update(model, variables)
    run = update if is_alone() else tf.function(update, autograph=False)
    with kept(model, training_variables(model)):
        for _ in range(accumulation_steps(model.optimizer)):
            run(tf.constant(1.0))
        return [np.array(variable.numpy()) for variable in variables]


def _update(model: Model, variables: Sequence[Variable]) -> Callable[[tf.Tensor], None]:
    """Returns a function of a number that applies gradients filled with the number."""
    optimizer: Any = model.optimizer  # each Keras has its own methods for a scaled loss
    scale_loss = getattr(optimizer, "scale_loss", lambda loss: loss)  # of Keras 3

    def apply(number: tf.Tensor) -> None:
        scaled = scale_loss(number)
        gradients = [tf.fill(v.shape, tf.cast(scaled, v.dtype)) for v in variables]
        if hasattr(optimizer, "get_unscaled_gradients"):  # in tf_keras the caller unscales them
            factor = optimizer.get_scaled_loss(tf.ones_like(number))
            gradients = optimizer.get_unscaled_gradients(
                [gradient * tf.cast(factor, gradient.dtype) for gradient in gradients]
            )
        optimizer.apply_gradients(list(zip(gradients, variables, strict=True)))

    return lambda number: model.distribute_strategy.run(apply, args=(number,))


@contextlib.contextmanager
def kept(model: Model, variables: Sequence[Variable]) -> Iterator[None]:
    """Restores variables on exit, and the numbers that an optimizer keeps as Python attributes."""
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


def traced(model: Model, variables: Sequence[Variable]) -> TracedFunction:
    """Traces an update as a graph, and returns it: a function of the number in the gradients."""
    update = tf.function(_update(model, variables), autograph=False)
    step: TracedFunction = update.get_concrete_function(tf.TensorSpec((), tf.float32))
    return step


def lengths_of(
    model: Model,
    step: TracedFunction,
    variable: Variable,
    touched: Sequence[tf.Variable],
    frozen: Sequence[tf.Variable],
) -> Array:
    """Returns how far each step moves a variable, while the frozen variables keep their values."""
    num_batches = accumulation_steps(model.optimizer)
    num_elements = sum(math.prod(v.shape) for v in touched)
    num_steps = int(np.clip(MAX_ELEMENTS / num_elements, FIRST + 1, NUM_STEPS))
    values = [tf.identity(v) for v in frozen]

    @tf.function(autograph=False)
    def steps() -> tf.Tensor:
        def body(done: tf.Tensor, lengths: tf.TensorArray) -> tuple[tf.Tensor, tf.TensorArray]:
            before = tf.identity(variable)
            # Gradients are 1/2 and 3/2 in turn: an optimizer may divide by their spread.
            gradient = 0.5 + tf.cast(done % 2, tf.float32)
            for _ in range(num_batches):
                step(gradient)
            moved = tf.norm(tf.cast(tf.identity(variable) - before, tf.float32))
            for each, value in zip(frozen, values, strict=True):
                each.assign(value)
            return done + 1, lengths.write(done, moved)

        empty = tf.TensorArray(tf.float32, num_steps)
        return tf.while_loop(lambda done, _: done < num_steps, body, (0, empty))[1].stack()

    with kept(model, touched):
        return np.asarray(steps.get_concrete_function()())
