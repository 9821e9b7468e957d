"""What a verdict is worth: the regret of the suggestions that carry it."""

from collections import defaultdict
from collections.abc import Sequence

import numpy as np

from quality.measurement import Measurement
from quality.oracle import BUDGET_PARTS
from quality.package_rules import PackageRule
from quality.score import evaluate
from tfx_lr_finder.core.verdict import Verdict

FULL = len(BUDGET_PARTS) - 1


def verdict_table(measurements: Sequence[Measurement], rule: PackageRule) -> str:
    """Returns regret by verdict of a rule's suggestions, as a Markdown table."""
    regrets: dict[Verdict, list[float]] = defaultdict(list)
    for m in measurements:
        suggestions = [s for s in rule.suggestions(m, FULL) if s is not None]
        rates = np.array([s.learning_rate for s in suggestions])
        for s, regret in zip(suggestions, evaluate(m.oracle, rates).regrets, strict=True):
            regrets[s.verdict].append(float(regret))
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
