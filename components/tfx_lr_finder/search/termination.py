"""Handles Ctrl-C and SIGTERM, which Kubernetes sends before it kills a container."""

import contextlib
import signal
import threading
from collections.abc import Iterator
from typing import Any

from tfx_lr_finder.training.ending import allow_trainings, end_trainings


class TerminatedError(RuntimeError):
    """The process was asked to end, by SIGTERM."""


class _Asked(BaseException):
    """Raised by SIGTERM. A BaseException, so that no `except Exception` can catch it."""


@contextlib.contextmanager
def sigterm_raises() -> Iterator[None]:
    """Turns SIGTERM into an error, so that TFX marks the execution as failed.

    Temporary files are then removed, too. Ctrl-C still raises KeyboardInterrupt, also while Beam
    runs. A signal takes effect between two chunks of a sweep. Nothing is changed if the program
    has a handler of its own for SIGTERM, or outside the main thread.

    Raises:
        TerminatedError: If SIGTERM came.
    """
    in_main_thread = threading.current_thread() is threading.main_thread()
    if not in_main_thread or signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
        yield
        return
    signal.signal(signal.SIGTERM, _raise)
    interrupt = signal.getsignal(signal.SIGINT)
    if interrupt is signal.default_int_handler:
        signal.signal(signal.SIGINT, _interrupt)
    try:
        yield
    except _Asked:
        raise TerminatedError("The execution was asked to end by SIGTERM. Run it again.") from None
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.signal(signal.SIGINT, interrupt)
        allow_trainings()


def _raise(*_: Any) -> None:
    end_trainings()
    raise _Asked("SIGTERM")  # Beam replaces an error that has no text


def _interrupt(*_: Any) -> None:
    end_trainings()
    raise KeyboardInterrupt("SIGINT")  # with a text, for the same reason
