"""From a curve to a rate with a verdict, or to an error that carries the evidence."""

import dataclasses

import numpy as np
import pytest

from tfx_lr_finder.core.errors import NoLearningRateError
from tfx_lr_finder.core.rules import DEFAULT_RULE, RULES
from tfx_lr_finder.core.suggestion import Suggestion, suggest
from tfx_lr_finder.core.sweep import StopReason
from tfx_lr_finder.core.verdict import Verdict

RATES = 10 ** np.linspace(-6, 1, 101)
FALL_THEN_RISE = np.concatenate([np.linspace(2, 1, 71), np.linspace(1.05, 3, 30)])


@pytest.mark.parametrize(
    ("rule", "learning_rate"),
    [("minimum", RATES[70] / 10), ("valley", RATES[35])],
    ids=["minimum", "valley"],
)
def test_suggestion_holds_rate_rule_and_verdict(make_curve, rule, learning_rate):
    """A loss that falls from the first point to number 70 and then rises."""
    curve = make_curve(FALL_THEN_RISE, RATES)

    assert suggest(curve, rule) == Suggestion(learning_rate, rule, Verdict.OK)


def test_rule_is_the_default_one_unless_named(make_curve):
    """Without a name the default rule reads the curve."""
    curve = make_curve(FALL_THEN_RISE, RATES)

    assert suggest(curve) == suggest(curve, DEFAULT_RULE)


def test_suggestion_is_frozen(make_curve):
    """The rate cannot be changed afterwards."""
    suggestion = suggest(make_curve(FALL_THEN_RISE, RATES))

    with pytest.raises(dataclasses.FrozenInstanceError, match="learning_rate"):
        suggestion.learning_rate = 1.0


def test_noisy_curve_gives_a_rate_that_says_so(make_curve):
    """A fall hardly larger than the noise: the rate comes with its verdict."""
    noise = 0.3 * np.random.default_rng(0).normal(size=RATES.size)
    suggestion = suggest(make_curve(1 + noise, RATES), "valley")

    assert suggestion.verdict is Verdict.NOISY
    assert RATES[0] <= suggestion.learning_rate <= RATES[-1]


@pytest.mark.parametrize(
    ("lowest", "depth", "least"), [(24, 0.22, 1e-6), (30, 0.48, 1e-6), (31, 0.39, 1e-4)]
)
@pytest.mark.parametrize("rule", ["descent", "steepest", "valley"])
def test_loss_that_falls_early_and_stays_low_has_a_rate(make_curve, rule, lowest, depth, least):
    """The range begins high, or the model learns at once: the fall counts, soon as it is."""
    losses = np.interp(np.arange(200), [0, 2, lowest, 199], [1, 1, 1 - depth, 1 - depth])

    suggestion = suggest(make_curve(losses, np.geomspace(least, 10, 200)), rule)

    assert suggestion.verdict is not Verdict.FLAT


def test_loss_that_falls_to_the_end_gives_a_rate_at_the_edge(make_curve):
    """The rate of a curve that still falls at its end says that the range should be wider."""
    suggestion = suggest(make_curve(np.linspace(2, 1, 101), RATES), "minimum")

    assert suggestion == Suggestion(RATES[100] / 10, "minimum", Verdict.EDGE)


@pytest.mark.parametrize("rule", sorted(RULES))
@pytest.mark.parametrize(
    ("losses", "attributes", "verdict"),
    [
        (np.ones(50), {}, Verdict.FLAT),
        (np.linspace(1, 9, 50), {}, Verdict.FLAT),
        (np.linspace(2, 1, 9), {}, Verdict.TOO_FEW_POINTS),
        ([1.0], {}, Verdict.TOO_FEW_POINTS),
        (
            np.repeat([1.0, 4.0], 6),
            {"stop_reason": StopReason.DIVERGED, "num_steps": 100},
            Verdict.DIVERGED_AT_START,
        ),
    ],
    ids=["constant", "rising", "nine_points", "one_point", "diverged"],
)
def test_no_rule_gives_a_rate_where_there_is_none(make_curve, rule, losses, attributes, verdict):
    """Flat, too few points, diverged at the start: every rule raises, with the verdict."""
    with pytest.raises(NoLearningRateError, match=rf"\({verdict.value}\)") as info:
        suggest(make_curve(losses, **attributes), rule)

    assert info.value.verdict is verdict


