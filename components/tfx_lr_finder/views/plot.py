"""The picture of a search: a PNG for documents and slides."""

from collections.abc import Sequence

from matplotlib.axes import Axes

from tfx_lr_finder.core.curve import Curve
from tfx_lr_finder.core.evidence import Evidence
from tfx_lr_finder.views.png import new_axes, png
from tfx_lr_finder.views.view import (
    GREY,
    INTERVAL_OPACITY,
    LANDMARK_LABEL,
    LOSS_AXIS,
    READ_LABEL,
    RED,
    TRIAL_COLOR,
    TRIAL_LABEL,
    color,
    constant_label,
    constant_loss,
    courses,
    landmark_point,
    learning_rate_range,
    loss_range,
    smoothed_label,
    sweep_names,
    trial_points,
    unreached_label,
    unreached_range,
)


def plot(evidence: Evidence) -> bytes:
    """Returns a PNG of the loss over the learning rate on a logarithmic axis.

    The picture shows:

    - for every sweep the smoothed loss, the batch losses faintly behind it, and the validation
      loss as a dotted line if there is one;
    - for every sweep the loss as the rule `descent` read it, thin and grey, with its landmark;
    - for every trial the loss at its end as a point over its rate;
    - the loss of the best constant output as a dashed line;
    - the rate that was found as a red line, in the red band of its interval;
    - the rates that no sweep reached as a shaded area.

    The background is white, to suit documents of any colour. The picture is drawn without pyplot,
    so it needs no display and leaves no global state behind.
    """
    figure, axes = new_axes()
    axes.set_xlim(*learning_rate_range(evidence))
    rates, losses = trial_points(evidence)
    axes.set_ylim(*loss_range(evidence.curves, losses))
    _draw_sweeps(axes, evidence.curves)
    _draw_courses(axes, evidence)
    if rates:
        axes.plot(rates, losses, "o", color=TRIAL_COLOR, label=TRIAL_LABEL)
    if (constant := constant_loss(evidence.curves)) is not None:
        axes.axhline(constant, color=GREY, linestyle="--", label=constant_label(constant))
    rate = evidence.published.learning_rate
    label = f"{rate:.3g}"
    axes.axvline(rate, color=RED, linewidth=2, label=f"learning rate {label} ({evidence.rule})")
    if interval := evidence.published.interval:
        axes.axvspan(
            *interval,
            color=RED,
            alpha=INTERVAL_OPACITY,
            linewidth=0,
            label="9 of 10 repetitions",
        )
    to_axes = axes.transData + axes.transAxes.inverted()
    has_room = to_axes.transform((rate, 0))[0] < 0.85
    axes.annotate(
        label,
        (rate, 0.97),
        xycoords=("data", "axes fraction"),
        xytext=(6 if has_room else -6, 0),
        textcoords="offset points",
        horizontalalignment="left" if has_room else "right",
        verticalalignment="top",
        color=RED,
        fontweight="bold",
        bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 1},
    )
    axes.set_ylabel(LOSS_AXIS)
    axes.set_title(_title(evidence), parse_math=False)
    axes.legend(loc="lower left", fontsize="small", framealpha=0.9)
    return png(figure)


def _draw_sweeps(axes: Axes, curves: Sequence[Curve]) -> None:
    for number, (curve, name) in enumerate(zip(curves, sweep_names(curves), strict=True)):
        rates, hue = curve.learning_rates, color(number)
        axes.plot(rates, curve.losses, color=hue, alpha=0.3, label="" if number else "batch loss")
        axes.plot(rates, curve.smoothed_losses, color=hue, linewidth=2, label=smoothed_label(name))
        if curve.validation_losses is not None:
            label = "" if number else "validation loss"
            axes.plot(rates, curve.validation_losses, ":", color=hue, linewidth=2, label=label)
    unreached = unreached_range(curves)
    if unreached is not None:
        label = unreached_label(curves)
        axes.axvspan(*unreached, color=GREY, alpha=0.15, linewidth=0, label=label)


def _draw_courses(axes: Axes, evidence: Evidence) -> None:
    for number, course in enumerate(courses(evidence)):
        line, point = ("", "") if number else (READ_LABEL, LANDMARK_LABEL)
        axes.plot(10**course.log_rates, course.smoothed, color=GREY, linewidth=1.2, label=line)
        axes.plot(*landmark_point(course), "D", color=GREY, markersize=7, label=point)


def _title(evidence: Evidence) -> str:
    published, curve = evidence.published, evidence.curves[0]
    trained = ", ".join(filter(None, (curve.model, curve.optimizer)))
    found = f"learning rate {published.learning_rate:.3g} ({published.verdict.value})"
    return f"{trained}: {found}" if trained else found.capitalize()
