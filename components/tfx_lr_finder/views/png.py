"""The axes of the pictures, and figures as PNG."""

import io

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image

from tfx_lr_finder.views.view import RATE_AXIS


def new_axes() -> tuple[Figure, Axes]:
    """Returns a white figure, 8 by 4.5 inches, and its axes, with the rate on the x-axis.

    The figure has fixed margins, with room for the axes' labels and a title of one line:
    matplotlib's own layouts measure every label twice, which takes as long as the drawing.
    """
    figure = Figure(figsize=(8, 4.5), dpi=150, facecolor="white")
    figure.subplots_adjust(left=0.1, right=0.98, bottom=0.12, top=0.93)
    axes = figure.add_subplot()
    axes.set_xscale("log")
    axes.set_xlabel(RATE_AXIS)
    axes.ticklabel_format(axis="y", scilimits=(-4, 4))  # longer numbers would need a wider margin
    axes.grid(alpha=0.3)
    return figure, axes


def png(figure: Figure) -> bytes:
    """Returns a PNG without an alpha channel, a tenth smaller than matplotlib's own.

    Its metadata name no version of matplotlib, so that the same figure gives the same file.
    """
    pixels, picture = io.BytesIO(), io.BytesIO()
    figure.savefig(pixels, format="rgba")
    image = Image.frombytes("RGBA", figure.canvas.get_width_height(), pixels.getvalue())
    image.convert("RGB").save(picture, "png", dpi=(figure.dpi, figure.dpi))
    return picture.getvalue()
