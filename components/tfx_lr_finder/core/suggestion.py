"""From the curves of one or more sweeps to a learning rate with a verdict."""

import collections
import dataclasses
from collections.abc import Sequence

import numpy as np

from tfx_lr_finder.core.curve import Curve
from tfx_lr_finder.core.descent import course_of
from tfx_lr_finder.core.errors import NoLearningRateError
from tfx_lr_finder.core.rules import DEFAULT_RULE, descent, get_rule
from tfx_lr_finder.core.verdict import Verdict, judge, judge_course

MAX_SPREAD = 0.3
"""Rates of several sweeps that spread by more decades than this are noisy: a factor of 2."""
_NORMAL = 1.4826
"""From the median deviation to the standard deviation of a normal distribution."""


@dataclasses.dataclass(frozen=True)
class Suggestion:
    """A learning rate, and what it rests on.

    Attributes:
        learning_rate: The rate, within the range of the curves unless it was confirmed.
        rule: Name of the rule that read it off the curves.
        verdict: How far it can be trusted.
        spread: Standard deviation of the sweeps' rates in decades; None for a single rate.
    """

    learning_rate: float
    rule: str
    verdict: Verdict
    spread: float | None = None


def suggest(curves: Curve | Sequence[Curve], rule: str = DEFAULT_RULE) -> Suggestion:
    """Returns the learning rate that a rule reads off the curves of sweeps, with a verdict.

    The rate of several sweeps is the median of theirs, on the logarithmic axis. At least half of
    the sweeps must have one. The verdict is the most frequent one among those, the graver of two
    that are equally frequent. It is `noisy` where it would be `ok` but the rates' deviation is
    above 0.3 decades: 1.4826 times the median distance from the median, so that one sweep that
    lands far away does not decide.

    The verdict is what the curves tell. The component proves a rate before it calls it `ok`.

    Where the verdict is `flat`, only the rule `descent` has a rate: below the one from which the
    loss rises, if it does.

    Args:
        curves: The curve of a sweep, or of several sweeps of the same model and data.
        rule: Name of a rule: `descent` (default), `valley`, `slide`, `steepest` or `minimum`.

    Raises:
        ValueError: If there is no rule of that name, or no curve.
        NoLearningRateError: If no rate can be suggested: the verdict is `flat`,
            `diverged_at_start` or `too_few_points`; of several sweeps the most frequent one.

    Example:
        ```
        curve = range_test(model, dataset)
        print(suggest(curve).learning_rate, suggest(curve, "valley").learning_rate)
        ```
    """
    curves = [curves] if isinstance(curves, Curve) else list(curves)
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
    if verdict is Verdict.OK and _NORMAL * np.median(np.abs(log_rates - middle)) > MAX_SPREAD:
        verdict = Verdict.NOISY
    learning_rate = suggestions[0].learning_rate if spread is None else 10**middle
    return Suggestion(learning_rate, rule, verdict, spread)


def _suggest(curve: Curve, rule: str) -> Suggestion:
    read, course = get_rule(rule), judge_course(curve)
    is_below_edge = course is Verdict.FLAT and read is descent and course_of(curve).shows_rate
    if not course.has_rate and not is_below_edge:
        raise NoLearningRateError(course, curve)
    learning_rate = read(curve)
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
