"""Each verdict on a hand-made curve, on both sides of each of its thresholds."""

import math

import numpy as np
import pytest

from tfx_lr_finder.core.sweep import StopReason
from tfx_lr_finder.core.verdict import Verdict, is_at_high_end, is_at_low_end, judge, judge_course

FALL_THEN_RISE = np.concatenate([np.linspace(2, 1, 70), np.linspace(1, 3, 30)])
FLAT_THEN_RISE = np.concatenate([np.ones(10), np.linspace(1, 4, 10)])


def steps(*levels, points=25):
    """Returns losses that stay at each level for so many points."""
    return np.repeat(levels, points).astype(float)


@pytest.mark.parametrize("verdict", list(Verdict), ids=lambda verdict: verdict.value)
def test_every_verdict_has_a_meaning_that_says_what_to_do(verdict):
    """The words are a finding and, in a second sentence, a remedy."""
    finding, remedy = verdict.meaning.split(". ", maxsplit=1)

    assert len(finding.split()) > 3
    assert remedy.split()[0] in {"Train", "Raise", "Standardise", "Look", "Check", "Lower"}
    assert remedy.endswith(".")


def test_meanings_differ():
    """No two verdicts have the same words."""
    assert len({verdict.meaning for verdict in Verdict}) == len(Verdict)


def test_verdicts_with_a_rate_are_five():
    """A rate goes with ok and with four warnings; with nothing else."""
    assert {verdict for verdict in Verdict if verdict.has_rate} == {
        Verdict.OK,
        Verdict.NOISY,
        Verdict.DISTURBED,
        Verdict.NOT_LEARNING,
        Verdict.EDGE,
    }


def test_verdict_is_its_value():
    """A verdict is a string, which an artifact can carry."""
    assert [verdict.value for verdict in Verdict] == [
        "ok",
        "noisy",
        "disturbed",
        "not_learning",
        "edge_of_range",
        "low_end_of_range",
        "flat",
        "diverged_at_start",
        "too_few_points",
    ]
    assert Verdict("edge_of_range") is Verdict.EDGE


def test_clear_fall_is_ok(make_curve):
    """A loss that halves without noise and then rises, and a rate in its middle."""
    curve = make_curve(FALL_THEN_RISE)

    assert judge_course(curve) is Verdict.OK
    assert judge(curve, 1e-3) is Verdict.OK


@pytest.mark.parametrize(
    ("learning_rate", "verdict"),
    [(3e-6, Verdict.NOT_LEARNING), (1e-3, Verdict.OK), (8.0, Verdict.NOT_LEARNING)],
    ids=["before_the_fall", "in_it", "after_the_blow_up"],
)
def test_rate_is_ok_only_where_the_curve_has_fallen(make_curve, learning_rate, verdict):
    """The verdict is about the rate: the same curve is ok for one rate and not for others."""
    assert judge(make_curve(FALL_THEN_RISE), learning_rate) is verdict


@pytest.mark.parametrize(
    ("constant_loss", "verdict"),
    [(None, Verdict.OK), (1.6, Verdict.OK), (1.52, Verdict.NOT_LEARNING)],
    ids=["not_known", "above", "hardly_above"],
)
def test_rate_is_ok_only_clearly_below_the_best_constant(make_curve, constant_loss, verdict):
    """Where the loss has fallen from 2 to 1.5, below 1.5 / 0.98: what comes before is settling."""
    curve = make_curve(FALL_THEN_RISE, constant_loss=constant_loss)
    middle = np.interp(1.5, np.linspace(1, 2, 70), curve.log_learning_rates[:70][::-1])

    assert judge(curve, 10**middle) is verdict


def test_loss_that_ends_as_not_finite_while_it_falls_was_disturbed(make_curve):
    """A NaN in the data ends the curve where the rate is still far too low."""
    losses = np.linspace(2, 1, 60)
    rates = 10 ** np.linspace(-6, -2, 60)
    curve = make_curve(losses, rates, stop_reason=StopReason.NON_FINITE, num_steps=100)

    assert judge(curve, 1e-3) is Verdict.DISTURBED


