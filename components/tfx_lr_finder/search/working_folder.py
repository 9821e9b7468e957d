"""A folder for what is not to be kept, or not yet."""

import contextlib
import os
import platform
import re
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

PREFIX = "tfx-lr-finder"


@contextlib.contextmanager
def working_folder(parent: str | None = None) -> Iterator[str]:
    """Yields a temporary folder, which is gone at the end, whatever happens.

    A process that is killed cannot remove its own: the next one on the same machine does it.

    Args:
        parent: The folder in which it lies; by default the system's for temporary files.
    """
    parent = parent or tempfile.gettempdir()
    # The machine is named because containers may share a folder, but not their processes.
    prefix = f"{PREFIX}-{platform.node()}-"
    for folder in Path(parent).iterdir():
        made_by = re.fullmatch(rf"{re.escape(prefix)}(\d+)-\w+", folder.name)
        if made_by and not _is_alive(int(made_by[1])):
            shutil.rmtree(folder, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix=f"{prefix}{os.getpid()}-", dir=parent) as name:
        yield name


def _is_alive(process_id: int) -> bool:
    try:
        os.kill(process_id, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # another user's
        pass
    return True
