"""The default rule, on curves whose landmarks are known."""

import dataclasses

import numpy as np
import pytest

from tfx_lr_finder.core.curve import Curve
from tfx_lr_finder.core.rules import descent
from tfx_lr_finder.core.schedule import Schedule
from tfx_lr_finder.core.sweep import StopReason, exponential_learning_rates
from tfx_lr_finder.core.verdict import judge

FALL_BEGINS, FALL_ENDS = -4.0, -1.0  # logarithms of the rates between which the loss falls


def ramp(log_rates):
    """Returns a loss that is 2, falls by 1 along a straight line, and rises as steeply again."""
    part = np.clip((log_rates - FALL_BEGINS) / (FALL_ENDS - FALL_BEGINS), 0, None)
    return 2 - np.where(part < 1, part, 2 - part)


def curve(losses=ramp, num_steps=200, is_plain_sgd=True, train_steps=None):
    """Returns the curve of a loss over 7 decades of rates."""
    rates = exponential_learning_rates(1e-6, 10, num_steps)
    return Curve(
        learning_rates=rates,
        losses=losses(np.log10(rates)),
        smoothing=0.98,
        stop_reason=StopReason.ALL_STEPS,
        num_steps=num_steps,
        batch_size=32,
        seed=0,
        is_plain_sgd=is_plain_sgd,
        train_steps=train_steps,
    )


def falls_to_a_plain(log_rates):
    """Returns a loss that falls from 2 to 1 over five decades, and then stays."""
    return 2 - np.clip((log_rates + 4.5) / 5, 0, 1)


def test_rate_lies_between_most_of_the_descent_and_its_end():
    """Three quarters of the way from the end down to 80%, and 0.1 decades above."""
    landmark = FALL_ENDS - 0.75 * 0.2 * (FALL_ENDS - FALL_BEGINS)

    assert np.log10(descent(curve())) == pytest.approx(landmark + 0.1, abs=0.15)


def test_descent_counts_from_the_loss_of_the_best_constant_output():
    """A loss of 2 that a constant output would take to 1.5 has 80% done at 1.1, else at 1.2."""
    falls = curve(falls_to_a_plain)
    below = dataclasses.replace(falls, constant_loss=1.5)

    higher = np.log10(descent(below) / descent(falls))
    assert higher == pytest.approx(0.75 * 0.1 * 5, abs=0.05)


@pytest.mark.parametrize("constant_loss", [0.9, 1.01, 2.5], ids=["below", "nearly", "above"])
def test_constant_output_that_says_nothing_of_the_descent_is_left_out(constant_loss):
    """The loss of one that the sweep does not beat, or that is worse than the start."""
    falls = curve(falls_to_a_plain)
    known = dataclasses.replace(falls, constant_loss=constant_loss)

    assert descent(known) == descent(falls)


@pytest.mark.parametrize("is_plain_sgd", [True, False])
@pytest.mark.parametrize(
    ("schedule", "decades"), [(s, 0.3 if s is Schedule.DECAYING else 0) for s in Schedule]
)
def test_peak_of_a_rate_that_decays_is_higher(schedule, decades, is_plain_sgd):
    """By 0.3 decades, whatever the optimizer."""
    constant = curve(is_plain_sgd=is_plain_sgd)
    peak = dataclasses.replace(constant, schedule=schedule)

    assert np.log10(descent(peak) / descent(constant)) == pytest.approx(decades)


@pytest.mark.parametrize("blow_up", [-1.5, -1.9])
def test_peak_stays_below_the_first_blow_up(blow_up):
    """The constant rate itself is not lowered; a peak between it and the blow-up has a margin."""

    def blows_up(log_rates):
        return np.where(log_rates < blow_up, ramp(log_rates), 4.0)

    constant = curve(blows_up)
    peak = dataclasses.replace(constant, schedule=Schedule.DECAYING)

    rise = np.log10(descent(peak) / descent(constant))
    assert 0 <= rise < 0.3
    assert judge(peak, descent(peak)) is judge(constant, descent(constant))


@pytest.mark.parametrize("train_steps", [None, 100])
def test_peak_without_a_descent_is_the_constant_rate(train_steps):
    """It is read off the edge of stability, and a higher rate would lie at the edge."""
    rises = curve(lambda u: 1 + np.clip(u + 1, 0, None), train_steps=train_steps)

    assert descent(dataclasses.replace(rises, schedule=Schedule.DECAYING)) == descent(rises)


