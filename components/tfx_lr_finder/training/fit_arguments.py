"""Makes the data of a search from the arguments of `fit`, as often as the search needs them."""

import contextlib
import importlib
import inspect
from collections.abc import Iterator, Mapping, Sequence
from types import ModuleType
from typing import Any

import tensorflow as tf
from absl import logging

from tfx_lr_finder.core.schedule import Schedule
from tfx_lr_finder.training.data.autotuning import without_autotuning
from tfx_lr_finder.training.data.size import num_bytes
from tfx_lr_finder.training.fit.fit_call import given_to_fit
from tfx_lr_finder.training.fit.fit_data import Arguments
from tfx_lr_finder.training.judge.validation import judging_batches
from tfx_lr_finder.training.keras_types import Batch
from tfx_lr_finder.training.lr_finder_fn_result import LrFinderFnResult, Make
from tfx_lr_finder.training.model.kind import is_tf_keras
from tfx_lr_finder.training.model.optimizer_tree import accumulation_steps
from tfx_lr_finder.training.model.random_state import kept_random_state
from tfx_lr_finder.training.subject import check_compiled

MOST_GENERATED_BYTES = 2**30
"""Of a generator no more is kept in memory than this, and the batch that exceeds it."""


@contextlib.contextmanager
def made_by_fit(
    model: Any, x: Any, y: Any, arguments: Mapping[str, Any], num_steps: int
) -> Iterator[Make]:
    """Yields a function that returns the model and the data of `model.fit(x, y, **arguments)`.

    The data of a seed are shuffled as `fit` would shuffle them after this seed. A generator can be
    read only once: its batches for `num_steps` steps, but at most 1 GiB, are read at the first call
    and kept in memory. They are the same for every seed.

    Without `epochs`, the length of the training to come counts as not known.

    Args:
        model: A compiled Keras model.
        x: The first argument of `fit`.
        y: The second argument of `fit`, or None.
        arguments: Further arguments of `fit`, by name.
        num_steps: The number of steps for which a generator is read.

    Raises:
        TypeError: If `fit` has no argument of a given name.
        ValueError: If the model is not compiled, or, from the yielded function, if `fit` does not
            take the data.
    """
    check_compiled(model)
    keras = importlib.import_module("tf_keras" if is_tf_keras(model) else "keras")
    call = inspect.signature(keras.Model.fit).bind(model, x, y, **arguments)
    call.apply_defaults()
    given = {name: value for name, value in call.arguments.items() if name != "self"}
    read: list[LrFinderFnResult] = []

    def make(seed: int) -> LrFinderFnResult:
        if read:
            return read[0]
        with kept_random_state(seed):
            result = _result(keras, model, given)
            result = _read(result, given, num_steps * accumulation_steps(model.optimizer))
        if isinstance(given["validation_data"], Iterator):
            given["validation_data"] = result.validation_dataset  # instead of what is left of it
        if "epochs" not in arguments:
            schedule = Schedule.UNKNOWN if result.schedule else None
            result = result._replace(train_steps=None, schedule=schedule)
        if isinstance(x, Iterator):
            read.append(result)
        return result

    with _workers_kept(keras, x), _workers_kept(keras, given["validation_data"]):
        yield make


def _result(keras: ModuleType, model: Any, given: Arguments) -> LrFinderFnResult:
    try:
        return given_to_fit(keras, model, keras.Model.fit, given)
    except Exception as error:
        raise ValueError(
            "The data must be as `model.fit` takes them. "
            f"Received: {_kinds(given)}, and from Keras {type(error).__name__}: {error} "
            "Hand over what you give to `model.fit`."
        ) from error


def _kinds(given: Arguments) -> str:
    names = ("x", "y", "validation_data")
    kinds = {name: type(given[name]).__name__ for name in names if given[name] is not None}
    return ", ".join(f"{name} of type {kind}" for name, kind in kinds.items()) or "no data"


def _read(result: LrFinderFnResult, given: Arguments, num_batches: int) -> LrFinderFnResult:
    """Returns a result whose generators are read, and replaced by the batches that they gave."""
    dataset, validation_dataset = result.dataset, result.validation_dataset
    if isinstance(given["x"], Iterator):
        batches = _generated_batches(dataset, num_batches)
        logging.warning(
            "A generator can be read only once: the search took %d batches of it, and trains on "
            "them alone: a longer training starts over. Pass a new generator to `fit`.",
            len(batches),
        )
        dataset = _repeatable(batches, dataset)
    if isinstance(given["validation_data"], Iterator):
        batches = judging_batches(validation_dataset)
        validation_dataset = _repeatable(batches, validation_dataset)
    return result._replace(dataset=dataset, validation_dataset=validation_dataset)


def _generated_batches(dataset: tf.data.Dataset, num_batches: int) -> list[Batch]:
    batches, size = [], 0
    for batch in without_autotuning(dataset.take(num_batches)):
        batches.append(batch)
        size += num_bytes(batch)
        if size > MOST_GENERATED_BYTES:
            break
    return batches


def _repeatable(batches: Sequence[Batch], dataset: tf.data.Dataset) -> tf.data.Dataset:
    """Returns a data set of batches in memory, which has the form of another data set."""
    spec = dataset.element_spec
    return tf.data.Dataset.from_generator(lambda: iter(batches), output_signature=spec)


@contextlib.contextmanager
def _workers_kept(keras: ModuleType, data: Any) -> Iterator[None]:
    """Restores the workers of a Python data set of Keras 3 on exit: the search reads it by one."""
    if keras.__name__ != "keras" or not isinstance(data, keras.utils.Sequence):
        yield
        return
    workers = data.workers, data.use_multiprocessing
    try:
        yield
    finally:
        data.workers, data.use_multiprocessing = workers
