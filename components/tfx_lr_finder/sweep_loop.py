"""The loop of a sweep as a TensorFlow graph: batch, rate, training step, loss, stop or go on."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from tfx_lr_finder.curve import Array, StopReason
from tfx_lr_finder.training_state import accumulation_steps

_GOING_ON, _DIVERGED, _NON_FINITE = range(3)


class State(NamedTuple):
    """What a sweep carries from step to step: scalars, tensors inside of the graph.

    Attributes:
        step: Number of steps done.
        stop: 0 while it goes on; 1 once the loss diverged; 2 once it was not finite.
        batch_size: Number of examples in the largest batch, over all replicas.
        average: Moving average of the loss before its bias correction.
        start: The first smoothed loss.
        best: The least smoothed loss.
    """

    step: Any
    stop: Any
    batch_size: Any
    average: Any
    start: Any
    best: Any

    @property
    def stop_reason(self) -> StopReason:
        """Why the sweep ended, once it has."""
        return (StopReason.ALL_STEPS, StopReason.DIVERGED, StopReason.NON_FINITE)[int(self.stop)]


Loop = Callable[[Any, State, Any], tuple[State, Any]]
"""From an iterator over batches, a state and the step to stop before, to the state and losses."""

_SPEC = State(*[tf.TensorSpec((), tf.int32)] * 3, *[tf.TensorSpec((), tf.float64)] * 3)


def first_state() -> State:
    """Returns the state before the first step."""
    values = (0, _GOING_ON, 0, 0.0, 0.0, float("inf"))
    return State(*(tf.constant(v, s.dtype) for v, s in zip(values, _SPEC, strict=True)))


class TrainStepError(ValueError):
    """What the model's `train_step` returns cannot be recorded."""


def build_loop(
    model: Any,
    batches: Any,
    learning_rate: Any,
    rates: Array,
    smoothing: float,
    divergence_factor: float,
) -> Loop:
    """Traces the loop once; the variables of the model and its optimizer come into being.

    Args:
        model: A compiled Keras model.
        batches: Iterator over at least as many batches as there are steps.
        learning_rate: The variable that the optimizer reads its rate from.
        rates: The rate of each step, shape `(num_steps,)`.
        smoothing: Weight of the past in the smoothed loss, in [0, 1).
        divergence_factor: Greater than 1; see `range_test`.

    Returns:
        A function that runs the steps from `state.step` to a given one and returns the new state
        with their losses; the model's metrics must be reset before the first. Of a step that ends
        the sweep with a loss that is not finite, it leaves the loss out.

    Raises:
        TrainStepError: If the training step does not return a scalar loss.
    """
    learning_rates = tf.constant(rates, learning_rate.dtype)
    bias_corrections = tf.constant(1 / (1 - smoothing ** np.arange(1, rates.size + 1)))
    step_loss = _step_loss(model)

    def one_step(iterator: Any, state: State) -> tuple[State, tf.Tensor]:
        learning_rate.assign(learning_rates[state.step])
        loss, num_rows = step_loss(iterator)
        average = smoothing * state.average + (1 - smoothing) * loss
        smoothed = average * bias_corrections[state.step]
        start = tf.where(tf.equal(state.step, 0), smoothed, state.start)
        best = tf.minimum(state.best, smoothed)
        scale = tf.where(best > 0, best, tf.maximum(-best, start - best))
        diverged = smoothed > best + (divergence_factor - 1) * scale
        stop = tf.where(diverged, _DIVERGED, _GOING_ON)
        batch_size = tf.maximum(state.batch_size, num_rows)
        stop = tf.where(tf.math.is_finite(loss), stop, _NON_FINITE)
        return State(state.step + 1, stop, batch_size, average, start, best), loss

    @tf.function(autograph=False)
    def run(iterator: Any, state: State, last_step: tf.Tensor) -> tuple[State, tf.Tensor]:
        first_step = state.step

        def goes_on(state: State, losses: tf.TensorArray) -> tf.Tensor:
            return tf.logical_and(state.step < last_step, tf.equal(state.stop, _GOING_ON))

        def body(state: State, losses: tf.TensorArray) -> tuple[State, tf.TensorArray]:
            new_state, loss = one_step(iterator, state)
            return new_state, losses.write(state.step - first_step, loss)

        losses = tf.TensorArray(tf.float64, last_step - first_step, element_shape=())
        state, losses = tf.while_loop(goes_on, body, (state, losses))
        recorded = state.step - tf.cast(tf.equal(state.stop, _NON_FINITE), tf.int32)
        return state, losses.stack()[: recorded - first_step]

    return run.get_concrete_function(batches, _SPEC, _SPEC.step)  # type: ignore[no-any-return]


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
    strategy, train_step = model.distribute_strategy, model.train_step
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
        loss = tf.convert_to_tensor(strategy.reduce("MEAN", logs["loss"], axis=None))
        if loss.shape.rank not in (0, None):
            raise TrainStepError(
                "The 'loss' that the model's `train_step` returns must be a scalar. "
                f"Received: shape {loss.shape}. Reduce it over the batch."
            )
        loss = tf.cast(loss, tf.float64)
        # Keras reports the mean over all batches since its metrics were last reset. They are
        # reset after the step, not before: some come into being in the first one.
        with tf.control_dependencies([loss]):
            model.reset_metrics()
        return loss

    return batch_loss


def _num_rows(strategy: Any, batch: Any) -> tf.Tensor:
    """Returns the number of examples in a batch, over all replicas."""

    def rows(batch: Any) -> tf.Tensor:
        first = tf.nest.flatten(batch)[0]
        if isinstance(first, tf.RaggedTensor):
            return tf.cast(first.nrows(), tf.int32)
        shape = first.dense_shape if isinstance(first, tf.SparseTensor) else tf.shape(first)
        return tf.cast(shape[0], tf.int32)

    return strategy.reduce("SUM", strategy.run(rows, args=(batch,)), axis=None)
