"""The results of a part, and the table of all parts that were measured."""

import dataclasses
import json
import os
import platform
import time
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from speed.timing import Spread

PARTS = {
    1: "A step, against the limit and the peers",
    2: "The first step",
    3: "The component's fixed cost",
    4: "Against the Tuner",
    5: "Growth",
    6: "The share of a long training",
}
"""The parts of the benchmark by number."""


@dataclasses.dataclass(frozen=True)
class Target:
    """What a value has to reach.

    Attributes:
        limit: The bound.
        is_most: Whether the value may be at most the bound; otherwise it must be at least.
    """

    limit: float
    is_most: bool

    def is_met(self, value: float) -> bool:
        """Returns whether a value is within the bound."""
        return value <= self.limit if self.is_most else value >= self.limit

    def __str__(self) -> str:
        return f"{'at most' if self.is_most else 'at least'} {self.limit:g}"


def at_most(limit: float) -> Target:
    """Returns an upper bound."""
    return Target(limit, True)


def at_least(limit: float) -> Target:
    """Returns a lower bound."""
    return Target(limit, False)


@dataclasses.dataclass(frozen=True)
class Result:
    """One line of the table.

    Attributes:
        name: What was measured.
        value: The median, or None where it could not be measured.
        unit: Its unit; `x` for a ratio.
        low: The lower quartile, or None where it was measured once.
        high: The upper quartile, or None.
        target: The bound, or None for a figure that is only reported.
    """

    name: str
    value: float | None
    unit: str
    low: float | None = None
    high: float | None = None
    target: Target | None = None

    @classmethod
    def of(cls, name: str, values: Spread, unit: str, target: Target | None = None) -> "Result":
        """Returns the line of a value that was measured several times."""
        return cls(name, values.median, unit, values.low, values.high, target)

    @property
    def verdict(self) -> str:
        """`pass` or `miss`, or nothing where there is no target or no value."""
        if self.target is None or self.value is None:
            return ""
        return "pass" if self.target.is_met(self.value) else "**miss**"


def write_part(folder: Path, part: int, results: Sequence[Result]) -> None:
    """Writes the results of a part as JSON, with where and when they were measured."""
    content = {
        "part": part,
        "environment": _environment(),
        "results": [dataclasses.asdict(result) for result in results],
    }
    folder.mkdir(parents=True, exist_ok=True)
    _file(folder, part).write_text(json.dumps(content, indent=1))


def write_report(folder: Path) -> str:
    """Writes `report.md` and returns it: the targets first, then every part that was measured."""
    contents = {
        part: json.loads(_file(folder, part).read_text())
        for part in PARTS
        if _file(folder, part).exists()
    }
    results = {part: _results(content) for part, content in contents.items()}
    targets = [
        dataclasses.replace(result, name=f"{part}. {result.name}")
        for part in results
        for result in results[part]
        if result.target is not None
    ]
    sections = [f"## Targets\n\n{table(targets)}\n"]
    for part, content in contents.items():
        where = ", ".join(f"{name} {value}" for name, value in content["environment"].items())
        sections.append(f"## {part}. {PARTS[part]}\n\n{where}\n\n{table(results[part])}\n")
    text = "\n".join(sections)
    (folder / "report.md").write_text(text)
    return text


def table(results: Sequence[Result]) -> str:
    """Returns the results as a Markdown table."""
    lines = ["| what | median | quartiles | target | |", "|---|---|---|---|---|"]
    for result in results:
        between = ""
        if result.low is not None and result.high is not None:
            between = f"{_number(result.low)} to {_number(result.high)}"
        target = "" if result.target is None else str(result.target)
        value = "not measured"
        if result.value is not None:
            value = f"{_number(result.value)} {result.unit}".rstrip()
        lines.append(f"| {result.name} | {value} | {between} | {target} | {result.verdict} |")
    return "\n".join(lines)


def _results(content: dict[str, Any]) -> list[Result]:
    return [
        Result(**{**fields, "target": Target(**fields["target"]) if fields["target"] else None})
        for fields in content["results"]
    ]


def _file(folder: Path, part: int) -> Path:
    return folder / f"part{part}.json"


def _environment() -> dict[str, str]:
    return {
        "date": time.strftime("%Y-%m-%d"),
        "Python": platform.python_version(),
        "TFX": version("tfx"),
        "TensorFlow": _tensorflow_version(),
        "Keras": version("keras"),
        "cores": str(len(os.sched_getaffinity(0))),
        "load at the end": f"{os.getloadavg()[0]:.1f}",
    }


def _tensorflow_version() -> str:
    import tensorflow as tf

    return str(tf.__version__)


def _number(value: float) -> str:
    return f"{value:.3g}" if abs(value) < 1000 else f"{value:.0f}"
