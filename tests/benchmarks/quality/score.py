"""From suggestions to scores: regret against the oracle, with intervals over combinations."""

import dataclasses

import numpy as np
from numpy.typing import NDArray

from quality.oracle import LOG_RATES, Oracle

Array = NDArray[np.float64]

MAX_REGRET = float(np.log(10))
NUM_RESAMPLES = 2000


@dataclasses.dataclass(frozen=True)
class Outcomes:
    """The suggestions of one rule for one combination, one of each seed.

    Attributes:
        log_rates: Logarithms to base 10; NaN where there was no suggestion.
        regrets: `log(loss at the rate / least loss)`, in [0, log 10].
        is_useless: Whether the loss is not below that of the best constant predictor.
    """

    log_rates: Array
    regrets: Array
    is_useless: NDArray[np.bool_]


@dataclasses.dataclass(frozen=True)
class Score:
    """A rule's score on several combinations; a pair is a 90% interval over combinations."""

    median_regret: float
    mean_regret: float
    mean_interval: tuple[float, float]
    within_10: float
    within_10_interval: tuple[float, float]
    within_25: float
    within_25_interval: tuple[float, float]
    useless: float
    missing: float
    spread: float


def final_losses(oracle: Oracle, budget_index: int = -1) -> Array:
    """Returns the median validation loss of each rate, shape `(rates,)`."""
    # Blown up is very bad, but finite, and 0 has a logarithm: a line can be drawn to both.
    return np.clip(np.median(oracle.losses[:, :, budget_index], axis=0), 1e-30, 1e30)


def evaluate(oracle: Oracle, rates: Array, budget_index: int = -1) -> Outcomes:
    """Returns what training at the suggested rates would have ended with.

    The oracle's log losses are interpolated linearly in the log of the rate; beyond its ends they
    are those of the ends. No suggestion (NaN) is as bad as the worst one.
    """
    log_rates = np.log10(np.asarray(rates, np.float64))
    log_losses = np.log(final_losses(oracle, budget_index))
    grid = np.clip(log_losses - log_losses.min(), 0, MAX_REGRET)
    regrets = np.interp(log_rates, LOG_RATES, grid)
    losses = np.exp(np.interp(log_rates, LOG_RATES, log_losses))
    missing = np.isnan(log_rates)
    return Outcomes(
        log_rates,
        np.where(missing, MAX_REGRET, regrets),
        missing | (losses >= oracle.constant_loss),
    )


def score(outcomes: list[Outcomes]) -> Score:
    """Returns a rule's score; every combination counts the same, whatever its seeds."""
    regrets = np.array([np.mean(o.regrets) for o in outcomes])
    within_10 = np.array([within(o, 0.10) for o in outcomes])
    within_25 = np.array([within(o, 0.25) for o in outcomes])
    return Score(
        median_regret=float(np.median(np.concatenate([o.regrets for o in outcomes]))),
        mean_regret=float(regrets.mean()),
        mean_interval=bootstrap(regrets),
        within_10=float(within_10.mean()),
        within_10_interval=bootstrap(within_10),
        within_25=float(within_25.mean()),
        within_25_interval=bootstrap(within_25),
        useless=float(np.mean([np.mean(o.is_useless) for o in outcomes])),
        missing=float(np.mean([np.mean(np.isnan(o.log_rates)) for o in outcomes])),
        spread=_spread(outcomes),
    )


def within(outcomes: Outcomes, part: float) -> float:
    """Returns the share of suggestions whose loss is at most so much above the least."""
    return float(np.mean(outcomes.regrets <= np.log1p(part)))


def bootstrap(values: Array) -> tuple[float, float]:
    """Returns the 90% interval of the mean when combinations are drawn anew."""
    random = np.random.default_rng(0)
    samples = values[random.integers(0, values.size, (NUM_RESAMPLES, values.size))].mean(axis=1)
    low, high = np.quantile(samples, [0.05, 0.95])
    return float(low), float(high)


def paired(outcomes: list[Outcomes], others: list[Outcomes]) -> tuple[float, tuple[float, float]]:
    """Returns how much more regret a rule has than another on the same combinations."""
    differences = np.array(
        [np.mean(a.regrets) - np.mean(b.regrets) for a, b in zip(outcomes, others, strict=True)]
    )
    return float(differences.mean()), bootstrap(differences)


def _spread(outcomes: list[Outcomes]) -> float:
    """Returns the mean over combinations of the seeds' standard deviation, in decades."""
    several = [o.log_rates[~np.isnan(o.log_rates)] for o in outcomes]
    deviations = [np.std(rates, ddof=1) for rates in several if rates.size > 1]
    return float(np.mean(deviations)) if deviations else 0.0
