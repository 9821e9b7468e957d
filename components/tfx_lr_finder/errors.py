"""The one error that is the project's own."""

import numpy as np

from tfx_lr_finder.curve import Curve
from tfx_lr_finder.verdict import Verdict

_SHOWN_POINTS = 8


class NoLearningRateError(RuntimeError):
    """No learning rate can be read off a curve.

    TFX deletes the outputs of an execution that fails, so the message itself carries the
    evidence: the verdict in words, why the sweep stopped, and some points of the curve.

    Attributes:
        verdict: The reason.
    """

    def __init__(self, verdict: Verdict, curve: Curve) -> None:
        """Composes the message from the verdict and the curve."""
        self.verdict = verdict
        shown = np.unique(np.linspace(0, len(curve) - 1, _SHOWN_POINTS).round().astype(int))
        points = ", ".join(f"{curve.learning_rates[i]:.1e}: {curve.losses[i]:.4g}" for i in shown)
        super().__init__(
            f"No learning rate can be suggested ({verdict.value}). {verdict.meaning} "
            f"Received: {len(curve)} of {curve.num_steps} steps, "
            f"stopped because {curve.stop_reason.value}, rate and loss {points}."
        )
