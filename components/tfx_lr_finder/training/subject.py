"""What is trained: a compiled model, its batches, and the data that it is judged by."""

import math
import operator
from collections.abc import Callable
from typing import Any, NamedTuple

import tensorflow as tf

from tfx_lr_finder.core.curve import Facts
from tfx_lr_finder.core.proof import JudgedOn
from tfx_lr_finder.core.schedule import Schedule
from tfx_lr_finder.training.checks.batch_loss import with_tried_batches
from tfx_lr_finder.training.data.autotuning import without_autotuning
from tfx_lr_finder.training.judge.held_out import HeldOut
from tfx_lr_finder.training.judge.validation import ValidationBatches, validation_batches
from tfx_lr_finder.training.keras_types import BatchIterator, Model
from tfx_lr_finder.training.lr_finder_fn_result import Make
from tfx_lr_finder.training.model.built import build_optimizer
from tfx_lr_finder.training.model.cluster import check_trained_together
from tfx_lr_finder.training.model.form import form_of
from tfx_lr_finder.training.model.kind import has_own_train_step, inner_optimizer, is_adapted
from tfx_lr_finder.training.model.optimizer_tree import accumulation_steps, optimizers_within
from tfx_lr_finder.training.model.random_state import kept_random_state
from tfx_lr_finder.training.model.variables import training_variables

_UNREAD: Any = None
"""Stands for the iterator of a subject that does not read yet."""


class Subject(NamedTuple):
    """A compiled model, and the data of its training.

    Attributes:
        model: A compiled model.
        dataset: The batches that the training may read, without the held-out examples.
        validation: Batches whose loss can be recorded after each step, or None.
        train_steps: Number of steps that the model will be trained for, or None.
        schedule: How the rate will move in that training, as the user says or a callback shows;
            None if nobody says it.
        judged_on: The examples by which a proof is judged.
        batches: An iterator over the batches of the training; see `reading`.
        is_in_memory: Whether the batches come from main memory: nothing of the user's is run.
    """

    model: Model
    dataset: tf.data.Dataset
    validation: ValidationBatches | None
    train_steps: int | None
    schedule: Schedule | None
    judged_on: JudgedOn
    batches: BatchIterator = _UNREAD
    is_in_memory: bool = False

    def reading(self, first_step: int, num_steps: int) -> "Subject":
        """Returns the subject with the batches of `num_steps` steps, after `first_step` steps."""
        batches = iter(_batches(self.model, self.dataset, first_step, num_steps))
        return self._replace(batches=batches)

    @property
    def form(self) -> object:
        """Key for sharing a traced graph; None if the model cannot share one.

        With equal keys, copying the variables' values makes two models the same. A model cannot
        share a graph if it is not built yet, or has a layer that can adapt to data.
        """
        if not self.model.built or is_adapted(self.model):
            return None
        return (
            [(variable.shape, variable.dtype) for variable in training_variables(self.model)],
            form_of(self.model),
            self.data_form,
        )

    @property
    def data_form(self) -> object:
        """Key for feeding a traced graph: with equal keys, it accepts the data of two subjects."""
        validation = self.validation and (
            self.validation.iterator.element_spec,
            self.validation.number,
        )
        return self.batches.element_spec, validation


def make_subject(
    make: Make, seed: int, held_out: Callable[[], HeldOut | None], are_kept_out: bool
) -> Subject:
    """Calls the user's code with a seed, and returns a subject of its model and data.

    If there are no validation data, held-out examples take their place, if there are any. A model
    with a `train_step` of its own is judged by the training data.

    Args:
        make: Calls the user's code.
        seed: The seed.
        held_out: Returns the held-out examples, or None.
        are_kept_out: Whether the training does not read the held-out examples.
    """
    model, dataset, validation_dataset, train_steps, schedule = make(seed)
    if train_steps is not None and (train_steps := operator.index(train_steps)) < 1:
        raise ValueError(
            "Argument `train_steps` must be at least 1, or None if not known. "
            f"Received: train_steps={train_steps}."
        )
    if schedule is not None and schedule not in list(Schedule):
        raise ValueError(
            f"Argument `schedule` must be one of {', '.join(kind.value for kind in Schedule)}, or "
            f"None. Received: schedule={schedule!r}."
        )
    check_compiled(model)
    check_trained_together(model)
    build_optimizer(model)
    _check_dataset(dataset)
    judged_on = JudgedOn.VALIDATION_DATA
    if validation_dataset is None or has_own_train_step(model):
        judged_on = JudgedOn.TRAINING_DATA
        if not has_own_train_step(model) and (held := held_out()) is not None:
            dataset = held.taken_from(dataset) if are_kept_out else dataset
            validation_dataset = held.batches
            judged_on = JudgedOn.HELD_OUT_EXAMPLES
    with kept_random_state(seed):  # reading the data may draw random numbers
        validation = validation_batches(model, validation_dataset)
    schedule = None if schedule is None else Schedule(schedule)
    return Subject(model, dataset, validation, train_steps, schedule, judged_on)


