"""Which rate a search publishes, with which verdict and which interval."""

from collections.abc import Sequence

from tfx_lr_finder.core.curve import Curve
from tfx_lr_finder.core.errors import NoLearningRateError
from tfx_lr_finder.core.evidence import Publication
from tfx_lr_finder.core.proof import SPACING, Proven
from tfx_lr_finder.core.publishing.interval import (
    HALF_WIDTH_TRIALS,
    expected_interval,
    half_width,
)
from tfx_lr_finder.core.suggestion import Suggestion
from tfx_lr_finder.core.verdict import Verdict, is_at_low_end


def published(
    read: Suggestion, proven: Proven, curves: Sequence[Curve], is_cut_off: bool = False
) -> Publication:
    """Returns the best rate that was proved, with the verdict to publish.

    The verdict is `ok` only if the model learned at the rate in its proof. A proof shows that the
    model learns at a rate; it does not show that no other rate is better. So the rate that the rule
    read stays `disturbed` or `edge_of_range`, and a rate from several sweeps that disagree stays
    `noisy`. If the model learned in no proof, the rate is published as `not_learning`, provided
    that the loss fell in the best proof and came near the loss of the best constant output.

    Args:
        read: The suggestion that a rule read off the curves.
        proven: The proofs of that rate (or of the rate to which trials moved it), and of rates
            around it.
        curves: The curves of the sweeps.
        is_cut_off: Whether a better rate may lie above the range of the sweep, as trials showed.

    Raises:
        NoLearningRateError: If the model learned at the rate that was read, but that rate lies at
            the low end of the range. If the model learned in no proof: if the curve never fell, if
            the best rate lies at the low end, or if the loss of the best proof did not come near
            that of the best constant output.
    """
    best = proven.best
    if not proven.learns:
        verdict = Verdict.NOT_LEARNING if read.verdict.has_rate else read.verdict
        if best.learning_rate < curves[0].learning_rates[0] * 10**SPACING:
            verdict = Verdict.LOW_END  # a better rate, if there is one, is lower
        if not verdict.has_rate or not read.verdict.has_rate or not best.is_harmless:
            raise NoLearningRateError(verdict, curves[0], proofs=proven.proofs)
        return _publication(read, proven, curves, verdict)
    is_as_read = best.learning_rate == read.learning_rate
    was_low = is_as_read and read.verdict is Verdict.LOW_END
    if was_low or is_at_low_end(curves[0], best.learning_rate):
        raise NoLearningRateError(Verdict.LOW_END, curves[0], proofs=proven.proofs)
    is_doubtful = (is_as_read and read.verdict in (Verdict.DISTURBED, Verdict.EDGE)) or (
        len(curves) > 1 and read.verdict is Verdict.NOISY
    )
    verdict = read.verdict if is_doubtful else Verdict.EDGE if is_cut_off else Verdict.OK
    return _publication(read, proven, curves, verdict)


def _publication(
    read: Suggestion, proven: Proven, curves: Sequence[Curve], verdict: Verdict
) -> Publication:
    first, rate = proven.proofs[0].learning_rate, proven.best.learning_rate
    has_trials = first != read.learning_rate
    width = HALF_WIDTH_TRIALS if has_trials else half_width(read)
    interval = expected_interval(rate, width, curves, first)
    return Publication(rate, verdict, interval=interval)
