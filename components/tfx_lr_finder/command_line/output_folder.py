"""Replaces the results in a folder only when the new results are complete."""

import contextlib
import errno
import os
from collections.abc import Iterator, Sequence

from tfx_lr_finder.search.working_folder import working_folder


@contextlib.contextmanager
def replaced_at_the_end(output: str, names: Sequence[str], mark: str) -> Iterator[str]:
    """Yields a temporary folder to write results to, and moves them to `output` at the end.

    Until then, an earlier result in `output` is left unchanged. After an error or an interruption
    everything is restored, and folders that were created are removed.

    Args:
        output: The folder of the results. It is created if it does not exist.
        names: Names of the folders in `output` that make up a result. If `output` holds an earlier
            result, they are replaced. Otherwise, other files in them are kept.
        mark: Path in `output` of a file whose existence shows that there is an earlier result.

    Raises:
        OSError: Before anything is yielded, if `output` cannot be written to, or one of `names` is
            a file.
    """
    for path in (os.path.join(output, name) for name in names):
        if os.path.lexists(path) and not os.path.isdir(path):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), path)
    # The temporary folder lies in `output`, hence on the same file system: moving is renaming.
    with _made(output), working_folder(output) as folder:
        new, aside = os.path.join(folder, "new"), os.path.join(folder, "aside")
        os.mkdir(new)
        os.mkdir(aside)
        yield new
        with contextlib.ExitStack() as undo:
            if os.path.exists(os.path.join(output, mark)):
                for name in names:
                    _set_aside(os.path.join(output, name), aside, undo)
            for name in os.listdir(new):
                _put(os.path.join(new, name), os.path.join(output, name), aside, undo)
            undo.pop_all()  # success: the renames are not undone


@contextlib.contextmanager
def _made(folder: str) -> Iterator[None]:
    """Creates a folder and its missing parents; removes them after an error if they are empty."""
    missing, path = [], folder
    while not os.path.lexists(path):
        missing.append(path)
        path = os.path.dirname(os.path.abspath(path))
    with contextlib.ExitStack() as undo:
        for path in reversed(missing):
            os.mkdir(path)
            undo.callback(_removed_if_empty, path)
        yield
        undo.pop_all()


def _removed_if_empty(folder: str) -> None:
    with contextlib.suppress(OSError):
        os.rmdir(folder)


def _put(source: str, target: str, aside: str, undo: contextlib.ExitStack) -> None:
    """Moves a file or a folder to `target`, and moves a file that is already there to `aside`.

    Folders that exist on both sides are merged.
    """
    if os.path.isdir(source) and os.path.isdir(target):
        for name in os.listdir(source):
            _put(os.path.join(source, name), os.path.join(target, name), aside, undo)
    else:
        _set_aside(target, aside, undo)
        _rename(source, target, undo)


def _set_aside(path: str, aside: str, undo: contextlib.ExitStack) -> None:
    if os.path.lexists(path):
        _rename(path, os.path.join(aside, str(len(os.listdir(aside)))), undo)


def _rename(source: str, target: str, undo: contextlib.ExitStack) -> None:
    os.rename(source, target)
    undo.callback(os.rename, target, source)
