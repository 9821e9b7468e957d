"""Seeds and restores the random state of Python, NumPy, TensorFlow and Keras."""

import contextlib
import random
import sys
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow.python.eager import context as eager_context
from tensorflow.python.framework.config import is_op_determinism_enabled
from tensorflow.python.ops import stateful_random_ops

from tfx_lr_finder.training.keras_types import RandomGenerator
from tfx_lr_finder.training.model.replacement import replaced
from tfx_lr_finder.training.model.variables import set_values, values_of

_KERAS_GENERATOR = "global_seed_generator"


def seed_everything(
    seed: int, generators: Iterable[RandomGenerator] = (), resets_operations: bool = True
) -> None:
    """Seeds the random state of Python, NumPy, TensorFlow and Keras.

    Args:
        seed: The seed.
        generators: Earlier global generators, since user code may have replaced them: a graph that
            was traced before still draws from them.
        resets_operations: Whether random operations that ran before start over. TensorFlow drops
            all prepared operations for it: the next call of a graph prepares the graph anew, which
            takes as long as hundreds of steps of a small model.
    """
    _seed_sources(seed, resets_operations)
    if _keras_state() is not None and _keras_generator() is None:
        _set_keras_generator(sys.modules["keras"].random.SeedGenerator(seed))
    for generator in [*global_generators(), *generators]:
        if isinstance(generator, tf.random.Generator):
            generator.reset_from_seed(seed)
        else:
            generator.state.assign([seed, 0])  # the state that Keras gives a new generator


@contextlib.contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Seeds what `seed_everything` seeds, but without running an operation of TensorFlow.

    For user code that creates a MultiWorkerMirroredStrategy: it has to do so before TensorFlow's
    first operation. So a global generator of TensorFlow that does not exist yet is seeded when it
    is created. Keras 3 always creates a new one, with a seed from Python's random numbers.
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


def _seed_sources(seed: int, resets_operations: bool = True) -> None:
    """Seeds the random state that is not in variables, so without an operation of TensorFlow."""
    random.seed(seed)
    np.random.seed(seed)
    if resets_operations:
        tf.random.set_seed(seed)
    else:  # as `set_seed` does
        vars(eager_context.context()).update(_seed=seed, _rng=random.Random(seed))
    if (tf_keras_seeds := _tf_keras_seeds()) is not None:
        tf_keras_seeds.seed(seed)


@contextlib.contextmanager
def kept_random_state(seed: int) -> Iterator[None]:
    """Seeds the random state of Python, NumPy, TensorFlow and Keras; restores it on exit."""
    restore = random_state()
    try:
        if _keras_state() is not None:
            _set_keras_generator(None)  # `seed_everything` creates one
        seed_everything(seed)
        yield
    finally:
        restore()


def random_state() -> Callable[[], None]:
    """Returns a function that restores the present random state.

    Keras's global generator is put back as it is at that time.
    """
    tensorflow = eager_context.context()
    seeds = {"_seed": tensorflow._seed, "_rng": getattr(tensorflow, "_rng", None)}
    undo = contextlib.ExitStack()
    undo.callback(random.setstate, random.getstate())
    undo.callback(np.random.set_state, np.random.get_state())
    undo.callback(vars(tensorflow).update, seeds)
    states = [part.state for part in _tensorflow_generators()]
    undo.callback(set_values, states, values_of(states))
    if (tf_keras_seeds := _tf_keras_seeds()) is not None:
        undo.callback(tf_keras_seeds.setstate, tf_keras_seeds.getstate())
    if _keras_state() is not None:
        undo.callback(_set_keras_generator, _keras_generator())
    return undo.close


def has_random_operations(graph: tf.Graph) -> bool:
    """Returns whether operations of a graph keep a random state of their own.

    Operations that call Python count, too: what they call may have such a state.
    """
    definition = graph.as_graph_def()
    bodies = [definition.node, *(body.node_def for body in definition.library.function)]
    nodes = [node for body in bodies for node in body]
    return any("seed2" in node.attr or "PyFunc" in node.op for node in nodes)


def global_generators() -> list[RandomGenerator]:
    """Returns the global generators of TensorFlow and, if there is one, of Keras."""
    keras_generator = _keras_generator()
    return _tensorflow_generators() + ([] if keras_generator is None else [keras_generator])


def _tensorflow_generators() -> list[tf.random.Generator]:
    """Returns TensorFlow's global generator; none if deterministic operations forbid it."""
    return [] if is_op_determinism_enabled() else [tf.random.get_global_generator()]


def _keras_state() -> Any:
    """Returns the module of Keras 3 that keeps its global generator; there is no public access.

    None if Keras 3 is not loaded: then nothing can have used the generator.
    """
    if "keras" not in sys.modules:
        return None
    from keras.src.backend.common import global_state

    return global_state


def _keras_generator() -> RandomGenerator | None:
    state = _keras_state()
    return None if state is None else state.get_global_attribute(_KERAS_GENERATOR)


def _set_keras_generator(generator: RandomGenerator | None) -> None:
    _keras_state().set_global_attribute(_KERAS_GENERATOR, generator)


def _tf_keras_seeds() -> random.Random | None:
    """Returns the generator from which tf_keras draws seeds, or None if there is none."""
    backend = sys.modules.get("tf_keras.src.backend")
    return getattr(getattr(backend, "_SEED_GENERATOR", None), "generator", None)
