"""The variables that a training of a model changes, and how they are restored."""

import contextlib
from collections.abc import Iterable, Iterator
from typing import Any

import numpy.typing as npt
import tensorflow as tf

from tfx_lr_finder.training.keras_types import Metric, Model, Variable
from tfx_lr_finder.training.model.kind import reports_own_loss
from tfx_lr_finder.training.model.optimizer_tree import optimizers_within


def training_variables(model: Model) -> list[Variable]:
    """Returns every variable that a training step may change, each once.

    They are the weights, random seeds and batch statistics of the model, the slots and counters of
    its optimizer, and the variables of its metrics. Some do not exist before a step is traced.
    """
    optimizer = model.optimizer
    variables = [
        *model.variables,
        *(variable for part in optimizers_within(optimizer) for variable in _slots(part)),
        *(variable for metric in metrics_within(model) for variable in metric.variables),
    ]
    # The `variables` of tf_keras's LossScaleOptimizer lack its dynamic loss scale.
    loss_scale = getattr(optimizer, "_loss_scale", None)
    if loss_scale is not None and hasattr(loss_scale, "counter"):
        variables += [loss_scale.current_loss_scale, loss_scale.counter]
    return list({id(variable): variable for variable in variables}.values())


def _slots(optimizer: Any) -> list[Variable]:
    """Returns an optimizer's `variables`, which is a method or a property."""
    return list(optimizer.variables() if callable(optimizer.variables) else optimizer.variables)


def changed_by_inference(model: Model) -> list[Variable]:
    """Returns every variable that an inference pass, or the computation of a loss, may change."""
    variables = [
        *model.non_trainable_variables,
        *memory(model),
        *(variable for metric in model.metrics for variable in metric.variables),
    ]
    return list({id(variable): variable for variable in variables}.values())


def not_among(variables: Iterable[tf.Variable], known: Iterable[Variable]) -> list[tf.Variable]:
    """Returns a graph's variables without the known ones and without replicas' copies of these."""
    handles = {id(part.handle) for variable in known for part in _own_parts(variable)}
    return [variable for variable in variables if id(variable.handle) not in handles]


def _own_parts(variable: Variable) -> tuple[tf.Variable, ...]:
    """Returns the TensorFlow variables that make up a variable of Keras or of a strategy."""
    own = _own(variable)
    return own.values if isinstance(own, tf.distribute.DistributedValues) else (own,)


def memory(model: Any) -> list[Variable]:
    """Returns the states of stateful recurrent layers, which are not among the weights."""
    layers = (layer for layer in model._flatten_layers() if getattr(layer, "stateful", False))
    states = (tf.nest.flatten(getattr(layer, "states", None)) for layer in layers)
    return [state for flat in states for state in flat if state is not None]


def metrics_within(model: Any) -> list[Metric]:
    """Returns the metrics of a model and its layers, also those that `model.metrics` lacks."""
    parts = [value for layer in model._flatten_layers() for value in vars(layer).values()]
    lists = [part for part in parts if isinstance(part, list | tuple)]
    lists += [list(part.values()) for part in parts if isinstance(part, dict)]
    inner = [value for part in lists for value in part]
    found = {id(value): value for value in [*model.metrics, *parts, *inner] if _is_metric(value)}
    return list(found.values())


def _is_metric(value: object) -> bool:
    return all(hasattr(type(value), name) for name in ("update_state", "result", "reset_state"))


def loss_metrics(model: Model) -> list[Metric]:
    """Returns the metrics from which a training step may read its loss.

    With a small model, the time to reset all metrics after each step would be noticeable.
    """
    if reports_own_loss(model):
        return metrics_within(model)
    return [metric for metric in model.metrics if metric.name == "loss"]


@contextlib.contextmanager
def kept_variables(variables: Iterable[Variable]) -> Iterator[None]:
    """Restores the values of variables on exit.

    The former values are kept in main memory.
    """
    variables = list(variables)
    values = values_of(variables)
    try:
        yield
    finally:
        set_values(variables, values)


def values_of(variables: Iterable[Variable]) -> list[npt.NDArray[Any]]:
    """Returns the values of variables, for `set_values`."""
    return [part.numpy() for variable in variables for part in _parts(variable)]


def set_values(variables: Iterable[Variable], values: Iterable[npt.NDArray[Any]]) -> None:
    """Sets variables to the values that `values_of` returned."""
    parts = [part for variable in variables for part in _parts(variable)]
    for part, value in zip(parts, values, strict=True):
        part.assign(value)


def _parts(variable: Variable) -> list[Variable]:
    """Returns variables that can be read and set without another worker, which may have failed.

    Usually that is the variable itself. If each replica has a value of its own, reading the
    variable combines the values of all workers. Then the local replicas' variables are returned.
    """
    own = _own(variable)
    is_distributed = isinstance(own, tf.distribute.DistributedValues)
    if is_distributed and own.synchronization is tf.VariableSynchronization.ON_READ:
        return list(own.distribute_strategy.experimental_local_results(own))
    return [variable]


def _own(variable: Variable) -> tf.Variable:
    """Returns the TensorFlow variable inside a Keras 3 variable, or the variable itself."""
    return variable if isinstance(variable, tf.Variable) else variable.value
