"""The steps of a training in chunks of a TensorFlow graph, and what they leave noted."""

import time
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf
from tqdm.auto import tqdm

from tfx_lr_finder.core.smoothing import Array
from tfx_lr_finder.core.sweep import StopReason
from tfx_lr_finder.training.model.cluster import is_alone

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
