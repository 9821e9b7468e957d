"""A temporary folder; the next process removes it if its own process was killed."""

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
    """Yields a temporary folder, and deletes it on exit.

    A process that is killed cannot delete its folder: the next process on the same machine does.

    Args:
        parent: The folder to create it in; by default the system's folder for temporary files.
    """
    parent = parent or tempfile.gettempdir()
    # The prefix names the machine: containers may share a folder, but not their process ids.
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
    except PermissionError:  # alive, but another user's process
        pass
    return True