def test_loss_that_rose_before_it_was_not_finite_was_not_disturbed(make_curve):
    """A training that diverges fast rises at least once before it is NaN."""
    losses = np.concatenate([np.linspace(2, 1, 60), [1.2, 9.0]])
    rates = 10 ** np.linspace(-6, -2, 62)
    curve = make_curve(losses, rates, stop_reason=StopReason.NON_FINITE, num_steps=100)

    assert judge(curve, 1e-3) is Verdict.OK


@pytest.mark.parametrize(
    ("outlier", "verdict"), [(1e4, Verdict.DISTURBED), (1.0, Verdict.OK)], ids=["with", "without"]
)
def test_blow_up_after_one_batch_that_stands_out_is_a_disturbance(make_curve, outlier, verdict):
    """One label of 1e4 in the middle of the fall: the loss of its batch, then of all others."""
    losses = np.concatenate([np.linspace(2, 1, 60), [outlier], np.full(39, 1.9)])

    assert judge(make_curve(losses), 1e-3) is verdict


def test_loss_that_rises_at_once_diverged_at_the_start(make_curve):
    """Even the first rates are too high, and the loss stays finite: the range begins too high."""
    losses = np.concatenate([[1.0, 1.1, 1.2, 3.0, 9.0], np.full(95, 16.0)])

    assert judge(make_curve(losses), 1e-3) is Verdict.DIVERGED_AT_START


@pytest.mark.parametrize("level", [1.0, 1e-9, 1e9, -5.0], ids=["one", "tiny", "huge", "negative"])
@pytest.mark.parametrize(
    ("fall", "verdict"), [(0.0098, Verdict.FLAT), (0.0102, Verdict.OK)], ids=["below", "above"]
)
def test_fall_of_less_than_a_hundredth_is_flat(make_curve, level, fall, verdict):
    """The loss goes from one level to another lower by that part of its size, and up again."""
    lower, higher = level - fall * abs(level), level + abs(level)
    curve = make_curve(steps(level, level, lower, higher))

    assert judge_course(curve) is verdict


@pytest.mark.parametrize(
    "losses",
    [np.ones(50), np.zeros(50), np.linspace(1, 2, 50), np.linspace(-2, -1, 50)],
    ids=["constant", "zero", "rising", "negative_rising"],
)
def test_loss_that_never_falls_is_flat(make_curve, losses):
    """Whatever the level of the losses, no fall is flat."""
    assert judge(make_curve(losses), 1e-3) is Verdict.FLAT


def test_fall_from_zero_is_a_fall(make_curve):
    """The initial loss may be zero: any fall without noise is then clear."""
    assert judge_course(make_curve(steps(0, 0, -1, 5))) is Verdict.OK


def test_initial_loss_is_a_median(make_curve):
    """One outlier among the first three points does not make a flat curve fall."""
    losses = np.ones(60)
    losses[1] = 50.0

    assert judge_course(make_curve(losses)) is Verdict.FLAT


def test_loss_that_blows_up_does_not_hide_the_fall_before(make_curve):
    """What lies above twice the initial loss counts as twice, however much it is."""
    losses = np.repeat([1.0, 0.5, 1e30], [60, 5, 35])
    curve = make_curve(losses, stop_reason=StopReason.DIVERGED)

    assert judge_course(curve) is Verdict.OK


@pytest.mark.parametrize("amplitude", [0.1, 1e-6], ids=["great", "small"])
@pytest.mark.parametrize(
    ("errors", "verdict"), [(3.6, Verdict.NOISY), (4.4, Verdict.OK)], ids=["below", "above"]
)
def test_fall_of_less_than_four_standard_errors_is_noisy(make_curve, amplitude, errors, verdict):
    """A loss with an alternating error goes down, by so many standard errors, and up again.

    The error has the median absolute deviation `amplitude`. A Gaussian kernel of `b` decades over
    points `h` decades apart averages over 2 sqrt(pi) b / h of them.
    """
    n, decades, bandwidth = 200, 8, 0.25
    effective_points = 2 * math.sqrt(math.pi) * bandwidth / (decades / (n - 1))
    fall = errors * 1.4826 * amplitude / math.sqrt(effective_points)
    level = 10 * amplitude
    losses = steps(level, level - fall, level + 50 * amplitude, points=80)[:n]
    losses += amplitude * (-1.0) ** np.arange(n)

    curve = make_curve(losses, 10 ** np.linspace(-6, 2, n))

    assert judge(curve, 1e-3) is verdict


