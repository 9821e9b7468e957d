"""Trials around a rate: which are run, and which rate they settle on."""

import math

import numpy as np
import pytest

from tfx_lr_finder.core.schedule import Schedule
from tfx_lr_finder.core.trials.halving import (
    Trial,
    is_cut_off,
    settled,
    sound_range,
    steps_of,
    tried,
)
from tfx_lr_finder.core.trials.plan import Plan

PLAN = Plan(1, 200, 100, 120, 10_000)
RANGE = (1e-6, 10.0)


class Runs:
    """Trainings whose losses are a function of the rate and the number of steps."""

    def __init__(self, loss):
        self.loss = loss
        self.calls = []

    def __call__(self, rates, num_steps):
        """Runs a round, and notes it."""
        self.calls.append(([round(math.log10(rate), 3) for rate in rates], num_steps))
        return [Trial(rate, self.loss(math.log10(rate), num_steps), num_steps) for rate in rates]


def bowl(best):
    """Returns a loss that is least at a rate."""
    return lambda u, _: math.exp((u - best) ** 2)


def test_best_in_the_middle_needs_no_more_rates():
    """Three rates half a decade apart; the best two go on with all that is left."""
    runs = Runs(bowl(-2.0))

    trials = tried(1e-2, runs, PLAN, RANGE)

    assert runs.calls == [([-2.5, -2.0, -1.5], 100), ([-2.0, -1.5], 350)]
    assert len(trials) == 5
    assert steps_of(trials) == PLAN.most_trial_steps


@pytest.mark.parametrize(("best", "added"), [(-0.6, [-1.0, -0.5, 0.0]), (-3.4, [-3.0, -3.5, -4.0])])
def test_grid_goes_on_while_its_best_lies_at_an_end(best, added):
    """One rate at a time, until the loss rises again."""
    runs = Runs(bowl(best))

    tried(1e-2, runs, PLAN, RANGE)

    assert runs.calls[1:-1] == [([u], 100) for u in added]


def test_no_more_than_six_rates_are_tried():
    """The budget is never exceeded."""
    runs = Runs(lambda u, _: -u + 10)

    trials = tried(1e-5, runs, PLAN, RANGE)

    assert sum(len(rates) for rates, steps in runs.calls if steps == 100) == 6
    assert runs.calls[-1] == ([-3.0, -3.5], 200)
    assert steps_of(trials) == PLAN.most_trial_steps


def test_no_rate_beyond_the_range_is_tried():
    """Neither at once nor later."""
    runs = Runs(lambda u, _: 10 - u)

    tried(5.0, runs, PLAN, RANGE)

    assert [u for rates, _ in runs.calls for u in rates] == [0.199, 0.699, 0.699, 0.199]


def test_divergence_is_out():
    """If the first rates diverge, lower ones are tried; a rate that diverged is no finalist."""
    runs = Runs(lambda u, _: math.inf if u > -3.1 else 1.0)

    trials = tried(1e-2, runs, PLAN, RANGE)

    lower = [[-3.0], [-3.5], [-4.0]]
    assert [rates for rates, _ in runs.calls] == [[-2.5, -2.0, -1.5], *lower, [-3.5, -4.0]]
    assert math.log10(settled(trials, Schedule.DECAYING, RANGE)) < -3.5


def test_without_a_finite_loss_no_rate_that_diverged_is_left():
    """The proof of a lower one will tell."""
    runs = Runs(lambda *_: math.inf)

    trials = tried(1e-3, runs, PLAN, RANGE)

    lowest = min(trial.learning_rate for trial in trials)
    for schedule in (Schedule.CONSTANT, Schedule.DECAYING):
        assert settled(trials, schedule, RANGE) < lowest / 3


def test_no_rate_near_one_that_diverged_may_be_proved():
    """The range of the proofs ends half a decade below."""
    trials = [Trial(0.01, 1.0, 9), Trial(0.1, math.inf, 9), Trial(1.0, 2.0, 9)]

    assert sound_range(trials, RANGE) == (RANGE[0], pytest.approx(0.1 / 10**0.5))
    assert sound_range(trials[:1], RANGE) == RANGE
    assert sound_range([], RANGE) == RANGE


