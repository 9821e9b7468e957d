"""What ends a search from outside: Ctrl-C, SIGTERM, and a worker that is lost.

Kubernetes sends SIGTERM before it kills a container.
"""

import contextlib
import signal
import threading
from collections.abc import Iterator
from typing import Any

from tfx_lr_finder.training.ending import allow_trainings, end_trainings

_WORKER_THREAD = "run_worker"
"""Name of the thread in which Beam's own runner waits for the end of a worker process."""


class TerminatedError(RuntimeError):
    """The process was asked to end, by SIGTERM."""


class LostWorkerError(RuntimeError):
    """A process that Beam had started as a worker has ended before its work was done."""


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


@contextlib.contextmanager
def lost_worker_raises() -> Iterator[None]:
    """Ends the wait of Beam's own runner for a worker process that was killed.

    Its thread for that process ends with an error, and the runner goes on waiting, forever. Outside
    the main thread, which signals alone can wake, it still does.

    Raises:
        LostWorkerError: If a worker process has ended.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    report, handler = threading.excepthook, signal.getsignal(signal.SIGUSR1)

    def report_and_wake(failed: threading.ExceptHookArgs) -> None:
        report(failed)
        if failed.thread is not None and failed.thread.name == _WORKER_THREAD:
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGUSR1)

    signal.signal(signal.SIGUSR1, _raise_lost)
    threading.excepthook = report_and_wake
    try:
        yield
    finally:
        threading.excepthook = report
        signal.signal(signal.SIGUSR1, handler)


def _raise_lost(*_: Any) -> None:
    raise LostWorkerError("A worker process has ended.")


def _raise(*_: Any) -> None:
    end_trainings()
    raise _Asked("SIGTERM")  # Beam replaces an error that has no text


def _interrupt(*_: Any) -> None:
    end_trainings()
    raise KeyboardInterrupt("SIGINT")  # with a text, for the same reason
