"""Leaving a model, its optimizer and the random state as they were."""

import contextlib
import random
import sys
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow.python.eager import context as eager_context
from tensorflow.python.framework.config import is_op_determinism_enabled

_KERAS_GENERATOR = "global_seed_generator"


def training_variables(model: Any) -> list[Any]:
    """Returns every variable that a training step may change, each once.

    Weights, random seeds and batch statistics of the model, slots and counters of its optimizer,
    and its metrics. Call it once a step has been traced: before that some do not exist.
    """
    optimizer = model.optimizer
    variables = [
        *model.variables,
        *(optimizer.variables() if callable(optimizer.variables) else optimizer.variables),
        *(variable for metric in model.metrics for variable in metric.variables),
    ]
    # The dynamic loss scale of tf_keras, which its `variables` leave out.
    loss_scale = getattr(optimizer, "_loss_scale", None)
    if loss_scale is not None and hasattr(loss_scale, "counter"):
        variables += [loss_scale.current_loss_scale, loss_scale.counter]
    return list({id(variable): variable for variable in variables}.values())


def inner_optimizer(optimizer: Any) -> Any:
    """Returns the optimizer under a LossScaleOptimizer, or the optimizer itself."""
    return getattr(optimizer, "inner_optimizer", optimizer)


def accumulation_steps(optimizer: Any) -> int:
    """Returns the number of batches whose gradients an optimizer gathers for one update."""
    return getattr(inner_optimizer(optimizer), "gradient_accumulation_steps", None) or 1


@contextlib.contextmanager
def kept_variables(variables: Iterable[Any]) -> Iterator[None]:
    """Gives variables their values back at the end, whatever happens in between.

    The values are kept in main memory.
    """
    values = [(variable, variable.numpy()) for variable in variables]
    try:
        yield
    finally:
        for variable, value in values:
            variable.assign(value)


@contextlib.contextmanager
def settable_learning_rate(optimizer: Any) -> Iterator[Any]:
    """Yields the variable that holds the optimizer's learning rate.

    An optimizer built with a schedule, which refuses another rate, reads a variable of ours in
    its place; the schedule is back at the end.
    """
    optimizer = inner_optimizer(optimizer)
    own = optimizer._learning_rate  # neither Keras 3 nor tf_keras has a public way to a schedule
    if hasattr(own, "assign"):
        with kept_variables([own]):
            yield own
        return
    # Past the optimizer's own `__setattr__`, which would add the variable to its checkpoints.
    variable = tf.Variable(0.0, trainable=False, name="learning_rate")
    object.__setattr__(optimizer, "_learning_rate", variable)
    try:
        yield variable
    finally:
        object.__setattr__(optimizer, "_learning_rate", own)


def seed_everything(seed: int) -> None:
    """Seeds the random state of Python, NumPy and TensorFlow, with every Keras there is."""
    random.seed(seed)
    np.random.seed(seed)
    tf.random.set_seed(seed)


@contextlib.contextmanager
def kept_random_state(seed: int) -> Iterator[None]:
    """Seeds the random state of Python, NumPy, TensorFlow and Keras, and puts the old one back."""
    python, numpy = random.getstate(), np.random.get_state()
    tensorflow = eager_context.context()
    global_seed, operation_seeds = tensorflow._seed, getattr(tensorflow, "_rng", None)
    generators = _global_generators()
    seed_everything(seed)
    try:
        states = [generator.state for generator in generators]
        with kept_variables(states), _own_keras_generator(), _kept_tf_keras_seeds():
            for generator in generators:
                generator.reset_from_seed(seed)
            yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)
        tensorflow._seed, tensorflow._rng = global_seed, operation_seeds


def random_variables() -> list[Any]:
    """Returns the states of the global generators of TensorFlow and, if there is one, of Keras."""
    states = [generator.state for generator in _global_generators()]
    if "keras" in sys.modules:
        from keras.src.backend.common import global_state

        generator = global_state.get_global_attribute(_KERAS_GENERATOR)
        states += [] if generator is None else [generator.state]
    return states


def _global_generators() -> list[tf.random.Generator]:
    """Returns TensorFlow's global generator; none where deterministic operations forbid it."""
    return [] if is_op_determinism_enabled() else [tf.random.get_global_generator()]


@contextlib.contextmanager
def _own_keras_generator() -> Iterator[None]:
    """Lets Keras 3 make a new global seed generator, from Python's seed, and drops it at the end.

    Keras 3 offers no public way to it. Where Keras 3 is not loaded, nothing can have used it.
    """
    if "keras" not in sys.modules:
        yield
        return
    from keras.src.backend.common import global_state

    own = global_state.get_global_attribute(_KERAS_GENERATOR)
    global_state.set_global_attribute(_KERAS_GENERATOR, None)
    try:
        yield
    finally:
        global_state.set_global_attribute(_KERAS_GENERATOR, own)


@contextlib.contextmanager
def _kept_tf_keras_seeds() -> Iterator[None]:
    """Puts back the generator that tf_keras draws the seeds of its initializers from."""
    backend = sys.modules.get("tf_keras.src.backend")
    generator = getattr(getattr(backend, "_SEED_GENERATOR", None), "generator", None)
    if generator is None:
        yield
        return
    state = generator.getstate()
    try:
        yield
    finally:
        generator.setstate(state)
