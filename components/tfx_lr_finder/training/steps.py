"""The steps of a training as a TensorFlow graph: batch, rate, training step, losses."""

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from tfx_lr_finder.training.judge.validation import ValidationBatches, training_mode_loss
from tfx_lr_finder.training.keras_types import Batch, BatchIterator, Model
from tfx_lr_finder.training.loop import Loop
from tfx_lr_finder.training.model.autograph import as_in_fit
from tfx_lr_finder.training.model.learning_rate import LearningRate
from tfx_lr_finder.training.model.optimizer_tree import accumulation_steps
from tfx_lr_finder.training.model.replicas import first_dimension, mean_over_replicas
from tfx_lr_finder.training.model.single_trace import single_trace
from tfx_lr_finder.training.model.variables import loss_metrics


class TrainStepError(ValueError):
    """The model's `train_step` does not use the model's optimizer, or returns no scalar loss."""


def build_loop(
    model: Model,
    batches: BatchIterator,
    learning_rate: LearningRate,
    validation: ValidationBatches | None = None,
) -> Loop:
    """Traces the loop once, which creates the missing variables of the model and its optimizer.

    Args:
        model: A compiled Keras model.
        batches: Iterator over batches.
        learning_rate: The `LearningRate` of the optimizer, which each step sets.
        validation: Batches whose loss is recorded after each step, or None.

    Raises:
        TrainStepError: If the training step does not return a scalar loss.
    """
    rates = _of_any_length(tf.zeros(0, learning_rate.dtype))
    validated = _of_any_length(tf.zeros(0, tf.bool))
    done = tf.Variable(0, trainable=False)
    notes = _of_any_length(tf.zeros((0, 4), tf.float64))
    step_loss = _step_loss(model)
    other_loss = validation and training_mode_loss(model, validation.number)

    @tf.function(autograph=False)
    def steps(
        iterator: BatchIterator, first: tf.Tensor, end: tf.Tensor, validation_iterator: Any
    ) -> tf.Tensor:
        def body(step: tf.Tensor) -> tf.Tensor:
            done.assign(step)
            learning_rate.assign(tf.gather(rates, step))
            loss, num_rows = step_loss(iterator)
            other = tf.zeros_like(loss)
            if other_loss:
                other = other_loss(validation_iterator, tf.gather(validated, step))
            note = tf.stack([loss, other, _size(model), tf.cast(num_rows, loss.dtype)])
            notes.scatter_update(tf.IndexedSlices(note, step))
            return step + 1

        with single_trace(model):
            return done.assign(*tf.while_loop(lambda step: step < end, body, (first,)))

    integer = tf.TensorSpec((), tf.int32)
    traced = steps.get_concrete_function(
        batches, integer, integer, validation and validation.iterator
    )

    def workers_mean(number: float) -> float:
        return float(model.distribute_strategy.reduce("MEAN", tf.identity(number), axis=None))

    return Loop(traced, rates, validated, done, notes, workers_mean)


def _of_any_length(value: tf.Tensor) -> tf.Variable:
    """Returns a variable whose first dimension each training sets to its number of steps."""
    return tf.Variable(value, trainable=False, shape=tf.TensorShape([None, *value.shape[1:]]))


def _size(model: Model) -> tf.Tensor:
    """Returns half the sum of the squares of all weights: finite only if every weight is finite.

    The loss need not show a weight that is not finite: a ReLU turns NaN into 0.
    """
    weights = [tf.cast(tf.convert_to_tensor(v), tf.float32) for v in model.trainable_variables]
    size = sum(map(tf.nn.l2_loss, weights), tf.constant(0.0))
    return tf.cast(size, tf.float64)


def _step_loss(model: Model) -> Callable[[BatchIterator], tuple[tf.Tensor, tf.Tensor]]:
    """Returns a function that makes one update.

    It returns the mean loss of the batches of the update, and the size of the largest. Only an
    optimizer that accumulates gradients takes several batches for an update.
    """
    num_batches = accumulation_steps(model.optimizer)
    batch_loss = _batch_loss(model)

    def one_batch(iterator: BatchIterator) -> tuple[tf.Tensor, tf.Tensor]:
        batch = iterator.get_next()
        return batch_loss(batch), _num_rows(model.distribute_strategy, batch)

    def several_batches(iterator: BatchIterator) -> tuple[tf.Tensor, tf.Tensor]:
        def body(done: tf.Tensor, total: tf.Tensor, most_rows: tf.Tensor) -> tuple[tf.Tensor, ...]:
            loss, num_rows = one_batch(iterator)
            return done + 1, total + loss, tf.maximum(most_rows, num_rows)

        first = (tf.constant(0), tf.constant(0.0, tf.float64), tf.constant(0))
        _, total, num_rows = tf.while_loop(lambda done, *_: done < num_batches, body, first)
        return total / num_batches, num_rows

    return one_batch if num_batches == 1 else several_batches


def _batch_loss(model: Model) -> Callable[[Batch], tf.Tensor]:
    """Returns a function that runs a training step on a batch, and returns its loss."""
    strategy, train_step = model.distribute_strategy, as_in_fit(model, model.train_step)
    if getattr(model, "jit_compile", False):
        train_step = tf.function(
            train_step, autograph=False, jit_compile=True, reduce_retracing=True
        )

    def batch_loss(batch: Batch) -> tf.Tensor:
        logs = strategy.run(train_step, args=(batch,))
        if not isinstance(logs, dict) or "loss" not in logs:
            raise TrainStepError(
                "The model's `train_step` must return a dict with the key 'loss'. "
                f"Received: {sorted(logs) if isinstance(logs, dict) else logs!r}. "
                "Return for example {'loss': loss}."
            )
        loss = tf.convert_to_tensor(mean_over_replicas(strategy, logs["loss"], batch))
        if loss.shape.rank not in (0, None):
            raise TrainStepError(
                "The 'loss' that the model's `train_step` returns must be a scalar. "
                f"Received: shape {loss.shape}. Reduce it over the batch."
            )
        loss = tf.cast(loss, tf.float64)
        # Keras reports the mean over all batches since its metrics were last reset. They are
        # reset after the step, not before: the first step creates some of them.
        with tf.control_dependencies([loss]):
            for metric in loss_metrics(model):
                metric.reset_state()
        return loss

    return batch_loss


def _num_rows(strategy: tf.distribute.Strategy, batch: Batch) -> tf.Tensor:
    """Returns the number of examples in a batch, over all replicas."""
    return strategy.reduce("SUM", strategy.run(first_dimension, args=(batch,)), axis=None)
