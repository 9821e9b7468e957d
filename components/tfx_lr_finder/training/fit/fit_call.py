"""The model and the data of a call of `fit`, which is not made."""

from collections.abc import Callable
from types import ModuleType

import tensorflow as tf

from tfx_lr_finder.training.fit.callbacks import schedule_by
from tfx_lr_finder.training.fit.fit_data import (
    Arguments,
    num_batches_of,
    training_batches,
    validation_batches,
)
from tfx_lr_finder.training.keras_types import Model
from tfx_lr_finder.training.lr_finder_fn_result import LrFinderFnResult
from tfx_lr_finder.training.model.optimizer_tree import accumulation_steps


def given_to_fit(
    keras: ModuleType, model: Model, fit: Callable[..., object], arguments: Arguments
) -> LrFinderFnResult:
    """Returns the model with the data, the length and the schedule of its training.

    Args:
        keras: The Keras of the model: `keras` or `tf_keras`.
        model: A compiled model.
        fit: The `fit` of the model's class, as a function.
        arguments: Every argument of `fit`, by name.

    Raises:
        ValueError: If the data are distributed already.
        Exception: Whatever `fit` or `evaluate` raises about the data.
    """
    dataset = training_batches(keras, model, fit, arguments)
    validation_dataset = validation_batches(keras, model, arguments)
    epochs = range(arguments["initial_epoch"], arguments["epochs"])
    train_steps = _train_steps(model, dataset, arguments, len(epochs))
    schedule = schedule_by(arguments["callbacks"], epochs, model.optimizer)
    return LrFinderFnResult(model, dataset, validation_dataset, train_steps, schedule)


def _train_steps(
    model: Model, dataset: tf.data.Dataset, arguments: Arguments, num_epochs: int
) -> int | None:
    """Returns the number of updates in all epochs; None if neither call nor data tell it."""
    epoch_steps = arguments["steps_per_epoch"] or dataset.cardinality().numpy()
    if epoch_steps < 0:
        epoch_steps = num_batches_of(arguments)
    if epoch_steps is None:
        return None
    return int(num_epochs * epoch_steps) // accumulation_steps(model.optimizer) or None
