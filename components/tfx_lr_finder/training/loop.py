"""The loop of a sweep as a TensorFlow graph: batch, rate, training step, losses."""

import time
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf
from tqdm.auto import tqdm

from tfx_lr_finder.core.curve import Array, StopReason
from tfx_lr_finder.training.model.autograph import as_in_fit
from tfx_lr_finder.training.model.cluster import is_alone
from tfx_lr_finder.training.model.optimizer_tree import accumulation_steps
from tfx_lr_finder.training.model.replicas import first_dimension, mean_over_replicas
from tfx_lr_finder.training.model.single_trace import single_trace
from tfx_lr_finder.training.model.variables import loss_metrics
from tfx_lr_finder.training.validation import ValidationBatches, training_mode_loss

SECONDS_A_CHUNK = 0.2
"""About how long the graph runs before Python looks at its notes; longer where steps slow down.

Long beside a return to Python, which takes about two milliseconds; short for whoever waits: for a
signal, for the progress bar, or for the end of a sweep that has diverged.
"""
GROWTH = 10
"""A chunk has at most so many times the steps of the last: batches may have been read ahead."""


class Record(NamedTuple):
    """What a sweep recorded.

    Attributes:
        losses: The losses of the curve, shape `(n,)`.
        validation_losses: The validation loss after each update, of the same shape, or None.
        stop_reason: Why the curve ended.
        batch_size: The size of its largest batch.
    """

    losses: Array
    validation_losses: Array | None
    stop_reason: StopReason
    batch_size: int

    @property
    def steady_losses(self) -> Array:
        """The validation losses or, where there are none, the losses."""
        return self.losses if self.validation_losses is None else self.validation_losses


class Loop(NamedTuple):
    """A traced loop, and the variables in which it notes what it sees.

    The graph knows nothing of when to stop: beside a small model that would cost a good part of
    the training. The notes are looked at after each chunk of steps.

    Attributes:
        steps: Runs the steps from one to before another, on batches of two iterators; the one
            over validation batches may be None.
        rates: The learning rate of each step, shape `(most_steps,)`.
        done: Number of steps that were done as a whole.
        notes: Of each step its loss, the validation loss after it, a number that is finite if
            every weight after it is, and the number of examples in its batch, over all replicas;
            float64 of shape `(most_steps, 4)`.
        workers_mean: Returns the mean of a number that each of several workers has.
    """

    steps: Any
    rates: tf.Variable
    done: tf.Variable
    notes: tf.Variable
    workers_mean: Callable[[float], float]

    def run(
        self,
        batches: Any,
        learning_rates: Array,
        ended: Callable[[Array], tuple[int, StopReason] | None],
        validation: Any = None,
        description: str = "",
    ) -> Record:
        """Trains at one rate after the other; the model's metrics must be reset before.

        A chunk may go on beyond the end of the curve, and even fail there, unless several
        processes train together: what was noted before counts. To undo the training is the
        caller's.

        Args:
            batches: Iterator over at least as many batches as there are steps.
            learning_rates: The rate of each step, shape `(n,)`, at most `most_steps` of them.
            ended: Returns for the losses so far how many of them are on the curve and why it
                ends there, or None if the training goes on; see `end_of_sweep`.
            validation: Iterator over validation batches, or None if none was traced.
            description: What the progress bar is of.
        """
        num_steps, most_steps = learning_rates.size, self.rates.shape[0]
        rates = np.pad(learning_rates, (0, most_steps - num_steps), mode="edge")
        self.rates.assign(tf.constant(rates, self.rates.dtype))
        first, size = 0, 1
        self.done.assign(0)

        def end() -> tuple[int, StopReason] | None:
            losses, others, weights, _ = self.columns()
            return ended(np.where(np.isfinite(others + weights), losses, np.nan))

        # `disable=None`: shown only where there is a terminal.
        with tqdm(total=num_steps, desc=description, unit="step", disable=None) as bar:
            while (curve_end := end()) is None:
                last, started = min(first + size, num_steps), time.monotonic()
                try:
                    self.steps(batches, tf.constant(first), tf.constant(last), validation)
                except tf.errors.OpError:
                    # Another process may not have failed: it waits for this one's step.
                    if end() is None or not is_alone():
                        raise
                bar.update(last - first)
                # Workers have to take the same steps, and their clocks differ.
                seconds = self.workers_mean(time.monotonic() - started)
                in_time = int(SECONDS_A_CHUNK * (last - first) / seconds)
                first, size = last, max(1, min(in_time, GROWTH * (last - first)))
        length, stop_reason = curve_end
        losses, others, _, num_rows = self.columns()
        return Record(
            losses[:length],
            others[:length] if validation is not None else None,
            stop_reason,
            int(num_rows[:length].max(initial=0)),
        )

    @property
    def variables(self) -> list[tf.Variable]:
        """What the steps read, or assign and read back, but for what the loop itself notes."""
        own = {id(self.rates), id(self.done), id(self.notes)}
        return [variable for variable in self.steps.graph.variables if id(variable) not in own]

    def columns(self) -> tuple[Array, Array, Array, Array]:
        """Returns the columns of `notes`, as far as steps were done."""
        losses, validation_losses, weights, num_rows = self.notes.numpy()[: self.done.numpy()].T
        return losses, validation_losses, weights, num_rows