def test_noise_alone_is_mostly_noisy(make_curve):
    """Of 50 curves without any course most are called noisy."""
    verdicts = [
        judge_course(make_curve(1 + 0.3 * np.random.default_rng(seed).normal(size=100)))
        for seed in range(50)
    ]

    assert verdicts.count(Verdict.NOISY) > 25


@pytest.mark.parametrize(
    ("points", "verdict"), [(9, Verdict.TOO_FEW_POINTS), (10, Verdict.OK)], ids=["nine", "ten"]
)
def test_curve_of_less_than_ten_points_has_too_few(make_curve, points, verdict):
    """A clear fall on nine points is not enough, on ten it is."""
    curve = make_curve(np.linspace(2, 1, points), 10 ** np.linspace(-3, -2, points))

    assert judge_course(curve) is verdict


@pytest.mark.parametrize(
    ("points", "verdict"), [(49, Verdict.TOO_FEW_POINTS), (50, Verdict.OK)], ids=["below", "above"]
)
def test_curve_of_less_than_seven_steps_a_decade_has_too_few(make_curve, points, verdict):
    """Seven decades need 50 points."""
    assert judge_course(make_curve(np.linspace(2, 1, points))) is verdict


@pytest.mark.parametrize("points", [1, 2, 3])
def test_shortest_curves_have_too_few_points(make_curve, points):
    """The verdict on one to three points is a verdict and not an error."""
    assert judge(make_curve(np.ones(points)), 1e-3) is Verdict.TOO_FEW_POINTS


@pytest.mark.parametrize("stop_reason", [StopReason.DIVERGED, StopReason.NON_FINITE])
@pytest.mark.parametrize(
    ("num_steps", "verdict"),
    [(80, Verdict.DIVERGED_AT_START), (79, Verdict.FLAT)],
    ids=["within_a_quarter", "later"],
)
def test_sweep_that_stops_in_its_first_quarter_diverged_at_the_start(
    make_curve, stop_reason, num_steps, verdict
):
    """Twenty points of eighty steps, without a fall, are the first quarter; of 79 they are more."""
    rates = 10 ** np.linspace(-6, -4, 20)
    curve = make_curve(FLAT_THEN_RISE, rates, stop_reason=stop_reason, num_steps=num_steps)

    assert judge(curve, 1e-3) is verdict


@pytest.mark.parametrize(
    ("fall", "verdict"),
    [(0.0098, Verdict.DIVERGED_AT_START), (0.0102, Verdict.OK)],
    ids=["below", "above"],
)
def test_sweep_that_fell_before_it_stopped_did_not_diverge_at_the_start(make_curve, fall, verdict):
    """A fall by a hundredth of the initial loss makes an early stop one that came late enough."""
    curve = make_curve(
        steps(1, 1, 1 - fall, 4), stop_reason=StopReason.DIVERGED, num_steps=100 * 10
    )

    assert judge_course(curve) is verdict


@pytest.mark.parametrize(
    "losses",
    [[1.0], [1.0, 1.0, 1.0, 2.0, 5.0], [1.0, 3.0, 9.0, 27.0], np.linspace(1, 5, 20)],
    ids=["one_point", "flat_first", "at_once", "slowly"],
)
def test_sweep_that_blew_up_at_once_diverged_at_the_start(make_curve, losses):
    """However few points there are: more steps would not help."""
    rates = 10 ** np.linspace(-6, 1, 100)[: len(losses)]
    curve = make_curve(losses, rates, stop_reason=StopReason.DIVERGED, num_steps=100)

    assert judge(curve, 1e-6) is Verdict.DIVERGED_AT_START


