"""The user's code: what it is given, how it is found, what it has to return."""

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
from tfx_lr_finder.search.missing_arguments import WatchedFnArgs
from tfx_lr_finder.search.options import check_functions, user_code
from tfx_lr_finder.training.fit.captured_fit import first_fit
from tfx_lr_finder.training.lr_finder_fn_result import LrFinderFnResult

FUNCTION = "lr_finder_fn"
TRAINER_FUNCTION = "run_fn"


def make_fn_args(
    inputs: dict[str, list[Artifact]],
    exec_properties: dict[str, Any],
    hyperparameters: Config | None,
    working_dir: str,
) -> FnArgs:
    """Returns the arguments that Trainer would hand to the same module.

    Its output folders lie in `working_dir`, which does not outlive the call of the user's code.
    As for the Trainer, that of the run is there, and that of the model is the module's to make.
    Unlike the Trainer's, the file patterns find files in a folder whose name has `[`, `*` or `?`.

    Raises:
        ValueError: If a split to train on has no files.
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


def load(exec_properties: dict[str, Any]) -> Callable[[FnArgs], Any]:
    """Returns the user's `lr_finder_fn`, or what makes its result of the user's `run_fn`.

    Where a module has both, `lr_finder_fn` is meant for this.

    Raises:
        ImportError: If the module cannot be imported, with the reason.
        RuntimeError: If the module ends the process.
        ValueError: If there is no such function, or it is not named by a dotted path.
    """
    # In a module that it has as a file, TFX looks for the bare name.
    if not any(exec_properties.get(key) for key in ("module_path", "module_file")):
        check_functions(exec_properties)
    name = TRAINER_FUNCTION if exec_properties.get(TRAINER_FUNCTION) else FUNCTION
    path = exec_properties.get(name)
    try:
        with _going_on(), _on_path(exec_properties) as properties:
            function = udf_utils.get_fn(properties, name)
    except ImportError as error:
        # TFX puts one of its own around the user's, and names only the module.
        if (cause := error.__cause__ or error.__context__) is None:
            raise
        raise ImportError(f"{error} {type(cause).__name__}: {cause}") from error
    except AttributeError as error:
        # One from within the user's module is the user's own.
        if error.name != (path or name).rpartition(".")[2]:
            raise
        # The module is at hand: to ask TFX for another function would load it again.
        if path or not hasattr(error.obj, TRAINER_FUNCTION):
            raise _no_function(exec_properties) from error
        function, name = getattr(error.obj, TRAINER_FUNCTION), TRAINER_FUNCTION
    return functools.partial(_call_run_fn, function) if name == TRAINER_FUNCTION else function


@contextlib.contextmanager
def _on_path(exec_properties: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yields the parameters by which TFX finds a packed module on Python's path.

    TFX itself would have pip install the wheel, for seconds, though Python imports from it as it
    is: all that TFX packs is modules.
    """
    module, wheels = udf_utils.decode_user_module_key(exec_properties.get("module_path", ""))
    path = sys.path
    sys.path = [*path, *map(io_utils.ensure_local, wheels)]
    try:
        yield {**exec_properties, "module_path": module} if wheels else exec_properties
    finally:
        sys.path = path


def _call_run_fn(run_fn: Callable[[FnArgs], object], fn_args: FnArgs) -> LrFinderFnResult:
    return first_fit(functools.partial(run_fn, fn_args))


def _no_function(exec_properties: dict[str, Any]) -> ValueError:
    return ValueError(
        "The user's code must be the Trainer's `run_fn(fn_args)` or a function "
        "`lr_finder_fn(fn_args) -> LrFinderFnResult`, at the top level of its module. "
        f"Received: {user_code(exec_properties)!r}, where there is none. "
        "Give the Trainer's own module, or the dotted path of such a function."
    )


def call(function: Callable[[FnArgs], Any], fn_args: FnArgs) -> LrFinderFnResult:
    """Returns the model and the data set that the user's function makes.

    Raises:
        TypeError: If it returns anything but an `LrFinderFnResult`.
        RuntimeError: If it ends the process.
        Exception: Whatever the function raises; its notes say which of the arguments that it read
            were not given, and that there is no hyperparameter but the learning rate.
    """
    with _going_on():
        try:
            result = function(fn_args)
        except Exception as error:
            notes = fn_args.notes_on(error) if isinstance(fn_args, WatchedFnArgs) else ()
            # As `add_note` does, which Python 3.10 does not have.
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
    """Makes an error of the end of the process: its exit code would tell of a rate, or of none."""
    try:
        yield
    except SystemExit as end:
        raise RuntimeError(
            f"The user's code must not end the process. Received: SystemExit({end.code!r}), as "
            "`sys.exit` raises it. Raise an error, or return."
        ) from end