class TrainStepError(ValueError):
    """The model's `train_step` does not train by its optimizer, or returns no loss."""


def build_loop(
    model: Any,
    batches: Any,
    learning_rate: Any,
    most_steps: int,
    validation: ValidationBatches | None = None,
) -> Loop:
    """Traces the loop once; the variables of the model and its optimizer come into being.

    Args:
        model: A compiled Keras model.
        batches: Iterator over batches.
        learning_rate: The variable that the optimizer reads its rate from.
        most_steps: The greatest number of steps that it is to run.
        validation: Batches whose loss is recorded, too, or None.

    Raises:
        TrainStepError: If the training step does not return a scalar loss.
    """
    rates = tf.Variable(tf.zeros(most_steps, learning_rate.dtype), trainable=False)
    done = tf.Variable(0, trainable=False)
    notes = tf.Variable(np.zeros((most_steps, 4)), trainable=False)
    step_loss = _step_loss(model)
    other_loss = validation and training_mode_loss(model, validation.number)

    @tf.function(autograph=False)
    def steps(iterator: Any, first: Any, end: Any, validation_iterator: Any) -> Any:
        def body(step: Any) -> Any:
            done.assign(step)
            learning_rate.assign(tf.gather(rates, step))
            loss, num_rows = step_loss(iterator)
            other = other_loss(validation_iterator) if other_loss else tf.zeros_like(loss)
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

    return Loop(traced, rates, done, notes, workers_mean)


def _size(model: Any) -> tf.Tensor:
    """Returns half the sum of the squares of all weights: finite only if each of them is.

    A weight that is not can hide from the loss: a ReLU makes 0 of NaN.
    """
    weights = [tf.cast(tf.convert_to_tensor(v), tf.float32) for v in model.trainable_variables]
    size = sum(map(tf.nn.l2_loss, weights), tf.constant(0.0))
    return tf.cast(size, tf.float64)


def _step_loss(model: Any) -> Callable[[Any], tuple[tf.Tensor, tf.Tensor]]:
    """Returns a function that does one update, and returns its loss and the size of a batch.

    An optimizer that accumulates gradients takes several batches for an update; the loss is the
    mean of theirs.
    """
    num_batches = accumulation_steps(model.optimizer)
    batch_loss = _batch_loss(model)

    def one_batch(iterator: Any) -> tuple[tf.Tensor, tf.Tensor]:
        batch = iterator.get_next()
        return batch_loss(batch), _num_rows(model.distribute_strategy, batch)

    def several_batches(iterator: Any) -> tuple[tf.Tensor, tf.Tensor]:
        def body(done: Any, total: Any, most_rows: Any) -> tuple[Any, Any, Any]:
            loss, num_rows = one_batch(iterator)
            return done + 1, total + loss, tf.maximum(most_rows, num_rows)

        first = (tf.constant(0), tf.constant(0.0, tf.float64), tf.constant(0))
        _, total, num_rows = tf.while_loop(lambda done, *_: done < num_batches, body, first)
        return total / num_batches, num_rows

    return one_batch if num_batches == 1 else several_batches


def _batch_loss(model: Any) -> Callable[[Any], Any]:
    """Returns a function that does a training step on a batch and returns its loss."""
    strategy, train_step = model.distribute_strategy, as_in_fit(model, model.train_step)
    if getattr(model, "jit_compile", False):
        train_step = tf.function(
            train_step, autograph=False, jit_compile=True, reduce_retracing=True
        )

    def batch_loss(batch: Any) -> tf.Tensor:
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
        # reset after the step, not before: some come into being in the first one.
        with tf.control_dependencies([loss]):
            for metric in loss_metrics(model):
                metric.reset_state()
        return loss

    return batch_loss


def _num_rows(strategy: Any, batch: Any) -> tf.Tensor:
    """Returns the number of examples in a batch, over all replicas."""
    return strategy.reduce("SUM", strategy.run(first_dimension, args=(batch,)), axis=None)
