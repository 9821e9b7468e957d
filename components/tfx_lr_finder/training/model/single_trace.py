"""Avoids a second trace of a training step that creates variables."""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import tensorflow as tf

from tfx_lr_finder.training.model.kind import has_own_train_step


@contextlib.contextmanager
def single_trace(model: Any) -> Iterator[None]:
    """Makes `tf.function` trace a training step once, where it would trace it twice.

    `tf.function` traces again if the first trace created variables in the graph. The optimizer's
    variables exist before the trace (or tf_keras creates them outside of the graph). In this
    context the variables of metrics are created outside of the graph, too. A model that has
    unbuilt layers, or a `train_step` of its own, may do something else in the second trace. It
    is traced twice as usual.

    Enter this in the function that is traced.

    Args:
        model: A compiled Keras model.
    """
    if has_own_train_step(model) or not all(layer.built for layer in model._flatten_layers()):
        yield
        return
    with tf.variable_creator_scope(_outside):
        yield


def _outside(next_creator: Callable[..., tf.Variable], **options: Any) -> tf.Variable:
    """Creates a variable outside of the graph, unless its initial value is in the graph."""
    if any(map(tf.is_symbolic_tensor, tf.nest.flatten(options["initial_value"]))):
        return next_creator(**options)
    with tf.init_scope():
        return next_creator(**{**options, "experimental_enable_variable_lifting": False})
