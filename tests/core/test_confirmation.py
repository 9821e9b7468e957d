"""What short trainings near a rate say, against answers known beforehand."""

import math

import numpy as np
import pytest

from tfx_lr_finder.core.confirmation import PULL, Trial, candidate_rates, confirmed_rate
from tfx_lr_finder.core.stored_json import plain, restored

STEP = 10**0.75
LONG = 400  # so many steps and more need no correction


def trials(losses, middle=0.01):
    """Returns trials with these losses at the candidates around a rate."""
    return [Trial(r, loss) for r, loss in zip(candidate_rates(middle), losses, strict=True)]


def confirm(losses, middle=0.01, trial_steps=LONG, train_steps=LONG, is_plain_sgd=False):
    """Returns the confirmed rate."""
    return confirmed_rate(trials(losses, middle), trial_steps, train_steps, is_plain_sgd)


def test_candidates_are_three_quarters_of_a_decade_apart():
    """A factor of 5.6 to both sides."""
    assert candidate_rates(0.02) == pytest.approx((0.02 / STEP, 0.02, 0.02 * STEP), rel=1e-15)


def test_suggestion_is_among_the_candidates_as_it_is():
    """Bit for bit: its trial is that of the published rate."""
    assert candidate_rates(0.0123)[1] == 0.0123


@pytest.mark.parametrize(
    ("losses", "factor"),
    [
        ([1.0, 2.0, 3.0], 1 / STEP),
        ([3.0, 2.0, 1.0], STEP),
        ([1.0, 1.5, math.inf], 1 / STEP),
        ([math.inf, 1.5, 1.0], STEP),
        ([1.0, math.inf, math.inf], 1 / STEP),
        ([math.inf, math.inf, 1.0], STEP),
    ],
    ids=["low", "high", "low_inf", "high_inf", "low_alone", "high_alone"],
)
def test_outer_candidate_with_the_least_loss_wins(losses, factor):
    """The rate itself, and no parabola beyond it."""
    assert confirm(losses) == pytest.approx(0.01 * factor, rel=1e-12)


@pytest.mark.parametrize("losses", [[2.0, 1.0, 2.0], [math.inf, 1.0, math.inf], [1.0, 1.0, 1.0]])
def test_middle_of_equal_neighbours_is_the_suggestion(losses):
    """Also where both diverged, and where the loss says nothing."""
    assert confirm(losses) == pytest.approx(0.01, rel=1e-12)


@pytest.mark.parametrize("losses", [[math.inf, 1.0, 2.0], [2.0, 1.0, math.inf]])
def test_middle_beside_one_that_diverged_is_the_suggestion(losses):
    """There is no parabola through an infinite loss."""
    assert confirm(losses) == pytest.approx(0.01, rel=1e-12)


@pytest.mark.parametrize("vertex", [-0.3, -0.1, 0.0, 0.1, 0.3])
def test_vertex_of_a_parabola_is_found(vertex):
    """Scores a (u - v)**2 + c have their minimum at v decades from the suggestion."""
    decades = np.array([-0.75, 0.0, 0.75])
    scores = 1.0 * (decades - vertex) ** 2 + 0.3
    losses = np.exp(scores - PULL * decades**2)

    assert confirm(losses) == pytest.approx(0.01 * 10**vertex, rel=1e-9)


def test_vertex_is_kept_within_half_a_spacing():
    """Three eighths of a decade, where the middle and its neighbour are all but equal."""
    decades = np.array([-0.75, 0.0, 0.75])
    losses = np.exp([5.0, 1.0, 1.0 + 1e-9] - PULL * decades**2)

    assert confirm(losses) == pytest.approx(0.01 * 10**0.375, rel=1e-6)


def test_another_candidate_has_to_be_worth_it():
    """A loss less by the factor exp(-0.15 * 0.75**2) or more: 0.084 in its logarithm."""
    assert confirm([math.exp(-0.084), 1.0, 2.0]) > 0.01 / STEP * 1.5
    assert confirm([math.exp(-0.085), 1.0, 2.0]) == pytest.approx(0.01 / STEP)


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
def test_unit_of_a_positive_loss_does_not_matter(scale):
    """Its logarithm is what counts."""
    assert confirm(np.array([1.3, 1.0, 1.1]) * scale) == pytest.approx(
        confirm([1.3, 1.0, 1.1]), rel=1e-9
    )


@pytest.mark.parametrize(
    ("losses", "factor"),
    [
        ([-3.0, -2.0, -1.0], 1 / STEP),
        ([-1.0, -2.0, -3.0], STEP),
        ([-1.0, -2.0, -1.0], 1.0),
        ([0.0, 1.0, 2.0], 1 / STEP),
        ([-1.0, -2.0, math.inf], 1.0),
        ([0.0, 0.0, 0.0], 1.0),
        ([0.0, 0.0, math.inf], 1.0),
    ],
    ids=["low", "high", "middle", "zero", "negative_inf", "all_zero", "zero_inf"],
)
def test_losses_that_have_no_logarithm_are_compared_too(losses, factor):
    """Least is best, of log-likelihoods and of a loss that reached zero."""
    with np.errstate(all="raise"):
        assert confirm(losses) == pytest.approx(0.01 * factor, rel=1e-9)


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
def test_unit_of_a_negative_loss_does_not_matter(scale):
    """Parts of the greatest are what counts."""
    assert confirm(np.array([-1.0, -2.0, -1.5]) * scale) == pytest.approx(
        confirm([-1.0, -2.0, -1.5]), rel=1e-9
    )


@pytest.mark.parametrize(
    ("trial_steps", "train_steps", "factor"),
    [
        (400, 400, 1.0),
        (100, 100, 1.0),
        (100, 400, 4**-0.4),
        (100, 40000, 4**-0.4),
        (25, 100, 4**-0.4),
        (4, 400, 100**-0.4),
        (500, 1000, 1.0),
        (100, None, 4**-0.4),
        (400, 100, 4**0.4),
    ],
)
def test_rate_is_corrected_for_the_length_of_the_training(trial_steps, train_steps, factor):
    """The best rate goes with the number of steps to the power -0.4, up to 400."""
    found = confirm([2.0, 1.0, 2.0], trial_steps=trial_steps, train_steps=train_steps)

    assert found == pytest.approx(0.01 * factor, rel=1e-12)


def test_rate_of_plain_descent_is_corrected_less():
    """Its best rate goes with the number of steps to the power -0.1."""
    found = confirm([2.0, 1.0, 2.0], trial_steps=80, train_steps=400, is_plain_sgd=True)

    assert found == pytest.approx(0.01 * 5**-0.1, rel=1e-12)


@pytest.mark.parametrize("middle", [1e-9, 1e-3, 10.0, 1e4])
def test_rate_may_be_of_any_size(middle):
    """Only ratios count."""
    assert confirm([2.0, 1.0, 1.5], middle) / middle == pytest.approx(
        confirm([2.0, 1.0, 1.5]) / 0.01, rel=1e-9
    )


def test_trials_that_all_diverged_are_refused():
    """The message has the rates and the losses."""
    message = r"must end with a finite validation loss\. Received: \[\(0\.00177.*inf.*Look for NaN"

    with pytest.raises(ValueError, match=message):
        confirm([math.inf] * 3)


@pytest.mark.parametrize("loss", [0.5, -1.0, math.inf], ids=str)
def test_trial_is_written_and_read(loss):
    """JSON has no infinity: it is written as null."""
    trial = Trial(0.01, loss)

    content = plain(trial)

    assert restored(Trial, content) == trial
    assert content["loss"] == (None if math.isinf(loss) else loss)
