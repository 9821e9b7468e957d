"""The outcomes of every rule on every combination, and the tables made of them."""

import csv
import dataclasses
import itertools
import pathlib
from collections.abc import Sequence

import numpy as np

from quality.measurement import Measurement
from quality.oracle import BUDGET_PARTS
from quality.roster import Contender
from quality.score import Outcomes, Score, evaluate, paired, score
from quality.tasks import Half

FULL = len(BUDGET_PARTS) - 1


@dataclasses.dataclass(frozen=True)
class Results:
    """Outcomes of some combinations: `outcomes[rule][combination]` at full budget.

    Attributes:
        title: Which combinations they are.
        measurements: The combinations.
        contenders: The rules.
        outcomes: One list for each rule, in the order of the measurements.
    """

    title: str
    measurements: list[Measurement]
    contenders: list[Contender]
    outcomes: dict[str, list[Outcomes]]

    def of_origin(self, is_drawn: bool) -> "Results":
        """Returns those of the combinations that were drawn, or of those made by hand."""
        kept = [m.combination.is_drawn is is_drawn for m in self.measurements]
        return Results(
            f"{self.title}, {'drawn' if is_drawn else 'made by hand'}",
            [*itertools.compress(self.measurements, kept)],
            self.contenders,
            {name: [*itertools.compress(of, kept)] for name, of in self.outcomes.items()},
        )

    @property
    def scores(self) -> dict[str, Score]:
        """The score of each rule at full budget."""
        return {name: score(outcomes) for name, outcomes in self.outcomes.items()}


def results_of(
    half: Half, measurements: Sequence[Measurement], contenders: list[Contender]
) -> Results:
    """Returns the outcomes of every rule on the combinations of a half."""
    chosen = [m for m in measurements if m.combination.half is half]
    outcomes = {c.name: [evaluate(m.oracle, c.rates(m, FULL)) for m in chosen] for c in contenders}
    return Results(half.value, chosen, contenders, outcomes)


def main_table(results: Results, reference: str) -> str:
    """Returns every rule's score as a Markdown table."""
    lines = [
        "| rule | steps | median regret | mean regret [90%] | within 10% [90%] | "
        "within 25% [90%] | useless | no answer | spread, decades | minus [90%] |",
        "|---" * 10 + "|",
    ]
    for contender in results.contenders:
        outcomes = results.outcomes[contender.name]
        s = score(outcomes)
        difference, interval = paired(outcomes, results.outcomes[reference])
        lines.append(
            f"| {contender.name} | {contender.cost} | {s.median_regret:.3f} | "
            f"{s.mean_regret:.3f} {_interval(s.mean_interval)} | "
            f"{s.within_10:.0%} {_shares(s.within_10_interval)} | "
            f"{s.within_25:.0%} {_shares(s.within_25_interval)} | {s.useless:.0%} | "
            f"{s.missing:.0%} | {s.spread:.2f} | {difference:+.3f} {_interval(interval)} |"
        )
    return "\n".join(lines)


def budget_table(results: Results, names: Sequence[str]) -> str:
    """Returns mean regret and share within 10% of some rules at each budget."""
    parts = " | ".join(f"{part:g} T" for part in BUDGET_PARTS)
    lines = [f"| rule | {parts} |", "|---" * (len(BUDGET_PARTS) + 1) + "|"]
    for contender in (c for c in results.contenders if c.name in names):
        cells = []
        for budget in range(len(BUDGET_PARTS)):
            outcomes = [
                evaluate(m.oracle, contender.rates(m, budget), budget) for m in results.measurements
            ]
            s = score(outcomes)
            cells.append(f"{s.mean_regret:.3f} / {s.within_10:.0%}")
        lines.append(f"| {contender.name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def write_scores(file: pathlib.Path, sections: Sequence[Results]) -> None:
    """Writes one row for each rule and section of the report."""
    with file.open("w", newline="") as stream:
        writer = csv.writer(stream)
        fields = [field.name for field in dataclasses.fields(Score)]
        writer.writerow(["combinations", "rule", "steps", *fields])
        for results in sections:
            scores = results.scores
            for contender in results.contenders:
                values = dataclasses.astuple(scores[contender.name])
                cells = [_cell(value) for value in values]
                writer.writerow([results.title, contender.name, contender.cost, *cells])


def write_suggestions(file: pathlib.Path, halves: Sequence[Results]) -> None:
    """Writes one row for each rule, combination and seed."""
    with file.open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(
            ["half", "combination", "rule", "seed", "learning_rate", "regret", "useless"]
        )
        for results in halves:
            for name, of_rule in results.outcomes.items():
                for measurement, o in zip(results.measurements, of_rule, strict=True):
                    rows = zip(o.log_rates, o.regrets, o.is_useless, strict=True)
                    for seed, (log_rate, regret, useless) in enumerate(rows):
                        row = [f"{10**log_rate:.4g}", f"{regret:.4f}", int(useless)]
                        combination = measurement.combination
                        writer.writerow(
                            [combination.half.value, combination.name, name, seed, *row]
                        )


def _cell(value: float | tuple[float, float]) -> str:
    return " ".join(f"{v:.4f}" for v in np.atleast_1d(value))


def _interval(interval: tuple[float, float]) -> str:
    return f"[{interval[0]:.2f}, {interval[1]:.2f}]"


def _shares(interval: tuple[float, float]) -> str:
    return f"[{interval[0]:.0%}, {interval[1]:.0%}]"
