"""The interval of a rate: its width, its ends, and how many repetitions it holds."""

import itertools

import numpy as np
import pytest

from tfx_lr_finder.core.evidence import Evidence
from tfx_lr_finder.core.publishing.interval import (
    HALF_WIDTHS,
    expectation,
    expected_interval,
    half_width,
)
from tfx_lr_finder.core.rules import RULES
from tfx_lr_finder.core.suggestion import Suggestion, suggest
from tfx_lr_finder.core.sweep import StopReason
from tfx_lr_finder.core.verdict import Verdict

READ = """
-1.85 -1.85 -1.88 -1.95 -1.99   -2.52 -2.45 -2.34 -2.38 -2.06   -3.47 -3.50 -3.33 -2.38 -3.40
-1.64 -1.29 -1.07 -1.36 -1.60   -2.27 -2.17 -2.27 -2.27 -2.24   -1.99 -2.13 -2.13 -2.09 -1.92
-1.33 -1.15 -1.22 -1.15 -1.43   -1.64 -1.78 -1.60 -1.78 -1.57   -2.27 -2.34 -2.31 -2.31 -2.31
-0.55 -0.72 -0.69 -0.62 -0.76   -2.38 -2.31 -2.41 -2.34 -2.41   -0.00 -0.11 -0.14 -0.04 -0.24
-1.64 -1.40 -1.54 -1.50 -1.68   -1.85 -1.85 -1.78 -1.71 -2.06   -2.24 -2.31 -2.24 -1.53 -2.38
-1.00 -1.22 -1.29 -1.26 -1.04   -2.62 -2.73 -2.83 -2.83 -2.69   -2.13 -2.17 -2.13 -2.13 -2.13
-1.11 -1.18 -1.25 -1.11 -1.22   -3.01 -3.01 -2.97 -3.01 -2.83    0.40  0.47  0.57  0.54  0.43
-1.81 -1.85 -1.92 -1.81 -1.92   -2.45 -2.41 -2.48 -2.41 -2.41   -2.66 -2.69 -2.59 -2.73 -2.52
-2.31 -2.24 -2.34 -2.09 -1.36   -1.60 -1.67 -1.88 -1.71 -1.85   -1.57 -1.50 -1.46 -1.57 -1.46
-1.43 -2.27 -2.20 -2.24 -2.27   -0.10 -0.06  0.26 -0.17 -0.17
"""
"""Base-10 logarithms of the rates that a rule read off five sweeps each of 29 models.

The rule is `descent` with the landmark at 95% of the fall.
"""
LOG_RATES = np.array(READ.split(), dtype=float).reshape(29, 5)


@pytest.fixture
def curve(make_curve):
    """A sweep of seven decades, from 1e-6 to 10."""
    return make_curve(np.linspace(2, 1, 71))


def test_every_rule_has_a_width():
    """And no other name has."""
    assert HALF_WIDTHS.keys() == RULES.keys()


def suggestion(spread=None, num_rates=1, verdict=Verdict.OK, rule="descent"):
    """Returns what a rule read."""
    return Suggestion(0.01, rule, verdict, spread, num_rates)


def test_width_of_a_single_rate_is_that_of_its_rule():
    """Whatever the number of sweeps that had none."""
    assert half_width(suggestion()) == 0.3


@pytest.mark.parametrize(
    "unsure",
    [
        suggestion(verdict=Verdict.DISTURBED),
        suggestion(verdict=Verdict.DISTURBED, spread=0.1, num_rates=3),
        suggestion(verdict=Verdict.NOISY),
        suggestion(rule="mine"),
    ],
    ids=["disturbed", "disturbed_sweeps", "noisy_sweep", "another_rule"],
)
def test_rate_of_which_nothing_was_measured_has_no_interval(curve, unsure):
    """A single batch or chance made it, or a rule that is not one of the package's."""
    assert half_width(unsure) is None
    assert expected_interval(0.01, None, [curve]) is None
    assert Evidence.of(unsure, [curve]).published.interval is None


def test_sweeps_without_a_rate_do_not_make_it_surer(make_curve):
    """Five that fall have the same interval beside five flat ones."""
    losses = np.concatenate([np.linspace(2, 1, 71), np.linspace(1.05, 3, 30)])
    falling = [make_curve(np.roll(losses, shift).clip(1), seed=shift) for shift in range(3)]
    flat = make_curve(np.full(101, 2.0))

    alone, beside = (suggest(curves) for curves in (falling, [*falling, flat, flat]))

    assert half_width(beside) == half_width(alone)


