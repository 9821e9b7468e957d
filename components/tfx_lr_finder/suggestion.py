"""From a curve to a learning rate with a verdict."""

import dataclasses

from tfx_lr_finder.curve import Curve
from tfx_lr_finder.errors import NoLearningRateError
from tfx_lr_finder.rules import DEFAULT_RULE, get_rule
from tfx_lr_finder.verdict import Verdict, judge, judge_course


@dataclasses.dataclass(frozen=True)
class Suggestion:
    """A learning rate, and what it rests on.

    Attributes:
        learning_rate: The rate, within the range of the curve.
        rule: Name of the rule that read it off the curve.
        verdict: How far it can be trusted.
    """

    learning_rate: float
    rule: str
    verdict: Verdict


def suggest(curve: Curve, rule: str = DEFAULT_RULE) -> Suggestion:
    """Returns the learning rate that a rule reads off a curve, with a verdict.

    Args:
        curve: The curve of a sweep.
        rule: Name of a rule: `descent` (default), `valley`, `slide`, `steepest` or `minimum`.

    Raises:
        ValueError: If there is no rule of that name.
        NoLearningRateError: If no rate can be suggested: the verdict is `flat`,
            `diverged_at_start` or `too_few_points`.

    Example:
        >>> suggest(curve).learning_rate  # doctest: +SKIP
        0.0123
    """
    read = get_rule(rule)
    course = judge_course(curve)
    if not course.has_rate:
        raise NoLearningRateError(course, curve)
    learning_rate = read(curve)
    return Suggestion(learning_rate, rule, judge(curve, learning_rate))
