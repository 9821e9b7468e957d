"""`plot_curve`: the picture of curves for a notebook or a file, without a pipeline."""

from collections.abc import Sequence

from tfx_lr_finder.core.curve import Curve
from tfx_lr_finder.core.evidence import Evidence
from tfx_lr_finder.core.suggestion import Suggestion, suggest
from tfx_lr_finder.views.plot import plot


class Picture(bytes):
    """The bytes of a PNG, which a notebook displays as a picture."""

    def _repr_png_(self) -> bytes:
        """Returns the bytes of the PNG. IPython looks for a method of this name."""
        return bytes(self)


def plot_curve(curves: Curve | Sequence[Curve], suggestion: Suggestion | None = None) -> Picture:
    """Returns a picture of the loss over the learning rate, with the suggested rate.

    Args:
        curves: The curve of a sweep, or of several sweeps of the same model and data.
        suggestion: The suggestion to draw; by default the result of `suggest(curves)`.

    Raises:
        NoLearningRateError: If no suggestion is given and `suggest` finds no rate.

    Example:
        ```
        curve = range_test(model, dataset)
        Path("curve.png").write_bytes(plot_curve(curve))
        plot_curve(curve, suggest(curve, "valley"))  # a notebook's cell shows it
        ```
    """
    curves = (curves,) if isinstance(curves, Curve) else tuple(curves)
    return Picture(plot(Evidence.of(suggestion or suggest(curves), curves)))
