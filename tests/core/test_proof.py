"""Which rates are proved, and what is published, on trainings with known ends."""

import math

import numpy as np
import pytest

from tfx_lr_finder.core.errors import NoLearningRateError
from tfx_lr_finder.core.proof import JudgedOn, Proof, advice_on, put_to_proof
from tfx_lr_finder.core.publishing.interval import HALF_WIDTH_TRIALS, HALF_WIDTHS
from tfx_lr_finder.core.publishing.publication import published
from tfx_lr_finder.core.stored_json import plain, restored
from tfx_lr_finder.core.suggestion import Suggestion
from tfx_lr_finder.core.verdict import Verdict

RATES = (1e-6, 10.0)


def proof(loss, learning_rate=0.01, start_loss=2.0, constant_loss=1.0, **others):
    """Returns the proof that ended at a loss."""
    defaults = {"constant": (), "num_steps": 100, "seed": 0, "judged_on": JudgedOn.VALIDATION_DATA}
    return Proof(learning_rate, loss, start_loss, constant_loss, **{**defaults, **others})


def trained(loss_of):
    """Returns what proves a rate by a function of rate, steps and seed; and the calls of it."""
    calls = []

    def prove(rate, steps, seed):
        calls.append((pytest.approx(rate), steps, seed))
        return proof(loss_of(rate, steps, seed), rate, num_steps=steps, seed=seed)

    return prove, calls


@pytest.mark.parametrize(
    ("loss", "start_loss", "constant_loss", "learns"),
    [
        (0.97, 2.0, 1.0, True),
        (0.99, 2.0, 1.0, False),
        (0.97, 0.5, 1.0, False),
        (1.9, 2.0, None, True),
        (2.0, 2.0, None, False),
        (math.inf, 2.0, 1.0, False),
        (-1.1, 2.0, -1.0, True),
        (-1.01, 2.0, -1.0, False),
        (0.0, 2.0, 0.0, False),
    ],
    ids=str,
)
def test_model_learns_where_the_loss_ends_clearly_below_both(
    loss, start_loss, constant_loss, learns
):
    """By 2% below the lower of the start and the best constant, as far as that is known."""
    assert proof(loss, start_loss=start_loss, constant_loss=constant_loss).learns is learns


@pytest.mark.parametrize("final", [None, 0.5, 3.0, math.nan])
def test_loss_is_the_mean_of_the_last_fifth_or_the_final_one(final):
    """The greater of the two: a model must learn in training mode and outside of it."""
    made = Proof.of(
        0.1,
        np.array([4.0, *[3.0] * 8, 1.0, 2.0]),
        final,
        num_steps=10,
        seed=0,
        constant_loss=None,
        constant=(),
        judged_on=JudgedOn.VALIDATION_DATA,
    )

    assert made.start_loss == 4.0
    assert made.loss == {None: 1.5, 0.5: 1.5, 3.0: 3.0}.get(final, math.inf)


def test_training_that_was_cut_short_has_no_finite_loss():
    """A loss or a weight that is not finite ends it before its last step."""
    made = Proof.of(
        0.1,
        np.ones(10),
        1.0,
        num_steps=10,
        seed=0,
        constant_loss=None,
        constant=(),
        judged_on=JudgedOn.VALIDATION_DATA,
    )

    assert made.loss == math.inf


@pytest.mark.parametrize("loss", [0.5, math.inf])
def test_proof_comes_back_from_its_dict(loss):
    """Losses that are not finite, too."""
    made = proof(loss, constant=(1.0, 2.0))

    assert restored(Proof, plain(made)) == made


def test_rate_at_which_the_model_learns_takes_one_training():
    """The usual case is as cheap as it can be."""
    prove, calls = trained(lambda *_: 0.5)

    proven = put_to_proof(0.01, prove, 100, 400, RATES)

    assert calls == [(0.01, 100, 0)]
    assert proven.learns
    assert proven.best.learning_rate == 0.01


