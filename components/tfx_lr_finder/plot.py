"""The picture of a sweep."""

import io

import numpy as np
from matplotlib.figure import Figure

from tfx_lr_finder.curve import Curve
from tfx_lr_finder.evidence import Evidence

_HEADROOM = 0.5
"""Part of the loss's range that the picture shows above the initial loss: a blow-up is cut off."""
_MARGIN = 1.5
"""Factor on the learning rate between the curve's ends and the picture's."""


def plot(evidence: Evidence) -> bytes:
    """Returns a PNG of the smoothed loss over the learning rate on a logarithmic axis.

    The raw loss lies faint behind it; a red line marks the suggested rate. The picture is made
    without pyplot: no display is needed, and no state is left behind.
    """
    suggestion, curve = evidence.suggestion, evidence.curves[0]
    figure = Figure(figsize=(8, 4.5), dpi=150, layout="constrained", facecolor="white")
    axes = figure.add_subplot()
    rate, smoothed = suggestion.learning_rate, curve.smoothed_losses
    axes.set_xscale("log")
    rates = (rate, *curve.learning_rates[[0, -1]])
    axes.set_xlim(min(rates) / _MARGIN, max(rates) * _MARGIN)
    axes.plot(curve.learning_rates, curve.losses, color="tab:blue", alpha=0.25, label="batch loss")
    axes.plot(
        curve.learning_rates,
        smoothed,
        color="tab:blue",
        linewidth=2,
        label=f"smoothed loss (factor {curve.smoothing:g})",
    )
    axes.axvline(rate, color="tab:red", label=f"{suggestion.rule}: {rate:.2e}")
    axes.set_xlabel("learning rate")
    axes.set_ylabel("training loss")
    axes.set_ylim(*_visible_range(curve))
    axes.set_title(f"Learning rate {rate:.2e} ({suggestion.verdict.value})")
    axes.annotate(
        f"{rate:.2e}",
        (rate, 0.03),
        xycoords=("data", "axes fraction"),
        xytext=(6, 0),
        textcoords="offset points",
        color="tab:red",
    )
    axes.grid(alpha=0.3)
    axes.legend(loc="upper left")
    picture = io.BytesIO()
    # Without the version of matplotlib: the same curve is the same file.
    figure.savefig(picture, format="png", metadata={"Software": None})
    return picture.getvalue()


def _visible_range(curve: Curve) -> tuple[float, float]:
    """Returns the losses between which the picture shows the curve."""
    start = float(np.median(curve.losses[: max(3, len(curve) // 10)]))
    lowest = float(min(curve.smoothed_losses.min(), curve.losses.min()))
    fall = (start - lowest) or abs(start) or 1.0
    highest = min(start + _HEADROOM * fall, float(curve.losses.max()))
    return lowest - 0.05 * fall, max(highest, start) + 0.05 * fall