def test_place_moves_with_the_fall():
    """A fall that begins and ends half a decade later gives a rate half a decade higher."""
    later = curve(lambda log_rates: ramp(log_rates - 0.5))

    assert np.log10(descent(later) / descent(curve())) == pytest.approx(0.5, abs=0.05)


def test_validation_losses_are_read_where_there_are_any():
    """Whatever the losses of the batches say."""
    later = curve(lambda log_rates: ramp(log_rates - 0.5))
    both = dataclasses.replace(curve(), validation_losses=later.losses)

    assert descent(both) == descent(later)


@pytest.mark.parametrize("factor", [1e-3, 7.0, 1e4])
def test_unit_of_the_loss_does_not_matter(factor):
    """A loss in other units gives the same rate."""
    scaled = curve(lambda log_rates: factor * ramp(log_rates))

    assert descent(scaled) == pytest.approx(descent(curve()))


@pytest.mark.parametrize("num_steps", [30, 200, 1000])
def test_rate_of_other_optimizers_goes_with_the_steps_a_decade(num_steps):
    """On the same curve, more steps a decade have learned more: 80 leave the landmark as it is."""
    difference = np.log10(
        descent(curve(num_steps=num_steps, is_plain_sgd=False))
        / descent(curve(num_steps=num_steps))
    )

    assert difference == pytest.approx(np.log10((num_steps - 1) / 7 / 80) - 0.1)


@pytest.mark.parametrize(
    ("train_steps", "factor"), [(None, 1), (100_000, 1), (400, 1), (100, 4**0.5), (4, 100**0.5)]
)
def test_short_training_takes_a_higher_rate(train_steps, factor):
    """Below 400 steps the rate goes with their number to the power -0.5."""
    rate = descent(curve(is_plain_sgd=False, train_steps=train_steps))

    assert rate / descent(curve(is_plain_sgd=False)) == pytest.approx(factor)


@pytest.mark.parametrize(
    ("train_steps", "factor"), [(None, 1), (100_000, 1), (400, 1), (100, 4**0.2), (40, 10**0.2)]
)
def test_short_training_by_plain_descent_takes_a_slightly_higher_rate(train_steps, factor):
    """It goes with the fifth root: such a training is unstable at once where a rate is too high."""
    rate = descent(curve(train_steps=train_steps))

    assert rate / descent(curve()) == pytest.approx(factor)


def test_rate_is_kept_within_the_curve():
    """However short the training, no rate is suggested that was not tried."""
    assert descent(curve(train_steps=1)) <= 10


def test_noise_moves_the_rate_little():
    """With noise of a third of the fall, 40 suggestions spread by less than a quarter decade."""
    generator = np.random.default_rng(0)
    rates = [
        descent(curve(lambda u: ramp(u) + generator.normal(scale=0.3, size=u.size)))
        for _ in range(40)
    ]

    assert np.std(np.log10(rates)) < 0.25


def test_single_outlier_does_not_matter():
    """One batch with a huge loss moves the rate by less than a tenth of a decade."""
    spiked = curve()
    losses = spiked.losses.copy()
    losses[90] = 1e6
    spiked = dataclasses.replace(spiked, losses=losses)

    assert abs(np.log10(descent(spiked) / descent(curve()))) < 0.1


def test_second_descent_after_a_blow_up_is_not_looked_at():
    """A loss that blows up and comes back, as at absurd rates, counts up to the blow-up."""

    def comes_back(log_rates):
        return np.select([log_rates > 0.3, log_rates > -0.7], [0.5, 4.0], ramp(log_rates))

    assert np.log10(descent(curve(comes_back))) == pytest.approx(
        np.log10(descent(curve())), abs=0.25
    )


@pytest.mark.parametrize(
    ("is_plain_sgd", "shift"),
    [(True, 0.1), (False, np.log10(199 / 7 / 80))],
    ids=["plain", "other"],
)
def test_rate_without_a_descent_lies_below_the_edge(is_plain_sgd, shift):
    """0.4 decades below the place where the loss rises, with the shift of every other rate.

    The kernel, a quarter decade wide, sees the step to the cap, twice the start, before it comes:
    3% of it at 1.88 deviations.
    """

    def rises(log_rates):
        return np.where(log_rates < -1, 1.0, 3.0)

    edge = -1 - 1.88 * 0.25
    rate = descent(curve(rises, is_plain_sgd=is_plain_sgd))
    assert np.log10(rate) == pytest.approx(edge - 0.4 + shift, abs=0.05)
