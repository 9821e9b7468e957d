"""The constants of the candidates, fitted on the half for choices and on nothing else."""

import dataclasses
import functools
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from quality.candidates import (
    ClassConstants,
    Constants,
    Form,
    Landmark,
    budget_factor,
    landmark,
)
from quality.measurement import Measurement
from quality.score import evaluate
from quality.sweeps import all_steps
from quality.tasks import Half

Array = NDArray[np.float64]

SHIFTS = np.arange(-40, 21) / 20
"""The shifts that are tried, in decades."""
EXPONENTS = np.arange(0, -9, -1) / 10
"""The powers of the budget that are tried."""


@dataclasses.dataclass(frozen=True)
class Source:
    """Where a candidate reads its losses.

    Attributes:
        sweeps: Name of the sweeps.
        is_validation: Whether it reads the validation batch's losses.
        cost: Its cost in steps.
    """

    sweeps: str
    is_validation: bool
    cost: str

    def curves(self, measurement: Measurement) -> list[tuple[Array, Array]]:
        """Returns rates and losses of each seed."""
        sweeps = measurement.sweeps[self.sweeps]
        return [all_steps(s, s.steady_losses if self.is_validation else s.losses) for s in sweeps]


SOURCES = {
    "train_100": Source("own_100", False, "100"),
    "train_200": Source("own_200", False, "200"),
    "validation_100": Source("own_100", True, "100 + 100 forward"),
    "validation_200": Source("own_200", True, "200 + 200 forward"),
}


@functools.cache
def places(measurement: Measurement, source: Source, form: Form) -> list[Landmark]:
    """Returns the landmark of each seed; found once, as every budget is asked for it."""
    return [landmark(*c, form.descent, form.weight) for c in source.curves(measurement)]


def fitted(measurements: Sequence[Measurement], form: Form) -> dict[str, ClassConstants]:
    """Returns a form's constants for each source: the least mean regret over all budgets."""
    choices = [m for m in measurements if m.combination.half is Half.CHOICES]
    plain = [m for m in choices if m.combination.optimizer == "sgd"]
    lagging = [m for m in choices if m.combination.optimizer != "sgd"]
    return {
        name: ClassConstants(_best(plain, source, form), _best(lagging, source, form))
        for name, source in SOURCES.items()
    }


def _best(measurements: Sequence[Measurement], source: Source, form: Form) -> Constants:
    if not measurements:
        return Constants(0.0)
    regrets = np.mean([_regrets(m, source, form) for m in measurements], axis=0)
    of_exponent = regrets[int(np.argmin(regrets.min(axis=1)))]
    # The middle of all that are almost as good: the least of a few noisy values is chance.
    shift = np.median(SHIFTS[of_exponent <= of_exponent.min() + 0.005])
    return Constants(float(shift), float(EXPONENTS[int(np.argmin(regrets.min(axis=1)))]))


def _regrets(measurement: Measurement, source: Source, form: Form) -> Array:
    """Returns the mean regret over seeds and budgets, shape `(exponents, shifts)`."""
    landmarks = places(measurement, source, form)
    log_rates = np.stack([p.log_rate + SHIFTS * p.is_descent for p in landmarks])
    oracle = measurement.oracle
    regrets = [
        [
            evaluate(oracle, budget_factor(steps, exponent) * 10**log_rates, i).regrets.mean(axis=0)
            for i, steps in enumerate(oracle.budgets)
        ]
        for exponent in EXPONENTS
    ]
    return np.mean(regrets, axis=1)  # type: ignore[no-any-return]
