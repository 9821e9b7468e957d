"""The place in the user's code that an error comes from, as far as its traceback tells."""

import os
import re
import sysconfig
from typing import NamedTuple

import tfx_lr_finder

FRAME = re.compile(r'^  File "(?P<file>.+)", line (?P<line>\d+).*\n(?:    .*\n)*', re.MULTILINE)
"""A function of a traceback, with the text of its line."""

_PACKAGE = os.path.dirname(tfx_lr_finder.__file__)
_CALLERS = (
    os.path.join(_PACKAGE, "search", "user_module.py"),
    os.path.join(_PACKAGE, "training", "fit", "leaving.py"),
)
"""What calls the user's code."""


class Place(NamedTuple):
    """A line of a file."""

    file: str
    line: int

    @property
    def is_ours(self) -> bool:
        """Whether the file is one of this package."""
        return self.file.startswith(_PACKAGE + os.sep)

    @property
    def is_of_a_library(self) -> bool:
        """Whether the file is installed, part of Python, or no file."""
        return (
            self.file.startswith(("<", sysconfig.get_path("stdlib") + os.sep))
            or os.path.basename(self.file).startswith("__autograph_generated_file")
            or not {"site-packages", "dist-packages"}.isdisjoint(self.file.split(os.sep))
        )


def place_in_user_code(traceback: str) -> Place | None:
    """Returns the last line of the user's own in a traceback, or None if there is none.

    Lines of installed packages are not the user's: the one that called them is.
    """
    places = [Place(frame["file"], int(frame["line"])) for frame in FRAME.finditer(traceback)]
    calls = [number for number, place in enumerate(places) if place.file in _CALLERS]
    if not calls:
        return None
    called = [place for place in places[calls[0] + 1 :] if not place.is_ours]
    own = [place for place in called if not place.is_of_a_library]
    return own[-1] if own else None
