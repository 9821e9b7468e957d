"""The user's code: what it is given, how it is found, what it has to return."""

import os
from collections.abc import Callable
from typing import Any, NamedTuple

from tfx.components.trainer.fn_args_utils import FnArgs, get_common_fn_args
from tfx.components.util import udf_utils
from tfx.types.artifact import Artifact

from tfx_lr_finder.hyperparameters import Config

FUNCTION = "lr_finder_fn"


class LrFinderFnResult(NamedTuple):
    """What `lr_finder_fn` returns.

    Attributes:
        model: A compiled Keras model.
        dataset: A `tf.data.Dataset` of training batches as `model.fit` takes them.
    """

    model: Any
    dataset: Any


def make_fn_args(
    inputs: dict[str, list[Artifact]],
    exec_properties: dict[str, Any],
    hyperparameters: Config | None,
    working_dir: str,
) -> FnArgs:
    """Returns the arguments that Trainer would hand to the same module.

    Its output folders lie in `working_dir`, which does not outlive the call of the user's code.
    """
    fn_args = get_common_fn_args(inputs, exec_properties, working_dir)
    fn_args.transform_output = fn_args.transform_graph_path
    fn_args.schema_file = fn_args.schema_path
    fn_args.serving_model_dir = os.path.join(working_dir, "Format-Serving")
    fn_args.eval_model_dir = os.path.join(working_dir, "Format-TFMA")
    fn_args.model_run_dir = os.path.join(working_dir, "model_run")
    fn_args.hyperparameters = hyperparameters
    return fn_args


def load(exec_properties: dict[str, Any]) -> Callable[[FnArgs], Any]:
    """Returns the user's `lr_finder_fn`.

    Raises:
        ValueError: If the module has no such function.
    """
    try:
        return udf_utils.get_fn(exec_properties, FUNCTION)  # type: ignore[no-any-return]
    except AttributeError as error:
        # One from within the user's module is the user's own.
        wanted = (exec_properties.get(FUNCTION) or FUNCTION).rpartition(".")[2]
        if error.name != wanted:
            raise
        raise ValueError(
            f"The module must have a function `{wanted}(fn_args) -> LrFinderFnResult`. "
            f"Received: module {_module(exec_properties)!r} without it. "
            "Add it beside `run_fn`, at the module's top level."
        ) from error


def call(function: Callable[[FnArgs], Any], fn_args: FnArgs) -> LrFinderFnResult:
    """Returns the model and the data set that the user's function makes.

    Raises:
        TypeError: If it returns anything but an `LrFinderFnResult`.
    """
    result = function(fn_args)
    if not isinstance(result, LrFinderFnResult):
        raise TypeError(
            f"`{FUNCTION}` must return an LrFinderFnResult. "
            f"Received: {str(result)[:200]} of type {type(result).__name__}. "
            "Return `LrFinderFnResult(model=model, dataset=dataset)`."
        )
    return result


def _module(exec_properties: dict[str, Any]) -> str:
    keys = ("module_path", "module_file", FUNCTION)
    return str(next(exec_properties[key] for key in keys if exec_properties.get(key)))
