"""Leaving a model, its optimizer and the random state as they were."""

import contextlib
import random
import sys
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow.python.eager import context as eager_context
from tensorflow.python.framework.config import is_op_determinism_enabled
from tensorflow.python.ops import stateful_random_ops

from tfx_lr_finder.training.model.optimizer_tree import optimizers_within, rated_optimizers
from tfx_lr_finder.training.model.replacement import replaced

_KERAS_GENERATOR = "global_seed_generator"


def training_variables(model: Any) -> list[Any]:
    """Returns every variable that a training step may change, each once.

    Weights, random seeds and batch statistics of the model, slots and counters of its optimizer,
    and its metrics. Before a step has been traced some do not exist.
    """
    optimizer = model.optimizer
    variables = [
        *model.variables,
        *(variable for part in optimizers_within(optimizer) for variable in _slots(part)),
        *(variable for metric in metrics_within(model) for variable in metric.variables),
    ]
    # The dynamic loss scale of tf_keras, which its `variables` leave out.
    loss_scale = getattr(optimizer, "_loss_scale", None)
    if loss_scale is not None and hasattr(loss_scale, "counter"):
        variables += [loss_scale.current_loss_scale, loss_scale.counter]
    return list({id(variable): variable for variable in variables}.values())


def _slots(optimizer: Any) -> list[Any]:
    """Returns what an optimizer of either Keras lists as its variables."""
    return list(optimizer.variables() if callable(optimizer.variables) else optimizer.variables)


def changed_by_inference(model: Any) -> list[Any]:
    """Returns every variable that a forward pass outside of training, or a loss, may change."""
    variables = [
        *model.non_trainable_variables,
        *memory(model),
        *(variable for metric in model.metrics for variable in metric.variables),
    ]
    return list({id(variable): variable for variable in variables}.values())


def not_among(variables: Iterable[Any], known: Iterable[Any]) -> list[Any]:
    """Returns the variables of a graph that are neither known nor a replica's part of a known."""
    handles = {id(part.handle) for variable in known for part in _own_parts(variable)}
    return [variable for variable in variables if id(variable.handle) not in handles]


def _own_parts(variable: Any) -> tuple[Any, ...]:
    """Returns the TensorFlow variables that a variable of Keras or of a strategy is made of."""
    own = _own(variable)
    return own.values if isinstance(own, tf.distribute.DistributedValues) else (own,)


def memory(model: Any) -> list[Any]:
    """Returns the states of stateful recurrent layers, which are no weights of theirs."""
    layers = (layer for layer in model._flatten_layers() if getattr(layer, "stateful", False))
    states = (tf.nest.flatten(getattr(layer, "states", None)) for layer in layers)
    return [state for flat in states for state in flat if state is not None]


def is_adapted(model: Any) -> bool:
    """Returns whether a layer was adapted to data: to a vocabulary, a mean, which are constants."""
    return any(hasattr(layer, "adapt") for layer in model._flatten_layers())


def package(part: Any) -> str:
    """Returns the name of the package that a class or function comes from, as `keras`."""
    return str(part.__module__).partition(".")[0]


def is_tf_keras(model: Any) -> bool:
    """Returns whether a model is one of tf_keras, not of Keras 3."""
    return any(package(base) == "tf_keras" for base in type(model).__mro__)


def has_own_train_step(model: Any) -> bool:
    """Returns whether a model's training step is not Keras's: its loss may be anything."""
    return package(type(model).train_step) not in ("keras", "tf_keras")


def reports_own_loss(model: Any) -> bool:
    """Returns whether the loss that a training step reports is of the user's making."""
    makers = (type(model).compute_metrics, type(model).get_metrics_result)
    is_own = any(package(maker) not in ("keras", "tf_keras") for maker in makers)
    return is_own or has_own_train_step(model)


def metrics_within(model: Any) -> list[Any]:
    """Returns the metrics of a model and its parts, also those that its `metrics` leaves out."""
    parts = [value for layer in model._flatten_layers() for value in vars(layer).values()]
    lists = [part for part in parts if isinstance(part, list | tuple)]
    lists += [list(part.values()) for part in parts if isinstance(part, dict)]
    inner = [value for part in lists for value in part]
    found = {id(value): value for value in [*model.metrics, *parts, *inner] if _is_metric(value)}
    return list(found.values())


