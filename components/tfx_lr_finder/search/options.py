"""The options of a search, with defaults and checks, shared by component and executor."""

import dataclasses
import math
import typing
from collections.abc import Mapping
from typing import Any

from tfx_lr_finder.core.rules import DEFAULT_RULE, get_rule
from tfx_lr_finder.core.sweep import MAX_STEPS, Check, check_rate, check_sweep, must
from tfx_lr_finder.core.trials.plan import MAX_TRIAL_STEPS
from tfx_lr_finder.core.verdict import MIN_POINTS, MIN_STEPS_PER_DECADE

FUNCTION = "lr_finder_fn"
TRAINER_FUNCTION = "run_fn"
USER_CODE = ("module_file", FUNCTION, TRAINER_FUNCTION)
"""The component's parameters that name the user's code; exactly one of them must be given."""
CODE_KEYS = ("module_path", *USER_CODE)
"""The same in a recorded execution, where a packaged `module_file` stands as `module_path`."""
RATE_KEYS = ("best_hyperparameters", "learning_rate")
"""The component's outputs that hold the rate."""
OUTPUT_KEYS = (*RATE_KEYS, "sweep")
"""The component's outputs."""
ON_FAILURE = ("raise", "default")
MAX_SEED = MAX_TRAIN_STEPS = 2**31 - 1
MAX_SWEEPS = 100
MIN_PROOF_STEPS = 10


@dataclasses.dataclass(frozen=True)
class SweepOptions:
    """How to sweep, how to read a rate off the curve, and what to do if there is no rate.

    Attributes:
        min_learning_rate: The first rate, greater than 0.
        max_learning_rate: The last rate, greater than the first.
        num_steps: Number of training steps, from 10 to 10,000, and 7 for each decade of the range.
        smoothing: Weight of the past in the smoothed loss, in [0, 1); 0 means none.
        divergence_factor: The sweep stops when the smoothed loss exceeds this multiple of its
            best; greater than 1.
        rule: Name of the rule: `descent`, `steepest`, `minimum`, `valley` or `slide`.
        num_sweeps: Number of sweeps, from 1 to 100; their seeds are `seed`, `seed + 1` and so on.
        search_budget: The share of the steps of the training to come that trials, the first proof
            and all sweeps but one may cost, in [0, 1); 0 for no trials.
        trial_steps: Steps of each trial, up to 100,000; 0 to plan them by `search_budget`.
        proof_steps: Steps of the short training that puts a rate to the proof, from 10 to
            10,000; no more than the training to come has.
        seed: Seed of initial weights, data order and dropout, from 0 to 2**31 - 1.
        learning_rate_name: Name of the rate among the hyperparameters.
        on_failure: `raise`, or `default`: publish `default_learning_rate` with the verdict.
        default_learning_rate: Greater than 0; given exactly if `on_failure` is `default`.

    Raises:
        TypeError: If a value has the wrong type. An integer is accepted as a float.
        ValueError: If a value is out of its range.
    """

    min_learning_rate: float = 1e-6
    max_learning_rate: float = 10.0
    num_steps: int = 200
    smoothing: float = 0.98
    divergence_factor: float = 4.0
    rule: str = DEFAULT_RULE
    num_sweeps: int = 1
    search_budget: float = 0.1
    trial_steps: int = 0
    proof_steps: int = 120
    seed: int = 0
    learning_rate_name: str = "learning_rate"
    on_failure: str = "raise"
    default_learning_rate: float | None = None

    def __post_init__(self) -> None:
        """Validates the values, and converts 10 to 10.0 where a float is expected."""
        for name, value in checked(dataclasses.asdict(self)).items():
            object.__setattr__(self, name, value)


def the_one_given(values: Mapping[str, Any], remedy: str) -> str:
    """Returns the one name that has a value.

    Args:
        values: The values by name, empty or None where they are not given.
        remedy: A sentence for the message.

    Raises:
        ValueError: If not exactly one value is given.
    """
    given = {name: value for name, value in values.items() if value}
    if len(given) != 1:
        *names, last = values
        received = ", ".join(f"{name}={str(value)[:100]!r}" for name, value in given.items())
        raise ValueError(
            f"Exactly one of {', '.join(names)} and {last} must be given. "
            f"Received: {received or 'none of them'}. {remedy}"
        )
    return next(iter(given))


