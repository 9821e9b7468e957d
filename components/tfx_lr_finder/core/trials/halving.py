"""Trials: short trainings at constant rates, of which the best settles the rate to publish."""

import dataclasses
import math
from collections.abc import Callable, Sequence

import numpy as np

from tfx_lr_finder.core.proof import SPACING, rate_beyond
from tfx_lr_finder.core.schedule import Schedule
from tfx_lr_finder.core.smoothing import Array
from tfx_lr_finder.core.stored_json import MAY_BE_INFINITE
from tfx_lr_finder.core.trials.plan import MOST_TRIALS, NUM_FINALISTS, Plan

OFFSETS = (-SPACING, 0.0, SPACING)
"""Decades from the first rate to the rates that are tried at once."""
LEAN = 0.1
"""A rate that is a decade higher is as good with a tenth more loss.

Short trainings often end on a plateau, with nearly equal losses over decades of rates. A longer
training leaves it, and at a higher rate sooner.
"""
SHIFT_DECAYING = -0.2
"""Decades from the best rate of the trials to the peak of a schedule that decays."""
SHIFT = -0.6
"""Decades from the best rate of the trials to the rate of a training that does not decay."""


@dataclasses.dataclass(frozen=True)
class Trial:
    """A training at a constant rate, from the initial state.

    Attributes:
        learning_rate: The rate, greater than 0.
        loss: The loss at the end, on the data that judge a proof; `inf` if it was not finite.
        num_steps: Number of steps.
    """

    learning_rate: float
    loss: float = dataclasses.field(metadata=MAY_BE_INFINITE)
    num_steps: int


Run = Callable[[Sequence[float], int], list[Trial]]
"""Trains at each of some rates up to a number of steps, going on where an earlier call ended."""


def tried(first: float, run: Run, plan: Plan, rates: tuple[float, float]) -> tuple[Trial, ...]:
    """Returns the trials around a rate, by successive halving.

    In the first round, three rates half a decade apart are tried. While the best rate lies at an
    end, the next one is tried beyond it, up to six rates. In the second round, the best two go on
    with the steps that are left (K. Jamieson and A. Talwalkar, arXiv 1502.07943).

    Args:
        first: The rate that a rule read off the curve.
        run: Runs the trials.
        plan: The plan of the search.
        rates: The least and the greatest rate to try.

    Returns:
        All trials, in the order in which they ran; those of the second round last.
    """
    around = [first * 10**offset for offset in OFFSETS]
    trials = run([rate for rate in around if rates[0] <= rate <= rates[1]], plan.trial_steps)
    while len(trials) < MOST_TRIALS and (rate := _beyond(trials, rates)) is not None:
        trials += run([rate], plan.trial_steps)
    if rates_to_go_on := finalists(trials):
        trials += run(rates_to_go_on, plan.final_steps(len(trials)))
    return tuple(trials)


def finalists(trials: Sequence[Trial]) -> list[float]:
    """Returns the rates of the best two trials of a round, without those that diverged."""
    ranked = [trial.learning_rate for trial in _ranked(trials) if math.isfinite(trial.loss)]
    return ranked[:NUM_FINALISTS]


def settled(trials: Sequence[Trial], schedule: Schedule, rates: tuple[float, float]) -> float:
    """Returns the rate for the whole training, from the trials around a first rate.

    With `u` the base-10 logarithm of a rate:

        score(u) = log(loss(u)) - 0.1 * u

    1. Rates from the least one on at which a trial diverged are out.
    2. Of the longest trials that are left, the one with the least score wins.
    3. If it was the best of the first round, too, and both its neighbours were tried, the vertex
       of the parabola through their scores in the first round takes its place.
    4. A short training bears a higher rate than a long one. So the result is 0.2 decades lower for
       a schedule that decays, whose peak it is, and otherwise 0.6 decades.
    5. It stays within the range of the sweep, and half a decade below a rate that diverged.

    If a loss is 0 or negative, `loss / median |loss|` takes the place of every `log(loss)`.

    Args:
        trials: All trials, at least one; see `tried`.
        schedule: How the rate moves in the training to come.
        rates: The least and the greatest rate of the sweep.
    """
    winner = _best(trials)
    first_round = [trial for trial in trials if trial.num_steps == trials[0].num_steps]
    first_round.sort(key=lambda trial: trial.learning_rate)
    place = [trial.learning_rate for trial in first_round].index(winner.learning_rate)
    around = _scores(first_round)[max(0, place - 1) : place + 2]
    is_best = _ranked(first_round)[0].learning_rate == winner.learning_rate
    has_vertex = is_best and place > 0 and around.size == 3
    log_rate = np.log10(winner.learning_rate) + (SPACING * _vertex(*around) if has_vertex else 0.0)
    shift = SHIFT_DECAYING if schedule is Schedule.DECAYING else SHIFT
    least, greatest = sound_range(trials, rates)
    return float(np.clip(10 ** (log_rate + shift), least, greatest))


