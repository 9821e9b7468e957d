"""Commands on stored sweeps: `suggest`, `plot`, `report` and `compare`.

They train nothing, and load neither TensorFlow nor TFX.
"""

import dataclasses
import os
import pathlib
from collections.abc import Callable, Sequence
from typing import Any

import click

from tfx_lr_finder.command_line.program import Command, put_out
from tfx_lr_finder.core.evidence import EVIDENCE_FILE, Evidence
from tfx_lr_finder.core.publishing.interval import expectation
from tfx_lr_finder.core.rules import RULES
from tfx_lr_finder.core.suggestion import suggest

SWEEP_FILE = os.path.join("sweep", EVIDENCE_FILE)
"""Path of the evidence in the output folder of the command `sweep`."""

_stored_sweep = click.argument("sweep", type=click.Path(exists=True))
_rule = click.option(
    "--rule",
    type=click.Choice(sorted(RULES)),
    help="Read the rate off the curves by this rule.  [default: the rate that was published]",
)


def _no_evidence(context: click.Context, option: click.Parameter, path: str) -> str:
    if os.path.basename(os.path.realpath(path)) == EVIDENCE_FILE:
        raise click.BadParameter(
            f"It must not be a sweep, which would be replaced. Received: {path}. Name another file."
        )
    return path


def _output(default: str) -> Callable[[Any], Any]:
    return click.option(
        "--output",
        type=click.Path(dir_okay=False),
        default=default,
        show_default=True,
        callback=_no_evidence,
        help="The file to write.",
    )


@click.command("suggest", cls=Command)
@_stored_sweep
@_rule
def suggest_command(sweep: str, rule: str | None, as_json: bool) -> None:
    """Suggests a rate from a stored sweep, without training.

    SWEEP is a sweep.json, the folder in which it lies, which is the component's output `sweep`,
    or the one that `sweep --output` was given.

    \b
    Examples:
      tfx-lr-finder suggest pipeline/LearningRateFinder/sweep/6
      tfx-lr-finder suggest sweep.json --rule valley --json
    """
    evidence = read_evidence(sweep, rule)
    put_out(to_dict(evidence), in_words(evidence), as_json)


@click.command("plot", cls=Command)
@_stored_sweep
@_rule
@_output("curve.png")
def plot_command(sweep: str, rule: str | None, output: str, as_json: bool) -> None:
    """Draws the picture of a stored sweep, a PNG.

    SWEEP is a sweep.json, the folder in which it lies, or the one above.

    \b
    Examples:
      tfx-lr-finder plot pipeline/LearningRateFinder/sweep/6
      tfx-lr-finder plot sweep.json --rule steepest --output steepest.png
    """
    from tfx_lr_finder.views.plot import plot

    evidence = read_evidence(sweep, rule)
    _write(output, plot(evidence), evidence, as_json)


@click.command("report", cls=Command)
@_stored_sweep
@_rule
@_output("report.html")
def report_command(sweep: str, rule: str | None, output: str, as_json: bool) -> None:
    """Writes the page of a stored sweep, one HTML file.

    SWEEP is a sweep.json, the folder in which it lies, or the one above.

    \b
    Examples:
      tfx-lr-finder report pipeline/LearningRateFinder/sweep/6
      tfx-lr-finder report sweep.json --rule minimum --output minimum.html
    """
    from tfx_lr_finder.views.plot import plot
    from tfx_lr_finder.views.report import report

    evidence = read_evidence(sweep, rule)
    _write(output, report(evidence, plot(evidence)).encode(), evidence, as_json)


