"""What a picture shows of the curves of one or more sweeps."""

from collections.abc import Sequence

import numpy as np

from tfx_lr_finder.core.curve import Curve
from tfx_lr_finder.core.evidence import Evidence
from tfx_lr_finder.core.smoothing import Array

HEADROOM = 0.5
"""Part of the loss's fall that is shown above the initial loss: a blow-up is cut off."""
MARGIN = 1.5
"""Factor on the learning rate between the outermost rates and the edges of the picture."""
RED = "#d62728"
"""The colour of the rate that was found, and of nothing else."""
GREY = "#808080"
"""The colour of what is not data."""

# Each stands out on white and on black.
_COLORS = ("#2f86d1", "#16967e", "#9467d6", "#b87a00", "#6f8496", "#c2569b")


def losses_by_name(curve: Curve) -> dict[str, Array]:
    """Returns the losses that a picture shows of a curve, by their names."""
    losses = {"batch loss": curve.losses, "smoothed loss": curve.smoothed_losses}
    validation = curve.validation_losses
    return losses if validation is None else {**losses, "validation loss": validation}


def loss_range(curves: Sequence[Curve]) -> tuple[float, float]:
    """Returns the least and the greatest loss that a picture of the curves shows."""
    lines = [line for curve in curves for line in losses_by_name(curve).values()]
    start = max(np.median(line[: max(3, line.size // 10)]) for line in lines)
    lowest = min(line.min() for line in lines)
    if (constant := constant_loss(curves)) is not None:
        lowest = min(lowest, constant)
    fall = (start - lowest) or abs(start) or 1.0
    highest = min(start + HEADROOM * fall, max(line.max() for line in lines))
    return float(lowest - 0.05 * fall), float(max(highest, start) + 0.05 * fall)


CONSTANT = "best constant output"
"""The name of the line at the loss that a model reaches that ignores its inputs."""


def constant_loss(curves: Sequence[Curve]) -> float | None:
    """Returns the loss of the best constant output, the first sweep's; None if it is not known."""
    return curves[0].constant_loss


def learning_rate_range(evidence: Evidence) -> tuple[float, float]:
    """Returns the least and the greatest rate that a picture shows: the sweeps' and the one found.

    Where sweeps stopped early, the picture reaches as far as they were to go.
    """
    rates = [evidence.suggestion.learning_rate]
    for curve in evidence.curves:
        rates += [curve.learning_rates[0], planned_end(curve)]
    return float(min(rates) / MARGIN), float(max(rates) * MARGIN)


def unreached_range(curves: Sequence[Curve]) -> tuple[float, float] | None:
    """Returns the range of rates that no sweep reached; None if one of them did every step.

    From the greatest rate with a loss to the last one that was asked for.
    """
    if any(len(curve) == curve.num_steps for curve in curves):
        return None
    reached = max(curve.learning_rates[-1] for curve in curves)
    return float(reached), max(planned_end(curve) for curve in curves)


def planned_end(curve: Curve) -> float:
    """Returns the last rate that a sweep was to have; its last of all if it has a single point."""
    first, last = curve.log_learning_rates[[0, -1]]
    if len(curve) in (1, curve.num_steps):
        return float(curve.learning_rates[-1])
    return float(10 ** (first + (last - first) * (curve.num_steps - 1) / (len(curve) - 1)))


def stop_reasons(curves: Sequence[Curve]) -> str:
    """Returns in words why the sweeps ended, each reason once."""
    return "; ".join(dict.fromkeys(curve.stop_reason.meaning for curve in curves))


def color(number: int) -> str:
    """Returns the colour of a sweep, by its number from 0."""
    return _COLORS[number % len(_COLORS)]


def sweep_names(curves: Sequence[Curve]) -> list[str]:
    """Returns what tells the sweeps apart: nothing for a single one, else number and seed."""
    if len(curves) == 1:
        return [""]
    return [f"sweep {number} (seed {curve.seed})" for number, curve in enumerate(curves, 1)]
