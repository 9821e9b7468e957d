"""What a verdict is worth: the regret of the suggestions that carry it."""

from collections import defaultdict
from collections.abc import Sequence

import numpy as np

from quality.measurement import Measurement
from quality.package_rules import verdict_on
from quality.results import FULL
from quality.roster import Contender
from quality.score import evaluate
from tfx_lr_finder.verdict import Verdict


def verdict_table(measurements: Sequence[Measurement], contender: Contender, sweeps: str) -> str:
    """Returns regret by verdict, of one rule's suggestions, as a Markdown table.

    Args:
        measurements: The combinations.
        contender: The rule.
        sweeps: Name of the sweeps that it reads, and that are judged.
    """
    regrets: dict[Verdict, list[float]] = defaultdict(list)
    for m in measurements:
        rates = contender.rates(m, FULL)
        for rate, regret, sweep in zip(
            rates, evaluate(m.oracle, rates).regrets, m.sweeps[sweeps], strict=True
        ):
            regrets[verdict_on(sweep.train, float(rate))].append(float(regret))
    lines = [
        "| verdict | suggestions | median regret | mean regret | within 10% | within 25% |",
        "|---" * 6 + "|",
    ]
    for verdict in (v for v in Verdict if v in regrets):
        values = np.array(regrets[verdict])
        shares = [f"{np.mean(values <= np.log1p(part)):.0%}" for part in (0.10, 0.25)]
        lines.append(
            f"| {verdict.value} | {values.size} | {np.median(values):.3f} | "
            f"{values.mean():.3f} | {' | '.join(shares)} |"
        )
    return "\n".join(lines)
