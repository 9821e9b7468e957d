"""Runs a function that trains up to its first `fit`, to get the model and the data."""

import contextlib
import functools
import importlib
import importlib.util
import inspect
import sys
from collections.abc import Callable
from types import FrameType, ModuleType
from typing import NoReturn

import tensorflow as tf

from tfx_lr_finder.training.fit.fit_call import given_to_fit
from tfx_lr_finder.training.fit.leaving import Exit
from tfx_lr_finder.training.fit.optimizer_updates import updates_replaced
from tfx_lr_finder.training.lr_finder_fn_result import LrFinderFnResult
from tfx_lr_finder.training.model.replacement import replaced

_SEARCHES = {"keras_tuner", "kerastuner", "optuna", "hyperopt"}
"""Packages that search for hyperparameters: each of their trials calls `fit` on a model."""

Reach = Callable[[LrFinderFnResult | ValueError], NoReturn]
"""Stores the result of the user's code, or an error, and leaves that code."""


def first_fit(function: Callable[[], object]) -> LrFinderFnResult:
    """Runs a function up to its first call of a Keras model's `fit`.

    That call creates its data sets and goes no further: no step is trained, and no callback starts.
    Only the function of a `LearningRateScheduler` is called, to know the schedule.
    The rest of the function does not run, except for `finally` blocks, and `except` blocks that
    catch everything. A `fit` in a thread ends the function, too.

    Args:
        function: The user's code, for Keras 3 or tf_keras.

    Returns:
        The model and the data of that call.

    Raises:
        ValueError: If the function ends without a `fit`, applies an optimizer outside of `fit`,
            searches for hyperparameters, or gives `fit` a data set that is distributed already.
        Exception: Whatever the function itself raises before the call of `fit`.
    """
    reached: list[LrFinderFnResult | ValueError] = []
    way_out = Exit()

    def reach(result: LrFinderFnResult | ValueError) -> NoReturn:
        reached.append(result)
        way_out.leave()

    with contextlib.ExitStack() as stack:
        for keras in _kerases():
            stack.enter_context(replaced(keras.Model, "fit", _capturing(keras, reach)))
        for optimizer in _optimizers():
            stack.enter_context(updates_replaced(optimizer, _refusing(reach)))
        try:
            way_out.run(function)
        except (Exception, SystemExit):
            # After a result, the error comes from the user's code on its way out: a `finally`.
            if not reached:
                raise
    result = reached[0] if reached else _not_by_fit("ended without a call of it")
    if isinstance(result, ValueError):
        raise result
    return result


def _kerases() -> list[ModuleType]:
    """Returns Keras 3 and tf_keras if installed: the user's code may import either when it runs."""
    names = ("keras", "tf_keras")
    return [importlib.import_module(name) for name in names if importlib.util.find_spec(name)]


def _optimizers() -> list[type]:
    """Returns the base class of every kind of optimizer."""
    bases = [tf.compat.v1.train.Optimizer]
    for keras in _kerases():
        bases.append(keras.optimizers.Optimizer)
        if keras.__name__ == "tf_keras":
            bases.append(keras.optimizers.legacy.Optimizer)
    return bases


def _capturing(keras: ModuleType, reach: Reach) -> Callable[..., None]:
    """Returns a replacement for `fit`, which stores model and data, and leaves the user's code."""
    fit = keras.Model.fit
    signature = inspect.signature(fit)

    @functools.wraps(fit)
    def capture(*args: object, **kwargs: object) -> None:
        if package := _searching_package():
            reach(_not_of_a_search(package))
        call = signature.bind(*args, **kwargs)
        call.apply_defaults()
        model, arguments = call.arguments.pop("self"), call.arguments
        reach(given_to_fit(keras, model, fit, arguments))

    return capture


def _refusing(reach: Reach) -> Callable[..., None]:
    """Returns a replacement for an optimizer's update, since only `fit` may train."""

    def refuse(*args: object, **kwargs: object) -> None:
        reach(_not_by_fit("trains in a loop of its own, by its optimizer's update"))

    return refuse


def _searching_package() -> str | None:
    """Returns the package that calls `fit` in a search for hyperparameters, or None."""
    frame: FrameType | None = sys._getframe()
    while frame is not None:
        package = frame.f_globals.get("__name__", "").partition(".")[0]
        if package in _SEARCHES:
            return str(package)
        frame = frame.f_back
    return None


def _not_of_a_search(package: str) -> ValueError:
    return ValueError(
        "`run_fn` must train one model by `fit`. "
        f"Received: a `run_fn` that searches for hyperparameters by {package}, whose trials are "
        "other models. Put the search into TFX's Tuner before the finder, or add a function "
        "`lr_finder_fn(fn_args) -> LrFinderFnResult` to the module, which returns the model that "
        "is to be trained."
    )


def _not_by_fit(received: str) -> ValueError:
    return ValueError(
        "`run_fn` must train by the `fit` of a Keras model. "
        f"Received: a `run_fn` that {received}. "
        "Add a function `lr_finder_fn(fn_args) -> LrFinderFnResult` to the module, which returns "
        "the compiled model and its training batches."
    )
