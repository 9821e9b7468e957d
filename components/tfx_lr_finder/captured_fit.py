"""A function that trains, run up to its first `fit`: the model and the data, and nothing else."""

import contextlib
import functools
import importlib
import importlib.util
import inspect
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import tensorflow as tf

from tfx_lr_finder.fit_data import training_batches, validation_batches
from tfx_lr_finder.replacement import replaced
from tfx_lr_finder.training_state import accumulation_steps


class FirstFit(NamedTuple):
    """What the first call of `fit` was given.

    Attributes:
        model: The model that it was called on.
        dataset: The training batches as `fit` makes them of its arguments.
        validation_dataset: The batches that `fit` would evaluate, or None if there are none.
        train_steps: Number of updates in all epochs, or None if it is not known.
    """

    model: Any
    dataset: tf.data.Dataset
    validation_dataset: tf.data.Dataset | None
    train_steps: int | None


class _Stop(BaseException):
    """Leaves the user's code. Not an Exception: `except Exception` there does not hold it."""


def first_fit(function: Callable[[], object]) -> FirstFit:
    """Runs a function up to its first call of a Keras model's `fit`.

    That call makes its data sets and goes no further: no step is trained, no callback starts, and
    the rest of the function does not run, but for what it has in `finally`.

    Args:
        function: The user's code, for Keras 3 or tf_keras.

    Returns:
        The model and the data of that call.

    Raises:
        ValueError: If the function ends without a `fit`, applies an optimizer outside of it, or
            hands it a data set that is distributed already.
        Exception: Whatever the function itself raises before.
    """
    reached: list[FirstFit | ValueError] = []
    with contextlib.ExitStack() as stack:
        for keras in _kerases():
            stack.enter_context(replaced(keras.Model, "fit", _capturing(keras, reached)))
            for optimizer, name in _updates(keras):
                stack.enter_context(replaced(optimizer, name, _refusing(reached)))
        try:
            function()
        except _Stop:
            pass
        except Exception:
            # With a result there, the error comes of leaving `fit`: a `finally` of the user's.
            if not reached:
                raise
    result = reached[0] if reached else _not_by_fit("ended without a call of it")
    if isinstance(result, ValueError):
        raise result
    return result


def _kerases() -> list[Any]:
    """Returns Keras 3 and tf_keras, for the user's code may load either when it runs."""
    names = ("keras", "tf_keras")
    return [importlib.import_module(name) for name in names if importlib.util.find_spec(name)]


def _updates(keras: Any) -> Iterator[tuple[Any, str]]:
    """Yields every class and method of it by which an optimizer changes weights."""
    optimizers = keras.optimizers
    if hasattr(optimizers.Optimizer, "apply"):  # Keras 3, whose `apply_gradients` calls it
        yield optimizers.Optimizer, "apply"
    else:
        yield optimizers.Optimizer, "apply_gradients"
        yield optimizers.legacy.Optimizer, "apply_gradients"


def _capturing(keras: Any, reached: list[FirstFit | ValueError]) -> Callable[..., None]:
    """Returns what stands for `fit`: it notes the model and the data, and leaves."""
    fit = keras.Model.fit
    signature = inspect.signature(fit)

    @functools.wraps(fit)
    def capture(*args: Any, **kwargs: Any) -> None:
        call = signature.bind(*args, **kwargs)
        call.apply_defaults()
        model, arguments = call.arguments.pop("self"), call.arguments
        dataset = training_batches(keras, model, fit, arguments)
        validation_dataset = validation_batches(keras, model, arguments)
        train_steps = _train_steps(model, dataset, arguments)
        reached.append(FirstFit(model, dataset, validation_dataset, train_steps))
        raise _Stop

    return capture


def _train_steps(model: Any, dataset: tf.data.Dataset, arguments: dict[str, Any]) -> int | None:
    """Returns the number of updates in all epochs; None if neither call nor data set says it."""
    epoch_steps = arguments["steps_per_epoch"] or dataset.cardinality().numpy()
    if epoch_steps < 0:  # endless, or as long as it happens to be
        return None
    num_batches = max(0, arguments["epochs"] - arguments["initial_epoch"]) * epoch_steps
    return int(num_batches) // accumulation_steps(model.optimizer) or None


def _refusing(reached: list[FirstFit | ValueError]) -> Callable[..., None]:
    """Returns what stands for an optimizer's update: nothing is trained outside of `fit`."""

    def refuse(*args: Any, **kwargs: Any) -> None:
        reached.append(_not_by_fit("trains in a loop of its own, by its optimizer's update"))
        raise _Stop

    return refuse


def _not_by_fit(received: str) -> ValueError:
    return ValueError(
        "`run_fn` must train by the `fit` of a Keras model. "
        f"Received: a `run_fn` that {received}. "
        "Add a function `lr_finder_fn(fn_args) -> LrFinderFnResult` to the module, which returns "
        "the compiled model and its training batches."
    )