def test_slow_model_gets_a_longer_training_and_a_second_seed():
    """What did not learn in 100 steps may in 400; that it was no luck, another seed shows."""
    prove, calls = trained(lambda rate, steps, seed: 0.5 if steps == 400 else 1.1)

    proven = put_to_proof(0.01, prove, 100, 400, RATES)

    assert calls == [(0.01, 100, 0), (0.01, 400, 0), (0.01, 400, 1)]
    assert proven.learns
    assert proven.best.num_steps == 400


def bowl(best):
    """Returns losses that are least at a rate, and below the constant's there alone."""
    return lambda rate, *_: 0.9 + abs(math.log10(rate / best)) ** 2


@pytest.mark.parametrize("best", [1e-4, 1.0], ids=["lower", "higher"])
def test_rates_are_proved_in_the_better_direction_until_the_loss_rises(best):
    """From 0.01, half decades to the best one and one beyond; on the way up, one below first."""
    prove, calls = trained(bowl(best))

    proven = put_to_proof(0.01, prove, 100, 100, RATES)

    assert proven.learns
    assert proven.best.learning_rate == pytest.approx(best)
    assert proven.best.seed == 1
    assert len({call[0].expected for call in calls}) == (6 if best < 0.01 else 7)


def test_rate_that_learns_for_one_seed_alone_is_luck():
    """It is the best one, and the model was not seen to learn."""
    prove, _ = trained(lambda rate, steps, seed: 1.5 if seed else bowl(0.1)(rate))

    proven = put_to_proof(0.01, prove, 100, 100, RATES)

    assert not proven.learns
    assert proven.best.learning_rate == pytest.approx(0.1)


def test_trainings_that_all_diverge_lead_down():
    """Down to the least rate, or eight rates, and no longer training is tried."""
    prove, calls = trained(lambda *_: math.inf)

    proven = put_to_proof(0.01, prove, 100, 400, RATES)

    assert not proven.learns
    assert [call[0].expected for call in calls] == pytest.approx(
        [0.01 / 10 ** (i / 2) for i in range(8)]
    )


def test_rates_stay_in_the_range():
    """A model that learns better the higher the rate is stops at the greatest."""
    prove, calls = trained(lambda rate, *_: 1.5 - rate / 100)

    put_to_proof(1.0, prove, 100, 100, RATES)

    assert max(call[0].expected for call in calls) <= 10


def outcome(loss, verdict, num_curves, make_curve, **others):
    """Returns what is published where a proof ended so and a curve had a verdict."""
    prove, _ = trained(lambda *_: loss)
    proven = put_to_proof(0.01, prove, 100, 100, RATES)
    read = Suggestion(0.01, "descent", verdict)
    return published(read, proven, [make_curve(np.linspace(2, 1, 50))] * num_curves)


@pytest.mark.parametrize(
    ("verdict", "num_curves", "expected"),
    [
        (Verdict.OK, 1, Verdict.OK),
        (Verdict.NOT_LEARNING, 1, Verdict.OK),
        (Verdict.FLAT, 1, Verdict.OK),
        (Verdict.NOISY, 1, Verdict.OK),
        (Verdict.NOISY, 3, Verdict.NOISY),
        (Verdict.DISTURBED, 1, Verdict.DISTURBED),
        (Verdict.EDGE, 1, Verdict.EDGE),
    ],
)
def test_what_was_seen_to_learn_is_ok_but_for_doubts_about_its_place(
    make_curve, verdict, num_curves, expected
):
    """A proof does not show that a rate ten times higher is no better."""
    assert outcome(0.5, verdict, num_curves, make_curve).verdict is expected


@pytest.mark.parametrize("verdict", [Verdict.OK, Verdict.NOISY, Verdict.EDGE, Verdict.DISTURBED])
def test_what_was_not_seen_to_learn_is_never_ok(make_curve, verdict):
    """Near the loss of the best constant it is published, with the verdict that says so."""
    assert outcome(1.05, verdict, 1, make_curve).verdict is Verdict.NOT_LEARNING


