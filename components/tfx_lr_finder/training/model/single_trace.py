"""Variables that come into being in a training step, without a second trace of it."""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import tensorflow as tf

from tfx_lr_finder.training.model.kind import has_own_train_step


@contextlib.contextmanager
def single_trace(model: Any) -> Iterator[None]:
    """Lets `tf.function` trace a training step once, where it would do so twice.

    It traces anew where variables came into being in the first trace. Those of the optimizer came
    into being before (tf_keras has them leave the graph), and those of the metrics do so outside
    of the graph. A model of which not all layers are built, or with a `train_step` of its own, may
    be another one in the second trace, and has both.

    To be entered in the function that is traced.

    Args:
        model: A compiled Keras model.
    """
    if has_own_train_step(model) or not all(layer.built for layer in model._flatten_layers()):
        yield
        return
    with tf.variable_creator_scope(_outside):
        yield


def _outside(next_creator: Callable[..., Any], **options: Any) -> Any:
    """Makes a variable, unless its initial value is of the graph."""
    if any(map(tf.is_symbolic_tensor, tf.nest.flatten(options["initial_value"]))):
        return next_creator(**options)
    with tf.init_scope():
        return next_creator(**{**options, "experimental_enable_variable_lifting": False})
