"""The interval in which 9 of 10 repetitions of a search find their rate.

A repetition has another seed: other initial weights, and another order of the data. How far its
rate lies from the first one was measured on sweeps with several seeds; `docs/how-it-works.md` has
the tables. A bootstrap of the losses and the slope of the curve were tried as well. They predicted
the distance no better than one constant for all models.
"""

import math
from collections.abc import Sequence

import numpy as np

from tfx_lr_finder.core.curve import Curve
from tfx_lr_finder.core.proof import SPACING
from tfx_lr_finder.core.suggestion import Suggestion
from tfx_lr_finder.core.verdict import Verdict

Interval = tuple[float, float]

HALF_WIDTHS = {"descent": 0.3, "valley": 0.45, "minimum": 0.8, "slide": 1.2, "steepest": 4.0}
"""Decades between the rates of two sweeps, which 9 of 10 pairs do not exceed; by rule.

Measured on sweeps of 200 steps over seven decades: 41 combinations of the benchmark with 3 or 5
seeds each, and 26 other models with 10 seeds. The width of `descent` was chosen on 4 of these 10
seeds, with its landmark at 95% of the fall; with the present one, 94% of the pairs do not exceed
it. Rates of `steepest` lie anywhere in 1 of 10 cases.
"""
DEVIATIONS = 2.5
"""A half-width is this many standard deviations of the rates of single sweeps.

It would be 2.3 if the rates were normally distributed: the deviation of a difference of two rates
is the square root of 2 times as large, and 9 of 10 values lie within 1.64 deviations.
"""
PRIOR = 2
"""The usual deviation of rates counts as much as this many extra sweeps.

Two or three sweeps alone would often agree by chance, and their interval would be too narrow.
"""
HALF_WIDTH_TRIALS = 0.9
"""Decades between the rates of two searches with trials, which 9 of 10 pairs do not exceed.

Chosen on 23 models with 2 to 4 seeds each, and tested on no others. Trials lie half a decade apart,
and chance may prefer a neighbour of the best one; the first of them lies at the rate of a sweep,
with its own chance. Half of the pairs lie within 0.25 decades: the width is that of the few that
differ by a decade.
"""


def half_width(read: Suggestion) -> float | None:
    """Returns the distance in decades from a suggested rate to either end of its interval.

    For a single sweep it is `single`, the constant of the rule. The rate of `n` sweeps is the
    median of their rates, and `spread` is the standard deviation of these rates:

        sqrt((2 * single**2 + (n - 1) * (2.5 * spread)**2) / (n + 1)) / sqrt(n)

    It is None where nothing was measured: for a rule that is not one of the package's, and if the
    verdict is `disturbed` or, of a single sweep, `noisy`.
    """
    single = HALF_WIDTHS.get(read.rule)
    if single is None or read.verdict is Verdict.DISTURBED:
        return None
    if read.spread is None:
        return None if read.verdict is Verdict.NOISY else single
    own, degrees = DEVIATIONS * read.spread, read.num_rates - 1
    square = (PRIOR * single**2 + degrees * own**2) / (PRIOR + degrees)
    return math.sqrt(square / read.num_rates)


def expected_interval(
    learning_rate: float,
    width: float | None,
    curves: Sequence[Curve],
    proved_first: float | None = None,
) -> Interval | None:
    """Returns the interval around a rate, limited to the range of the sweeps.

    If proofs moved the rate, the interval reaches from the rate where they began to at least half
    a decade, their step, beyond the rate where they ended: a repetition may stop earlier or later.

    Args:
        learning_rate: The rate. It lies in the interval.
        width: Distance in decades from the rate to either end of the interval; None if it is not
            known, and then there is no interval.
        curves: The curves of the sweeps.
        proved_first: The rate that was proved first; None (default) if it is `learning_rate`.
    """
    if width is None:
        return None
    begin = learning_rate if proved_first is None else proved_first
    if begin != learning_rate:
        width = max(width, SPACING)
    logs = np.log10([learning_rate, begin])
    least = np.log10(min(curve.learning_rates[0] for curve in curves))
    greatest = np.log10(max(curve.planned_end for curve in curves))
    low = max(min(logs[0] - width, logs[1]), least)
    high = min(max(logs[0] + width, logs[1]), greatest)
    # The rate itself counts where rounding puts an end of the range on its other side.
    return min(float(10**low), learning_rate), max(float(10**high), learning_rate)


def expectation(interval: Interval | None) -> str:
    """Returns the ends of an interval, and what they mean, in words; '' for None."""
    if interval is None:
        return ""
    low, high = interval
    return f"{low:.3g} to {high:.3g} in 9 of 10 repetitions"
