"""The loss of a few fixed validation batches in the course of a training."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import tensorflow as tf

from tfx_lr_finder.autograph import as_in_fit
from tfx_lr_finder.training_state import has_own_train_step, loss_metrics, memory

MIN_ROWS = 256
"""So many examples give a steady loss."""
MAX_BATCHES = 8
"""But a step must not cost more than about three times its training."""


class ValidationError(ValueError):
    """The model gives no loss of the validation data."""


class ValidationBatches(NamedTuple):
    """The first batches of validation data, again and again.

    Attributes:
        iterator: An iterator over them, without end.
        number: How many they are.
    """

    iterator: Any
    number: int


def first_batches(dataset: Any, num_rows: int = 1) -> list[Any]:
    """Returns the first batches that hold so many examples, but at most 8, and at least one.

    Raises:
        ValueError: If the validation data are no data set, or have no batch.
    """
    if not isinstance(dataset, tf.data.Dataset):
        raise ValueError(
            "The validation data must be a tf.data.Dataset of batches as `model.evaluate` takes "
            f"them. Received: {str(dataset)[:200]} of type {type(dataset).__name__}."
        )
    batches = []
    for batch in dataset.take(MAX_BATCHES):
        batches.append(batch)
        num_rows -= int(first_dimension(batch))
        if num_rows <= 0:
            break
    if not batches:
        raise ValueError(
            "The validation data must yield at least one batch. Received: none. "
            "Check the splits of `eval_args`, the file pattern and `drop_remainder`."
        )
    return batches


def validation_batches(model: Any, dataset: Any) -> ValidationBatches | None:
    """Returns the first batches that hold 256 examples, but at most 8 of them.

    They are read once, and kept in main memory. None stands for no data, and for a model with a
    `train_step` of its own: nothing else can tell its loss.

    Args:
        model: A Keras model.
        dataset: Batches as `model.evaluate` takes them, or None.

    Raises:
        ValueError: As `first_batches`.
    """
    if dataset is None or has_own_train_step(model):
        return None
    batches = first_batches(dataset, MIN_ROWS)
    parts = map(tf.data.Dataset.from_tensors, batches)
    repeated = functools.reduce(tf.data.Dataset.concatenate, parts).repeat()
    distributed = model.distribute_strategy.experimental_distribute_dataset(repeated)
    return ValidationBatches(iter(distributed), len(batches))


def training_mode_loss(model: Any, num_batches: int) -> Callable[[Any], tf.Tensor]:
    """Returns a function from an iterator to the mean loss of its next batches.

    The loss is that of training mode, since a sweep is too short for the moving statistics of
    batch normalisation. They, the seeds of dropout and the memory of recurrent layers are put
    back. The function raises a ValidationError where the model gives no loss.
    """
    strategy = model.distribute_strategy
    # As in Keras's own training step.
    options = {"training": True} if getattr(model, "_call_has_training_arg", True) else {}

    def forward(batch: Any) -> Any:
        x, y, sample_weight = (
            (*batch, None, None)[:3] if isinstance(batch, tuple) else (batch, None, None)
        )
        outputs = model(x, **options)
        return model.compute_loss(x=x, y=y, y_pred=outputs, sample_weight=sample_weight)

    replica_loss = as_in_fit(model, forward)

    def batch_loss(batch: Any) -> tf.Tensor:
        try:
            # Each replica divides its loss by their number.
            loss = strategy.reduce("SUM", strategy.run(replica_loss, args=(batch,)), axis=None)
        except Exception as error:
            raise ValidationError(
                "The validation data must be batches as `model.evaluate` takes them. "
                f"Received: {batch}, and from the model {type(error).__name__}: {error}. "
                "Yield them in the form of the training data."
            ) from error
        return tf.cast(loss, tf.float64)

    def mean_loss(iterator: Any) -> tf.Tensor:
        variables = [*model.non_trainable_variables, *memory(model)]
        values = [tf.identity(variable) for variable in variables]
        _, total = tf.while_loop(
            lambda done, _: done < num_batches,
            lambda done, total: (done + 1, total + batch_loss(iterator.get_next())),
            (tf.constant(0), tf.constant(0.0, tf.float64)),
        )
        with tf.control_dependencies([total]):
            for variable, value in zip(variables, values, strict=True):
                variable.assign(value)
            for metric in loss_metrics(model):
                metric.reset_state()
        return total / num_batches

    return mean_loss


def first_dimension(batch: Any) -> tf.Tensor:
    """Returns the number of examples in a batch, int32, of whatever structure it is."""
    first = tf.nest.flatten(batch)[0]
    if isinstance(first, tf.RaggedTensor):
        return tf.cast(first.nrows(), tf.int32)
    shape = first.dense_shape if isinstance(first, tf.SparseTensor) else tf.shape(first)
    return tf.cast(shape[0], tf.int32)
