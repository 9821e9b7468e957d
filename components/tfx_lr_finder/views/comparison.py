"""One picture with the curves of several sweeps."""

from collections.abc import Mapping

from tfx_lr_finder.core.evidence import Evidence
from tfx_lr_finder.views.png import new_axes, png
from tfx_lr_finder.views.view import color, loss_range


def plot_comparison(sweeps: Mapping[str, Evidence]) -> bytes:
    """Returns a PNG of the smoothed losses of several sweeps over the learning rate.

    A dashed line in the same colour marks each suggested rate. If an evidence has several curves,
    all of them are drawn.

    Args:
        sweeps: Maps the label to show to the evidence; at least one entry.
    """
    figure, axes = new_axes()
    for number, (label, evidence) in enumerate(sweeps.items()):
        shade, rate = color(number), evidence.published.learning_rate
        for curve in evidence.curves:
            axes.plot(curve.learning_rates, curve.smoothed_losses, color=shade, alpha=0.8)
        axes.axvline(rate, color=shade, linestyle="--", label=f"{rate:.3g}  {label}")
    axes.set_ylim(*loss_range([c for evidence in sweeps.values() for c in evidence.curves]))
    axes.set_ylabel("smoothed training loss")
    for text in axes.legend(loc="lower left", fontsize="small", framealpha=0.9).get_texts():
        text.set_parse_math(False)  # a path may have a $ in it
    return png(figure)
