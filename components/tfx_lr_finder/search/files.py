"""Writes files through TFX's file systems, which include object stores."""

import os

from tfx.dsl.io import fileio


def write_file(uri: str, content: bytes) -> None:
    """Writes a file through TFX's file systems, and creates its folder if needed."""
    fileio.makedirs(os.path.dirname(uri))
    with fileio.open(uri, "wb") as file:
        file.write(content)
