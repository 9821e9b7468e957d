"""The package's own suggestions, on curves that stop as its sweeps do."""

import dataclasses
import functools
from collections.abc import Sequence

import numpy as np

from quality.measurement import Measurement
from tfx_lr_finder.core.curve import Curve
from tfx_lr_finder.core.errors import NoLearningRateError
from tfx_lr_finder.core.rules import DEFAULT_RULE
from tfx_lr_finder.core.rules import RULES as RULES
from tfx_lr_finder.core.suggestion import Suggestion, suggest
from tfx_lr_finder.core.sweep import StopReason


@dataclasses.dataclass(frozen=True)
class PackageRule:
    """A rule of the package, as the component asks it.

    Attributes:
        sweeps: Name of the sweeps that it reads.
        rule: Its name.
        num_sweeps: Number of sweeps for a suggestion.
    """

    sweeps: str
    rule: str = DEFAULT_RULE
    num_sweeps: int = 1

    @functools.cache  # noqa: B019 (kept as long as the report that asks several times)
    def suggestions(self, measurement: Measurement, budget: int) -> tuple[Suggestion | None, ...]:
        """Returns what each seed and the next ones suggest; None where they refuse."""
        steps = measurement.oracle.budgets[budget]
        curves = [
            # Each budget is asked for on the same curve.
            dataclasses.replace(stopped(s), train_steps=steps)
            for s in measurement.sweeps[self.sweeps]
        ]
        return tuple(self._suggest(np.roll(curves, -i)) for i in range(len(curves)))

    def rates(self, measurement: Measurement, budget: int) -> list[float | None]:
        """Returns the rates of `suggestions`."""
        return [s and s.learning_rate for s in self.suggestions(measurement, budget)]

    def _suggest(self, curves: Sequence[Curve]) -> Suggestion | None:
        try:
            return suggest(list(curves[: self.num_sweeps]), self.rule)
        except NoLearningRateError:
            return None


def stopped(curve: Curve, divergence_factor: float = 4.0) -> Curve:
    """Returns the curve as it is when the sweep stops at divergence, as it does by default."""
    smoothed = curve.smoothed_losses
    best = np.minimum.accumulate(smoothed)
    scale = np.where(best > 0, best, np.maximum(-best, smoothed[0] - best))
    diverged = np.flatnonzero(smoothed > best + (divergence_factor - 1) * scale)
    if not diverged.size:
        return curve
    last = diverged[0] + 1
    validation = curve.validation_losses
    return dataclasses.replace(
        curve,
        learning_rates=curve.learning_rates[:last],
        losses=curve.losses[:last],
        validation_losses=None if validation is None else validation[:last],
        stop_reason=StopReason.DIVERGED,
    )
