"""The learning-rate range test of a compiled Keras model, in one TensorFlow graph."""

from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf
from tqdm.auto import tqdm

from tfx_lr_finder.curve import (
    Curve,
    StopReason,
    exponential_learning_rates,
    exponential_moving_average,
)
from tfx_lr_finder.training_state import (
    kept_random_state,
    kept_variables,
    settable_learning_rate,
    training_variables,
)

NUM_CHUNKS = 20
"""How often a sweep returns to Python: often enough for a progress bar and for a signal."""

_STOP_REASONS = (StopReason.ALL_STEPS, StopReason.DIVERGED, StopReason.NON_FINITE)
_GOING_ON, _DIVERGED, _NON_FINITE = range(3)


def range_test(
    model: Any,
    dataset: tf.data.Dataset,
    *,
    min_learning_rate: float = 1e-6,
    max_learning_rate: float = 10.0,
    num_steps: int = 100,
    smoothing: float = 0.98,
    divergence_factor: float = 4.0,
    seed: int = 0,
) -> Curve:
    """Trains a model while the learning rate grows exponentially, and records each batch's loss.

    Every step is the model's own `train_step`, with its loss scaling, clipping, regularisation
    and dropout, run in one graph even if the model was compiled with `run_eagerly=True`. The loss
    of a step is that of its batch alone, before the update.

    The sweep ends after `num_steps`; at the first loss that is not finite, which is not part of
    the curve; or when the smoothed loss exceeds `best + (divergence_factor - 1) * scale`. The
    scale is `best`, the least smoothed loss so far, hence `divergence_factor * best`; where
    `best <= 0` it is the greater of `|best|` and the fall since the first step.

    The model's weights, its optimizer, its metrics, and the random state of Python, NumPy and
    TensorFlow are afterwards as they were, also when an error is raised.

    The same model, data and seed give the same curve, bit for bit on a CPU. A shuffled data set
    must be made anew with the same seed for that: each pass over it draws a new order.

    Args:
        model: A compiled Keras model.
        dataset: Batches as `model.fit` takes them. It may be endless. If it has fewer than
            `num_steps` batches it starts over, and what it shuffles is shuffled anew.
        min_learning_rate: The first rate, greater than 0; default 1e-6.
        max_learning_rate: The last rate, greater than the first; default 10.
        num_steps: Number of training steps, at least 2; default 100.
        smoothing: Weight of the past in the smoothed loss, in [0, 1); default 0.98.
        divergence_factor: Greater than 1; default 4. `float("inf")` never stops.
        seed: Seed of the random operations that have none of their own; default 0.

    Returns:
        The curve of the sweep.

    Raises:
        ValueError: If an argument is out of its range, the model is not compiled, the data set
            runs out of batches, a training step cannot be built, or the first loss is not finite.

    Reference:
        L. N. Smith, Cyclical Learning Rates for Training Neural Networks, arXiv 1506.01186.
    """
    rates = exponential_learning_rates(min_learning_rate, max_learning_rate, num_steps)
    exponential_moving_average((), smoothing)
    if not divergence_factor > 1:
        raise ValueError(
            "Argument `divergence_factor` must be greater than 1. "
            f"Received: divergence_factor={divergence_factor}. Choose for example 4."
        )
    _check_compiled(model)
    with kept_random_state(seed), settable_learning_rate(model.optimizer) as learning_rate:
        batches = iter(_batches(model, dataset, num_steps))
        run = _build(
            model, batches, learning_rate, tf.constant(rates), smoothing, divergence_factor
        )
        with kept_variables(training_variables(model)):
            losses, stop_reason, batch_size = _run(model, run, batches, num_steps)
    if not losses.size:
        raise ValueError(
            "The loss of the first batch must be finite. Received: a NaN or infinite loss at "
            f"learning_rate={rates[0]:g}, before any update. "
            "Look for NaN in features and labels, and for a loss function that does not fit them."
        )
    return Curve(
        learning_rates=rates[: losses.size],
        losses=losses,
        smoothing=smoothing,
        stop_reason=stop_reason,
        num_steps=num_steps,
        batch_size=batch_size,
        seed=seed,
    )


def _check_compiled(model: Any) -> None:
    if not callable(getattr(model, "train_step", None)):
        raise ValueError(
            "Argument `model` must be a Keras model. "
            f"Received: model={model!r} of type {type(model).__name__}."
        )
    if getattr(model, "optimizer", None) is None:
        raise ValueError(
            "The model must be compiled: its own optimizer and loss are what is tested. "
            f"Received: model {model.name!r} without an optimizer. Call `model.compile(...)` first."
        )


def _batches(model: Any, dataset: tf.data.Dataset, num_steps: int) -> Any:
    """Returns a data set of the batches that the sweep needs and no more."""
    if not isinstance(dataset, tf.data.Dataset):
        raise ValueError(
            "Argument `dataset` must be a tf.data.Dataset of batches as `model.fit` takes them. "
            f"Received: dataset={dataset!r} of type {type(dataset).__name__}."
        )
    # `take` comes before `prefetch`: nothing beyond the last step is ever read.
    batches = dataset.repeat().take(num_steps).prefetch(tf.data.AUTOTUNE)
    return model.distribute_strategy.experimental_distribute_dataset(batches)


