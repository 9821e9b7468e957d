"""Checks before a sweep that a training step returns the loss of its own batch.

A training step of the user's may return the mean loss over all batches so far. All metrics that can
be found are reset after each step. State that is kept elsewhere makes two steps on one batch return
different losses.
"""

from collections.abc import Callable

import numpy as np
import tensorflow as tf

from tfx_lr_finder.training.keras_types import Batch, BatchIterator, Model, Variable
from tfx_lr_finder.training.loop import Loop
from tfx_lr_finder.training.model.kind import reports_own_loss
from tfx_lr_finder.training.model.variables import (
    kept_variables,
    metrics_within,
    not_among,
    training_variables,
)

TRIED_STEPS = 2


class BatchLossError(ValueError):
    """The loss that a training step returns is not that of its batch alone."""


def with_tried_batches(model: Model, dataset: tf.data.Dataset, num_batches: int) -> tf.data.Dataset:
    """Returns batches in which the first batch is repeated, for the steps that are tried out.

    The first batch is read only once. Keras's own training steps are known to return the right
    loss: for them the batches are returned unchanged.

    Args:
        model: A compiled Keras model.
        dataset: The batches of the training.
        num_batches: Number of batches per step.
    """
    if not reports_own_loss(model):
        return dataset
    times = TRIED_STEPS * num_batches + 1

    def repeated(number: tf.Tensor, batch: Batch) -> tf.data.Dataset:
        return tf.data.Dataset.from_tensors(batch).repeat(
            tf.where(number == 0, tf.constant(times, tf.int64), 1)
        )

    return dataset.enumerate().flat_map(repeated)


def check_batch_loss(
    model: Model,
    loop: Loop,
    iterators: tuple[BatchIterator, BatchIterator | None],
    learning_rate: float,
    variables: list[Variable],
    seed: Callable[[], None],
) -> None:
    """Checks that a step's loss does not depend on state beside the training, as a running mean.

    The step runs twice on the same batch, from the same state. Before the second run, each number
    that the first one changed gets another value. Everything is restored.

    Args:
        model: The model that is trained.
        loop: The traced loop of the model.
        iterators: An iterator over the batches of `with_tried_batches`, and one over validation
            batches or None.
        learning_rate: The rate of the steps; not so small that the weights hardly change.
        variables: Everything that a step changes.
        seed: Seeds all random numbers.

    Raises:
        BatchLossError: If the two losses differ, although the resulting weights are the same.
    """
    if not reports_own_loss(model):
        return
    (batches, validation), numbers = iterators, _numbers(model, loop)
    loop.begin(np.array([learning_rate]), np.array([False]))
    before = [number.numpy() for number in numbers]
    losses, weights, changed = [], [], [False] * len(numbers)
    for _ in range(TRIED_STEPS):
        with kept_variables(variables):
            for i, number in enumerate(numbers):
                if changed[i]:
                    number.assign(before[i] + 1.37 * (i + 1))
            seed()
            loop.steps(batches, tf.constant(0), tf.constant(1), validation)
            losses.append(loop.columns()[0][0])
            weights.append([variable.numpy() for variable in model.trainable_variables])
            changed = [n.numpy() != b for n, b in zip(numbers, before, strict=True)]
    is_same_training = all(map(np.array_equal, *weights))
    if np.isfinite(losses[0]) and losses[0] != losses[1] and is_same_training:
        names = ", ".join(number.name for number in numbers)
        raise BatchLossError(
            "The 'loss' that the model's `train_step` returns must be that of its batch alone. "
            f"Received: model {model.name!r}, whose loss depends on what earlier steps left in "
            f"{names}. Return the loss itself, or keep its mean in a metric that is an attribute "
            "of the model."
        )


def _numbers(model: Model, loop: Loop) -> list[tf.Variable]:
    """Returns a graph's float scalars that belong to no trained weight, optimizer or metric."""
    known = training_variables(model)
    others = {id(variable) for variable in model.non_trainable_variables}
    tracked = [variable for metric in metrics_within(model) for variable in metric.variables]
    excluded = [variable for variable in known if id(variable) not in others] + tracked
    candidates = not_among(loop.variables, excluded)
    return [v for v in candidates if v.shape.rank == 0 and v.dtype.is_floating]
