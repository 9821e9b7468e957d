"""Commands on stored sweeps: nothing is trained, neither TensorFlow nor TFX is loaded."""

import dataclasses
import os
import pathlib
from collections.abc import Callable, Sequence
from typing import Any

import click

from tfx_lr_finder.command_line.program import Command, put_out
from tfx_lr_finder.evidence import EVIDENCE_FILE, Evidence
from tfx_lr_finder.rules import RULES
from tfx_lr_finder.suggestion import Suggestion, suggest

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

    SWEEP is a sweep.json, or the folder in which it lies: the component's output `sweep`.

    \b
    Examples:
      tfx-lr-finder suggest pipeline/LearningRateFinder/sweep/6
      tfx-lr-finder suggest sweep.json --rule valley --json
    """
    suggestion = read_evidence(sweep, rule).suggestion
    put_out(to_dict(suggestion), in_words(suggestion), as_json)


@click.command("plot", cls=Command)
@_stored_sweep
@_rule
@_output("curve.png")
def plot_command(sweep: str, rule: str | None, output: str, as_json: bool) -> None:
    """Draws the picture of a stored sweep, a PNG.

    SWEEP is a sweep.json, or the folder in which it lies.

    \b
    Examples:
      tfx-lr-finder plot pipeline/LearningRateFinder/sweep/6
      tfx-lr-finder plot sweep.json --rule steepest --output steepest.png
    """
    from tfx_lr_finder.plot import plot

    evidence = read_evidence(sweep, rule)
    _write(output, plot(evidence), evidence.suggestion, as_json)


@click.command("report", cls=Command)
@_stored_sweep
@_rule
@_output("report.html")
def report_command(sweep: str, rule: str | None, output: str, as_json: bool) -> None:
    """Writes the page of a stored sweep, one HTML file.

    SWEEP is a sweep.json, or the folder in which it lies.

    \b
    Examples:
      tfx-lr-finder report pipeline/LearningRateFinder/sweep/6
      tfx-lr-finder report sweep.json --rule minimum --output minimum.html
    """
    from tfx_lr_finder.plot import plot
    from tfx_lr_finder.report import report

    evidence = read_evidence(sweep, rule)
    _write(output, report(evidence, plot(evidence)).encode(), evidence.suggestion, as_json)


@click.command("compare", cls=Command)
@click.argument("sweeps", type=click.Path(exists=True), nargs=-1, required=True)
@_rule
@_output("comparison.png")
def compare_command(sweeps: Sequence[str], rule: str | None, output: str, as_json: bool) -> None:
    """Shows several stored sweeps in a picture and a table.

    SWEEPS are sweep.json files, or the folders in which they lie.

    \b
    Examples:
      tfx-lr-finder compare pipeline/LearningRateFinder/sweep/*
      tfx-lr-finder compare adam.json sgd.json --rule valley --output optimizers.png
    """
    from tfx_lr_finder.comparison import plot_comparison

    found = {path: read_evidence(path, rule) for path in sweeps}
    pathlib.Path(output).write_bytes(plot_comparison(found))
    content = [{"sweep": path, **to_dict(e.suggestion)} for path, e in found.items()]
    put_out({"sweeps": content, "file": output}, f"{_table(found)}\n\n{output}", as_json)


def read_evidence(path: str, rule: str | None = None) -> Evidence:
    """Returns a stored evidence, with the suggestion of a rule in place of the published one.

    Args:
        path: The `sweep.json`, or the folder in which it lies.
        rule: Name of the rule; None (default) for the suggestion that was published. The trials,
            which settled that one, are left out of another rule's evidence.

    Raises:
        NoLearningRateError: If the rule has no rate.
        OSError: If the file cannot be read.
        ValueError: If it is not the JSON of an evidence.
    """
    file_path = os.path.join(path, EVIDENCE_FILE) if os.path.isdir(path) else path
    with open(file_path, encoding="utf-8", errors="replace") as file:
        evidence = Evidence.from_json(file.read())
    if rule is None:
        return evidence
    suggestion = suggest(evidence.curves, rule)
    return dataclasses.replace(evidence, suggestion=suggestion, trials=(), trial_steps=0)


def to_dict(suggestion: Suggestion) -> dict[str, Any]:
    """Returns a suggestion for JSON, with its verdict in words."""
    return {**dataclasses.asdict(suggestion), "meaning": suggestion.verdict.meaning}


def in_words(suggestion: Suggestion) -> str:
    """Returns a suggestion for people."""
    return (
        f"Learning rate  {suggestion.learning_rate:.3g} "
        f"(rule: {suggestion.rule}, verdict: {suggestion.verdict.value})\n"
        f"{suggestion.verdict.meaning}"
    )


def _write(path: str, content: bytes, suggestion: Suggestion, as_json: bool) -> None:
    pathlib.Path(path).write_bytes(content)
    put_out({**to_dict(suggestion), "file": path}, f"{in_words(suggestion)}\n{path}", as_json)


def _table(sweeps: dict[str, Evidence]) -> str:
    rows = [("learning rate", "rule", "verdict", "points", "sweep")]
    for path, evidence in sweeps.items():
        suggestion, curve = evidence.suggestion, evidence.curves[0]
        points = f"{len(curve)}/{curve.num_steps}"
        rate, verdict = f"{suggestion.learning_rate:.3g}", suggestion.verdict.value
        rows.append((rate, suggestion.rule, verdict, points, path))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ("  ".join(map(str.ljust, row, widths)).rstrip() for row in rows)
    return "\n".join(lines)
