"""Python's control flow on tensors in the user's code, converted where `fit` converts it."""

from collections.abc import Callable
from typing import Any

import tensorflow as tf


def as_in_fit(model: Any, function: Callable[..., Any]) -> Callable[..., Any]:
    """Returns a function that calls the user's code, to be called in a graph.

    The `fit` of tf_keras has AutoGraph convert what it calls, down to layers and losses; that of
    Keras 3 does not.

    Args:
        model: A Keras model.
        function: What is to be converted, not yet in a graph.
    """
    if not any(base.__module__.startswith("tf_keras.") for base in type(model).__mro__):
        return function
    autograph = tf.__internal__.autograph  # as tf_keras itself does; there is no public way
    converted: Callable[..., Any] = autograph.tf_convert(function, autograph.control_status_ctx())
    return converted
