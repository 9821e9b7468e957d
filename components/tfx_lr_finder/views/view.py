"""What all views share: ranges of the axes, names and colours of the lines."""

import math
from collections.abc import Sequence

from tfx_lr_finder.core.curve import Curve
from tfx_lr_finder.core.descent import Course, course_of
from tfx_lr_finder.core.evidence import Evidence
from tfx_lr_finder.core.rules import DEFAULT_RULE, can_read
from tfx_lr_finder.core.smoothing import Array, initial_loss
from tfx_lr_finder.core.verdict import judge_course

HEADROOM = 0.5
"""Space above the initial loss, as a fraction of the loss's fall. A blow-up is cut off there."""
MARGIN = 1.5
"""Factor between the outermost learning rate and the edge of the picture."""
RED = "#d62728"
"""The colour of the rate that was found and of its interval, and of nothing else."""
INTERVAL_OPACITY = 0.12
"""Opacity of the band between the ends of the rate's interval."""
GREY = "#808080"
"""The colour of everything that is not a measured loss or a rate."""
TRIAL_COLOR = "#e07b39"
"""The colour of the trials."""
TRIAL_LABEL = "trial at a constant rate"
READ_LABEL = "loss as the rule reads it"
LANDMARK_LABEL = "landmark of the rule"
RATE_AXIS = "learning rate (logarithmic)"
LOSS_AXIS = "loss (mean over the examples)"

# Each colour stands out on white and on black.
_COLORS = ("#2f86d1", "#16967e", "#9467d6", "#b87a00", "#6f8496", "#c2569b")


def losses_by_name(curve: Curve) -> dict[str, Array]:
    """Returns the losses of a curve that a picture shows: a dict from name to array."""
    losses = {"batch loss": curve.losses, "smoothed loss": curve.smoothed_losses}
    validation = curve.validation_losses
    return losses if validation is None else {**losses, "validation loss": validation}


def courses(evidence: Evidence) -> list[Course]:
    """Returns what `descent` read the rate from, one course for each sweep that has a rate.

    It smooths the losses in its own way, and measures from a landmark. The other rules read the
    smoothed loss: for them, nothing is returned.
    """
    if evidence.read is None or evidence.read.rule != DEFAULT_RULE:
        return []
    curves = [c for c in evidence.curves if can_read(DEFAULT_RULE, judge_course(c))]
    read = map(course_of, curves)
    return [course for course in read if course.shows_rate]


def landmark_point(course: Course) -> tuple[list[float], list[float]]:
    """Returns the rate of a course's landmark and the loss there, in a list each."""
    rate = 10**course.landmark
    return [rate], [course.loss_at(rate)]


def trial_points(evidence: Evidence) -> tuple[list[float], list[float]]:
    """Returns the rates of the trials and their losses at the end, without those that diverged."""
    finite = [trial for trial in evidence.trials if math.isfinite(trial.loss)]
    return [trial.learning_rate for trial in finite], [trial.loss for trial in finite]


def loss_range(curves: Sequence[Curve], others: Sequence[float] = ()) -> tuple[float, float]:
    """Returns the least and the greatest loss that a picture of curves and other losses shows.

    Losses far above the start of the curves are cut off.
    """
    lines = [line for curve in curves for line in losses_by_name(curve).values()]
    start = max(map(initial_loss, lines))
    lowest = min(*(line.min() for line in lines), *others)
    if (constant := constant_loss(curves)) is not None:
        lowest = min(lowest, constant)
    fall = (start - lowest) or abs(start) or 1.0
    highest = min(start + HEADROOM * fall, max(line.max() for line in lines))
    return float(lowest - 0.05 * fall), float(max(highest, start) + 0.05 * fall)


def constant_loss(curves: Sequence[Curve]) -> float | None:
    """Returns the first sweep's loss of the best constant output; None if it is not known."""
    return curves[0].constant_loss


def constant_label(loss: float) -> str:
    """Returns the label of the line at the loss of the best constant output."""
    return f"best constant output {loss:.3g}"


def learning_rate_range(evidence: Evidence) -> tuple[float, float]:
    """Returns the least and the greatest learning rate that a picture shows.

    The range covers the published rate, those of trials, and all planned rates of the sweeps, also
    the rates that were not reached because a sweep stopped early.
    """
    rates = [evidence.published.learning_rate, *trial_points(evidence)[0]]
    for curve in evidence.curves:
        rates += [curve.learning_rates[0], curve.planned_end]
    return float(min(rates) / MARGIN), float(max(rates) * MARGIN)


def unreached_range(curves: Sequence[Curve]) -> tuple[float, float] | None:
    """Returns the range of planned rates that no sweep reached; None if a sweep did every step.

    It extends from the greatest rate with a loss to the last planned rate.
    """
    if any(len(curve) == curve.num_steps for curve in curves):
        return None
    reached = max(curve.learning_rates[-1] for curve in curves)
    return float(reached), max(curve.planned_end for curve in curves)


def unreached_label(curves: Sequence[Curve]) -> str:
    """Returns the label of the unreached range, which says why the sweeps ended."""
    return f"not reached: {stop_reasons(curves)}"


def stop_reasons(curves: Sequence[Curve]) -> str:
    """Returns the reasons why the sweeps ended, in words, each reason once."""
    return "; ".join(dict.fromkeys(curve.stop_reason.meaning for curve in curves))


def color(number: int) -> str:
    """Returns the colour for a sweep or a rule by its number, counted from 0; colours repeat."""
    return _COLORS[number % len(_COLORS)]


def sweep_names(curves: Sequence[Curve]) -> list[str]:
    """Returns a label with number and seed for each sweep; an empty label for a single sweep."""
    if len(curves) == 1:
        return [""]
    return [f"sweep {number} (seed {curve.seed})" for number, curve in enumerate(curves, 1)]


def smoothed_label(sweep_name: str) -> str:
    """Returns the label of a sweep's smoothed loss, from the sweep's label in `sweep_names`."""
    return f"smoothed loss, {sweep_name}" if sweep_name else "smoothed loss"