def _is_metric(value: Any) -> bool:
    return all(hasattr(type(value), name) for name in ("update_state", "result", "reset_state"))


def loss_metrics(model: Any) -> list[Any]:
    """Returns the metrics that a training step may read its loss from.

    Beside a small model, the others would take time to reset after each step.
    """
    if reports_own_loss(model):
        return metrics_within(model)
    return [metric for metric in model.metrics if metric.name == "loss"]


def inner_optimizer(optimizer: Any) -> Any:
    """Returns the optimizer under a LossScaleOptimizer, or the optimizer itself."""
    return getattr(optimizer, "inner_optimizer", optimizer)


@contextlib.contextmanager
def kept_variables(variables: Iterable[Any]) -> Iterator[None]:
    """Gives variables their values back at the end, whatever happens in between.

    The values are kept in main memory.
    """
    parts = [part for variable in variables for part in _parts(variable)]
    values = [(part, part.numpy()) for part in parts]
    try:
        yield
    finally:
        for part, value in values:
            part.assign(value)


def _parts(variable: Any) -> list[Any]:
    """Returns what can be read and set without another worker, which may have failed.

    That is the variable itself, unless each replica has a value of its own: those are local, but
    the variable's value is that of all of them.
    """
    own = _own(variable)
    is_distributed = isinstance(own, tf.distribute.DistributedValues)
    if is_distributed and own.synchronization is tf.VariableSynchronization.ON_READ:
        return list(own.distribute_strategy.experimental_local_results(own))
    return [variable]


def _own(variable: Any) -> Any:
    """Returns a variable of TensorFlow or of its strategies: that of one of Keras 3, or itself."""
    return variable if isinstance(variable, tf.Variable) else variable.value


class LearningRate:
    """The rates within an optimizer as one: the greatest of them, the others in proportion.

    Attributes:
        variables: Those that hold the rates.
        dtype: The type of the first.
    """

    def __init__(self, variables: Sequence[Any], rates: Sequence[float]) -> None:
        self.variables = list(variables)
        self.dtype = variables[0].dtype
        self._shares = [rate / max(rates) for rate in rates]

    def assign(self, value: Any) -> None:
        """Sets the greatest rate."""
        for variable, share in zip(self.variables, self._shares, strict=True):
            variable.assign(value if share == 1 else tf.cast(value, variable.dtype) * share)


@contextlib.contextmanager
def settable_learning_rate(
    optimizer: Any, swept: Sequence[Any] | None = None
) -> Iterator[LearningRate]:
    """Yields what holds the optimizer's learning rate.

    An optimizer built with a schedule, which refuses another rate, reads a variable of ours in
    its place; the schedule is back at the end.

    Args:
        optimizer: An optimizer of Keras 3 or tf_keras.
        swept: Those within it whose rates are set, by default all that have one. Of several, the
            greatest rate is set, and the others keep their proportion to it.

    Raises:
        ValueError: If one of several has a schedule, or all of their rates are 0.
    """
    swept = rated_optimizers(optimizer) if swept is None else swept
    rates = [1.0] if len(swept) == 1 else [_number(part) for part in swept]
    if not max(rates) > 0:
        raise ValueError(
            "One of the rates within an optimizer must be greater than 0: they are swept in "
            f"proportion. Received: {type(optimizer).__name__} with the rates {rates}."
        )
    with contextlib.ExitStack() as stack:
        variables = [stack.enter_context(settable(part)) for part in swept]
        yield LearningRate(variables, rates)


def _number(optimizer: Any) -> float:
    """Returns the rate of one of several optimizers."""
    own = optimizer._learning_rate
    if not hasattr(own, "assign"):
        raise ValueError(
            "Several rates within an optimizer must be numbers: they are swept in proportion. "
            f"Received: {type(optimizer).__name__} with {type(own).__name__}. "
            "Give it the rate at the schedule's peak for the search."
        )
    return float(own.numpy())


@contextlib.contextmanager
def settable(optimizer: Any) -> Iterator[Any]:
    """Yields the variable that holds the rate of one optimizer, or stands for its schedule."""
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