def _build(
    model: Any,
    batches: Any,
    learning_rate: Any,
    rates: tf.Tensor,
    smoothing: float,
    divergence_factor: float,
) -> Callable[..., Any]:
    """Traces the loop over a chunk of steps; variables of model and optimizer come into being.

    The loop's running values are those of `exponential_moving_average`, carried from chunk to
    chunk: the average before its correction, the first and the best smoothed loss.
    """
    strategy = model.distribute_strategy
    train_step = model.train_step
    if getattr(model, "jit_compile", False):
        train_step = tf.function(train_step, jit_compile=True, reduce_retracing=True)

    def batch_loss(batch: Any) -> tf.Tensor:
        # Keras reports the mean over all batches since its metrics were last reset.
        model.reset_metrics()
        logs = strategy.run(train_step, args=(batch,))
        if not isinstance(logs, dict) or "loss" not in logs:
            raise _TrainStepError(
                "The model's `train_step` must return a dict with the key 'loss'. "
                f"Received: {sorted(logs) if isinstance(logs, dict) else logs!r}."
            )
        loss = tf.convert_to_tensor(strategy.reduce("MEAN", logs["loss"], axis=None))
        if loss.shape.rank not in (0, None):
            raise _TrainStepError(
                "The 'loss' that the model's `train_step` returns must be a scalar. "
                f"Received: shape {loss.shape}. Reduce it over the batch."
            )
        return tf.cast(loss, tf.float64)

    @tf.function(autograph=False)
    def run(batches: Any, first: tf.Tensor, last: tf.Tensor, *values: tf.Tensor) -> Any:
        def one_step(
            step: tf.Tensor, state: tf.Tensor, losses: tf.TensorArray, size: tf.Tensor, *values: Any
        ) -> Any:
            average, start, best = values
            learning_rate.assign(tf.cast(rates[step], learning_rate.dtype))
            batch = batches.get_next()
            loss = batch_loss(batch)
            weight = tf.constant(smoothing, tf.float64)
            average = weight * average + (1 - weight) * loss
            smoothed = average / (1 - weight ** tf.cast(step + 1, tf.float64))
            start = tf.where(step == 0, smoothed, start)
            best = tf.minimum(best, smoothed)
            scale = tf.where(best > 0, best, tf.maximum(-best, start - best))
            diverged = smoothed > best + (divergence_factor - 1) * scale
            state = tf.where(diverged, _DIVERGED, state)
            state = tf.where(tf.math.is_finite(loss), state, _NON_FINITE)
            size = tf.where(step == 0, _batch_size(strategy, batch), size)
            return step + 1, state, losses.write(step - first, loss), size, average, start, best

        def going_on(step: tf.Tensor, state: tf.Tensor, *_: Any) -> tf.Tensor:
            return tf.logical_and(step < last, state == _GOING_ON)

        losses = tf.TensorArray(tf.float64, last - first, element_shape=())
        size, *values = values
        step, state, losses, *values = tf.while_loop(
            going_on, one_step, (first, tf.constant(_GOING_ON), losses, size, *values)
        )
        return losses.stack()[: step - first], state, *values

    scalar = tf.TensorSpec((), tf.float64)
    integer = tf.TensorSpec((), tf.int32)
    try:
        return run.get_concrete_function(
            batches, integer, integer, integer, scalar, scalar, scalar
        )
    except _TrainStepError:
        raise
    except Exception as error:
        raise _impossible_step(model, batches, error) from error


class _TrainStepError(ValueError):
    """What the model's `train_step` returns cannot be recorded."""


def _impossible_step(model: Any, batches: Any, error: Exception) -> ValueError:
    return ValueError(
        "The model must be trainable on the batches of the data set. "
        f"Received: model {model.name!r}, batches of {batches.element_spec}, and from the training "
        f"step {type(error).__name__}: {error}. "
        "Yield batches as `model.fit` takes them: (x, y) or (x, y, sample_weight)."
    )


def _run(
    model: Any, run: Callable[..., Any], batches: Any, num_steps: int
) -> tuple[np.ndarray[Any, np.dtype[np.float64]], StopReason, int]:
    """Runs the chunks one after the other; returns losses, why they end, and the batch size."""
    values = (tf.constant(0), *(tf.constant(v, tf.float64) for v in (0.0, 0.0, np.inf)))
    losses: list[np.ndarray[Any, np.dtype[np.float64]]] = []
    state, done, chunk = _GOING_ON, 0, -(-num_steps // NUM_CHUNKS)
    # `disable=None`: shown only where there is a terminal.
    with tqdm(total=num_steps, desc="Learning-rate sweep", unit="step", disable=None) as progress:
        while state == _GOING_ON and done < num_steps:
            last = min(done + chunk, num_steps)
            try:
                new, state, *values = run(batches, tf.constant(done), tf.constant(last), *values)
            except tf.errors.OutOfRangeError as error:
                raise _out_of_batches(done) from error
            except tf.errors.InvalidArgumentError as error:
                raise _impossible_step(model, batches, error) from error
            state = int(state)
            losses.append(new.numpy()[: -1 if state == _NON_FINITE else None])
            done += len(new)
            progress.update(len(new))
    return np.concatenate(losses), _STOP_REASONS[state], int(values[0])


def _out_of_batches(done: int) -> ValueError:
    if not done:
        return ValueError(
            "The data set must yield at least one batch. Received: an empty data set. "
            "Check the split, the file pattern, and whether `drop_remainder` drops a lone batch."
        )
    return ValueError(
        "A data set with fewer batches than the sweep must yield them again when it starts over. "
        f"Received: a data set that ended after at least {done} steps. "
        "Use a larger data set or a smaller `num_steps`."
    )


def _batch_size(strategy: Any, batch: Any) -> tf.Tensor:
    """Returns the number of examples in a batch, over all replicas."""

    def rows(batch: Any) -> tf.Tensor:
        first = tf.nest.flatten(batch)[0]
        if isinstance(first, tf.RaggedTensor):
            return tf.cast(first.nrows(), tf.int32)
        shape = first.dense_shape if isinstance(first, tf.SparseTensor) else tf.shape(first)
        return tf.cast(shape[0], tf.int32)

    return strategy.reduce("SUM", strategy.run(rows, args=(batch,)), axis=None)
