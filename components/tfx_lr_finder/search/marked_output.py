"""Marks what the user's code prints while the finder only looks at it."""

import contextlib
import sys
from collections.abc import Iterable, Iterator
from typing import Any, TextIO

MARK = "[LearningRateFinder] "
"""Begins each line that the user's code prints during a search, as if it trained."""


class _Marked:
    """A stream that begins each line with the mark, up to the end of the context.

    User code may keep the stream, for example in a handler of its log: afterwards nothing is
    marked.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._begins_line = True
        self.is_marking = True

    def write(self, text: str) -> int:
        for line in text.splitlines(keepends=True):
            if self._begins_line and self.is_marking:
                self._stream.write(MARK)
            self._stream.write(line)
            self._begins_line = line.endswith(("\n", "\r"))
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


@contextlib.contextmanager
def marked_output() -> Iterator[None]:
    """Marks each line that is printed to Python's standard output."""
    marked = _Marked(sys.stdout)
    try:
        with contextlib.redirect_stdout(marked):
            yield
    finally:
        marked.is_marking = False
