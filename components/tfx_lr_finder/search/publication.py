"""Which rate a search publishes, and with which verdict: what was read, put to the proof."""

import dataclasses
from collections.abc import Sequence

from tfx_lr_finder.core.curve import Curve
from tfx_lr_finder.core.errors import NoLearningRateError
from tfx_lr_finder.core.proof import SPACING, Proven
from tfx_lr_finder.core.suggestion import Suggestion
from tfx_lr_finder.core.verdict import Verdict


def published(read: Suggestion, proven: Proven, curves: Sequence[Curve]) -> Suggestion:
    """Returns the rate to publish.

    It is the best one that was proved. It is `ok` only if the model was seen to learn at it.
    A proof shows that the model learns at a rate, not that another one is no better: where the rate
    is the one that was read, it stays `disturbed` or `edge_of_range`; and it stays `noisy` where
    several sweeps disagree. A rate at which the model was not seen to learn is published as
    `not_learning` if the loss fell, and nearly to that of the best constant.

    Args:
        read: What a rule read off the curves.
        proven: What came of putting that rate to the proof.
        curves: The curves.

    Raises:
        NoLearningRateError: If the model was not seen to learn, and the curve never fell, its rate
            lies at the low end of the range, or no proof ended near the best constant's loss.
    """
    best = proven.best
    if not proven.learns:
        verdict = Verdict.NOT_LEARNING if read.verdict.has_rate else read.verdict
        if best.learning_rate < curves[0].learning_rates[0] * 10**SPACING:
            verdict = Verdict.LOW_END  # the better rates, if there are any, are lower ones
        if not verdict.has_rate or not read.verdict.has_rate or not best.is_harmless:
            raise NoLearningRateError(verdict, curves[0], proofs=proven.proofs)
        return dataclasses.replace(read, learning_rate=best.learning_rate, verdict=verdict)
    is_as_read = best.learning_rate == read.learning_rate
    if is_as_read and read.verdict is Verdict.LOW_END:
        raise NoLearningRateError(read.verdict, curves[0], proofs=proven.proofs)
    is_doubtful = (is_as_read and read.verdict in (Verdict.DISTURBED, Verdict.EDGE)) or (
        len(curves) > 1 and read.verdict is Verdict.NOISY
    )
    verdict = read.verdict if is_doubtful else Verdict.OK
    return dataclasses.replace(read, learning_rate=best.learning_rate, verdict=verdict)
