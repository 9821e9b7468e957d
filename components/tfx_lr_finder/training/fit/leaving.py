"""Leaves a user's function from anywhere inside it, even if the function catches everything.

An exception alone is not enough: a bare `except` catches it, and in a thread it ends only that
thread.
"""

import ctypes
import sys
import threading
from collections.abc import Callable
from types import FrameType
from typing import NoReturn, TypeAlias

_LEFT_IN_ORDER = {"tensorflow", "keras", "tf_keras", "tfx_lr_finder", *sys.stdlib_module_names}
"""Packages whose functions restore state when they are left, and must not be interrupted then."""

TraceFunction: TypeAlias = Callable[[FrameType, str, object], "TraceFunction | None"]
"""What `sys.settrace` takes."""


class Exit:
    """Calls a function that can be left from anywhere inside it, also from its threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._thread = 0
        self._is_open = False
        self._was_taken = False
        insist = self._insist

        class Left(BaseException):
            """Leaves the function, and is raised again at the next line if somebody catches it.

            Python deletes a caught exception at the end of the `except` block: `__del__` runs.
            """

            def __del__(self) -> None:
                insist()

        self._left = Left

    def run(self, function: Callable[[], object]) -> None:
        """Calls the function, and returns when it ends or is left.

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
            self._close(tracing)  # the exception may have interrupted the first `_close`

    def leave(self) -> NoReturn:
        """Leaves the function; to be called from inside it.

        On the way out, `finally` blocks run, and so do `except` blocks that catch everything, but
        no line after them. If a thread of the function calls this, both the thread and the
        function are left.
        """
        with self._lock:
            is_first, self._was_taken = not self._was_taken, True
            is_in_a_thread = self._thread != threading.get_ident()
            if is_in_a_thread and self._is_open:
                _raise_in(self._thread, self._left)
        if is_in_a_thread and is_first:
            raise SystemExit  # ends the thread without a traceback
        raise self._left

    def _close(self, tracing: TraceFunction | None) -> None:
        with self._lock:
            self._is_open = False
            sys.settrace(tracing)
            _raise_in(self._thread, None)

    def _insist(self) -> None:
        """Makes each function on the stack raise again, except those of `_LEFT_IN_ORDER`."""
        if not self._is_open:
            return

        def at_event(frame: FrameType, event: str, _: object) -> TraceFunction:
            if event == "line" and self._is_open:
                raise self._left  # ends the tracing, until this one is caught, too
            return at_event

        frame: FrameType | None = sys._getframe()
        while frame is not None and frame.f_code is not Exit.run.__code__:
            if frame.f_globals.get("__name__", "").partition(".")[0] not in _LEFT_IN_ORDER:
                frame.f_trace = at_event
            frame = frame.f_back
        # Python calls the `f_trace` of frames only while a global trace function is set.
        sys.settrace(lambda *_: None)


def _raise_in(thread: int, exception: type[BaseException] | None) -> None:
    """Makes a thread raise an exception at its next step in Python; None cancels a pending one."""
    wanted = None if exception is None else ctypes.py_object(exception)
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread), wanted)
