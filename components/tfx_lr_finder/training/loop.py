"""Runs the steps of a training in chunks, in a TensorFlow graph, and reads what it noted."""

import sys
import time
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import tensorflow as tf
from tqdm import tqdm

from tfx_lr_finder.core.smoothing import Array
from tfx_lr_finder.core.sweep import StopReason
from tfx_lr_finder.training.ending import check_not_asked_to_end
from tfx_lr_finder.training.keras_types import BatchIterator, TracedFunction
from tfx_lr_finder.training.model.cluster import is_alone

SECONDS_A_CHUNK = 0.2
"""Approximate time of a chunk, after which Python reads the notes; longer if steps slow down.

It is long beside a return to Python, which takes about two milliseconds. It is short for a user who
waits for a reaction to a signal, the progress bar, or the end of a sweep that has diverged.
"""
GROWTH = 10
"""A chunk has at most 10 times the steps of the last one.

The last one may have been fast only because its batches had been read ahead.
"""


SECONDS_TO_BAR = 2
"""A notebook, where a bar stays between the cells, shows one of a training that takes longer."""


class Record(NamedTuple):
    """What a training recorded.

    Attributes:
        losses: The loss of each step, up to the end of the curve, shape `(n,)`.
        validation_losses: The validation loss after each of these steps, shape `(n,)`, or None.
        stop_reason: Why the curve ended.
        batch_size: The size of the largest batch.
    """

    losses: Array
    validation_losses: Array | None
    stop_reason: StopReason
    batch_size: int

    @property
    def steady_losses(self) -> Array:
        """The validation losses or, if there are none, the losses of the batches."""
        return self.losses if self.validation_losses is None else self.validation_losses


class Loop(NamedTuple):
    """A traced loop, and the variables in which it writes notes on each step.

    The graph does not check whether to stop: with a small model, the check would take a good part
    of the training time. Python reads the notes after each chunk of steps.

    Attributes:
        steps: Runs the steps `first, ..., end - 1`. Its arguments are an iterator over batches,
            `first`, `end`, and an iterator over validation batches or None.
        rates: The learning rate of each step, shape `(num_steps,)`.
        validated: Whether the validation loss is computed after each step, shape `(num_steps,)`.
        done: Number of completed steps.
        notes: For each step: its loss, the validation loss after it or 0, a number that is finite
            if every weight after it is finite, and the number of examples in its batch, over all
            replicas; float64 of shape `(num_steps, 4)`.
        workers_mean: Returns the mean of the numbers that all workers call it with.
    """

    steps: TracedFunction
    rates: tf.Variable
    validated: tf.Variable
    done: tf.Variable
    notes: tf.Variable
    workers_mean: Callable[[float], float]

    def run(
        self,
        batches: BatchIterator,
        learning_rates: Array,
        ended: Callable[[Array], tuple[int, StopReason] | None],
        validation: BatchIterator | None = None,
        description: str = "",
        validated: npt.NDArray[np.bool_] | None = None,
    ) -> Record:
        """Trains with one rate per step; the caller must reset the model's metrics before.

        A chunk may go on beyond the end of the curve. It may even fail there, unless several
        processes train together: the notes before the end count. The caller has to undo the
        training.

        Args:
            batches: Iterator over at least as many batches as there are steps.
            learning_rates: The rate of each step, shape `(n,)`.
            ended: Returns for the losses so far how many of them are on the curve and why it
                ends there, or None if the training goes on; see `end_of_sweep`.
            validation: Iterator over validation batches, or None if none was traced.
            description: Title of the progress bar.
            validated: The steps after which the validation loss is computed, shape `(n,)`; None
                means all of them. After the others, 0 is recorded.
        """
        num_steps, first, size = learning_rates.size, 0, 1
        validated = np.ones(num_steps, bool) if validated is None else validated
        self.begin(learning_rates, validated)

        def end() -> tuple[int, StopReason] | None:
            losses, others, weights, _ = self.columns()
            return ended(np.where(np.isfinite(others + weights), losses, np.nan))

        with _progress_bar(num_steps, description) as bar:
            while (curve_end := end()) is None:
                check_not_asked_to_end()
                last, started = min(first + size, num_steps), time.monotonic()
                try:
                    self.steps(batches, tf.constant(first), tf.constant(last), validation)
                except tf.errors.OpError:
                    # Another process may still wait for this one's step: no failure is ignored.
                    if end() is None or not is_alone():
                        raise
                bar.update(last - first)
                # Workers have to run the same steps, but their clocks differ.
                seconds = self.workers_mean(time.monotonic() - started)
                in_time = int(SECONDS_A_CHUNK * (last - first) / seconds)
                first, size = last, max(1, min(in_time, GROWTH * (last - first)))
        length, stop_reason = curve_end
        losses, others, _, num_rows = self.columns()
        return Record(
            losses[:length],
            others[:length] if validation is not None and validated.any() else None,
            stop_reason,
            int(num_rows[:length].max(initial=0)),
        )

    def begin(self, learning_rates: Array, validated: npt.NDArray[np.bool_]) -> None:
        """Sets the rate of each step, and after which of them the validation loss is computed."""
        self.rates.assign(tf.constant(learning_rates, self.rates.dtype))
        self.validated.assign(validated)
        self.notes.assign(np.zeros((learning_rates.size, 4)))
        self.done.assign(0)

    @property
    def variables(self) -> list[tf.Variable]:
        """The variables that the traced steps use, without `rates`, `done` and `notes`."""
        own = {id(part) for part in (self.rates, self.validated, self.done, self.notes)}
        return [variable for variable in self.steps.graph.variables if id(variable) not in own]

    def columns(self) -> tuple[Array, Array, Array, Array]:
        """Returns the columns of `notes`, for the completed steps."""
        losses, validation_losses, weights, num_rows = self.notes.numpy()[: self.done.numpy()].T
        return losses, validation_losses, weights, num_rows


def _progress_bar(num_steps: int, description: str) -> tqdm:
    """Returns a bar for a terminal or, of long trainings, for a notebook; elsewhere nothing."""
    if type(sys.stdout).__module__.startswith("ipykernel."):
        # As text, like Keras's own: tqdm's widget needs another package.
        shown = {"file": sys.stdout, "delay": SECONDS_TO_BAR}
    else:
        shown = {"disable": None}  # shows the bar only in a terminal
    return tqdm(total=num_steps, desc=description, unit="step", **shown)
