"""Every rule that is compared, as a function of a measurement and the trainer's budget."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quality import peers, search
from quality.candidates import FORMS, ClassConstants, Constants, rate_at
from quality.fit import SOURCES, fitted, places
from quality.measurement import Measurement
from quality.models import OPTIMIZERS
from quality.package_rules import RULES, PackageRule
from quality.sweeps import RANGES, all_steps

Array = NDArray[np.float64]


@dataclasses.dataclass(frozen=True)
class Contender:
    """A rule in the comparison.

    Attributes:
        name: Its name in the tables.
        cost: What it costs beyond the training itself; T is the trainer's budget.
        rates: From a measurement and the index of the budget to a rate of each seed.
        is_candidate: Whether it was only a candidate for the package's default.
    """

    name: str
    cost: str
    rates: Callable[[Measurement, int], Array]
    is_candidate: bool = False


PUBLISHED_SHIFTS = {
    "train_100": (0.08, -0.75),
    "train_200": (0.08, -0.50),
    "validation_100": (0.17, -0.67),
    "validation_200": (0.08, -0.42),
}
"""Of `descent75`, for plain and for lagging optimizers: an earlier study's, on 48 other
combinations."""
PUBLISHED_EXPONENT = -0.58

DEFAULT = PackageRule("own_200")
SEVERAL = PackageRule("own_200", num_sweeps=3)
REFERENCE = "package: descent, 200 steps"
"""What the others are compared with in pairs."""


def contenders(measurements: Sequence[Measurement]) -> list[Contender]:
    """Returns every rule; the constants that are fitted see the half for choices alone."""
    return [
        *_of_peers("own_100", "100", peers.ARTICLE_RULES),
        *_of_peers("fastai", "100", peers.FASTAI_RULES),
        *_of_peers("lightning", "100", peers.LIGHTNING_RULES),
        *_of_peers("fastai", "100", peers.TORCH_RULES),
        Contender("Keras's default rate", "0", _keras_default),
        Contender("best fixed rate per optimizer", "0", search.FixedRate(measurements)),
        Contender("6 rates x 20% of T", "1.2 T", search.short_grid),
        Contender("all rates x T, one seed", "31 T", search.full_grid),
        *(_of_package(name, source) for name in RULES for source in ("own_100", "own_200")),
        Contender(f"{REFERENCE}, 3 sweeps", "600", lambda m, b: _array(SEVERAL.rates(m, b))),
        *_candidates(measurements),
        _confirmed("train_100"),
        _confirmed("validation_200"),
    ]


def _of_peers(source: str, cost: str, rules: dict[str, peers.PeerRule]) -> list[Contender]:
    def rates(rule: peers.PeerRule) -> Callable[[Measurement, int], Array]:
        return lambda m, budget: _array(
            rule(*all_steps(sweep, sweep.losses)) for sweep in m.sweeps[source]
        )

    return [Contender(name, cost, rates(rule)) for name, rule in rules.items()]


def _of_package(rule: str, source: str) -> Contender:
    steps = RANGES[source].num_steps
    asked = PackageRule(source, rule)
    name = f"package: {rule}, {steps} steps"
    return Contender(name, str(steps), lambda m, budget: _array(asked.rates(m, budget)))


@dataclasses.dataclass(frozen=True)
class Candidate:
    """A candidate for the package's default, with its constants.

    Attributes:
        form: Name of its form in `FORMS`.
        source: Name of its source in `SOURCES`.
        constants: Its constants.
        num_sweeps: The suggestion is the median, in decades, of so many sweeps.
    """

    form: str
    source: str
    constants: ClassConstants
    num_sweeps: int = 1

    def __call__(self, measurement: Measurement, budget: int) -> Array:
        """Returns the suggestion of each seed; of several sweeps, that of each and the next."""
        constants = self.constants.of(measurement.combination.optimizer)
        steps, form = measurement.oracle.budgets[budget], FORMS[self.form]
        landmarks = places(measurement, SOURCES[self.source], form)
        rates = _array(rate_at(place, steps, constants) for place in landmarks)
        log_rates = np.stack([np.roll(np.log10(rates), -i) for i in range(self.num_sweeps)])
        return 10 ** np.median(log_rates, axis=0)  # type: ignore[no-any-return]


def _published(source: str, exponent: float = PUBLISHED_EXPONENT) -> ClassConstants:
    plain, lagging = PUBLISHED_SHIFTS[source]
    return ClassConstants(Constants(plain, exponent), Constants(lagging, exponent))


def _candidates(measurements: Sequence[Measurement]) -> list[Contender]:
    budget_unknown = [
        _contender(Candidate("descent75", source, _published(source, 0.0)), "published")
        for source in SOURCES
    ]
    published = [
        _contender(Candidate("descent75", source, _published(source)), "published, T known")
        for source in SOURCES
    ]
    of_choices = [
        _contender(Candidate(form, source, constants), "fitted, T known")
        for form in FORMS
        for source, constants in fitted(measurements, FORMS[form]).items()
    ]
    repeated = [
        _contender(Candidate("descent75", source, _published(source), n), "published, T known")
        for source, n in (("validation_100", 2), ("validation_100", 3), ("validation_200", 3))
    ]
    return [*budget_unknown, *published, *of_choices, *repeated]


def _contender(candidate: Candidate, origin: str) -> Contender:
    sweeps = f"{candidate.num_sweeps} x " if candidate.num_sweeps > 1 else ""
    cost = SOURCES[candidate.source].cost
    name = f"{candidate.form}, {sweeps}{candidate.source}, {origin}"
    return Contender(name, f"{sweeps}({cost})" if sweeps else cost, candidate, is_candidate=True)


def _confirmed(source: str) -> Contender:
    candidate = Candidate("descent75", source, _published(source))
    return Contender(
        f"descent75, {source}, published, T known + 3 x 20% of T",
        f"{SOURCES[source].cost} + 0.6 T",
        lambda measurement, budget: search.confirmed(measurement, candidate(measurement, budget)),
        is_candidate=True,
    )


def _keras_default(measurement: Measurement, budget: int) -> Array:
    optimizer = OPTIMIZERS[measurement.combination.optimizer]()
    return np.array([float(optimizer.learning_rate)])


def _array(rates: Any) -> Array:
    return np.array([np.nan if rate is None else rate for rate in rates])
