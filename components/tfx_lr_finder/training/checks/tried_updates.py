"""Updates of an optimizer that are tried, and undone."""

import contextlib
import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from tfx_lr_finder.core.smoothing import Array
from tfx_lr_finder.training.model.cluster import is_alone
from tfx_lr_finder.training.model.optimizer_tree import (
    accumulation_steps,
    optimizers_within,
)
from tfx_lr_finder.training.model.variables import kept_variables, training_variables

NUM_STEPS = 200
"""So many steps are tried out in a row: as many as a sweep has by default."""
FIRST, LATER = 6, 20
"""Steps whose lengths are taken together: a warm-up shows in the first ones."""
MAX_ELEMENTS = 50_000_000
"""Elements that are updated in all of them: about a second."""


def tried_variables(model: Any) -> list[Any]:
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


def updated(model: Any, variables: Sequence[Any]) -> list[Array]:
    """Returns the weights after an update, and puts everything back."""
    update = _update(model, variables)
    run = update if is_alone() else tf.function(update, autograph=False)
    with kept(model, training_variables(model)):
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
def kept(model: Any, variables: Sequence[Any]) -> Iterator[None]:
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


def traced(model: Any, variables: Sequence[Any]) -> Any:
    """Returns an update as a graph: a function of the number that fills the gradients."""
    update = tf.function(_update(model, variables), autograph=False)
    return update.get_concrete_function(tf.TensorSpec((), tf.float32))


def lengths_of(
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

    with kept(model, touched):
        return np.asarray(steps.get_concrete_function()())
