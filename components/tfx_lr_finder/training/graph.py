"""A training that is traced once, and runs from the values of any model of the same form."""

import contextlib
import functools
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from tfx_lr_finder.core.smoothing import Array
from tfx_lr_finder.core.sweep import end_of_sweep
from tfx_lr_finder.training.checks.applied_rate import (
    AppliedRateError,
    check_applied,
    check_holds,
    swept_optimizers,
)
from tfx_lr_finder.training.checks.batch_loss import BatchLossError, check_batch_loss
from tfx_lr_finder.training.data.reading import NOT_OF_THE_DATA
from tfx_lr_finder.training.judge.validation import ValidationError, inference_loss
from tfx_lr_finder.training.keras_types import (
    Batch,
    BatchIterator,
    Model,
    RandomGenerator,
    Variable,
)
from tfx_lr_finder.training.loop import Loop, Record
from tfx_lr_finder.training.model.built import build_model
from tfx_lr_finder.training.model.learning_rate import LearningRate, settable_learning_rate
from tfx_lr_finder.training.model.optimizer_tree import num_updates
from tfx_lr_finder.training.model.random_state import (
    global_generators,
    has_random_operations,
    kept_random_state,
    seed_everything,
)
from tfx_lr_finder.training.model.variables import (
    kept_variables,
    not_among,
    set_values,
    training_variables,
)
from tfx_lr_finder.training.steps import TrainStepError, build_loop
from tfx_lr_finder.training.subject import Subject


class Graph(NamedTuple):
    """A traced training, for all subjects that have the form of the first one.

    Attributes:
        subject: The first subject. The graph trains the variables of its model.
        form: Form of the first subject before its first step; None if no other model can share
            the graph.
        given: The first model's variables before its first step; a later model's values are copied
            to them. Empty if no other model can share the graph.
        variables: Every variable that a run changes.
        generators: The generators from which the graph may draw random numbers.
        learning_rate: Sets the rate of the optimizer.
        loop: The traced loop.
        inference_loss: Returns the mean loss of batches in inference mode.
        is_random: Whether operations of the loop keep a random state of their own.
    """

    subject: Subject
    form: object
    given: list[Variable]
    variables: list[Variable]
    generators: list[RandomGenerator]
    learning_rate: LearningRate
    loop: Loop
    inference_loss: Callable[[Sequence[Batch]], float]
    is_random: bool

    def takes(self, subject: Subject) -> bool:
        """Returns whether the graph can train a subject."""
        if subject.model is self.subject.model:
            return bool(subject.data_form == self.subject.data_form)
        form = subject.form
        return form is not None and form == self.form

    def final_loss(self, subject: Subject) -> float | None:
        """Returns the loss of the model as it is, in inference mode, on the data that judge it.

        None if the training data judge it. Call it at the end of a run.
        """
        if subject.validation is None:
            return None
        return self.loop.workers_mean(self.inference_loss(subject.validation.batches))

    def run(
        self,
        subject: Subject,
        seed: int,
        rates: Array,
        smoothing: float,
        divergence_factor: float,
        description: str,
        at_end: Callable[[], None] = lambda: None,
        start: Sequence[npt.NDArray[Any]] | None = None,
        validated: npt.NDArray[np.bool_] | None = None,
    ) -> Record:
        """Trains from the values of a subject's model, and returns what the training recorded.

        At the end of the training, `at_end` is called. Then every variable is restored. The
        training goes on from the values in `start`, if given: those of `variables` at the end of an
        earlier training. The validation loss is recorded after the steps in `validated`, or after
        all of them.
        """
        ended = functools.partial(
            end_of_sweep,
            num_steps=rates.size,
            smoothing=smoothing,
            divergence_factor=divergence_factor,
        )
        own = self.subject.model
        with kept_variables(self.variables), _explained(own, subject.batches, rates.size):
            if subject.model is not own:
                for variable, value in zip(
                    self.given, training_variables(subject.model), strict=True
                ):
                    variable.assign(value)
            own.reset_metrics()
            validation = subject.validation and subject.validation.iterator
            if start is not None:  # an optimizer may bound its rate by the number of steps
                set_values(self.variables, start)
            check_holds(own, self.learning_rate, rates)
            resets = self.is_random or not subject.is_in_memory
            reseed = functools.partial(seed_everything, seed, self.generators, resets)
            iterators = subject.batches, validation
            check_batch_loss(own, self.loop, iterators, rates.max(), self.variables, reseed)
            reseed()
            if start is not None:
                set_values(self.variables, start)
            updates = num_updates(own.optimizer)
            record = self.loop.run(
                subject.batches, rates, ended, validation, description, validated
            )
            if record.losses.size and num_updates(own.optimizer) == updates:
                raise _no_update(own, record.losses.size)
            at_end()
            return record