def check_functions(parameters: Mapping[str, Any]) -> None:
    """Checks that the parameters name each function by a dotted path.

    Raises:
        ValueError: If a path lacks the module or the name of the function.
    """
    for name in (FUNCTION, TRAINER_FUNCTION):
        path = parameters.get(name)
        if path and not all(path.rpartition(".")):
            raise ValueError(
                f"Argument `{name}` must be a dotted path, of a module and a function in it. "
                f"Received: {name}={path!r}. Give for example 'package.module.{name}'."
            )


OPTION_TYPES: dict[str, type] = {
    name: float if hint == float | None else hint
    for name, hint in typing.get_type_hints(SweepOptions).items()
}
"""The type of each option, by name: `float`, `int` or `str`."""


def checked(values: Mapping[str, Any]) -> dict[str, Any]:
    """Validates options, and returns them with 10 converted to 10.0 where a float is expected.

    A check of several options is made only if all of them are among `values`, as in `check_sweep`.

    Raises:
        TypeError: If a value has the wrong type.
        ValueError: If a value is out of its range.
    """
    result = {name: _typed(name, value) for name, value in values.items()}
    check_sweep(result)
    for name, check in _CHECKS.items():
        if result.get(name) is not None:
            check(name, result[name])
    _check_readable(result)
    if {"on_failure", "default_learning_rate"} <= result.keys():
        on_failure, default = result["on_failure"], result["default_learning_rate"]
        if (on_failure == "default") != (default is not None):
            raise ValueError(
                'Argument `default_learning_rate` must be given exactly if `on_failure="default"`. '
                f"Received: on_failure={on_failure!r}, default_learning_rate={default}. "
                "Give both, or neither."
            )
    return result


def _typed(name: str, value: Any) -> Any:
    if value is None and name == "default_learning_rate":
        return None
    wanted = OPTION_TYPES[name]
    if wanted is float and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    if not isinstance(value, wanted) or isinstance(value, bool):
        raise TypeError(
            f"Argument `{name}` must be of type {wanted.__name__}. "
            f"Received: {name}={value!r} of type {type(value).__name__}."
        )
    return value


_CHECKS: dict[str, Check] = {
    "divergence_factor": must(
        math.isfinite, "be finite, as JSON has no infinity", "1e9 to go on whatever happens"
    ),
    "rule": lambda _, name: get_rule(name),
    "num_sweeps": must(
        lambda sweeps: 1 <= sweeps <= MAX_SWEEPS,
        f"be from 1 to {MAX_SWEEPS}",
        "3 for an estimate of the spread",
    ),
    "search_budget": must(lambda share: 0 <= share < 1, "be in [0, 1)", "0.1, or 0 for no trials"),
    "trial_steps": must(
        lambda steps: 0 <= steps <= MAX_TRIAL_STEPS,
        f"be from 0 to {MAX_TRIAL_STEPS:,}",
        "0 to plan them by search_budget",
    ),
    "proof_steps": must(
        lambda steps: MIN_PROOF_STEPS <= steps <= MAX_STEPS,
        f"be from {MIN_PROOF_STEPS} to {MAX_STEPS:,}: fewer steps show no learning, more are a "
        "training",
        "120",
    ),
    "seed": must(lambda seed: 0 <= seed <= MAX_SEED, "be from 0 to 2**31 - 1", "0"),
    "learning_rate_name": must(bool, "not be empty", "'learning_rate'"),
    "on_failure": must(ON_FAILURE.__contains__, f"be one of {ON_FAILURE}", "'raise'"),
    "default_learning_rate": check_rate,
}
"""The checks of options, besides those of a sweep's arguments."""


def _check_readable(values: Mapping[str, Any]) -> None:
    """Checks that a sweep has enough steps for a rate to be read off its curve."""
    decades, received = 0.0, f"num_steps={values.get('num_steps')}"
    if {"min_learning_rate", "max_learning_rate"} <= values.keys():
        least, greatest = values["min_learning_rate"], values["max_learning_rate"]
        decades = math.log10(greatest) - math.log10(least)  # a quotient could overflow
        received += f" for {decades:.3g} decades"
    fewest = max(MIN_POINTS, math.ceil(MIN_STEPS_PER_DECADE * decades) + 1)
    if values.get("num_steps", fewest) < fewest:
        raise ValueError(
            f"Argument `num_steps` must be at least {MIN_POINTS}, and {MIN_STEPS_PER_DECADE:g} for "
            f"each decade of the range: fewer steps show no course. Received: {received}. "
            f"Choose at least {fewest}, for example {max(fewest, 200)}."
        )
