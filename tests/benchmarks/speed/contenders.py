"""Ways to train a model while its learning rate grows, and the limit: training alone.

The peers are written anew from what their authors' code does, for Keras 3. All train the same
model on the same batches, with the same optimizer and metrics.
"""

import functools
from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from speed.workloads import Workload
from tfx_lr_finder import LrFinderFnResult
from tfx_lr_finder.core.sweep import end_of_sweep, exponential_learning_rates
from tfx_lr_finder.training.judge.validation import validation_batches
from tfx_lr_finder.training.model.learning_rate import settable_learning_rate
from tfx_lr_finder.training.steps import build_loop
from tfx_lr_finder.training.trainings import Trainings

LEAST, GREATEST = 1e-7, 1e-6
"""The rates of every contender: so low that nothing is learned, and nobody stops before the end."""
SMOOTHING = 0.98
STOP_FACTOR = 4.0

Work = Callable[[], object]
"""Trains for the workload's number of steps; whatever is done once lies behind it."""


def limit(workload: Workload, is_validated: bool = False) -> Work:
    """Returns the bare training loop in one graph: no rate is set, no loss recorded.

    With validation data, the bare forward passes of as many of them as a sweep reads are added.
    """
    model, dataset = workload.model(), _steps(workload)
    validation = validation_batches(model, workload.dataset()) if is_validated else None

    @tf.function(autograph=False)
    def train(iterator: Any, others: Any) -> tf.Tensor:
        def body(step: Any, total: Any) -> tuple[Any, Any]:
            loss = model.train_step(iterator.get_next())["loss"]
            with tf.control_dependencies([loss]):
                return step + 1, total + (forward(others) if validation else loss)

        def forward(others: Any) -> tf.Tensor:
            def one(number: Any, total: Any) -> tuple[Any, Any]:
                x, y = others.get_next()
                return number + 1, total + model.compute_loss(x, y, model(x, training=True))

            zero = (tf.constant(0), tf.constant(0.0))
            return tf.while_loop(lambda number, _: number < validation.number, one, zero)[1]

        first = (tf.constant(0), tf.constant(0.0))
        return tf.while_loop(lambda step, _: step < workload.num_steps, body, first)[1]

    def work() -> None:
        train(iter(dataset), validation and validation.iterator).numpy()

    return warm(work)


def sweep(workload: Workload, is_validated: bool = False) -> Work:
    """Returns ours: the steps of a sweep, with the stop test and the progress bar between chunks.

    What a sweep does once, whatever its length, is for part 2.
    """
    model, dataset = workload.model(), _steps(workload)
    validation = validation_batches(model, workload.dataset()) if is_validated else None
    with settable_learning_rate(model.optimizer) as learning_rate:
        loop = build_loop(model, iter(dataset), learning_rate, validation)
    iterator, rates = validation and validation.iterator, _rates(workload)
    ended = functools.partial(
        end_of_sweep, num_steps=rates.size, smoothing=SMOOTHING, divergence_factor=STOP_FACTOR
    )

    def work() -> None:
        record = loop.run(iter(dataset), rates, ended, iterator)
        _check_length(record.losses, workload)

    return warm(work)


def sweeps(workload: Workload, num_steps: int, model: Callable[[], Any]) -> Iterator[Any]:
    """Yields whole sweeps of so many steps, one after the other, each of the model it is given."""
    dataset = workload.dataset()
    rates = exponential_learning_rates(LEAST, GREATEST, num_steps)
    with Trainings(lambda _: LrFinderFnResult(model(), dataset), num_steps, graph_seed=0) as all_of:
        for seed in range(1000):
            yield all_of.sweep(seed, rates, SMOOTHING, STOP_FACTOR)