def facts_of(subject: Subject, batch_size: int, schedule: Schedule) -> Facts:
    """Returns the facts of a training of the subject with batches of the given size."""
    model, optimizer = subject.model, inner_optimizer(subject.model.optimizer)
    name = type(optimizer).__name__
    # Not the model's name: Keras numbers names, so the same model would get another one each time.
    num_parameters = sum(math.prod(weight.shape) for weight in model.weights)
    return Facts(
        batch_size=batch_size,
        model=f"{type(model).__name__} of {num_parameters:,} parameters",
        optimizer=name,
        is_plain_sgd=name == "SGD" and not getattr(optimizer, "momentum", 0),
        num_replicas=model.distribute_strategy.num_replicas_in_sync,
        gradient_accumulation_steps=accumulation_steps(optimizer),
        train_steps=subject.train_steps,
        schedule=schedule,
    )


def check_compiled(model: Any) -> None:
    """Checks that a model is compiled with an optimizer whose rate can be swept.

    Raises:
        ValueError: If it is not.
    """
    if not callable(getattr(model, "train_step", None)):
        raise ValueError(
            "Argument `model` must be a Keras model. "
            f"Received: {str(model)[:200]} of type {type(model).__name__}."
        )
    if getattr(model, "optimizer", None) is None:
        raise ValueError(
            "The model must be compiled: its own optimizer and loss are what is tested. "
            f"Received: model {model.name!r} without an optimizer. Call `model.compile(...)` first."
        )
    optimizer = inner_optimizer(model.optimizer)
    if not hasattr(optimizer, "_learning_rate"):
        kind = type(optimizer)
        raise ValueError(
            "The optimizer must be of Keras 3 or of `tf_keras.optimizers`, not of its `legacy`. "
            f"Received: model {model.name!r} with {kind.__module__}.{kind.__name__}. "
            f"Compile it for example with `tf_keras.optimizers.{kind.__name__}`."
        )
    if getattr(optimizer, "relative_step", False):
        raise ValueError(
            "The optimizer must apply the rate that it is given. "
            f"Received: model {model.name!r} with {type(optimizer).__name__}(relative_step=True), "
            "which applies no more than 1 / sqrt(step). Build it with relative_step=False."
        )
    part: Any  # of any class, which may have a warm-up
    for part in optimizers_within(model.optimizer):
        if getattr(part, "warmup_steps", 0):
            raise ValueError(
                "The optimizer must apply the rate that it is given. Received: model "
                f"{model.name!r} with {type(part).__name__}(warmup_steps={part.warmup_steps}), "
                "which applies a part of it in its first steps. Build it with warmup_steps=0, and "
                "give it a `LearningRateSchedule` that warms up, in whose place the sweep sets "
                "the rate."
            )
    if model.built and not model.trainable_variables:
        raise ValueError(
            "The model must have trainable weights. "
            f"Received: model {model.name!r} with {len(model.weights)} weights, all of them "
            "frozen. Set `trainable = True` for those that are to be trained, and compile again."
        )


def _check_dataset(dataset: object) -> None:
    if not isinstance(dataset, tf.data.Dataset):
        raise ValueError(
            "Argument `dataset` must be a tf.data.Dataset of batches as `model.fit` takes them. "
            f"Received: {str(dataset)[:200]} of type {type(dataset).__name__}."
        )


def _batches(
    model: Model, dataset: tf.data.Dataset, first_step: int, num_steps: int
) -> tf.distribute.DistributedDataset:
    """Returns a distributed data set of the batches that the training needs, and no more."""
    step_batches = accumulation_steps(model.optimizer)
    # `take` comes before `prefetch`: nothing beyond the last step is ever read.
    batches = dataset.repeat().skip(first_step * step_batches).take(num_steps * step_batches)
    tried = with_tried_batches(model, batches, step_batches)
    return model.distribute_strategy.experimental_distribute_dataset(
        without_autotuning(tried.prefetch(tf.data.AUTOTUNE))
    )
