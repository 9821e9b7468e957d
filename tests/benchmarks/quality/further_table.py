"""The table of a group of further combinations."""

import itertools
from collections import Counter
from collections.abc import Sequence

import numpy as np

from quality.further import Group
from quality.measurement import Measurement
from quality.oracle import BUDGET_PARTS, LOG_RATES
from quality.roster import DEFAULT, Contender
from quality.score import evaluate, final_losses, score

FULL = len(BUDGET_PARTS) - 1
CELL = "mean regret / within 10% / within 25% / useless / median log10(rate / best rate)"


def further_table(
    group: Group, measurements: Sequence[Measurement], rules: Sequence[Contender]
) -> str:
    """Returns the scores of some rules, and the verdicts on the default rule's rates.

    Args:
        group: The group.
        measurements: Its combinations, in its order.
        rules: The rules, a column each.
    """
    names = " | ".join(rule.name for rule in rules)
    lines = [f"| | combinations that learn | {names} | verdicts |", "|---" * (len(rules) + 3) + "|"]
    for row, measured in itertools.groupby(measurements, lambda m: group.row(m.combination)):
        of_row = [*measured]
        learning = [m for m in of_row if m.oracle.learns]
        scores = " | ".join(_scores(learning, rule) if learning else "" for rule in rules)
        learn = f"{len(learning)} of {len(of_row)}"
        lines.append(f"| {row} | {learn} | {scores} | {_verdicts(of_row)} |")
    return "\n".join(lines)


def _scores(measurements: Sequence[Measurement], rule: Contender) -> str:
    outcomes = [evaluate(m.oracle, rule.rates(m, FULL)) for m in measurements]
    s = score(outcomes)
    distances = [
        o.log_rates - LOG_RATES[np.argmin(final_losses(m.oracle))]
        for m, o in zip(measurements, outcomes, strict=True)
    ]
    distance = np.nanmedian(np.concatenate(distances))
    shares = f"{s.within_10:.0%} / {s.within_25:.0%} / {s.useless:.0%}"
    return f"{s.mean_regret:.3f} / {shares} / {distance:+.2f}"


def _verdicts(measurements: Sequence[Measurement]) -> str:
    suggestions = [s for m in measurements for s in DEFAULT.suggestions(m, FULL)]
    verdicts = Counter(s.verdict.value if s else "no rate" for s in suggestions)
    return ", ".join(f"{verdict} {number}" for verdict, number in verdicts.most_common())
