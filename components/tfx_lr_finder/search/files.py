"""Writing through TFX's file systems, object stores among them."""

import os

from tfx.dsl.io import fileio


def write_file(uri: str, content: bytes) -> None:
    """Writes a file through TFX's file systems, with the folder that it lies in."""
    fileio.makedirs(os.path.dirname(uri))
    with fileio.open(uri, "wb") as file:
        file.write(content)
