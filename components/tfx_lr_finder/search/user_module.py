"""The user's code: its arguments, how it is loaded, and the result that it must return."""

import contextlib
import functools
import glob
import os
import sys
from collections.abc import Callable, Iterator
from typing import Any

from tfx.components.trainer.fn_args_utils import FnArgs, get_common_fn_args
from tfx.components.util import udf_utils
from tfx.dsl.io import fileio
from tfx.types.artifact import Artifact
from tfx.utils import io_utils

from tfx_lr_finder.search.hyperparameters import Config
from tfx_lr_finder.search.marked_output import marked_output
from tfx_lr_finder.search.missing_arguments import WatchedFnArgs
from tfx_lr_finder.search.options import FUNCTION, TRAINER_FUNCTION, check_functions
from tfx_lr_finder.training.fit.captured_fit import first_fit
from tfx_lr_finder.training.lr_finder_fn_result import LrFinderFnResult


def make_fn_args(
    inputs: dict[str, list[Artifact]],
    exec_properties: dict[str, Any],
    hyperparameters: Config | None,
    working_dir: str,
) -> FnArgs:
    """Returns the arguments that the Trainer would pass to the same module.

    The output folders lie in `working_dir`, which is deleted after the search. As under the
    Trainer, `model_run_dir` exists, and the module itself has to create `serving_model_dir`.
    Unlike the Trainer's, the file patterns find files in a folder whose name has `[`, `*` or `?`.

    Raises:
        ValueError: If a training split has no files.
    """
    fn_args = get_common_fn_args(inputs, exec_properties, working_dir)
    fn_args.train_files = [*map(_literal_folder, fn_args.train_files)]
    fn_args.eval_files = [*map(_literal_folder, fn_args.eval_files)]
    for pattern in fn_args.train_files:
        if not fileio.glob(pattern):
            raise ValueError(
                "The examples must have files for each split to train on. "
                f"Received: none that match {pattern}. "
                "Check `train_args.splits` and the component that made the examples."
            )
    fn_args.transform_output = fn_args.transform_graph_path
    fn_args.schema_file = fn_args.schema_path
    fn_args.serving_model_dir = os.path.join(working_dir, "Format-Serving")
    fn_args.eval_model_dir = os.path.join(working_dir, "Format-TFMA")
    fn_args.model_run_dir = os.path.join(working_dir, "model_run")
    os.makedirs(fn_args.model_run_dir, exist_ok=True)
    fn_args.hyperparameters = hyperparameters
    return WatchedFnArgs.of(fn_args)


def _literal_folder(pattern: str) -> str:
    folder, _, name = pattern.rpartition("/")
    return f"{glob.escape(folder)}/{name}"


def load(user_code: dict[str, str]) -> Callable[[FnArgs], Any]:
    """Loads the user's `lr_finder_fn`, or a function that runs the user's `run_fn` to its `fit`.

    If a module file has both functions, `lr_finder_fn` is used.

    Args:
        user_code: The parameters of the component that name the user's code, by name.

    Raises:
        ImportError: If the module cannot be imported; the message gives the reason.
        RuntimeError: If the module ends the process.
        ValueError: If the module has neither function, or a function lacks a dotted path.
    """
    # In a module file, TFX looks for the bare name of the function: no dotted path is needed.
    if not any(key in user_code for key in ("module_path", "module_file")):
        check_functions(user_code)
    name = TRAINER_FUNCTION if user_code.get(TRAINER_FUNCTION) else FUNCTION
    path = user_code.get(name)
    try:
        with marked_output(), _going_on(), _on_path(user_code) as properties:
            function = udf_utils.get_fn(properties, name)
    except ImportError as error:
        # TFX raises its own ImportError, which names only the module: the user's is its cause.
        if (cause := error.__cause__ or error.__context__) is None:
            raise
        raise ImportError(f"{error} {type(cause).__name__}: {cause}") from error
    except AttributeError as error:
        # Any other missing attribute is an error within the user's module.
        if error.name != (path or name).rpartition(".")[2]:
            raise
        # The error holds the loaded module. TFX would load it again to look for `run_fn`.
        if path or not hasattr(error.obj, TRAINER_FUNCTION):
            raise _no_function(user_code) from error
        function, name = getattr(error.obj, TRAINER_FUNCTION), TRAINER_FUNCTION
    return functools.partial(_call_run_fn, function) if name == TRAINER_FUNCTION else function


@contextlib.contextmanager
def _on_path(user_code: dict[str, str]) -> Iterator[dict[str, str]]:
    """Puts packed modules on Python's path, and yields parameters with which TFX finds them.

    TFX itself would install the wheel with pip, which takes seconds. Python can import from the
    wheel directly, since TFX packs nothing but modules.
    """
    module, wheels = udf_utils.decode_user_module_key(user_code.get("module_path", ""))
    path = sys.path
    sys.path = [*path, *map(io_utils.ensure_local, wheels)]
    try:
        yield {**user_code, "module_path": module} if wheels else user_code
    finally:
        sys.path = path


def _call_run_fn(run_fn: Callable[[FnArgs], object], fn_args: FnArgs) -> LrFinderFnResult:
    return first_fit(functools.partial(run_fn, fn_args))


def _no_function(user_code: dict[str, str]) -> ValueError:
    return ValueError(
        "The user's code must be the Trainer's `run_fn(fn_args)` or a function "
        "`lr_finder_fn(fn_args) -> LrFinderFnResult`, at the top level of its module. "
        f"Received: {next(iter(user_code.values()))!r}, where there is none. "
        "Give the Trainer's own module, or the dotted path of such a function."
    )


def call(function: Callable[[FnArgs], Any], fn_args: FnArgs) -> LrFinderFnResult:
    """Calls the user's function, and returns its model and data set.

    What it prints is marked: it stands in the log as if the training had begun.

    Raises:
        TypeError: If the function returns anything but an `LrFinderFnResult`.
        RuntimeError: If the function ends the process.
        Exception: Whatever the function raises. Notes on the error name missing arguments that the
            function read, and say if the learning rate is the only hyperparameter.
    """
    with marked_output(), _going_on():
        try:
            result = function(fn_args)
        except Exception as error:
            notes = fn_args.notes_on(error) if isinstance(fn_args, WatchedFnArgs) else ()
            # Does what `add_note` does, which Python 3.10 lacks.
            error.__notes__ = [*getattr(error, "__notes__", ()), *notes]  # type: ignore[attr-defined]
            raise
    if not isinstance(result, LrFinderFnResult):
        raise TypeError(
            f"`{FUNCTION}` must return an LrFinderFnResult. "
            f"Received: {str(result)[:200]} of type {type(result).__name__}. "
            "Return `LrFinderFnResult(model=model, dataset=dataset)`."
        )
    return result


@contextlib.contextmanager
def _going_on() -> Iterator[None]:
    """Turns `sys.exit` into an error: only the finder's exit code may say if a rate was found."""
    try:
        yield
    except SystemExit as end:
        raise RuntimeError(
            f"The user's code must not end the process. Received: SystemExit({end.code!r}), as "
            "`sys.exit` raises it. Raise an error, or return."
        ) from end
