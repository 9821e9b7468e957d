"""A short training at a constant rate, judged on data that it did not see."""

import math

import tensorflow as tf

from tfx_lr_finder.training.checks.applied_rate import swept_optimizers
from tfx_lr_finder.training.graph import out_of_batches
from tfx_lr_finder.training.judge.validation import first_batches
from tfx_lr_finder.training.keras_types import Model
from tfx_lr_finder.training.model.built import build_optimizer
from tfx_lr_finder.training.model.learning_rate import settable_learning_rate
from tfx_lr_finder.training.model.optimizer_tree import accumulation_steps


def validation_loss(
    model: Model,
    dataset: tf.data.Dataset,
    validation_dataset: tf.data.Dataset,
    *,
    learning_rate: float,
    num_steps: int,
    validation_steps: int | None = None,
) -> float:
    """Trains a model with Keras's own `fit`, and returns its loss on the validation data.

    The model stays trained: pass one that is not needed afterwards.

    Args:
        model: A compiled Keras model.
        dataset: Batches as `model.fit` takes them; the data set starts over when it is used up.
        validation_dataset: Batches as `model.evaluate` takes them.
        learning_rate: The constant rate, greater than 0; it replaces a schedule of the optimizer.
        num_steps: Number of updates.
        validation_steps: Number of validation batches; by default all of them.

    Returns:
        The loss; `inf` if it is not finite.

    Raises:
        ValueError: If the training data end and cannot start over. Also if the validation data are
            not a data set, are empty, or are endless and `validation_steps` is not given.
    """
    first_batches(validation_dataset)
    _check_end(validation_dataset, validation_steps)
    build_optimizer(model)
    with settable_learning_rate(model.optimizer, swept_optimizers(model)) as variable:
        variable.assign(learning_rate)
        steps = num_steps * accumulation_steps(model.optimizer)
        try:
            model.fit(_endless(dataset), steps_per_epoch=steps, epochs=1, verbose=0)
        except tf.errors.FailedPreconditionError as error:
            if "infinite number of elements" not in error.message:
                raise
            raise out_of_batches(num_steps) from error
    results = model.evaluate(
        validation_dataset, steps=validation_steps, return_dict=True, verbose=0
    )
    loss = float(results["loss"])
    return loss if math.isfinite(loss) else math.inf


def _endless(dataset: tf.data.Dataset) -> tf.data.Dataset:
    """Returns batches that start over when they are used up, or raise an error if they cannot.

    Keras itself would end the training early, with only a warning.
    """
    endless = tf.data.experimental.assert_cardinality(tf.data.INFINITE_CARDINALITY)
    return dataset.repeat().apply(endless)


def _check_end(validation_dataset: tf.data.Dataset, validation_steps: int | None) -> None:
    is_endless = validation_dataset.cardinality() == tf.data.INFINITE_CARDINALITY
    if validation_steps is None and is_endless:
        raise ValueError(
            "The validation data must end, or the number of their batches must be given. "
            "Received: a data set without end. "
            "Drop its `repeat()`, or set `eval_args=EvalArgs(num_steps=...)`."
        )