def test_sweep_that_did_every_step_did_not_diverge_at_the_start(make_curve):
    """Rising losses over a whole sweep are flat: it is the range that holds no fall."""
    rates = 10 ** np.linspace(-6, -4, 20)

    assert judge(make_curve(FLAT_THEN_RISE, rates), 1e-3) is Verdict.FLAT


@pytest.mark.parametrize(
    ("exponent", "is_low", "is_high"),
    [
        (-4.0, True, False),
        (-3.93, True, False),
        (-3.91, False, False),
        (-0.09, False, False),
        (-0.07, False, True),
        (0.0, False, True),
    ],
    ids=["first", "low_side", "above_low_side", "below_high_side", "high_side", "last"],
)
def test_rate_in_the_outer_fiftieth_is_at_an_end(make_curve, exponent, is_low, is_high):
    """Over four decades, 0.08 decades at either end are its ends."""
    curve = make_curve(FALL_THEN_RISE, 10 ** np.linspace(-4, 0, 100))

    assert is_at_low_end(curve, 10**exponent) is is_low
    assert is_at_high_end(curve, 10**exponent) is is_high
    assert (judge(curve, 10**exponent) is Verdict.LOW_END) is is_low


@pytest.mark.parametrize(
    ("lowest", "verdict"), [(170, Verdict.OK), (200, Verdict.EDGE)], ids=["before", "within"]
)
def test_loss_that_still_falls_at_the_end_puts_the_rate_at_the_edge(make_curve, lowest, verdict):
    """Of 201 points the last 5 are the edge: the lowest loss there, with the rate far away."""
    losses = 1 + np.abs(np.arange(201) - lowest) / 100
    curve = make_curve(losses, 10 ** np.linspace(-4, 0, 201))

    assert judge(curve, 1e-2) is verdict


@pytest.mark.parametrize("stop_reason", [StopReason.DIVERGED, StopReason.NON_FINITE])
def test_end_of_a_sweep_that_stopped_is_not_the_edge_of_its_range(make_curve, stop_reason):
    """Where the loss blew up there is nothing to widen: only the low end is an edge."""
    losses = np.concatenate([np.linspace(2, 1, 59), [9.0]])
    curve = make_curve(losses, 10 ** np.linspace(-4, 0, 60), stop_reason=stop_reason, num_steps=100)

    assert judge(curve, 0.01) is Verdict.OK
    assert judge(curve, 1e-4) is Verdict.LOW_END


def test_lag_of_the_average_is_not_a_fall_at_the_end(make_curve):
    """The average may still fall at the end where the loss itself has long risen again."""
    losses = np.concatenate([np.linspace(2, 1, 80), np.linspace(1, 1.2, 20)])
    curve = make_curve(losses, smoothing=0.98)

    assert np.argmin(curve.smoothed_losses) == 99
    assert judge(curve, 1e-3) is Verdict.OK


def test_noisy_comes_before_the_edge(make_curve):
    """A rate at the edge of a curve that may be chance is noisy: the first reason that holds."""
    noise = 0.3 * np.random.default_rng(0).normal(size=100)
    curve = make_curve(1 + noise)

    assert judge_course(curve) is Verdict.NOISY
    assert judge(curve, curve.learning_rates[-1]) is Verdict.NOISY


@pytest.mark.parametrize("scale", [2.0**-30, 2.0**30], ids=["small", "great"])
def test_unit_of_the_loss_does_not_change_the_verdict(make_curve, scale):
    """Losses multiplied by a constant have the verdict that they had."""
    for seed in range(20):
        noise = np.random.default_rng(seed).normal(size=FALL_THEN_RISE.size)
        losses = FALL_THEN_RISE + 0.2 * seed * noise
        curve, scaled = make_curve(losses), make_curve(scale * losses)

        assert judge(scaled, 1e-3) is judge(curve, 1e-3)
