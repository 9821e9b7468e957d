"""JSON as its standard has it, which Python's own reader is not content with."""

import json
import math
from typing import Any

MAX_DEPTH = 32
"""So many lists and objects in each other, at most: more could be read, and not written again."""


def parse(text: str) -> Any:
    """Returns the value that a text of JSON stands for.

    Raises:
        ValueError: If it is not JSON, has a number that is not finite, or is nested too deep.
    """
    try:
        value = json.loads(text, parse_constant=_refuse, parse_float=_finite)
    except RecursionError:
        raise _too_deep() from None
    if not _is_within(value, MAX_DEPTH):
        raise _too_deep()
    return value


def _refuse(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def _finite(text: str) -> float:
    if math.isfinite(number := float(text)):
        return number
    raise ValueError(f"{text[:20]} is beyond the numbers that a float can hold")


def _too_deep() -> ValueError:
    return ValueError(f"more than {MAX_DEPTH} lists and objects are nested in each other")


def _is_within(value: Any, depth: int) -> bool:
    if not isinstance(value, dict | list):
        return True
    if not depth:
        return False
    parts = value.values() if isinstance(value, dict) else value
    return all(_is_within(part, depth - 1) for part in parts if isinstance(part, dict | list))