@pytest.mark.parametrize(
    ("num_sweeps", "spread", "expected"),
    [
        (3, 0.12, 0.3 / np.sqrt(3)),
        (3, 0.0, 0.3 / np.sqrt(6)),
        (3, 1.2, 0.3 * np.sqrt((2 + 2 * 100) / 4 / 3)),
        (10, 0.24, 0.3 * np.sqrt((2 + 9 * 4) / 11 / 10)),
    ],
    ids=["as_expected", "agreement", "disagreement", "ten_sweeps"],
)
def test_width_of_several_sweeps_weighs_their_spread_and_the_expected_one(
    num_sweeps, spread, expected
):
    """0.3 decades are 2.5 standard deviations of 0.12; what is expected counts as two sweeps."""
    assert half_width(suggestion(spread, num_sweeps)) == pytest.approx(expected)


def test_nine_of_ten_repetitions_of_a_sweep_lie_in_the_interval():
    """Over all pairs of a model's five sweeps."""
    distances = [abs(one - other) for one, other in itertools.combinations(LOG_RATES.T, 2)]

    assert np.mean(np.array(distances) <= half_width(suggestion())) == pytest.approx(0.9, abs=0.01)


def test_nine_of_ten_repetitions_of_two_sweeps_lie_in_the_interval():
    """Two sweeps of a model against two others."""
    inside = [
        abs(np.mean(rates[list(two)]) - np.mean(rates[list(others)]))
        <= half_width(suggestion(np.std(rates[list(two)], ddof=1), 2))
        for rates in LOG_RATES
        for two in itertools.combinations(range(5), 2)
        for others in itertools.combinations(set(range(5)) - set(two), 2)
    ]

    assert np.mean(inside) == pytest.approx(0.9, abs=0.02)


def test_interval_of_one_sweep_is_a_factor_of_two_each_way(make_curve):
    """The evidence from curves alone has it."""
    losses = np.concatenate([np.linspace(2, 1, 71), np.linspace(1.05, 3, 30)])
    curve = make_curve(losses)
    read = suggest(curve)

    low, high = Evidence.of(read, [curve]).published.interval

    assert low == pytest.approx(read.learning_rate / 2, rel=0.01)
    assert high == pytest.approx(read.learning_rate * 2, rel=0.01)


@pytest.mark.parametrize(
    ("rate", "proved_first", "expected"),
    [
        (1e-2, None, (1e-2 / 10**0.3, 1e-2 * 10**0.3)),
        (1e-2, 1e-2, (1e-2 / 10**0.3, 1e-2 * 10**0.3)),
        (1e-2, 1e-1, (1e-2 / 10**0.5, 1e-1)),
        (1e-2, 1e-3, (1e-3, 1e-2 * 10**0.5)),
        (1e-2, 9e-3, (1e-2 / 10**0.5, 1e-2 * 10**0.5)),
        (1.5e-6, None, (1e-6, 1.5e-6 * 10**0.3)),
        (10.0, None, (10 / 10**0.3, 10.0)),
        (1e-6, 1e-2, (1e-6, 1e-2)),
    ],
    ids=[
        "plain",
        "kept",
        "moved_down",
        "moved_up",
        "moved_a_little",
        "least",
        "greatest",
        "to_end",
    ],
)
def test_interval_reaches_back_to_the_first_proof_and_stays_in_the_range(
    curve, rate, proved_first, expected
):
    """0.3 decades each way; half a decade if proofs moved the rate."""
    interval = expected_interval(rate, 0.3, [curve], proved_first)

    assert interval == pytest.approx(expected)
    assert interval[0] <= rate <= interval[1]


def test_range_is_the_planned_one(make_curve):
    """A sweep that stopped early may stop later when it is repeated."""
    rates = 10 ** np.linspace(-6, 1, 71)[:50]
    curve = make_curve(np.linspace(2, 1, 50), rates, num_steps=71, stop_reason=StopReason.DIVERGED)

    assert curve.planned_end == pytest.approx(10)
    assert expected_interval(rates[-1], 0.5, [curve])[1] == pytest.approx(rates[-1] * 10**0.5)


def test_interval_holds_the_rate_whatever_the_rounding(make_curve):
    """The last rate of a sweep, computed from its logarithm, may come out below itself."""
    for number in range(1, 100):
        rate = number / 7
        curve = make_curve([2, 1], [rate / 10, rate])
        low, high = expected_interval(rate, 0.3, [curve])
        assert low <= rate <= high


def test_expectation_says_what_the_ends_mean():
    """Three digits; nothing for a default rate."""
    assert expectation((0.0041234, 0.0165)) == "0.00412 to 0.0165 in 9 of 10 repetitions"
    assert expectation(None) == ""
