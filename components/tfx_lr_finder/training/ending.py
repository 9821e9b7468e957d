"""Ends trainings in other threads, once the process was asked to end.

A signal is handled in the main thread alone. A thread that went on training while Python shuts
down would crash the process.
"""

import threading

_ASKED = threading.Event()


class EndedError(RuntimeError):
    """The process was asked to end while a training ran in another thread."""


def end_trainings() -> None:
    """Asks the trainings of every thread to end; may be called by a signal handler."""
    _ASKED.set()


def allow_trainings() -> None:
    """Lets trainings run again."""
    _ASKED.clear()


def check_not_asked_to_end() -> None:
    """Raises an EndedError if the trainings are to end."""
    if _ASKED.is_set():
        raise EndedError("The process was asked to end.")
