"""The picture of curves for a notebook or a file, without a pipeline."""

from collections.abc import Sequence

from tfx_lr_finder.core.curve import Curve
from tfx_lr_finder.core.evidence import Evidence
from tfx_lr_finder.core.suggestion import Suggestion, suggest
from tfx_lr_finder.views.plot import plot


class Picture(bytes):
    """The bytes of a PNG, which a notebook shows as the picture that they are."""

    def _repr_png_(self) -> bytes:
        """Returns the bytes; IPython asks for them by this name."""
        return bytes(self)


def plot_curve(curves: Curve | Sequence[Curve], suggestion: Suggestion | None = None) -> Picture:
    """Draws the loss over the learning rate, with the suggested rate.

    Args:
        curves: The curve of a sweep, or of several sweeps of the same model and data.
        suggestion: What was suggested on them; by default what `suggest` suggests.

    Raises:
        NoLearningRateError: If no suggestion is given and none can be made.

    Example:
        ```
        curve = range_test(model, dataset)
        Path("curve.png").write_bytes(plot_curve(curve))
        plot_curve(curve, suggest(curve, "valley"))  # a notebook's cell shows it
        ```
    """
    curves = (curves,) if isinstance(curves, Curve) else tuple(curves)
    return Picture(plot(Evidence(suggestion or suggest(curves), curves)))
