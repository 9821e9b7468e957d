"""Timing of contenders side by side, and what is made of their times."""

import dataclasses
import itertools
import time
from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np

Times = dict[str, list[float]]
"""Seconds of each contender, one a round."""


@dataclasses.dataclass(frozen=True)
class Spread:
    """A median with its quartiles.

    Attributes:
        low: The lower quartile.
        median: The median.
        high: The upper quartile.
    """

    low: float
    median: float
    high: float

    def scaled(self, factor: float) -> "Spread":
        """Returns the same in another unit."""
        return Spread(self.low * factor, self.median * factor, self.high * factor)


def spread(values: Sequence[float]) -> Spread:
    """Returns median and quartiles of at least one value."""
    return Spread(*(float(quantile) for quantile in np.quantile(values, (0.25, 0.5, 0.75))))


def ratios(times: Times, contender: str, reference: str) -> list[float]:
    """Returns how many times longer a contender takes, round by round.

    Both were timed in the same round: what else the machine did at that moment weighs on both.
    """
    pairs = zip(times[contender], times[reference], strict=True)
    return [ours / theirs for ours, theirs in pairs]


def ratio(times: Times, contender: str, reference: str) -> Spread:
    """Returns median and quartiles of `ratios`."""
    return spread(ratios(times, contender, reference))


def interleaved(contenders: Mapping[str, Callable[[], object]], rounds: int) -> Times:
    """Times every contender once a round, each round starting with the next one.

    What a contender does only once, such as tracing, must lie behind it.
    """
    times: Times = {name: [] for name in contenders}
    for order in itertools.islice(_turning(list(contenders)), rounds):
        for name in order:
            times[name].append(seconds(contenders[name]))
    return times


def seconds(work: Callable[[], object]) -> float:
    """Returns the wall time of a call."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def _turning(names: list[str]) -> Iterator[list[str]]:
    for start in itertools.cycle(range(len(names))):
        yield names[start:] + names[:start]
