"""What happens on SIGTERM, which Kubernetes sends before it kills a container, and on Ctrl-C."""

import contextlib
import signal
import threading
from collections.abc import Iterator
from typing import Any


class TerminatedError(RuntimeError):
    """The process was asked to end."""


class _Asked(BaseException):
    """Leaves whatever is going on. Not an Exception: `except Exception` there does not hold it."""


@contextlib.contextmanager
def sigterm_raises() -> Iterator[None]:
    """Makes SIGTERM an error: temporary files are removed, and the execution is marked as failed.

    Ctrl-C stays the KeyboardInterrupt that it is, also where Beam handles it. A signal is noticed
    between two chunks of a sweep. Where the program has a handler of its own, and in any thread
    but the main one, nothing is changed.

    Raises:
        TerminatedError: If the signal came.
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


def _raise(*_: Any) -> None:
    raise _Asked("SIGTERM")  # with a text: Beam makes another error of one without


def _interrupt(*_: Any) -> None:
    raise KeyboardInterrupt("SIGINT")  # likewise
