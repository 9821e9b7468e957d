"""The error that is raised when no learning rate can be suggested."""

from collections.abc import Sequence

import numpy as np

from tfx_lr_finder.core.curve import Curve
from tfx_lr_finder.core.proof import Proof, advice_on
from tfx_lr_finder.core.verdict import Verdict

_SHOWN_POINTS = 8


class NoLearningRateError(RuntimeError):
    """No learning rate can be suggested from one curve, or from most of several curves.

    TFX deletes the outputs of a failed execution, so the message itself carries the evidence: the
    verdict in words, why the sweep stopped, and some points of the curve.

    Attributes:
        verdict: Why there is no rate.
    """

    def __init__(
        self,
        verdict: Verdict,
        curve: Curve,
        num_failed: int = 1,
        num_sweeps: int = 1,
        proofs: Sequence[Proof] = (),
    ) -> None:
        """Composes the message.

        Args:
            verdict: Why there is no rate.
            curve: A curve with this verdict, to show points of.
            num_failed: Number of sweeps without a rate.
            num_sweeps: Number of all sweeps.
            proofs: The short trainings that tested rates, if there were any.
        """
        self.verdict = verdict
        of_several = f"{num_failed} of {num_sweeps} sweeps without a rate; of the first such, "
        shown = np.unique(np.linspace(0, len(curve) - 1, _SHOWN_POINTS).round().astype(int))
        points = ", ".join(f"{curve.learning_rates[i]:.1e}: {curve.losses[i]:.4g}" for i in shown)
        super().__init__(
            f"No learning rate can be suggested ({verdict.value}). {verdict.meaning} "
            f"Received: {of_several if num_sweeps > 1 else ''}"
            f"{len(curve)} of {curve.num_steps} steps, "
            f"stopped because {curve.stop_reason.meaning}, rate and loss {points}."
            f"{_in_words(proofs)}"
        )


def _in_words(proofs: Sequence[Proof]) -> str:
    if not proofs:
        return ""
    ends = ", ".join(
        f"{proof.learning_rate:.1e}: {proof.loss:.4g} ({proof.num_steps} steps)" for proof in proofs
    )
    advice = advice_on(proofs[0])
    return (
        f" Short trainings from a loss of {proofs[0].start_loss:.4g} "
        f"ended at {ends}.{advice and ' ' + advice}"
    )
