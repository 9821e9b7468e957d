"""Behaviour that all commands share: `--json`, one-line errors, exit codes for scripts."""

import contextlib
import json
import logging
import os
import sys
import tempfile
import traceback
import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NoReturn

import absl.logging
import click

from tfx_lr_finder.command_line.place import FRAME, Place, place_in_user_code
from tfx_lr_finder.core.errors import NoLearningRateError
from tfx_lr_finder.search.termination import TerminatedError

NO_LEARNING_RATE = 3
"""Exit code if no learning rate can be suggested. click uses 1 for errors and 2 for wrong usage."""
INTERRUPTED = 130
"""Exit code after Ctrl-C: by convention 128 plus the number of the signal."""
TERMINATED = 143
"""Exit code after SIGTERM: 128 plus the number of the signal."""

_LONGEST = 1000
"""Messages longer than this many characters are shortened in the middle."""


class Command(click.Command):
    """A command with `--json` and `--verbose`."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.params += _common_options()

    def invoke(self, ctx: click.Context) -> None:
        """Runs the command, and hides messages of libraries unless `--verbose` is given.

        Raises:
            click.ClickException: In place of any other error. Its exit code is 3 if no learning
                rate could be suggested, and 143 after SIGTERM.
        """
        verbose = ctx.params.pop("verbose")
        try:
            with _messages(verbose):
                super().invoke(ctx)
        except (click.ClickException, click.exceptions.Exit, BrokenPipeError):
            raise  # click handles these; a BrokenPipeError (the reader has gone) it ignores
        except Exception as error:
            if verbose:
                traceback.print_exc()
            raise _failure(error) from error


class Program(click.Group):
    """A group of `Command`s, which prints errors in one line."""

    command_class = Command

    def main(self, args: Sequence[str] | None = None, *other: Any, **named: Any) -> NoReturn:
        """Runs a command and ends the process with the exit code."""
        try:
            code = super().main(args, *other, **{**named, "standalone_mode": False})
        except click.Abort:
            click.echo("Aborted.", err=True)
            code = INTERRUPTED
        except click.ClickException as error:
            message = printable(_one_line(error.format_message()))
            click.echo(f"Error: {message}{_help(error)}", err=True)
            code = error.exit_code
        sys.exit(code)


class _NoLearningRate(click.ClickException):
    exit_code = NO_LEARNING_RATE


class _Terminated(click.ClickException):
    exit_code = TERMINATED


def _failure(error: Exception) -> click.ClickException:
    """Converts an error of this package or of the user's code to a `ClickException`.

    The message names the line of user code from which the error comes, if there is one. The type
    of the error is left out only where the message is clear without it: for a ValueError,
    RuntimeError or OSError that this package raised, or that no user code led to.
    """
    if isinstance(error, NoLearningRateError):
        return _NoLearningRate(str(error))
    if isinstance(error, TerminatedError):
        return _Terminated(str(error))
    traced = "".join(traceback.format_exception(error))
    place = place_in_user_code(traced)
    is_clear = isinstance(error, ValueError | RuntimeError | OSError)
    if place is not None:  # a message from user code may not be clear without the error's type
        is_clear = is_clear and _raised_at(error).is_ours
    name = [] if is_clear else [f"{type(error).__name__}:" if str(error) else type(error).__name__]
    where = [f"(at {place.file}, line {place.line})"] if place else []
    notes = getattr(error, "__notes__", [])
    return click.ClickException(" ".join([*name, str(error), *notes, *where]))


def _raised_at(error: Exception) -> Place:
    *_, (frame, line) = traceback.walk_tb(error.__traceback__)
    return Place(frame.f_code.co_filename, line)


def put_out(content: Mapping[str, Any], text: str, as_json: bool) -> None:
    """Prints the result of a command: `content` as JSON, or `text`."""
    click.echo(json.dumps(content, indent=2, allow_nan=False) if as_json else printable(text))


def _common_options() -> list[click.Parameter]:
    return [
        click.Option(["--json", "as_json"], is_flag=True, help="Print JSON instead of text."),
        click.Option(
            ["--verbose"],
            is_flag=True,
            help="Show what TensorFlow and TFX print, and the traceback of an error.",
        ),
    ]


@contextlib.contextmanager
def _messages(verbose: bool) -> Iterator[None]:
    """Hides the messages of TensorFlow, TFX and other libraries, or shows them if `verbose`.

    Enter it before these libraries are loaded. Log levels that the user has set in the environment
    are kept. Errors are exceptions, which are shown anyway.
    """
    if verbose:
        absl.logging.set_verbosity(absl.logging.INFO)
        yield
        return
    for variable in ("TF_CPP_MIN_LOG_LEVEL", "GLOG_minloglevel"):
        os.environ.setdefault(variable, "3")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        logging.disable(logging.WARNING)
        try:
            yield
        finally:
            logging.disable(logging.NOTSET)


@contextlib.contextmanager
def tensorflow_loaded_quietly() -> Iterator[None]:
    """Tells a terminal to wait while TFX is loaded, and hides what TensorFlow prints meanwhile.

    It hides it only if `TF_CPP_MIN_LOG_LEVEL` is 3.

    TensorFlow 2.21 and later obey the log level only after they are loaded. They write to the file
    descriptor directly, not through `sys.stderr`, so the descriptor itself is redirected. The
    hidden output is printed if an error is raised.
    """
    if sys.stderr.isatty():
        click.echo("Loading TFX ...", err=True)
    if os.environ.get("TF_CPP_MIN_LOG_LEVEL") != "3":
        yield
        return
    sys.stderr.flush()
    saved = os.dup(2)
    with tempfile.TemporaryFile() as kept:
        os.dup2(kept.fileno(), 2)
        try:
            yield
        except BaseException:
            kept.seek(0)
            os.write(saved, kept.read())
            raise
        finally:
            os.dup2(saved, 2)
            os.close(saved)


def _one_line(text: str) -> str:
    """Returns a message in one line, without the frames of a traceback that stands in it."""
    said, _, traced = text.partition("Traceback (most recent call last):")
    if frames := list(FRAME.finditer(traced)):
        traced = traced[frames[-1].end() :]
    text = " ".join([*said.split(), *traced.split()])
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 400]} [...] {text[-400:]}"


def printable(text: str) -> str:
    """Returns the text with control characters escaped: no name can control the terminal."""
    escape = "unicode_escape"
    return "".join(c if c.isprintable() or c == "\n" else c.encode(escape).decode() for c in text)


def _help(error: click.ClickException) -> str:
    if not isinstance(error, click.UsageError) or error.ctx is None:
        return ""
    return f" See `{error.ctx.command_path} --help`."
