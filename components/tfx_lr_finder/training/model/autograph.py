"""Python's control flow on tensors in the user's code, converted where `fit` converts it."""

from collections.abc import Callable, Iterator
from typing import Any

import tensorflow as tf

from tfx_lr_finder.training.model.kind import is_tf_keras, package


def as_in_fit(model: Any, function: Callable[..., Any]) -> Callable[..., Any]:
    """Returns a function that calls the user's code, to be called in a graph.

    The `fit` of tf_keras has AutoGraph convert all that it calls, down to layers and losses; that
    of Keras 3 does not. Nothing of tf_keras and TensorFlow needs it, and it takes seconds.

    To be called outside of a graph.

    Args:
        model: A compiled Keras model.
        function: What is to be converted.
    """
    if not is_tf_keras(model) or {package(part) for part in _parts(model)} <= {
        "tf_keras",
        "tensorflow",
    }:
        return function
    autograph = tf.__internal__.autograph  # as tf_keras itself does; there is no public way
    converted: Callable[..., Any] = autograph.tf_convert(function, autograph.control_status_ctx())
    return converted


def _parts(model: Any) -> Iterator[Any]:
    """Yields the classes of a model's layers, and the functions that it was given."""
    for layer in model._flatten_layers():
        yield type(layer)
        functions = (getattr(layer, name, None) for name in ("activation", "function"))
        yield from filter(callable, functions)
    for loss in filter(callable, tf.nest.flatten(model.loss)):
        yield loss if hasattr(loss, "__name__") else type(loss)
