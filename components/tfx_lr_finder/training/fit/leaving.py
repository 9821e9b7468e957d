"""A way out of somebody else's function from anywhere inside of it, whatever it does against that.

An exception is not enough: a bare `except` holds it, and one in a thread ends that thread alone.
"""

import ctypes
import sys
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any, NoReturn

_LEFT_IN_ORDER = {"tensorflow", "keras", "tf_keras", "tfx_lr_finder", *sys.stdlib_module_names}
"""Packages whose functions put things back when they are left, and have to be let do it."""


class Exit:
    """Calls a function that can be left from anywhere inside of it, and from its threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._thread = 0
        self._is_open = False
        self._was_taken = False
        insist = self._insist

        class Left(BaseException):
            """Leaves the function; where somebody holds it, it comes again at the next line."""

            def __del__(self) -> None:
                insist()

        self._left = Left

    def run(self, function: Callable[[], object]) -> None:
        """Calls the function, and returns where it ends or is left.

        Raises:
            BaseException: Whatever the function itself raises.
        """
        self._thread = threading.get_ident()
        self._is_open = True
        tracing = sys.gettrace()
        try:
            try:
                function()
            finally:
                self._close(tracing)
        except self._left:
            self._close(tracing)  # it may have come in the middle of that

    def leave(self) -> NoReturn:
        """Leaves the function: to be called by what it calls.

        What the function has in `finally` is run on the way out, and so is an `except` that holds
        everything, but no line after that. Of a function that has a thread call this, both are
        left.
        """
        with self._lock:
            is_first, self._was_taken = not self._was_taken, True
            is_in_a_thread = self._thread != threading.get_ident()
            if is_in_a_thread and self._is_open:
                _raise_in(self._thread, self._left)
        if is_in_a_thread and is_first:
            raise SystemExit  # which ends a thread without a word
        raise self._left

    def _close(self, tracing: Any) -> None:
        with self._lock:
            self._is_open = False
            sys.settrace(tracing)
            _raise_in(self._thread, None)

    def _insist(self) -> None:
        """Has the next line of each function on the stack, as far as it is left, leave again."""
        if not self._is_open:
            return

        def at_event(frame: FrameType, event: str, _: Any) -> Any:
            if event == "line" and self._is_open:
                raise self._left  # which ends the tracing, until somebody holds this one, too
            return at_event

        frame: FrameType | None = sys._getframe()
        while frame is not None and frame.f_code is not Exit.run.__code__:
            if frame.f_globals.get("__name__", "").partition(".")[0] not in _LEFT_IN_ORDER:
                frame.f_trace = at_event
            frame = frame.f_back
        sys.settrace(lambda *_: None)


def _raise_in(thread: int, exception: type[BaseException] | None) -> None:
    """Has a thread raise an exception at its next step in Python, or none that was to come."""
    wanted = None if exception is None else ctypes.py_object(exception)
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread), wanted)
