"""A folder of results, which holds the earlier one until the new one is whole."""

import contextlib
import errno
import os
from collections.abc import Iterator, Sequence

from tfx_lr_finder.search.working_folder import working_folder


@contextlib.contextmanager
def replaced_at_the_end(output: str, names: Sequence[str], mark: str) -> Iterator[str]:
    """Yields a folder to write to, whose folders take the place of an earlier result's at the end.

    Until then nothing of that is touched. After an error or an interruption everything is as it
    was: no folder is left that had not been there.

    Args:
        output: The folder of the results, which is made if there is none.
        names: The folders in it that make up a result. Where they are not an earlier result's,
            other files in them stay.
        mark: Path of the file in it that tells of an earlier result.

    Raises:
        OSError: At once if the folder cannot be written to, or one of its folders is a file.
    """
    for path in (os.path.join(output, name) for name in names):
        if os.path.lexists(path) and not os.path.isdir(path):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), path)
    # Beside the result, so that it is of the same file system: a rename is no copy.
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
            undo.pop_all()


@contextlib.contextmanager
def _made(folder: str) -> Iterator[None]:
    """Makes a folder, and those above it; after an error they are gone again."""
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
    """Moves a file or a folder to its place; what is there is set aside."""
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
