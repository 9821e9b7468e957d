"""Hyperparameters in the format of keras_tuner's `HyperParameters.get_config()`.

The stock Trainer passes this dict to the user's module. The finder edits the dict itself, so that
everything else an upstream Tuner wrote stays unchanged.
"""

import math
from typing import Any

from tfx_lr_finder.core import stored_json

Config = dict[str, Any]


def parse_config(text: str, source: str) -> Config:
    """Parses the configuration that an upstream Tuner wrote.

    Args:
        text: The configuration as JSON.
        source: Where the text was read, for the error message.

    Raises:
        ValueError: If the text is not JSON, or not in the form of `HyperParameters.get_config()`.
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
    """Returns the names of all hyperparameters in a configuration's values and space."""
    entries = (entry["config"] for entry in config["space"])
    return {*config["values"], *(entry["name"] for entry in entries if "name" in entry)}


def with_learning_rate(
    config: Config | None, name: str, learning_rate: float, low: float, high: float
) -> Config:
    """Returns a copy of a configuration with the learning rate replaced or added.

    Args:
        config: The upstream configuration, or None if there is none.
        name: Name of the learning rate in the configuration.
        learning_rate: The new value.
        low: Least rate in the space, used if the space has no entry for the rate yet.
        high: Greatest rate in the space, used likewise.
    """
    config = config or {"space": [], "values": {}}
    known = any(entry["config"].get("name") == name for entry in config["space"])
    space = config["space"] if known else [*config["space"], _float(name, learning_rate, low, high)]
    return {**config, "space": space, "values": {**config["values"], name: learning_rate}}


def with_any_rate(config: Config | None, name: str, low: float, high: float) -> Config:
    """Returns a configuration with a learning rate, for user code that reads one.

    The configuration has the form that the Trainer will receive. An upstream rate is kept.
    Without one, the rate is a placeholder: the middle of the swept range, on the logarithmic axis.
    The user's code builds a model with it, and the sweep then sets the rate of the optimizer.

    Args:
        config: The upstream configuration, or None if there is none.
        name: Name of the learning rate in the configuration.
        low: The first rate of the sweep.
        high: The last rate of the sweep.
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
