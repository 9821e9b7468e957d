"""The data sets that Keras's `fit` creates from its arguments, without a step of training.

Keras itself creates them. Before the training loop, both Keras 3 and tf_keras pass each data set
to the model's distribution strategy. A temporary replacement there takes the data set.
"""

import contextlib
import math
from collections.abc import Callable, Iterator, Sized
from types import ModuleType
from typing import Any, TypeAlias

import tensorflow as tf

from tfx_lr_finder.training.keras_types import Model, Nest
from tfx_lr_finder.training.model.replacement import replaced

Arguments: TypeAlias = dict[str, Any]
"""The arguments of `fit` or `evaluate`, by name."""


DEFAULT_BATCH_SIZE = 32
"""The batch size of `fit` in both Kerases."""


class _Taken(BaseException):
    """Leaves Keras, before its first step."""


def training_batches(
    keras: ModuleType, model: Model, fit: Callable[..., object], arguments: Arguments
) -> tf.data.Dataset:
    """Returns the batches of an epoch.

    Shuffling follows the random state: for arrays, at the time of this call; for Python data sets,
    at the time of each pass. A generator can be read only once.

    Args:
        keras: The Keras of the model: `keras` or `tf_keras`.
        model: A compiled model.
        fit: The `fit` of the model's class, as a function.
        arguments: Every argument of `fit`, by name.

    Raises:
        ValueError: If the data are distributed already.
        Exception: Whatever `fit` itself raises about the data.
    """
    given = {**arguments, "epochs": 1, "initial_epoch": 0, "validation_data": None}
    if arguments["validation_data"] is not None:
        given["validation_split"] = 0.0
    return _batches(keras, model, fit, "x", given)


def validation_batches(
    keras: ModuleType, model: Model, arguments: Arguments
) -> tf.data.Dataset | None:
    """Returns the batches that `fit` would evaluate after an epoch, or None if there are none.

    The batches have no end if the data have no end and `validation_steps` is not given.

    Args:
        keras: The Keras of the model: `keras` or `tf_keras`.
        model: A compiled model.
        arguments: Every argument of `fit`, by name.

    Raises:
        ValueError: If the data are distributed already.
        Exception: Whatever `evaluate` itself raises about the data.
    """
    data = arguments["validation_data"]
    if data is None:
        if not arguments["validation_split"]:
            return None
        data = _last_rows(arguments)
    x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(data)
    steps = arguments["validation_steps"]
    given = {
        "x": x,
        "y": y,
        "sample_weight": sample_weight,
        "batch_size": arguments["validation_batch_size"] or arguments["batch_size"],
        "steps": steps,
    }
    dataset = _batches(keras, model, keras.Model.evaluate, "validation_data", given)
    return dataset if steps is None else dataset.take(steps)


def num_batches_of(arguments: Arguments) -> int | None:
    """Returns the number of batches that arrays or a Python data set have; None of other data."""
    data = arguments["x"]
    if hasattr(data, "on_epoch_end"):  # of Keras's own kind
        return len(data) if isinstance(data, Sized) else None
    if not getattr(tf.nest.flatten(data)[0], "shape", None):
        return None
    return math.ceil(_num_rows(arguments) / (arguments["batch_size"] or DEFAULT_BATCH_SIZE))


def _num_rows(arguments: Arguments) -> int:
    """Returns the number of rows of the arrays that are trained on: the first ones."""
    # As in Keras, validation data make the split void.
    split = 0.0 if arguments["validation_data"] is not None else arguments["validation_split"]
    num_rows: int = math.floor(tf.nest.flatten(arguments["x"])[0].shape[0] * (1.0 - split))
    return num_rows


def _last_rows(arguments: Arguments) -> Nest:
    """Returns the last rows of the arrays, which `validation_split` keeps out of the training."""
    arrays = arguments["x"], arguments["y"], arguments["sample_weight"]
    start = _num_rows(arguments)

    def rows(array: tf.Tensor | None) -> tf.Tensor | None:
        if isinstance(array, tf.SparseTensor):
            first = [start] + [0] * (array.shape.rank - 1)
            return tf.sparse.slice(array, first, array.dense_shape - first)
        return None if array is None else array[start:]

    return tf.nest.map_structure(rows, arrays)


def _batches(
    keras: ModuleType, model: Model, method: Callable[..., object], name: str, arguments: Arguments
) -> tf.data.Dataset:
    """Calls `fit` or `evaluate` until it has created its data set, and returns the data set."""
    data, taken = arguments["x"], []

    def take(dataset: tf.data.Dataset, *_: object) -> None:
        taken.append(dataset)
        raise _Taken

    given = {**arguments, **_no_workers(keras, data, arguments), "callbacks": [_no_steps(keras)]}
    with (
        replaced(model.distribute_strategy, "experimental_distribute_dataset", take),
        contextlib.suppress(_Taken),
    ):
        method(model, **given)
    if not taken:
        raise ValueError(
            f"Argument `{name}` of `fit` must be data that are not distributed yet. "
            f"Received: {name}={data} of type {type(data).__name__}. "
            "Hand over the data set itself, which Keras distributes, or write a function "
            "`lr_finder_fn(fn_args) -> LrFinderFnResult`."
        )
    return _in_passes(keras, data, _with_none(taken[0]))


def _no_workers(keras: ModuleType, data: object, arguments: Arguments) -> Arguments:
    """Reads Python data by one worker: in order, as the seed decides, and with no process left."""
    if "workers" in arguments:  # tf_keras
        return {"workers": 1, "use_multiprocessing": False}
    if isinstance(data, keras.utils.Sequence) and keras.__name__ == "keras":
        data.workers, data.use_multiprocessing = 1, False
    return {}


def _no_steps(keras: Any) -> object:
    """Returns a callback that leaves Keras before the first step, whatever type the data have."""

    class NoSteps(keras.callbacks.Callback):
        def on_train_begin(self, logs: object = None) -> None:
            raise _Taken

        def on_test_begin(self, logs: object = None) -> None:
            raise _Taken

    return NoSteps()


def _with_none(dataset: tf.data.Dataset) -> tf.data.Dataset:
    """Returns the data set with None where Keras 3 has an empty Optional for it."""
    spec = dataset.element_spec
    if not any(isinstance(part, tf.OptionalSpec) for part in tf.nest.flatten(spec)):
        return dataset

    def none_for_optionals(*parts: Nest) -> Nest:
        return tf.nest.map_structure(
            lambda part: None if isinstance(part, tf.experimental.Optional) else part, parts
        )

    return dataset.map(none_for_optionals)


def _in_passes(keras: ModuleType, data: object, dataset: tf.data.Dataset) -> tf.data.Dataset:
    """Returns a data set whose passes begin and end like an epoch over Python data.

    A generator gets only one pass. In a second one, Keras 3 would repeat the batches that it has
    peeked at.
    """
    if isinstance(data, keras.utils.Sequence):

        def one_pass() -> Iterator[int]:
            if hasattr(data, "on_epoch_begin"):
                data.on_epoch_begin()
            yield 0
            data.on_epoch_end()

    elif isinstance(data, Iterator):
        only_pass = iter([0])

        def one_pass() -> Iterator[int]:
            return only_pass

    else:
        return dataset
    passes = tf.data.Dataset.from_generator(one_pass, output_signature=tf.TensorSpec((), tf.int32))
    return passes.flat_map(lambda _: dataset)