@pytest.mark.parametrize(
    ("loss", "verdict"),
    [(1.2, "not_learning"), (2.5, "not_learning"), (math.inf, "low_end_of_range")],
    ids=str,
)
def test_what_does_harm_is_not_published(make_curve, loss, verdict):
    """Far above the best constant, above the start, or not finite: the message has the losses."""
    with pytest.raises(
        NoLearningRateError,
        match=rf"\({verdict}\).*Short trainings from a loss of 2 ended at 1\.0e-02: .*100 steps",
    ):
        outcome(loss, Verdict.OK, 1, make_curve)


def test_flat_curve_whose_rate_was_not_seen_to_learn_gives_none(make_curve):
    """The verdict stays that of the curve."""
    with pytest.raises(NoLearningRateError, match=r"\(flat\)"):
        outcome(1.0, Verdict.FLAT, 1, make_curve)


def test_rate_at_the_low_end_is_not_published(make_curve):
    """Even if the model learns at it: better rates lie below, and were not looked at."""
    with pytest.raises(NoLearningRateError, match=r"\(low_end_of_range\).*Lower `min_learning"):
        outcome(0.5, Verdict.LOW_END, 1, make_curve)


def test_model_that_learns_nowhere_down_to_the_least_rate_is_told_to_lower_it(make_curve):
    """The range begins too high: all trainings diverge, and the best one is the lowest."""
    prove, _ = trained(lambda *_: math.inf)
    proven = put_to_proof(2e3, prove, 100, 100, (1e3, 1e6))
    curve = make_curve(np.linspace(2, 1, 50), np.geomspace(1e3, 1e6, 50))

    with pytest.raises(NoLearningRateError, match=r"\(low_end_of_range\).*Lower `min_learning"):
        published(Suggestion(2e3, "descent", Verdict.OK), proven, [curve])


def interval_of(make_curve, read, best):
    """Returns the interval that is published where the first proof was at 0.01."""
    prove, _ = trained(bowl(best))
    proven = put_to_proof(0.01, prove, 100, 100, RATES)
    curves = [make_curve(np.linspace(2, 1, 50))]
    publication = published(Suggestion(read, "valley", Verdict.OK), proven, curves)
    assert publication.learning_rate == pytest.approx(best)
    return publication.interval


def test_interval_of_the_rate_that_was_read_is_that_of_its_rule(make_curve):
    """A sweep alone found it."""
    width = HALF_WIDTHS["valley"]

    assert interval_of(make_curve, 0.01, 0.01) == pytest.approx(
        (0.01 / 10**width, 0.01 * 10**width)
    )


def test_interval_of_a_rate_from_trials_is_that_of_trials(make_curve):
    """Trials had moved the rate before it was proved."""
    width = HALF_WIDTH_TRIALS

    assert interval_of(make_curve, 0.04, 0.01) == pytest.approx(
        (0.01 / 10**width, 0.01 * 10**width)
    )


@pytest.mark.parametrize(
    ("best", "expected"),
    [(1e-4, (1e-4 / 10**0.5, 1e-2)), (1.0, (1e-2, 10**0.5))],
    ids=["lower", "higher"],
)
def test_interval_of_a_rate_that_proofs_moved_reaches_beyond_it(make_curve, best, expected):
    """Half a decade on, and back to the rate where the proofs began."""
    assert interval_of(make_curve, 0.01, best) == pytest.approx(expected)


def test_advice_names_the_constant():
    """A model that starts far above it is told where its output should begin."""
    advice = advice_on(proof(0.5, start_loss=9e4, constant_loss=0.5, constant=(300.2,)))

    assert "the 0.5 of the best constant output, 300.2: start the bias of the output" in advice


def test_model_that_starts_near_the_best_constant_needs_no_advice():
    """As every classification does."""
    assert not advice_on(proof(0.5, start_loss=2.9, constant_loss=1.0))
    assert not advice_on(proof(0.5, start_loss=2.9, constant_loss=None))
