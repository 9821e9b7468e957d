"""Converts Python's control flow on tensors in the user's code, as `fit` of tf_keras does."""

from collections.abc import Callable, Iterator
from typing import Any, ParamSpec, TypeVar

import tensorflow as tf

from tfx_lr_finder.training.keras_types import Model
from tfx_lr_finder.training.model.kind import is_tf_keras, package

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")


def as_in_fit(model: Model, function: Callable[Parameters, Result]) -> Callable[Parameters, Result]:
    """Returns a function that calls the user's code, converted for a graph if `fit` converts it.

    The `fit` of tf_keras has AutoGraph convert all that it calls, down to layers and losses; the
    `fit` of Keras 3 does not. The conversion takes seconds, and the code of tf_keras and TensorFlow
    does not need it. So a model without code of the user's is left as it is.

    Call this outside of a graph.

    Args:
        model: A compiled Keras model.
        function: The function to convert.
    """
    if not is_tf_keras(model) or {package(part) for part in _parts(model)} <= {
        "tf_keras",
        "tensorflow",
    }:
        return function
    autograph = tf.__internal__.autograph  # as in tf_keras itself; there is no public function
    converted: Callable[Parameters, Result] = autograph.tf_convert(
        function, autograph.control_status_ctx()
    )
    return converted


def _parts(model: Any) -> Iterator[type | Callable[..., object]]:
    """Yields a model's losses, the classes of its layers, and the functions that these call."""
    for layer in model._flatten_layers():
        yield type(layer)
        functions = (getattr(layer, name, None) for name in ("activation", "function"))
        yield from filter(callable, functions)
    for loss in filter(callable, tf.nest.flatten(model.loss)):
        yield loss if hasattr(loss, "__name__") else type(loss)
