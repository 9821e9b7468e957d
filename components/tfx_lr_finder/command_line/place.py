"""Finds the line of the user's code from which an error comes, by its traceback."""

import os
import re
import sysconfig
from typing import NamedTuple

import tfx_lr_finder

FRAME = re.compile(r'^  File "(?P<file>.+)", line (?P<line>\d+).*\n(?:    .*\n)*', re.MULTILINE)
"""One frame of a printed traceback: file and line number, and the source line below them."""

_PACKAGE = os.path.dirname(tfx_lr_finder.__file__)
_CALLERS = (
    os.path.join(_PACKAGE, "search", "user_module.py"),
    os.path.join(_PACKAGE, "training", "fit", "leaving.py"),
)
"""The modules of this package that call the user's code."""


class Place(NamedTuple):
    """A line of a file."""

    file: str
    line: int

    @property
    def is_ours(self) -> bool:
        """Whether the file belongs to this package."""
        return self.file.startswith(_PACKAGE + os.sep)

    @property
    def is_of_a_library(self) -> bool:
        """Whether the file belongs to an installed package or to Python, or is generated code."""
        return (
            self.file.startswith(("<", sysconfig.get_path("stdlib") + os.sep))
            or os.path.basename(self.file).startswith("__autograph_generated_file")
            or not {"site-packages", "dist-packages"}.isdisjoint(self.file.split(os.sep))
        )


def place_in_user_code(traceback: str) -> Place | None:
    """Returns the last line of user code in a traceback, or None if there is none.

    Lines of Python, of installed packages and of this package do not count as user code.
    """
    places = [Place(frame["file"], int(frame["line"])) for frame in FRAME.finditer(traceback)]
    calls = [number for number, place in enumerate(places) if place.file in _CALLERS]
    if not calls:
        return None
    called = [place for place in places[calls[0] + 1 :] if not place.is_ours]
    own = [place for place in called if not place.is_of_a_library]
    return own[-1] if own else None
