"""Which Keras a model belongs to, and which parts of it are the user's own code."""

from collections.abc import Callable
from typing import Any

from tfx_lr_finder.training.keras_types import Model, Optimizer


def is_adapted(model: Any) -> bool:
    """Returns whether a layer can `adapt` to data: its vocabulary or mean is a graph's constant."""
    return any(hasattr(layer, "adapt") for layer in model._flatten_layers())


def package(part: type | Callable[..., object]) -> str:
    """Returns the name of the package of a class or function, for example `keras`."""
    return str(part.__module__).partition(".")[0]


def is_of_keras(part: type | Callable[..., object]) -> bool:
    """Returns whether a class or function is one of Keras 3 or tf_keras."""
    return package(part) in ("keras", "tf_keras")


def is_tf_keras(model: Model) -> bool:
    """Returns whether a model belongs to tf_keras, not to Keras 3."""
    return any(package(base) == "tf_keras" for base in type(model).__mro__)


def has_own_train_step(model: Model) -> bool:
    """Returns whether a model's training step is the user's own, which may have any loss."""
    return not is_of_keras(type(model).train_step)


def reports_own_loss(model: Model) -> bool:
    """Returns whether user code may decide which loss a training step reports."""
    makers = (type(model).compute_metrics, type(model).get_metrics_result)
    return not all(is_of_keras(maker) for maker in makers) or has_own_train_step(model)


def inner_optimizer(optimizer: Optimizer) -> Optimizer:
    """Returns the optimizer inside a LossScaleOptimizer, or the optimizer itself."""
    return getattr(optimizer, "inner_optimizer", optimizer)
