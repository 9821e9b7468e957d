"""Keeps the terminal for the user: everything else that is printed goes to a log file."""

import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import IO


@contextlib.contextmanager
def output_to_log(file: str | os.PathLike[str]) -> Iterator[IO[str]]:
    """Redirects everything that this process and its children print to a log file.

    TensorFlow, Beam and pip write past Python's file objects, hence the file descriptors. Enter it
    before TFX is imported, which prints, too.

    Args:
        file: The log file, which is replaced; its folder is created if need be.

    Yields:
        The terminal, for lines that are meant for the user. After an error, the path of the log is
        printed there, and the error is raised again.
    """
    log_file = Path(file)
    log_file.parent.mkdir(parents=True, exist_ok=True)
    sys.stdout.flush()
    sys.stderr.flush()
    saved = os.dup(1), os.dup(2)
    with log_file.open("w") as log, os.fdopen(os.dup(1), "w", buffering=1) as terminal:
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)
        try:
            yield terminal
        except BaseException:
            terminal.write(f"\nFailed. All that was printed is in {log_file}\n")
            raise
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            for descriptor, original in zip(saved, (1, 2), strict=True):
                os.dup2(descriptor, original)
                os.close(descriptor)


def progress_label(number: int, total: int, name: str) -> str:
    """Returns the first part of a component's line, with the same width for every component."""
    return f"[{number}/{total}] {name} ".ljust(32, ".")