@click.command("compare", cls=Command)
@click.argument("sweeps", type=click.Path(exists=True), nargs=-1, required=True)
@_rule
@_output("comparison.png")
def compare_command(sweeps: Sequence[str], rule: str | None, output: str, as_json: bool) -> None:
    """Shows several stored sweeps in a picture and a table.

    SWEEPS are sweep.json files, the folders in which they lie, or those above.

    \b
    Examples:
      tfx-lr-finder compare pipeline/LearningRateFinder/sweep/*
      tfx-lr-finder compare adam.json sgd.json --rule valley --output optimizers.png
    """
    from tfx_lr_finder.views.comparison import plot_comparison

    found = {path: read_evidence(path, rule) for path in sweeps}
    _replace(output, plot_comparison(found))
    content = [{"sweep": path, **to_dict(e)} for path, e in found.items()]
    put_out({"sweeps": content, "file": output}, f"{_table(found)}\n\n{output}", as_json)


def read_evidence(path: str, rule: str | None = None) -> Evidence:
    """Returns a stored evidence, on request with the suggestion of another rule.

    Args:
        path: The `sweep.json`, the folder that contains it, or the folder above, as the command
            `sweep` writes it.
        rule: Name of a rule, whose suggestion replaces the published one. The trials and proofs
            are left out then, because they belong to the published rate. None (default) keeps the
            evidence unchanged.

    Raises:
        NoLearningRateError: If the rule suggests no rate.
        OSError: If the file cannot be read.
        ValueError: If the file is not the JSON of an evidence.
    """
    with open(_file(path), encoding="utf-8", errors="replace") as file:
        evidence = Evidence.from_json(file.read())
    if rule is None:
        return evidence
    of_rule = Evidence.of(suggest(evidence.curves, rule), evidence.curves)
    return dataclasses.replace(of_rule, versions=evidence.versions, seconds=evidence.seconds)


def _file(path: str) -> str:
    if not os.path.isdir(path):
        return path
    file = os.path.join(path, EVIDENCE_FILE)
    below = os.path.join(path, SWEEP_FILE)
    return below if os.path.exists(below) and not os.path.exists(file) else file


def to_dict(evidence: Evidence) -> dict[str, Any]:
    """Returns what was published as a dict for JSON, with the verdict's meaning and the advice."""
    published = evidence.published
    return {
        "learning_rate": published.learning_rate,
        "rule": evidence.rule,
        "verdict": published.verdict.value,
        "interval": published.interval,
        "spread": evidence.spread,
        "meaning": published.verdict.meaning,
        "advice": evidence.advice,
    }


def in_words(evidence: Evidence) -> str:
    """Returns what was published as text for human readers."""
    published, expected = evidence.published, expectation(evidence.published.interval)
    lines = [
        f"Learning rate  {published.learning_rate:.3g} "
        f"(rule: {evidence.rule}, verdict: {published.verdict.value})",
        expected and f"Expected       {expected}",
        f"{published.verdict.meaning}{evidence.advice and ' ' + evidence.advice}",
    ]
    return "\n".join(filter(None, lines))


def _write(path: str, content: bytes, evidence: Evidence, as_json: bool) -> None:
    _replace(path, content)
    put_out({**to_dict(evidence), "file": path}, f"{in_words(evidence)}\n{path}", as_json)


def _replace(path: str, content: bytes) -> None:
    """Writes a file. An existing file is replaced only when the new one is complete."""
    if os.path.exists(path) and not os.path.isfile(path):  # a device or a pipe, for example
        pathlib.Path(path).write_bytes(content)
        return
    path = os.path.realpath(path)
    beside = f"{path}.{os.getpid()}.unfinished"
    try:
        pathlib.Path(beside).write_bytes(content)
        os.replace(beside, path)
    finally:
        pathlib.Path(beside).unlink(missing_ok=True)


def _table(sweeps: dict[str, Evidence]) -> str:
    rows = [("learning rate", "rule", "verdict", "points", "sweep")]
    for path, evidence in sweeps.items():
        published, curve = evidence.published, evidence.curves[0]
        points = f"{len(curve)}/{curve.num_steps}"
        rate, verdict = f"{published.learning_rate:.3g}", published.verdict.value
        rows.append((rate, evidence.rule, verdict, points, path))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ("  ".join(map(str.ljust, row, widths)).rstrip() for row in rows)
    return "\n".join(lines)
