"""The random state of Python, NumPy, TensorFlow and Keras: seeding it, and leaving it as it was."""

import contextlib
import random
import sys
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow.python.eager import context as eager_context
from tensorflow.python.framework.config import is_op_determinism_enabled
from tensorflow.python.ops import stateful_random_ops

from tfx_lr_finder.training.model.replacement import replaced
from tfx_lr_finder.training.model.variables import kept_variables

_KERAS_GENERATOR = "global_seed_generator"


def seed_everything(seed: int, generators: Iterable[Any] = ()) -> None:
    """Seeds the random state of Python, NumPy, TensorFlow and Keras.

    Args:
        seed: The seed.
        generators: What `global_generators` gave earlier: user code may have replaced some since.
    """
    _seed_sources(seed)
    if _keras_state() is not None and _keras_generator() is None:
        _set_keras_generator(sys.modules["keras"].random.SeedGenerator(seed))
    for generator in [*global_generators(), *generators]:
        if isinstance(generator, tf.random.Generator):
            generator.reset_from_seed(seed)
        else:
            generator.state.assign([seed, 0])  # as Keras makes it


@contextlib.contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Seeds the same without an operation of TensorFlow, if there has been none yet.

    For user code that makes a MultiWorkerMirroredStrategy, which has to come before the first:
    a generator is seeded when it comes into being. That of Keras 3 is made anew in any case, and
    draws its seed from Python's random numbers.
    """
    _seed_sources(seed)
    if _keras_state() is not None:
        _set_keras_generator(None)
    if (own := stateful_random_ops.global_generator) is not None:
        own.reset_from_seed(seed)
    generator = tf.random.Generator
    made = classmethod(lambda cls, alg=None: cls.from_seed(seed, alg))
    with replaced(generator, "from_non_deterministic_state", made):
        yield


def _seed_sources(seed: int) -> None:
    """Seeds what is no variable: neither it nor its seed is an operation of TensorFlow."""
    random.seed(seed)
    np.random.seed(seed)
    tf.random.set_seed(seed)
    if (tf_keras_seeds := _tf_keras_seeds()) is not None:
        tf_keras_seeds.seed(seed)


@contextlib.contextmanager
def kept_random_state(seed: int) -> Iterator[None]:
    """Seeds the random state of Python, NumPy, TensorFlow and Keras, and puts the old one back."""
    python, numpy = random.getstate(), np.random.get_state()
    tensorflow = eager_context.context()
    global_seed, operation_seeds = tensorflow._seed, getattr(tensorflow, "_rng", None)
    try:
        with (
            kept_variables([generator.state for generator in _tensorflow_generators()]),
            _own_keras_generator(),
            _kept_tf_keras_seeds(),
        ):
            seed_everything(seed)
            yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)
        tensorflow._seed, tensorflow._rng = global_seed, operation_seeds


def global_generators() -> list[Any]:
    """Returns the global generators of TensorFlow and, if there is one, of Keras."""
    keras_generator = _keras_generator()
    return _tensorflow_generators() + ([] if keras_generator is None else [keras_generator])


def _tensorflow_generators() -> list[tf.random.Generator]:
    """Returns TensorFlow's global generator; none where deterministic operations forbid it."""
    return [] if is_op_determinism_enabled() else [tf.random.get_global_generator()]


def _keras_state() -> Any:
    """Returns where Keras 3 keeps its global generator, to which it has no public way.

    None where Keras 3 is not loaded: nothing can have used it.
    """
    if "keras" not in sys.modules:
        return None
    from keras.src.backend.common import global_state

    return global_state


def _keras_generator() -> Any:
    state = _keras_state()
    return None if state is None else state.get_global_attribute(_KERAS_GENERATOR)


def _set_keras_generator(generator: Any) -> None:
    _keras_state().set_global_attribute(_KERAS_GENERATOR, generator)


@contextlib.contextmanager
def _own_keras_generator() -> Iterator[None]:
    """Lets Keras 3 have a new global generator, and drops it at the end."""
    if _keras_state() is None:
        yield
        return
    own = _keras_generator()
    _set_keras_generator(None)
    try:
        yield
    finally:
        _set_keras_generator(own)


def _tf_keras_seeds() -> Any:
    """Returns the generator that tf_keras draws seeds from, or None if it has none of its own."""
    backend = sys.modules.get("tf_keras.src.backend")
    return getattr(getattr(backend, "_SEED_GENERATOR", None), "generator", None)


@contextlib.contextmanager
def _kept_tf_keras_seeds() -> Iterator[None]:
    """Puts the seeds of tf_keras back."""
    generator = _tf_keras_seeds()
    if generator is None:
        yield
        return
    state = generator.getstate()
    try:
        yield
    finally:
        generator.setstate(state)
