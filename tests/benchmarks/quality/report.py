"""The report: Markdown, CSV and a figure."""

import pathlib
from collections.abc import Sequence

from quality.candidates import FORMS, ClassConstants
from quality.figure import draw
from quality.fit import SOURCES, fitted
from quality.further import Group
from quality.further_table import CELL, further_table
from quality.measurement import Measurement
from quality.results import (
    Results,
    budget_table,
    main_table,
    results_of,
    write_scores,
    write_suggestions,
)
from quality.roster import DEFAULT, REFERENCE, SEVERAL, contenders
from quality.tasks import Half
from quality.verdicts import verdict_table

FURTHER_RULES = (REFERENCE, "Keras's default rate", "fastai: valley")
"""The rules that are scored on the further combinations."""


def write_report(
    directory: pathlib.Path,
    measurements: Sequence[Measurement],
    further: Sequence[tuple[Group, Sequence[Measurement]]],
) -> str:
    """Writes report.md, scores.csv, suggestions.csv and regret.png; returns the report.

    Args:
        directory: Where to write.
        measurements: The combinations measured, of both halves.
        further: The groups of further combinations that were measured.
    """
    kept = [m for m in measurements if m.oracle.learns]
    roster = contenders(kept)
    halves = [results_of(half, kept, roster) for half in Half]
    halves = [results for results in halves if results.measurements]
    sections = list(halves)
    if any(m.combination.is_drawn for m in kept):
        sections += [half.of_origin(is_drawn) for half in halves for is_drawn in (False, True)]
    lines = ["# How good the suggested learning rates are", ""]
    lines += [f"Minus: in pairs, against {REFERENCE}. T: the trainer's budget.", ""]
    lines += [f"Left out, as no rate trains them: {len(measurements) - len(kept)}.", ""]
    lines += ["Constants fitted on the half for choices: shift in decades, exponent of T:", ""]
    for form in FORMS:
        constants = fitted(kept, FORMS[form])
        lines += [_constants(form, source, constants[source]) for source in SOURCES]
    for results in sections:
        lines += ["", *_section(results)]
    named = {contender.name: contender for contender in roster}
    rules = [named[name] for name in FURTHER_RULES]
    for group, measured in further:
        lines += ["", f"## {group.title}: {CELL}", "", further_table(group, measured, rules)]
    text = "\n".join(lines) + "\n"
    (directory / "report.md").write_text(text)
    write_scores(directory / "scores.csv", sections)
    write_suggestions(directory / "suggestions.csv", halves)
    draw(directory / "regret.png", halves[-1])
    return text


def _section(results: Results) -> list[str]:
    number = len(results.measurements)
    names = [c.name for c in results.contenders if " x " not in c.name]
    budgets = [
        name
        for name in names
        if "package: descent" in name or "valley" in name or "validation" in name
    ]
    lines = [f"## {results.title.capitalize()}: {number} combinations", ""]
    lines += [main_table(results, REFERENCE), ""]
    lines += ["### At shorter budgets: mean regret / within 10%", ""]
    lines += [budget_table(results, budgets), ""]
    for title, rule in (("one sweep", DEFAULT), ("three sweeps", SEVERAL)):
        lines += [f"### Verdict and regret: package: descent, 200 steps, {title}", ""]
        lines += [verdict_table(results.measurements, rule), ""]
    return lines


def _constants(form: str, source: str, constants: ClassConstants) -> str:
    values = [
        f"{name} {of_class.shift:+.2f}, {of_class.exponent:+.1f}"
        for name, of_class in (("plain", constants.plain), ("lagging", constants.lagging))
    ]
    return f"- {form}, {source}: {'; '.join(values)}"
