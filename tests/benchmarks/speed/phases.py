"""Where the time of a pipeline's node goes."""

import contextlib
import functools
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

Seconds = dict[str, float]
"""Seconds by the name of a phase or a node."""


@contextlib.contextmanager
def timed(functions: Mapping[str, tuple[Any, str]]) -> Iterator[Seconds]:
    """Adds up the time that is spent in functions, until the block ends.

    Args:
        functions: The owner, a module or a class, and the attribute of each function, by the name
            of its phase.

    Yields:
        The seconds of each phase.
    """
    seconds = dict.fromkeys(functions, 0.0)
    originals = {phase: getattr(*place) for phase, place in functions.items()}
    for phase, (owner, attribute) in functions.items():
        setattr(owner, attribute, _adding_to(seconds, phase, originals[phase]))
    try:
        yield seconds
    finally:
        for phase, (owner, attribute) in functions.items():
            setattr(owner, attribute, originals[phase])


def _adding_to(seconds: Seconds, phase: str, function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def call(*arguments: Any, **options: Any) -> Any:
        started = time.perf_counter()
        try:
            return function(*arguments, **options)
        finally:
            seconds[phase] += time.perf_counter() - started

    return call
