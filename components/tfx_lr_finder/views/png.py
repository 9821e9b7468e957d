"""Figures as PNG."""

import io

from matplotlib.figure import Figure
from PIL import Image


def png(figure: Figure) -> bytes:
    """Returns a PNG without an alpha channel, a tenth smaller than matplotlib's own.

    Its metadata name no version of matplotlib, so that the same figure gives the same file.
    """
    pixels, picture = io.BytesIO(), io.BytesIO()
    figure.savefig(pixels, format="rgba")
    image = Image.frombytes("RGBA", figure.canvas.get_width_height(), pixels.getvalue())
    image.convert("RGB").save(picture, "png", dpi=(figure.dpi, figure.dpi))
    return picture.getvalue()
