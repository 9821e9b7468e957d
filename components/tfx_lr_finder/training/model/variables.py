"""The variables of a model: what a training changes, and leaving them as they were."""

import contextlib
from collections.abc import Iterable, Iterator
from typing import Any

import tensorflow as tf

from tfx_lr_finder.training.model.kind import reports_own_loss
from tfx_lr_finder.training.model.optimizer_tree import optimizers_within


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
