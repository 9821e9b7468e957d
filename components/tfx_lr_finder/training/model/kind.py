"""What kind of model it is: of which Keras, and what of it is the user's own."""

from typing import Any


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


def inner_optimizer(optimizer: Any) -> Any:
    """Returns the optimizer under a LossScaleOptimizer, or the optimizer itself."""
    return getattr(optimizer, "inner_optimizer", optimizer)