def test_default_rule_stays_below_the_rise_of_a_loss_that_never_fell(make_curve):
    """Below the place where the loss rises, half-way, and the verdict says so.

    The kernel, a quarter decade wide, sees the step 1.88 deviations before it comes; the edge's
    distance is 0.4 decades and the lag 12 steps.
    """
    suggestion = suggest(make_curve(np.repeat([1.0, 2.0], 50), RATES[:100]))

    assert suggestion.verdict is Verdict.FLAT
    below = 1.88 * 0.25 + 0.4 + 12 * 0.07
    assert np.log10(suggestion.learning_rate / RATES[50]) == pytest.approx(-below, abs=0.1)


@pytest.mark.parametrize("rule", sorted(set(RULES) - {"descent"}))
def test_other_rules_give_no_rate_where_the_loss_never_fell(make_curve, rule):
    """They are published for losses that fall."""
    with pytest.raises(NoLearningRateError, match=r"\(flat\)"):
        suggest(make_curve(np.repeat([1.0, 2.0], 50), RATES[:100]), rule)


def falls_to(number, make_curve):
    """Returns a curve whose minimum is at that point; the rule `minimum` says a tenth of it."""
    losses = 1 + np.abs(np.arange(101) - number) / 100
    return make_curve(losses, RATES)


def test_rate_of_several_sweeps_is_their_median(make_curve):
    """The middle of three, and the standard deviation of their logarithms."""
    suggestion = suggest([falls_to(n, make_curve) for n in (62, 60, 58)], "minimum")

    assert suggestion.learning_rate == pytest.approx(RATES[60] / 10)
    assert suggestion.verdict is Verdict.OK
    assert suggestion.spread == pytest.approx(0.07 * np.std([62, 60, 58], ddof=1))


def test_rate_of_two_sweeps_lies_between_them_on_the_logarithmic_axis(make_curve):
    """An even number of rates has two in the middle."""
    suggestion = suggest([falls_to(60, make_curve), falls_to(62, make_curve)], "minimum")

    assert suggestion.learning_rate == pytest.approx(RATES[61] / 10)


def test_single_sweep_in_a_list_is_as_without(make_curve):
    """The same rate, bit for bit, and no spread."""
    curve = falls_to(60, make_curve)

    assert suggest([curve]) == suggest(curve)
    assert suggest(curve).spread is None


@pytest.mark.parametrize(
    ("second", "verdict"), [(65, Verdict.OK), (66, Verdict.NOISY)], ids=["below", "above"]
)
def test_rates_further_apart_than_a_factor_of_two_are_noisy(make_curve, second, verdict):
    """Two rates d decades apart lie d / 2 from their median: 1.4826 times it is 0.3 at 5.8 points.

    The spread is the standard deviation, d / sqrt(2).
    """
    suggestion = suggest([falls_to(60, make_curve), falls_to(second, make_curve)], "minimum")

    assert suggestion.spread == pytest.approx(0.07 * (second - 60) / np.sqrt(2))
    assert suggestion.verdict is verdict


def slightly_other(curve):
    """Returns a curve of which every rule says the same, though its losses are not equal."""
    return dataclasses.replace(curve, losses=(1 + 1e-9) * curve.losses)


def test_equal_sweeps_count_as_one(make_curve):
    """Their agreement tells nothing: there is no spread, and no majority."""
    curve, other = falls_to(60, make_curve), falls_to(64, make_curve)
    again = dataclasses.replace(curve, seed=1)

    assert suggest([curve, again]) == suggest(curve)
    assert suggest([curve, again, other]) == suggest([curve, other])


def test_one_sweep_that_lands_far_away_does_not_decide(make_curve):
    """Three agree, the fourth is two decades off: it moves the spread, not rate or verdict."""
    curves = [falls_to(n, make_curve) for n in (60, 61, 60, 89)]
    curves[2] = slightly_other(curves[2])

    suggestion = suggest(curves, "minimum")

    assert suggestion.learning_rate == pytest.approx(10**0.035 * RATES[60] / 10)
    assert suggestion.verdict is Verdict.OK
    assert suggestion.spread > 0.9


