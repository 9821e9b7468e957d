"""Hyperparameters in the format of keras_tuner's `HyperParameters.get_config()`.

The stock Trainer hands the dict to the user's module as it is. It is edited as a dict here, so
that whatever an upstream Tuner wrote comes through unchanged.
"""

from typing import Any

Config = dict[str, Any]


def checked_config(config: Any) -> Config:
    """Returns an upstream configuration.

    Raises:
        ValueError: If it does not have the form of `HyperParameters.get_config()`.
    """
    if (
        not isinstance(config, dict)
        or not isinstance(config.get("space"), list)
        or not isinstance(config.get("values"), dict)
    ):
        raise ValueError(
            "Upstream hyperparameters must have the form of keras_tuner's "
            '`HyperParameters.get_config()`: {"space": [...], "values": {...}}. '
            f"Received: {str(config)[:200]}. Write them as a Tuner does."
        )
    return config


def with_learning_rate(
    config: Config | None, name: str, learning_rate: float, low: float, high: float
) -> Config:
    """Returns a configuration in which the learning rate is replaced, or added, and nothing else.

    Args:
        config: The upstream configuration, or None where there is none.
        name: Name of the learning rate in it.
        learning_rate: The new value.
        low: Least value of the rate's entry in the space, where the entry is new.
        high: Greatest value of it.
    """
    config = config or {"space": [], "values": {}}
    known = any(entry.get("config", {}).get("name") == name for entry in config["space"])
    space = config["space"] if known else [*config["space"], _float(name, learning_rate, low, high)]
    return {**config, "space": space, "values": {**config["values"], name: learning_rate}}


def _float(name: str, default: float, low: float, high: float) -> Config:
    return {
        "class_name": "Float",
        "config": {
            "name": name,
            "default": default,
            "conditions": [],
            "min_value": low,
            "max_value": high,
            "step": None,
            "sampling": "log",
        },
    }