def python_loop(workload: Workload) -> Work:
    """Returns the article's loop: a traced step a batch, rate, loss and stop test in Python."""
    model, dataset, rates = workload.model(), _steps(workload), _rates(workload)

    @tf.function
    def train_step(x: Any, y: Any) -> tf.Tensor:
        with tf.GradientTape() as tape:
            predicted = model(x, training=True)
            loss = model.compute_loss(x, y, predicted)
        weights = model.trainable_variables
        model.optimizer.apply_gradients(zip(tape.gradient(loss, weights), weights, strict=True))
        model.compute_metrics(x, y, predicted)
        return loss

    def work() -> None:
        average, best, losses = 0.0, np.inf, []
        for step, (x, y) in enumerate(dataset):
            model.optimizer.learning_rate.assign(rates[step])
            loss = float(train_step(x, y))
            average = SMOOTHING * average + (1 - SMOOTHING) * loss
            smoothed = average / (1 - SMOOTHING ** (step + 1))
            if smoothed > STOP_FACTOR * best:
                break
            best = min(best, loss)
            losses.append(smoothed)
        _check_length(losses, workload)

    return warm(work)


def train_on_batch(workload: Workload) -> Work:
    """Returns the same loop with Keras's `train_on_batch` for a step."""
    model, dataset, rates = workload.model(), _steps(workload), _rates(workload)

    def work() -> None:
        average, best, losses = 0.0, np.inf, []
        for step, (x, y) in enumerate(dataset):
            model.optimizer.learning_rate.assign(rates[step])
            model.reset_metrics()
            loss = float(model.train_on_batch(x, y)[0])
            average = SMOOTHING * average + (1 - SMOOTHING) * loss
            smoothed = average / (1 - SMOOTHING ** (step + 1))
            if smoothed > STOP_FACTOR * best:
                break
            best = min(best, loss)
            losses.append(smoothed)
        _check_length(losses, workload)

    return warm(work)


class RateCallback(keras.callbacks.Callback):  # type: ignore[misc]
    """A finder as the Keras finders are: after each batch, note the loss and raise the rate."""

    def __init__(self, rates: Any) -> None:
        super().__init__()
        self.rates, self.losses, self.best = rates, [], np.inf

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """Notes the loss, stops if it is four times its best, and sets the next rate."""
        loss = float(logs["loss"])
        self.losses.append(loss)
        if not np.isfinite(loss) or loss > STOP_FACTOR * self.best:
            self.model.stop_training = True
            return
        self.best = min(self.best, loss)
        self.model.optimizer.learning_rate.assign(self.rates[min(batch + 1, len(self.rates) - 1)])


def callback(workload: Workload) -> Work:
    """Returns a callback under `fit`."""
    model, dataset, rates = workload.model(), _steps(workload), _rates(workload)

    def work() -> None:
        noting = RateCallback(rates)
        model.fit(dataset, verbose=0, callbacks=[noting])
        _check_length(noting.losses, workload)

    return warm(work)


PEERS: dict[str, Callable[[Workload], Work]] = {
    "Python loop": python_loop,
    "train_on_batch": train_on_batch,
    "callback under fit": callback,
}
"""What others do, by its name in the table."""

CONTENDERS: dict[str, Callable[[Workload], Work]] = {
    "limit": limit,
    "sweep": sweep,
    **PEERS,
    "limit, validated": functools.partial(limit, is_validated=True),
    "sweep, validated": functools.partial(sweep, is_validated=True),
}
"""Every contender by its name in the table."""


def warm(work: Work) -> Work:
    """Returns the same, after it was done once."""
    work()
    return work


def _check_length(losses: Any, workload: Workload) -> None:
    """Refuses to compare the times of different numbers of steps."""
    if len(losses) != workload.num_steps:
        raise RuntimeError(
            f"Every contender must do {workload.num_steps} steps. One did {len(losses)}."
        )


def _steps(workload: Workload) -> tf.data.Dataset:
    return workload.dataset().repeat().take(workload.num_steps).prefetch(tf.data.AUTOTUNE)


def _rates(workload: Workload) -> Any:
    return np.geomspace(LEAST, GREATEST, workload.num_steps)