@pytest.mark.parametrize(("first", "is_said"), [(5.0, True), (1e-2, False)])
def test_best_rate_at_the_end_of_the_range_is_known_as_such(first, is_said):
    """A better one may lie beyond; no rate is tried there."""
    trials = tried(first, Runs(lambda u, _: 10 - 5 * u), PLAN, RANGE)

    assert is_cut_off(trials, RANGE) is is_said
    assert not is_cut_off([], RANGE)


def test_blow_up_of_a_negative_loss_hides_no_difference():
    """It is large, but finite."""
    runs = Runs(lambda u, _: (u + 2.6) ** 2 - 5 if u < -1.8 else 1e9)

    trials = tried(10**-2.1, runs, PLAN, RANGE)

    assert math.log10(settled(trials, Schedule.DECAYING, RANGE)) == pytest.approx(-2.55, abs=0.1)


@pytest.mark.parametrize("diverging", [-2.1, -1.6])
def test_rate_is_below_those_that_diverge_later(diverging):
    """One of the finalists, or both, diverge in the second round alone."""
    runs = Runs(lambda u, steps: math.inf if steps > 100 and u > diverging else (u + 1.9) ** 2 + 1)

    trials = tried(1e-2, runs, PLAN, RANGE)

    assert math.log10(settled(trials, Schedule.DECAYING, RANGE)) < diverging


def test_of_nearly_equal_losses_the_higher_rate_is_better():
    """On a plateau the losses say nothing, and a longer training leaves it at a higher rate."""
    runs = Runs(lambda u, _: 1.0 if u < -1.2 else 3.0)

    trials = tried(1e-4, runs, PLAN, RANGE)

    assert settled(trials, Schedule.DECAYING, RANGE) > 1e-3


def test_second_round_decides():
    """Whatever the first round said of the two finalists."""
    runs = Runs(lambda u, steps: abs(u + 1.9) + 1 if steps == 100 else abs(u + 1.6) + 1)

    higher = settled(tried(1e-2, runs, PLAN, RANGE), Schedule.DECAYING, RANGE)
    runs = Runs(lambda u, steps: abs(u + 1.9) + 1)
    lower = settled(tried(1e-2, runs, PLAN, RANGE), Schedule.DECAYING, RANGE)

    assert higher > lower


@pytest.mark.parametrize("negative", [False, True])
def test_rate_is_the_vertex_shifted(negative):
    """A parabola of the scores about -2.1: the lean of 0.1 moves it by 0.05 at a curvature of 2."""
    loss = (lambda u, _: (u + 2.1) ** 2 - 100) if negative else bowl(-2.1)
    trials = tried(1e-2, Runs(loss), PLAN, RANGE)
    peak = settled(trials, Schedule.DECAYING, RANGE)

    if not negative:
        assert math.log10(peak) == pytest.approx(-2.1 + 0.05 - 0.2, abs=1e-6)
    for schedule in (Schedule.CONSTANT, Schedule.WARM_UP, Schedule.UNKNOWN):
        assert settled(trials, schedule, RANGE) == pytest.approx(peak / 10**0.4)


def test_rate_stays_within_the_range():
    """The shift must not leave it."""
    trials = tried(2e-6, Runs(bowl(-6)), PLAN, RANGE)

    assert settled(trials, Schedule.CONSTANT, RANGE) == RANGE[0]


def test_steps_of_a_rate_are_counted_once():
    """A longer trial went on from a shorter one."""
    trials = [Trial(0.1, 1.0, 100), Trial(0.2, 1.0, 100), Trial(0.1, 0.5, 400)]

    assert steps_of(trials) == 500
    assert steps_of([]) == 0


def test_result_does_not_depend_on_the_order_of_equal_losses():
    """A constant loss: the highest rate that was tried, shifted."""
    runs = Runs(lambda *_: 1.0)

    trials = tried(1e-3, runs, PLAN, RANGE)

    assert np.log10(settled(trials, Schedule.DECAYING, RANGE)) == pytest.approx(-1.0 - 0.2)