@contextlib.contextmanager
def traced(subject: Subject, rates: Array, graph_seed: int, own_seed: int) -> Iterator[Graph]:
    """Traces a training; restores the model and the random state on exit.

    Args:
        subject: The first subject.
        rates: The rates of its training.
        graph_seed: Seed of TensorFlow's own random operations.
        own_seed: Seed of the training.
    """
    model, batches, form = subject.model, subject.batches, subject.form
    given = [] if form is None else training_variables(model)
    # A model that shares no graph may create its weights here, so the seed is its training's.
    seed = own_seed if form is None else graph_seed
    with kept_random_state(seed), contextlib.ExitStack() as stack:
        with _explained(model, batches, rates.size):
            build_model(model, batches)
        swept = swept_optimizers(model)
        learning_rate = stack.enter_context(settable_learning_rate(model.optimizer, swept))
        with _explained(model, batches, rates.size):
            loop = build_loop(model, batches, learning_rate, subject.validation)
        check_applied(model, learning_rate, rates.max())
        generators = global_generators()
        states = [generator.state for generator in generators]
        known = [*training_variables(model), *states, *learning_rate.variables]
        # Keras does not list a second optimizer's slots, some states, or a layer's tf.Variable: no
        # values of another model can be copied to them.
        others = not_among(loop.variables, known)
        form = None if others else form
        yield Graph(
            subject,
            form,
            given,
            [*known, *others],
            generators,
            learning_rate,
            loop,
            inference_loss(model),
            has_random_operations(loop.steps.graph),
        )


_EXPLAINED = (TrainStepError, ValidationError, BatchLossError, AppliedRateError)
"""Errors of this package that have a remedy already."""


@contextlib.contextmanager
def _explained(model: Model, batches: BatchIterator, num_steps: int) -> Iterator[None]:
    """Turns an error of TensorFlow or Keras in a training step into an error with a remedy."""
    try:
        yield
    except (*_EXPLAINED, *NOT_OF_THE_DATA):
        raise
    except tf.errors.OutOfRangeError as error:
        raise out_of_batches(num_steps) from error
    except Exception as error:
        raise _impossible_step(model, batches, error) from error


def out_of_batches(num_steps: int) -> ValueError:
    """Returns the error for a data set that has too few batches for a training."""
    return ValueError(
        f"The data set must yield the batches of {num_steps} steps, if need be by starting over. "
        "Received: a data set that is empty, or that is used up after one pass. "
        "Check the split, the file pattern and `drop_remainder`; of a generator, pass a new one "
        "for each pass."
    )


def no_finite_loss(learning_rate: float, loop: Loop) -> ValueError:
    """Returns the error for a training whose first loss is not finite."""
    data = "validation" if np.isfinite(loop.columns()[0][0]) else "training"
    return ValueError(
        "The loss of the first batch must be finite. Received: a NaN or infinite loss of the "
        f"{data} data at learning_rate={learning_rate:g}, in the first step. "
        "Look for NaN in features and labels, and for a loss function that does not fit them."
    )


def _no_update(model: Model, num_steps: int) -> TrainStepError:
    return TrainStepError(
        "The training step must apply gradients by `model.optimizer`, whose rate is swept. "
        f"Received: model {model.name!r}, in {num_steps} steps no update by its "
        f"{type(model.optimizer).__name__}. If the model has optimizers of its own, give the one "
        "that is to be swept to `super().compile(optimizer=...)` and use it as `self.optimizer`."
    )


def _impossible_step(model: Model, batches: BatchIterator, error: Exception) -> ValueError:
    return ValueError(
        "The model must be trainable on the batches of the data set. "
        f"Received: model {model.name!r}, batches of {batches.element_spec}, and from the training "
        f"step {type(error).__name__}: {error}. "
        "Yield batches as `model.fit` takes them: (x, y) or (x, y, sample_weight)."
    )
