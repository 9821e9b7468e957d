"""The loss of one fixed validation batch, as it would be in training."""

from collections.abc import Callable
from typing import Any

import tensorflow as tf

BATCH_SIZE = 256
"""Most examples in the batch: enough for a loss without noise, few enough for a quick step."""


def validation_batch(dataset: tf.data.Dataset) -> Any:
    """Returns the first examples of a data set of batches, at most 256 of them, as one batch.

    Raises:
        ValueError: If there are none.
    """
    for batch in dataset.unbatch().batch(BATCH_SIZE).take(1):
        return batch
    raise ValueError(
        "The validation data set must yield at least one batch. Received: an empty data set. "
        "Check the split and the file pattern, or give none."
    )


def validation_loss(model: Any, batch: Any) -> Callable[[], tf.Tensor]:
    """Returns a function that gives the batch's loss and leaves the model as it was.

    The forward pass is that of training, for a sweep is too short for batch normalisation's
    moving statistics; they and the seeds of dropout are put back. A model with a training step of
    its own is asked for the loss of its `test_step` instead.
    """
    strategy = model.distribute_strategy
    if _has_own_train_step(model):
        return lambda: _reduced(strategy, strategy.run(model.test_step, args=(batch,))["loss"])
    x, y, sample_weight = (
        (*batch, None, None)[:3] if isinstance(batch, tuple) else (batch, None, None)
    )
    training = {"training": True} if getattr(model, "_call_has_training_arg", True) else {}

    def forward() -> tf.Tensor:
        y_pred = model(x, **training)
        return model.compute_loss(x=x, y=y, y_pred=y_pred, sample_weight=sample_weight)

    if not model.built:  # tracing makes the variables, and runs nothing
        tf.function(lambda: strategy.run(forward), autograph=False).get_concrete_function()

    def loss() -> tf.Tensor:
        state = model.non_trainable_variables
        values = [tf.identity(variable) for variable in state]
        result = _reduced(strategy, strategy.run(forward))
        for variable, value in zip(state, values, strict=True):
            variable.assign(value)
        return result

    return loss


def _has_own_train_step(model: Any) -> bool:
    return type(model).train_step.__module__.partition(".")[0] not in ("keras", "tf_keras")


def _reduced(strategy: Any, value: Any) -> tf.Tensor:
    return tf.cast(strategy.reduce("MEAN", value, axis=None), tf.float64)