def sound_range(trials: Sequence[Trial], rates: tuple[float, float]) -> tuple[float, float]:
    """Returns a range of rates that ends half a decade below the least one that diverged."""
    return rates[0], min(rates[1], _least_diverged(trials) / 10**SPACING)


def is_cut_off(trials: Sequence[Trial], rates: tuple[float, float]) -> bool:
    """Returns whether the best trial lies at the end of the range, with no higher rate to try."""
    highest = max((trial.learning_rate for trial in trials), default=0.0)
    is_last = highest * 10**SPACING > rates[1]
    return bool(trials) and is_last and _best(trials).learning_rate == highest


def _least_diverged(trials: Sequence[Trial]) -> float:
    diverged = [trial.learning_rate for trial in trials if not math.isfinite(trial.loss)]
    return min(diverged, default=math.inf)


def _best(trials: Sequence[Trial]) -> Trial:
    """Returns the best of the longest trials below the least rate that diverged.

    If no trial is below it, the one with the lowest rate is returned.
    """
    sound = [trial for trial in trials if trial.learning_rate < _least_diverged(trials)]
    sound = sound or [min(trials, key=lambda trial: trial.learning_rate)]
    most_steps = max(trial.num_steps for trial in sound)
    return _ranked([trial for trial in sound if trial.num_steps == most_steps])[0]


def _ranked(trials: Sequence[Trial]) -> list[Trial]:
    """Returns trials of equally many steps in the order of their scores, the best one first."""
    order = np.argsort(_scores(trials), kind="stable")
    return [trials[i] for i in order]


def _scores(trials: Sequence[Trial]) -> Array:
    losses = np.array([trial.loss for trial in trials])
    finite = losses[np.isfinite(losses)]
    if not finite.size:
        return losses
    with np.errstate(divide="ignore", invalid="ignore"):
        logs = np.log(losses) if losses.min() > 0 else losses / (np.median(np.abs(finite)) or 1.0)
    return logs - LEAN * np.log10([trial.learning_rate for trial in trials])


def _vertex(left: float, middle: float, right: float) -> float:
    """Returns the vertex of the parabola through three scores, as an offset from the middle one.

    The unit is the spacing of the scores, and the offset is limited to [-0.5, 0.5]. It is 0 if
    the parabola has no minimum, or a score is infinite.
    """
    curvature = left - 2 * middle + right
    if not 0 < curvature < math.inf:
        return 0.0
    return float(np.clip((left - right) / (2 * curvature), -0.5, 0.5))


def _beyond(trials: Sequence[Trial], rates: tuple[float, float]) -> float | None:
    """Returns the next rate to try, if the best one lies at an end; otherwise None.

    If every trial diverged, the lowest rate counts as the best one.
    """
    tried_rates, best = [trial.learning_rate for trial in trials], _ranked(trials)[0]
    place = best.learning_rate if math.isfinite(best.loss) else min(tried_rates)
    return rate_beyond(place, tried_rates, rates)


def steps_of(trials: Sequence[Trial]) -> int:
    """Returns the number of steps of all trials; a rate's later trials went on from its first."""
    most: dict[float, int] = {}
    for trial in trials:
        most[trial.learning_rate] = max(trial.num_steps, most.get(trial.learning_rate, 0))
    return sum(most.values())
