"""Suggests a learning rate, with a verdict, from the curves of one or more sweeps."""

import collections
import dataclasses
from collections.abc import Sequence

import numpy as np

from tfx_lr_finder.core.curve import Curve, distinct
from tfx_lr_finder.core.errors import NoLearningRateError
from tfx_lr_finder.core.rules import DEFAULT_RULE, can_read, get_rule
from tfx_lr_finder.core.smoothing import standard_deviation
from tfx_lr_finder.core.verdict import Verdict, judge, judge_course

MAX_SPREAD = 0.3
"""Rates of several sweeps that deviate by more decades than this (a factor of 2) are noisy."""


@dataclasses.dataclass(frozen=True)
class Suggestion:
    """A suggested learning rate and its verdict.

    Attributes:
        learning_rate: The rate. It lies within the range of the curves.
        rule: Name of the rule that read the rate off the curves.
        verdict: How far the rate can be trusted.
        spread: Standard deviation of the sweeps' rates in decades; None for a single rate.
        num_rates: Number of sweeps with a rate; the suggested one is the median of theirs.
    """

    learning_rate: float
    rule: str
    verdict: Verdict
    spread: float | None = None
    num_rates: int = 1


def suggest(curves: Curve | Sequence[Curve], rule: str = DEFAULT_RULE) -> Suggestion:
    """Returns the learning rate that a rule reads off the curves of sweeps, with a verdict.

    Of several sweeps, at least half must have a rate. Sweeps with equal losses count as one: their
    agreement tells nothing. The suggested rate is the median of these
    rates on the logarithmic axis. The verdict is the most frequent verdict of these sweeps, and
    the more serious one of two that are equally frequent. An `ok` becomes `noisy` if the rates
    deviate by more than 0.3 decades. The deviation is 1.4826 times the median distance from the
    median, so that a single outlying sweep does not decide.

    The verdict rests on the curves alone. The component also proves a rate by a short training
    before it publishes the rate as `ok`.

    If the loss never fell (`flat`), only the rule `descent` can have a rate: a rate below the one
    from which the loss rises, if the loss rises.

    Args:
        curves: The curve of a sweep, or of several sweeps of the same model and data.
        rule: Name of a rule: `descent` (default), `valley`, `slide`, `steepest` or `minimum`.

    Raises:
        ValueError: If there is no rule of that name, or no curve.
        NoLearningRateError: If no rate can be suggested. Its verdict is `flat`,
            `diverged_at_start` or `too_few_points`: of several sweeps the most frequent verdict.

    Example:
        ```
        curve = range_test(model, dataset)
        print(suggest(curve).learning_rate, suggest(curve, "valley").learning_rate)
        ```
    """
    curves = distinct([curves] if isinstance(curves, Curve) else curves)
    get_rule(rule)
    if not curves:
        raise ValueError("Argument `curves` must hold at least one curve. Received: none.")
    suggestions, failures = [], []
    for curve in curves:
        try:
            suggestions.append(_suggest(curve, rule))
        except NoLearningRateError as error:
            failures.append((error.verdict, curve))
    if len(suggestions) < len(failures):
        raise _no_learning_rate(failures, len(curves))
    log_rates = np.log10([suggestion.learning_rate for suggestion in suggestions])
    spread = float(np.std(log_rates, ddof=1)) if len(log_rates) > 1 else None
    verdict = _most_frequent([suggestion.verdict for suggestion in suggestions])
    middle = float(np.median(log_rates))
    if verdict is Verdict.OK and standard_deviation(log_rates - middle) > MAX_SPREAD:
        verdict = Verdict.NOISY
    learning_rate = suggestions[0].learning_rate if spread is None else 10**middle
    return Suggestion(learning_rate, rule, verdict, spread, len(suggestions))


def _suggest(curve: Curve, rule: str) -> Suggestion:
    verdict = judge_course(curve)
    if not can_read(rule, verdict):
        raise NoLearningRateError(verdict, curve)
    learning_rate = get_rule(rule)(curve)
    return Suggestion(learning_rate, rule, judge(curve, learning_rate))


def _no_learning_rate(
    failures: Sequence[tuple[Verdict, Curve]], num_sweeps: int
) -> NoLearningRateError:
    verdict = _most_frequent([verdict for verdict, _ in failures])
    curve = next(curve for its_verdict, curve in failures if its_verdict is verdict)
    return NoLearningRateError(verdict, curve, len(failures), num_sweeps)


def _most_frequent(verdicts: Sequence[Verdict]) -> Verdict:
    counts, gravity = collections.Counter(verdicts), list(Verdict)
    return max(verdicts, key=lambda verdict: (counts[verdict], gravity.index(verdict)))
