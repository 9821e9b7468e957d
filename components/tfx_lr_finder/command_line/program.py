"""How every command behaves: JSON on request, one line an error, exit codes for scripts."""

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
"""Exit code where no learning rate can be suggested; click's own: 1 for an error, 2 for usage."""
INTERRUPTED = 130
"""Exit code after Ctrl-C: 128 and the number of the signal, as of any program that it ends."""
TERMINATED = 143
"""Exit code after SIGTERM, likewise."""

_LONGEST = 1000
"""Of a longer message the beginning and the end are shown, in characters."""


class Command(click.Command):
    """A command with `--json` and `--verbose`."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.params += _common_options()

    def invoke(self, ctx: click.Context) -> None:
        """Runs the command, quietly unless `--verbose` is given.

        Raises:
            click.ClickException: In place of any other error; its exit code is 3 if no learning
                rate could be suggested.
        """
        verbose = ctx.params.pop("verbose")
        try:
            with _messages(verbose):
                super().invoke(ctx)
        except (click.ClickException, click.exceptions.Exit, BrokenPipeError):
            raise  # click itself is silent about a reader that has gone
        except Exception as error:
            if verbose:
                traceback.print_exc()
            raise _failure(error) from error


class Program(click.Group):
    """A group of such commands."""

    command_class = Command

    def main(self, args: Sequence[str] | None = None, *other: Any, **named: Any) -> NoReturn:
        """Runs a command and ends the process with its exit code."""
        try:
            code = super().main(args, *other, **{**named, "standalone_mode": False})
        except click.Abort:
            click.echo("Aborted.", err=True)
            code = INTERRUPTED
        except click.ClickException as error:
            message = _printable(_one_line(error.format_message()))
            click.echo(f"Error: {message}{_help(error)}", err=True)
            code = error.exit_code
        sys.exit(code)


class _NoLearningRate(click.ClickException):
    exit_code = NO_LEARNING_RATE


class _Terminated(click.ClickException):
    exit_code = TERMINATED


def _failure(error: Exception) -> click.ClickException:
    """Returns an error of the package or of the user's code as one of click's."""
    if isinstance(error, NoLearningRateError):
        return _NoLearningRate(str(error))
    if isinstance(error, TerminatedError):
        return _Terminated(str(error))
    traced = "".join(traceback.format_exception(error))
    place = place_in_user_code(traced)
    is_clear = isinstance(error, ValueError | RuntimeError | OSError)
    if place is not None:  # who raised it, decides: the user's messages are not written for this
        is_clear = is_clear and _raised_at(error).is_ours
    name = [] if is_clear else [f"{type(error).__name__}:" if str(error) else type(error).__name__]
    where = [f"(at {place.file}, line {place.line})"] if place else []
    notes = getattr(error, "__notes__", [])
    return click.ClickException(" ".join([*name, str(error), *notes, *where]))


def _raised_at(error: Exception) -> Place:
    *_, (frame, line) = traceback.walk_tb(error.__traceback__)
    return Place(frame.f_code.co_filename, line)


def put_out(content: Mapping[str, Any], text: str, as_json: bool) -> None:
    """Prints what a command found, as JSON or as text."""
    click.echo(json.dumps(content, indent=2, allow_nan=False) if as_json else _printable(text))


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
    """Keeps what the libraries print out of sight, before they are loaded, or asks for it.

    Errors are exceptions, and are shown. A level that the user has set is left alone.
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
    """Keeps back what TensorFlow prints while it is loaded, where its level is that of errors.

    From 2.21 on it heeds the level only afterwards. It writes past Python's file objects, hence
    the file descriptors. What was kept back is shown with an error.
    """
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
    """Returns a message without its line ends; of a worker's traceback no function is kept."""
    said, _, traced = text.partition("Traceback (most recent call last):")
    if frames := list(FRAME.finditer(traced)):
        traced = traced[frames[-1].end() :]
    text = " ".join([*said.split(), *traced.split()])
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 400]} [...] {text[-400:]}"


def _printable(text: str) -> str:
    """Returns text with escapes for control characters: a name gives no orders to the terminal."""
    escape = "unicode_escape"
    return "".join(c if c.isprintable() or c == "\n" else c.encode(escape).decode() for c in text)


def _help(error: click.ClickException) -> str:
    if not isinstance(error, click.UsageError) or error.ctx is None:
        return ""
    return f" See `{error.ctx.command_path} --help`."
