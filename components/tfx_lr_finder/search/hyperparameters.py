"""Hyperparameters in the format of keras_tuner's `HyperParameters.get_config()`.

The stock Trainer hands the dict to the user's module as it is. It is edited as a dict here, so
that whatever an upstream Tuner wrote comes through unchanged.
"""

import math
from typing import Any

from tfx_lr_finder.core import stored_json

Config = dict[str, Any]


def parse_config(text: str, source: str) -> Config:
    """Returns an upstream configuration.

    Args:
        text: Its JSON.
        source: Where it was read, for the message.

    Raises:
        ValueError: If it is not JSON, or not of the form of `HyperParameters.get_config()`.
    """
    try:
        config = stored_json.parse(text)
    except ValueError as error:
        raise ValueError(
            "Upstream hyperparameters must be JSON. "
            f"Received: {text[:200]!r} in {source}, {error}. Write them as a Tuner does."
        ) from error
    if not _is_config(config):
        raise ValueError(
            "Upstream hyperparameters must have the form of keras_tuner's "
            '`HyperParameters.get_config()`: {"space": [...], "values": {...}}, with a text for '
            "each name. "
            f"Received: {text[:200]!r} in {source}. Write them as a Tuner does."
        )
    return config  # type: ignore[no-any-return]


def _is_config(config: Any) -> bool:
    return (
        isinstance(config, dict)
        and isinstance(config.get("values"), dict)
        and isinstance(config.get("space"), list)
        and all(
            isinstance(entry, dict)
            and isinstance(entry.get("config"), dict)
            and isinstance(entry["config"].get("name", ""), str)
            for entry in config["space"]
        )
    )


def hyperparameter_names(config: Config) -> set[str]:
    """Returns the names of a configuration's hyperparameters, of its values and its space."""
    entries = (entry["config"] for entry in config["space"])
    return {*config["values"], *(entry["name"] for entry in entries if "name" in entry)}


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
    known = any(entry["config"].get("name") == name for entry in config["space"])
    space = config["space"] if known else [*config["space"], _float(name, learning_rate, low, high)]
    return {**config, "space": space, "values": {**config["values"], name: learning_rate}}


def with_any_rate(config: Config | None, name: str, low: float, high: float) -> Config:
    """Returns a configuration that has a learning rate, for code that reads one.

    It has the form that the Trainer will be given. The rate is the upstream one; where there is
    none it is the middle of the range that is swept, on the logarithmic axis, for want of one
    that is found: one that the user's code can build a model with, whose optimizer is then given
    the rates of the sweep.

    Args:
        config: The upstream configuration, or None where there is none.
        name: Name of the learning rate in it.
        low: The first rate that is swept.
        high: The last one.
    """
    if config is not None and name in config["values"]:
        return config
    return with_learning_rate(config, name, math.sqrt(low) * math.sqrt(high), low, high)


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
