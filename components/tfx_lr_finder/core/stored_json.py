"""Dataclasses as JSON: written without loss, and read strictly."""

import dataclasses
import enum
import json
import math
import types
import typing
from collections.abc import Mapping
from typing import Any, TypeVar

import numpy as np

MAX_DEPTH = 32
"""Greatest nesting of lists and objects. Python can parse deeper JSON, but not write it again."""


MAY_BE_INFINITE = {"may_be_infinite": True}
"""Metadata of a dataclass's number field, in which null stands for infinity: JSON has none."""

Kind = TypeVar("Kind")
_UNIONS = (typing.Union, types.UnionType)


def parse(text: str) -> Any:
    """Returns the value of a JSON text.

    Raises:
        ValueError: If the text is not JSON, has a number that is not finite, or nests more than
            32 lists and objects.
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


def plain(value: Any) -> Any:
    """Returns a dataclass, or another value, as JSON can hold it; `restored` is the inverse."""
    if dataclasses.is_dataclass(value):
        named = [(field, getattr(value, field.name)) for field in dataclasses.fields(value)]
        return {
            field.name: None if _is_infinite(field, part) else plain(part) for field, part in named
        }
    if isinstance(value, enum.Enum):
        return value.value
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, Mapping):
        return dict(value)
    return list(map(plain, value)) if isinstance(value, tuple) else value


def _is_infinite(field: Any, value: Any) -> bool:
    return field.metadata == MAY_BE_INFINITE and not math.isfinite(value)


def restored(kind: type[Kind], content: Any) -> Kind:
    """Returns a dataclass from a JSON value as `plain` gave it.

    Args:
        kind: The dataclass. Its integer fields must not be negative, except `seed`.
        content: The parsed JSON. It must be an object with a value of the right type for each
            field. Fields that have a default may be missing.

    Raises:
        ValueError: If `content` is not such an object. The message names the field.
    """
    hints = typing.get_type_hints(kind)
    _check_fields(kind, content, hints)
    return kind(**{name: _restored(value, hints[name]) for name, value in content.items()})


def _restored(value: Any, hint: Any) -> Any:
    origin, parts = typing.get_origin(hint), typing.get_args(hint)
    if origin in _UNIONS:
        return None if value is None else _restored(value, parts[0])
    if origin is tuple:
        return tuple(_restored(part, parts[0]) for part in value)
    if isinstance(hint, type) and dataclasses.is_dataclass(hint):
        return restored(hint, value)
    if hint is float:
        return math.inf if value is None else float(value)
    return hint(value) if isinstance(hint, enum.EnumMeta) else value


def _check_fields(kind: type, content: Any, hints: dict[str, Any]) -> None:
    what = f"{'an' if kind.__name__[0] in 'AEIOU' else 'a'} {kind.__name__.lower()}"
    if not isinstance(content, dict):
        raise ValueError(f"{what.capitalize()} must be an object. Received: {_shown(content)}.")
    fields = {field.name: field for field in dataclasses.fields(kind)}
    missing = [name for name, field in fields.items() if name not in content and _is_needed(field)]
    unknown = sorted(content.keys() - fields.keys())
    if missing or unknown:
        raise ValueError(
            f"{what.capitalize()} must have the fields {', '.join(fields)}. "
            f"Received: missing {missing}, unknown {_shown(unknown)}."
        )
    for name, value in content.items():
        stands_for_infinity = value is None and fields[name].metadata == MAY_BE_INFINITE
        is_fit = stands_for_infinity or _fits(value, hints[name])
        if not is_fit or (hints[name] is int and value < 0 and name != "seed"):
            raise ValueError(
                f"The {name} of {what} must be {_described(hints[name])}. "
                f"Received: {_shown(value)}."
            )


def check_not_negative(name: str, value: float | None) -> None:
    """Checks that a number is at least 0 and finite. None is accepted.

    Raises:
        ValueError: If the number is negative, infinite or NaN.
    """
    if value is not None and not 0 <= value < math.inf:
        raise ValueError(f"The {name} must be at least 0 and finite. Received: {value}.")


def _is_needed(field: Any) -> bool:
    missing = dataclasses.MISSING
    return field.default is missing and field.default_factory is missing


def _fits(value: Any, hint: Any) -> bool:
    origin, parts = typing.get_origin(hint), typing.get_args(hint)
    if origin in _UNIONS:
        return any(_fits(value, part) for part in parts)
    if origin is np.ndarray:
        return isinstance(value, list) and all(_fits(number, float) for number in value)
    if origin is tuple:
        return isinstance(value, list) and all(_fits(part, parts[0]) for part in value)
    if origin is not None and issubclass(origin, Mapping):
        return isinstance(value, dict) and all(_fits(part, parts[1]) for part in value.values())
    if hint is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    if hint is int:
        return isinstance(value, int) and not isinstance(value, bool)
    if issubclass(hint, enum.Enum):
        return value in [member.value for member in hint]
    if dataclasses.is_dataclass(hint):
        return isinstance(value, dict)
    return isinstance(value, hint)


def _described(hint: Any) -> str:
    if isinstance(hint, type) and issubclass(hint, enum.Enum):
        return f"one of {', '.join(member.value for member in hint)}"
    simple = {
        float: "a number",
        int: "an integer of at least 0",
        bool: "true or false",
        str: "a text",
    }
    if hint in simple:
        return simple[hint]
    if type(None) in typing.get_args(hint):
        return " or ".join("null" if p is type(None) else _described(p) for p in hint.__args__)
    origin = typing.get_origin(hint)
    if origin is np.ndarray:
        return "a list of numbers"
    parts = typing.get_args(hint)
    if origin is tuple:
        return f"a list, each of which is {_described(parts[0])}"
    return "an object" + (f", each of whose values is {_described(parts[1])}" if parts else "")


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 100 else f"{text[:100]} and so on"
