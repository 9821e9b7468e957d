"""The loss of a few fixed validation batches during a training."""

import functools
import inspect
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from tfx_lr_finder.training.data.autotuning import without_autotuning
from tfx_lr_finder.training.keras_types import Batch, BatchIterator, Model, Nest
from tfx_lr_finder.training.model.autograph import as_in_fit
from tfx_lr_finder.training.model.kind import has_own_train_step, is_of_keras
from tfx_lr_finder.training.model.replicas import (
    first_dimension,
    mean_over_replicas,
    on_one_replica,
)
from tfx_lr_finder.training.model.variables import loss_metrics, memory

MIN_ROWS = 256
"""256 examples are enough for a steady loss."""
MAX_BATCHES = 8
"""At most 8 batches are used, so that a step costs at most about three times its training."""


class ValidationError(ValueError):
    """The model cannot compute a loss of the validation data."""


class ValidationBatches(NamedTuple):
    """The first batches of validation data, repeated without end.

    Attributes:
        batches: The batches themselves.
        iterator: An endless iterator over the batches, distributed by the model's strategy.
    """

    batches: list[Batch]
    iterator: BatchIterator

    @property
    def number(self) -> int:
        """The number of batches."""
        return len(self.batches)


def judging_batches(dataset: object) -> list[Batch]:
    """Returns the first batches that hold 256 examples: at least one batch, and at most 8.

    Raises:
        ValueError: If the validation data are not a data set, or have no batch.
    """
    if not isinstance(dataset, tf.data.Dataset):
        raise ValueError(
            "The validation data must be a tf.data.Dataset of batches as `model.evaluate` takes "
            f"them. Received: {str(dataset)[:200]} of type {type(dataset).__name__}."
        )
    batches, num_rows = [], 0
    for batch in without_autotuning(dataset.take(MAX_BATCHES)):
        batches.append(batch)
        num_rows += int(first_dimension(batch))
        if num_rows >= MIN_ROWS:
            break
    if not batches:
        raise ValueError(
            "The validation data must yield at least one batch. Received: none. "
            "Check the splits of `eval_args`, the file pattern and `drop_remainder`."
        )
    return batches


def validation_batches(model: Model, dataset: object) -> ValidationBatches | None:
    """Returns the first batches that hold 256 examples, but at most 8 batches.

    They are read once, and kept in main memory. Returns None if there are no data, or if the model
    has a `train_step` of its own: nothing else can compute its loss.

    Args:
        model: A Keras model.
        dataset: Batches as `model.evaluate` takes them, or None.

    Raises:
        ValueError: As for `judging_batches`.
    """
    if dataset is None or has_own_train_step(model):
        return None
    batches = judging_batches(dataset)
    parts = map(tf.data.Dataset.from_tensors, batches)
    repeated = without_autotuning(functools.reduce(tf.data.Dataset.concatenate, parts).repeat())
    distributed = model.distribute_strategy.experimental_distribute_dataset(repeated)
    return ValidationBatches(batches, iter(distributed))


def training_mode_loss(
    model: Model, num_batches: int
) -> Callable[[BatchIterator, tf.Tensor], tf.Tensor]:
    """Returns a function that computes the mean loss of an iterator's next batches, if wanted.

    Else the function reads no batch, and returns 0.

    The loss is computed in training mode, since a sweep is too short for the moving statistics of
    batch normalisation. The function restores these statistics, the seeds of dropout and the
    states of recurrent layers. It raises a ValidationError if the model cannot compute a loss.
    """
    strategy = model.distribute_strategy

    def forward(batch: Batch) -> tf.Tensor:
        # Keras divides the loss by the number of replicas.
        return _loss_without_penalties(model, batch, training=True) * strategy.num_replicas_in_sync

    replica_loss = as_in_fit(model, forward)

    def batch_loss(batch: Batch) -> tf.Tensor:
        try:
            losses = strategy.run(replica_loss, args=(batch,))
            loss = mean_over_replicas(strategy, losses, batch)
        except Exception as error:
            raise ValidationError(
                "The validation data must be batches as `model.evaluate` takes them. "
                f"Received: {batch}, and from the model {type(error).__name__}: {error}. "
                "Yield them in the form of the training data."
            ) from error
        return tf.cast(loss, tf.float64)

    def mean_loss(iterator: BatchIterator) -> tf.Tensor:
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

    def mean_loss_if(iterator: BatchIterator, is_wanted: tf.Tensor) -> tf.Tensor:
        return tf.cond(is_wanted, lambda: mean_loss(iterator), lambda: tf.constant(0.0, tf.float64))

    return mean_loss_if


def inference_loss(model: Model) -> Callable[[Sequence[Batch]], float]:
    """Returns a function that computes the mean loss of batches in inference mode.

    The loss is without weight penalties. The function is traced at its first batch.
    """
    strategy = model.distribute_strategy

    def forward(batch: Batch) -> tf.Tensor:
        return _loss_without_penalties(model, batch, training=False)

    replica_loss = as_in_fit(model, forward)

    @tf.function(autograph=False, reduce_retracing=True)
    def batch_loss(batch: Batch) -> tf.Tensor:
        return on_one_replica(strategy, lambda: replica_loss(batch))

    def mean_loss(batches: Sequence[Batch]) -> float:
        losses = [float(batch_loss(batch)) for batch in batches]
        return float(np.mean(losses) * strategy.num_replicas_in_sync)

    return mean_loss


def _loss_without_penalties(model: Model, batch: Batch, training: bool) -> tf.Tensor:
    x, y, sample_weight = unpacked(batch)
    # As in Keras's own training step.
    takes_mode = getattr(model, "_call_has_training_arg", True)
    outputs = model(x, training=training) if takes_mode else model(x)
    loss = model_loss(model, x, y, outputs, sample_weight, training=training)
    return loss - tf.cast(penalties(model), loss.dtype)


def model_loss(
    model: Model,
    x: Nest | None,
    y: Nest | None,
    outputs: Nest,
    weights: Nest | None,
    *,
    training: bool,
) -> tf.Tensor:
    """Returns the result of a model's `compute_loss`, which gets the mode if it takes one."""
    has_training = "training" in inspect.signature(model.compute_loss).parameters
    mode = {"training": training} if has_training else {}
    return model.compute_loss(x=x, y=y, y_pred=outputs, sample_weight=weights, **mode)


def unpacked(batch: Batch) -> tuple[Nest, Nest | None, Nest | None]:
    """Returns features, labels and sample weights of a batch; None for each that is missing."""
    return (*batch, None, None)[:3] if isinstance(batch, tuple) else (batch, None, None)


def penalties(model: Model) -> tf.Tensor | float:
    """Returns the penalties of a forward pass, which Keras's `compute_loss` adds to the loss."""
    is_own = not is_of_keras(type(model).compute_loss)
    # Each replica adds an equal share of the penalties.
    num_replicas = tf.distribute.get_strategy().num_replicas_in_sync
    return 0.0 if is_own or not model.losses else tf.add_n(model.losses) / num_replicas