def test_sweeps_without_a_rate_are_outvoted(make_curve):
    """Two of three have one: theirs is taken."""
    flat = make_curve(np.ones(101), RATES)
    curves = [falls_to(60, make_curve), flat, falls_to(62, make_curve)]

    assert suggest(curves, "minimum").learning_rate == pytest.approx(RATES[61] / 10)


def test_most_sweeps_without_a_rate_are_an_error(make_curve):
    """Two of three are flat: the message says so, with the points of the first of them."""
    flat, flatter = make_curve(np.full(101, 7.0), RATES), make_curve(np.full(101, 5.0), RATES)

    with pytest.raises(
        NoLearningRateError,
        match=r"\(flat\).*Received: 2 of 3 sweeps without a rate; of the first such, "
        r"101 of 101 steps, .*rate and loss 1\.0e-06: 7,",
    ):
        suggest([falls_to(60, make_curve), flat, flatter], "minimum")


def test_sweeps_fail_for_the_most_frequent_reason(make_curve):
    """One is flat, two diverged at the start: the points are those of one of these."""
    flat = make_curve(np.ones(101), RATES)
    diverged = make_curve(
        np.repeat([3.0, 12.0], 6), RATES[:12], stop_reason=StopReason.DIVERGED, num_steps=100
    )

    with pytest.raises(
        NoLearningRateError, match=r"\(diverged_at_start\).*3 of 3 sweeps.*1\.0e-06: 3,"
    ) as info:
        suggest([flat, diverged, slightly_other(diverged)], "minimum")

    assert info.value.verdict is Verdict.DIVERGED_AT_START


def test_message_of_a_single_sweep_does_not_speak_of_several(make_curve):
    """One curve, alone or in a list."""
    flat = make_curve(np.ones(101), RATES)

    for curves in (flat, [flat]):
        with pytest.raises(NoLearningRateError, match=r"Received: 101 of 101 steps"):
            suggest(curves, "minimum")


def test_verdict_of_several_sweeps_is_the_most_frequent_one(make_curve):
    """Of two equally frequent ones the graver."""
    good = falls_to(60, make_curve)
    edge = make_curve(np.linspace(2, 1, 101), RATES)

    assert suggest([good, slightly_other(good), edge], "minimum").verdict is Verdict.OK
    assert suggest([good, edge], "minimum").verdict is Verdict.EDGE
    assert suggest([edge, good], "minimum").verdict is Verdict.EDGE


def test_no_curve_is_refused():
    """There is nothing to read."""
    with pytest.raises(ValueError, match=r"must hold at least one curve\. Received: none\."):
        suggest([])


def test_unknown_rule_is_refused_before_the_curve_is_judged(make_curve):
    """A name that is none is an error of its own, also for a flat curve."""
    with pytest.raises(ValueError, match=r"must name a known rule: .* Received: rule='best'\."):
        suggest(make_curve(np.ones(50)), "best")


def test_error_carries_what_a_deleted_artifact_would_have_shown(make_curve):
    """The message has verdict, meaning, steps, stop reason and points from first to last."""
    losses = np.repeat([1.0, 4.5], [20, 5])
    curve = make_curve(losses, RATES[:25], stop_reason=StopReason.DIVERGED, num_steps=100)

    with pytest.raises(NoLearningRateError, match="diverged_at_start") as info:
        suggest(curve)

    message = str(info.value)
    assert Verdict.DIVERGED_AT_START.meaning in message
    assert "25 of 100 steps, stopped because the loss diverged" in message
    assert ", rate and loss 1.0e-06: 1, " in message
    assert message.endswith("4.8e-05: 4.5.")
    assert message.count("e-0") == 8


def test_error_shows_every_point_of_a_short_curve_once(make_curve):
    """With three points the message has three."""
    with pytest.raises(
        NoLearningRateError, match=r"rate and loss 1\.0e-02: 3, 1\.0e-01: 2, 1\.0e\+00: 1\.$"
    ):
        suggest(make_curve([3.0, 2.0, 1.0], [0.01, 0.1, 1.0]))


def test_error_is_a_runtime_error():
    """Who does not know the class can still catch it as a failure of the run."""
    assert issubclass(NoLearningRateError, RuntimeError)
