"""The rules on hand-made curves whose answer is known."""

import itertools

import numpy as np
import pytest

from tfx_lr_finder.core.errors import NoLearningRateError
from tfx_lr_finder.core.rules import (
    DEFAULT_RULE,
    RULES,
    article_end,
    get_rule,
    minimum,
    rule,
    slide,
    steepest,
    valley,
)
from tfx_lr_finder.core.verdict import Verdict

ARTICLE_RULES = ["steepest", "minimum", "valley", "slide"]


@pytest.fixture(params=sorted(RULES))
def any_rule(request):
    """Every rule there is, one after the other."""
    return RULES[request.param]


def flat_then_falling_then_rising(learning_rates):
    """Returns losses of a textbook course: a plateau, a fall from 1e-4 on, a rise from 0.1 on."""
    x = np.log10(learning_rates)
    return 1.0 - 0.3 * np.clip(x + 4, 0, 3) + 2.0 * np.clip(x + 1, 0, None)


def test_rules_of_the_article_and_of_fastai_are_known_by_name():
    """The four names give the four functions."""
    expected = {"steepest": steepest, "minimum": minimum, "valley": valley, "slide": slide}

    assert {name: get_rule(name) for name in ARTICLE_RULES} == expected


def test_default_rule_exists():
    """The default is the name of a rule."""
    assert get_rule(DEFAULT_RULE) is RULES[DEFAULT_RULE]


def test_unknown_rule_is_refused_with_the_known_ones():
    """The message lists every known rule and the name received."""
    with pytest.raises(
        ValueError, match=r"must name a known rule: .*Received: rule='vally'"
    ) as info:
        get_rule("vally")

    assert all(name in str(info.value) for name in RULES)


def test_rule_can_be_added(make_curve):
    """A function of a curve with `@rule` above it is known by its name and listed."""

    @rule
    def second_rate(curve):
        return float(curve.learning_rates[1])

    try:
        assert get_rule("second_rate")(make_curve([3.0, 2.0], [0.1, 0.2])) == 0.2
        with pytest.raises(ValueError, match="second_rate"):
            get_rule("third_rate")
    finally:
        del RULES["second_rate"]


@pytest.mark.parametrize("n", [1, 2, 3, 4, 5, 9, 30, 120], ids=lambda n: f"{n}_points")
@pytest.mark.parametrize("smoothing", [0.0, 0.98], ids=["raw", "smoothed"])
def test_suggestion_on_a_noisy_curve_is_inside_its_range(make_curve, any_rule, n, smoothing):
    """A rate read off a curve is never below its first nor above its last; or there is none."""
    for seed in range(10):
        noise = np.random.default_rng(seed).normal(size=n)
        curve = make_curve(np.cumsum(noise) if seed % 2 else noise, smoothing=smoothing)
        try:
            learning_rate = any_rule(curve)
        except NoLearningRateError:
            continue
        assert curve.learning_rates[0] <= learning_rate <= curve.learning_rates[-1]


def test_suggestion_is_a_python_float(make_curve, any_rule):
    """The rate is a number that every serialiser takes."""
    curve = make_curve(np.linspace(2, 1, 50))

    assert type(any_rule(curve)) is float


@pytest.mark.parametrize("n", [1, 2], ids=["one_point", "two_points"])
@pytest.mark.parametrize("name", ARTICLE_RULES)
def test_rule_has_no_rate_for_a_curve_without_a_fall_of_enough_points(make_curve, name, n):
    """One point, or two that rise by a decade, hold no answer; the error says why."""
    curve = make_curve([1.0, 2.0][:n], [0.1, 1.0][:n])

    with pytest.raises(NoLearningRateError, match="No learning rate can be suggested"):
        RULES[name](curve)


@pytest.mark.parametrize("name", ["steepest", "minimum", "valley"])
@pytest.mark.parametrize(
    "losses",
    [np.linspace(1, 2, 50), np.ones(50), np.exp(np.linspace(0, 9, 50))],
    ids=["rising", "constant", "diverging"],
)
@pytest.mark.parametrize("smoothing", [0.0, 0.5], ids=["raw", "smoothed"])
def test_curve_that_never_falls_gives_no_rate(make_curve, name, losses, smoothing):
    """No rule answers with the first rate when nothing falls."""
    with pytest.raises(NoLearningRateError, match=r"\(flat\)") as info:
        RULES[name](make_curve(losses, smoothing=smoothing))

    assert info.value.verdict is Verdict.FLAT


@pytest.mark.parametrize("name", ARTICLE_RULES)
@pytest.mark.parametrize("scale", [2.0**-20, 8.0, 2.0**40], ids=["tiny", "eight", "huge"])
@pytest.mark.parametrize("smoothing", [0.0, 0.9], ids=["raw", "smoothed"])
def test_unit_of_the_loss_does_not_matter(make_curve, name, scale, smoothing):
    """Losses multiplied by a constant give the same rate, also for slide's threshold."""
    rates = 10 ** np.linspace(-6, 1, 120)
    noise = 0.02 * np.random.default_rng(3).normal(size=rates.size)
    losses = flat_then_falling_then_rising(rates) + noise

    plain = RULES[name](make_curve(losses, rates, smoothing=smoothing))
    scaled = RULES[name](make_curve(scale * losses, rates, smoothing=smoothing))

    assert scaled == plain


@pytest.mark.parametrize("name", ["steepest", "minimum", "valley"])
@pytest.mark.parametrize("shift", [-10.0, 3.0], ids=["negative", "positive"])
@pytest.mark.parametrize("smoothing", [0.0, 0.9], ids=["raw", "smoothed"])
def test_level_of_the_loss_does_not_matter(make_curve, name, shift, smoothing):
    """Losses plus a constant, also negative ones, give the same rate."""
    rates = 10 ** np.linspace(-6, 1, 120)
    noise = 0.02 * np.random.default_rng(4).normal(size=rates.size)
    losses = flat_then_falling_then_rising(rates) + noise

    plain = RULES[name](make_curve(losses, rates, smoothing=smoothing))
    shifted = RULES[name](make_curve(losses + shift, rates, smoothing=smoothing))

    assert shifted == plain


@pytest.mark.parametrize("name", ARTICLE_RULES)
def test_unit_of_the_rate_does_not_matter(make_curve, name):
    """Rates multiplied by a constant multiply the answer: slopes are against the logarithm."""
    rates = 10 ** np.linspace(-6, 1, 120)
    noise = 0.02 * np.random.default_rng(7).normal(size=rates.size)
    losses = flat_then_falling_then_rising(rates) + noise

    plain = RULES[name](make_curve(losses, rates))
    scaled = RULES[name](make_curve(losses, 1024 * rates))

    assert scaled == pytest.approx(1024 * plain, rel=1e-12)


@pytest.mark.parametrize("smoothing", [0.0, 0.5, 0.98], ids=["raw", "half", "default"])
@pytest.mark.parametrize("k", [4, 5, 20, 39], ids=["first_that_counts", "second", "inside", "last"])
def test_steepest_finds_a_step_where_it_arrives(make_curve, k, smoothing):
    """From 1 to 0 at point k, the average falls most from k - 1 to k: the answer is rate k."""
    curve = make_curve([1.0] * k + [0.0] * (40 - k), smoothing=smoothing)

    assert steepest(curve) == curve.learning_rates[k]


@pytest.mark.parametrize("k", [1, 2, 3])
def test_steepest_leaves_out_the_first_three_falls(make_curve, k):
    """A fall within the first steps, where the average is over too few losses, does not count."""
    losses = np.array([5.0] * k + [1.0] * (40 - k))
    losses[30:] -= 0.1
    curve = make_curve(losses)

    assert steepest(curve) == curve.learning_rates[30]


def test_steepest_takes_slopes_against_the_logarithm_of_the_rate(make_curve):
    """Of falls by 0.2 over a decade and by 0.15 over half a decade, the second is the steeper.

    Against the rate itself the first, at a rate a thousand times smaller, would seem so.
    """
    rates = 10 ** np.array([-9.0, -8.5, -8.0, -7.5, -7.0, -6.0, -5.5, -3.5, -3.0, -2.5])
    losses = [1.0, 1.0, 1.0, 1.0, 1.0, 0.8, 0.8, 0.8, 0.65, 0.65]

    assert steepest(make_curve(losses, rates)) == rates[8]


@pytest.mark.parametrize(
    ("smoothing", "k"), [(0.0, 11), (0.5, 22)], ids=["spike", "end_of_the_stairs"]
)
def test_steepest_reads_the_smoothed_loss(make_curve, smoothing, k):
    """After a spike by 4 the loss itself falls most; the average does on three stairs of 2."""
    losses = np.repeat([9.0, 13.0, 9.0, 7.0, 5.0, 3.0], [10, 1, 9, 1, 1, 18])
    curve = make_curve(losses, smoothing=smoothing)

    assert steepest(curve) == curve.learning_rates[k]


def test_steepest_takes_the_first_of_equal_falls(make_curve):
    """Two falls of the same slope: the lesser rate is the answer."""
    rates = [1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0]
    losses = [4.0, 4.0, 4.0, 4.0, 3.0, 3.0, 2.0, 2.0]

    assert steepest(make_curve(losses, rates)) == 1e-2


@pytest.mark.parametrize(("lucky", "points"), [(0.26, 60), (0.24, 33)], ids=["above", "below"])
def test_article_ends_above_four_times_the_least_loss_of_a_batch(make_curve, lucky, points):
    """The smoothed loss is about 1: the first loss below a quarter of it ends the curve there."""
    losses = np.ones(60)
    losses[32] = lucky
    curve = make_curve(losses, smoothing=0.999)

    assert article_end(curve) == points


def test_rules_of_the_article_read_the_curve_up_to_its_end(make_curve):
    """After a batch of nearly no loss they see no more: not the greater fall that comes later."""
    losses = np.repeat([4.0, 3.0, 3.0, 0.5], [20, 19, 1, 40])
    losses[39] = 0.3
    curve = make_curve(losses, smoothing=0.5)

    assert article_end(curve) == 40
    assert steepest(curve) == curve.learning_rates[39]
    assert minimum(curve) == pytest.approx(curve.learning_rates[39] / 10)
    assert valley(curve) > curve.learning_rates[39]


def test_losses_below_zero_do_not_end_the_curve(make_curve):
    """The article's own sweep would end at the first of them."""
    curve = make_curve(-1 - np.linspace(0, 1, 30))

    assert article_end(curve) == 30


def test_steepest_on_a_noisy_sigmoid_lies_in_its_middle(make_curve):
    """With noise a hundredth of the fall the answer is a quarter of a decade or less off."""
    rates = 10 ** np.linspace(-6, 1, 141)
    noise = 0.01 * np.random.default_rng(5).normal(size=rates.size)
    losses = 1 / (1 + np.exp(20 * (np.log10(rates) + 2))) + noise

    assert abs(np.log10(steepest(make_curve(losses, rates))) + 2) < 0.25


@pytest.mark.parametrize("k", [20, 30, 49], ids=["inside", "later", "last"])
def test_minimum_is_a_tenth_of_the_rate_of_the_lowest_loss(make_curve, k):
    """The lowest loss at point k, also at the last: the rate of k divided by 10."""
    curve = make_curve(np.abs(np.arange(50) - k))

    assert minimum(curve) == curve.learning_rates[k] / 10


def test_minimum_reads_the_smoothed_loss(make_curve):
    """With smoothing 1/2 the average is lowest at the last point, the raw loss at the third."""
    rates = 10.0 ** np.arange(-5, 2)
    curve = make_curve([8.0, 8.0, 3.0, 8.0, 3.5, 3.5, 3.5], rates, smoothing=0.5)

    assert minimum(curve) == rates[6] / 10
    assert minimum(make_curve(curve.losses, rates)) == rates[2] / 10


def test_minimum_of_a_plateau_is_its_beginning(make_curve):
    """Of several points with the lowest loss the one with the least rate counts."""
    rates = 10.0 ** np.arange(-6, 1)

    assert minimum(make_curve([3.0, 2.0, 1.0, 1.0, 1.0, 1.0, 2.0], rates)) == rates[2] / 10


def test_minimum_stays_inside_the_range(make_curve):
    """A tenth of the rate that lies below the first rate is the first rate."""
    rates = [0.1, 0.2, 0.4, 0.8]

    assert minimum(make_curve([3.0, 1.0, 2.0, 4.0], rates)) == 0.1


def longest_decrease_by_enumeration(values):
    """Returns length and greatest last index of the strictly decreasing subsequences."""
    candidates = (
        (length, chosen[-1])
        for length in range(1, len(values) + 1)
        for chosen in itertools.combinations(range(len(values)), length)
        if all(values[i] > values[j] for i, j in itertools.pairwise(chosen))
    )
    return max(candidates)


@pytest.mark.parametrize(
    ("first", "last"),
    [(0, 10), (0, 48), (20, 28), (38, 48), (0, 2), (46, 48)],
    ids=["at_the_start", "everywhere", "inside", "at_the_end", "first_three", "last_three"],
)
def test_valley_is_the_middle_of_the_only_fall(make_curve, first, last):
    """A loss that falls from point `first` to point `last` and rises elsewhere: half-way."""
    i = np.arange(49.0)
    losses = 100 + np.minimum(i, first) - 3 * np.clip(i - first, 0, last - first)
    losses += 200 * np.clip(i - last, 0, None)
    losses[:first] -= 1000
    curve = make_curve(losses)

    assert valley(curve) == curve.learning_rates[(first + last) // 2]


def test_valley_of_a_fall_in_the_first_pair_only_is_there(make_curve):
    """The one fall is from point 0 to 1: the greatest rate is not the answer."""
    curve = make_curve([2.0, 1.0, 3.0, 4.0, 5.0])

    assert valley(curve) == curve.learning_rates[0]


def test_valley_of_a_fall_in_the_last_pair_only_is_there(make_curve):
    """The one fall is from the last point but one to the last."""
    curve = make_curve([1.0, 2.0, 3.0, 5.0, 4.0])

    assert valley(curve) == curve.learning_rates[3]


def test_valley_is_the_later_of_two_equal_ones(make_curve):
    """Two falls of three points each: the second counts."""
    curve = make_curve([3.0, 2.0, 1.0, 9.0, 8.0, 7.0, 10.0])

    assert valley(curve) == curve.learning_rates[4]


def test_valley_leaves_out_a_plateau_after_the_fall(make_curve):
    """A constant part is no fall: the latest point of the plateau ends a fall of its length."""
    curve = make_curve([5.0, 4.0, 3.0, 2.0, 1.0, 1.0, 1.0])

    assert valley(curve) == curve.learning_rates[4]


@pytest.mark.parametrize("seed", range(12))
def test_valley_on_noise_agrees_with_every_subsequence_tried(make_curve, seed):
    """The answer lies half of the longest decrease before the latest point where one ends."""
    losses = np.random.default_rng(seed).normal(size=10) - 0.2 * np.arange(10)
    length, last = longest_decrease_by_enumeration(losses)
    curve = make_curve(losses)

    assert valley(curve) == curve.learning_rates[last - length // 2]


@pytest.mark.parametrize("seed", range(12))
def test_valley_on_ties_agrees_with_every_subsequence_tried(make_curve, seed):
    """Equal losses are no decrease: integers from 3 to 0, with many ties, and a last one below."""
    losses = [*np.random.default_rng(seed).integers(0, 4, size=9), -1]
    length, last = longest_decrease_by_enumeration(losses)
    curve = make_curve(losses)

    assert valley(curve) == curve.learning_rates[last - length // 2]


def test_valley_of_a_textbook_curve_lies_in_its_fall(make_curve):
    """With the default smoothing and noise the answer lies between the fall's two ends."""
    rates = 10 ** np.linspace(-6, 1, 140)
    noise = 0.01 * np.random.default_rng(6).normal(size=rates.size)
    losses = flat_then_falling_then_rising(rates) + noise

    assert 1e-4 < valley(make_curve(losses, rates, smoothing=0.9)) < 1e-1


DECADES_PER_POINT = 0.07  # 1.2 decades are 17.1 points: the window's left end is 18 to the left


def losses_that_rise_by(decades, n=100):
    """Returns losses of 1 that rise at the end, by 1 a decade over so many points."""
    return 1 + DECADES_PER_POINT * np.clip(np.arange(n) - (n - 1 - decades), 0, None)


def rates_of_slide(n=100):
    """Returns rates with 0.07 decades from each to the next."""
    return 10 ** (-6 + DECADES_PER_POINT * np.arange(n))


@pytest.mark.parametrize("k", [1, 5, 10], ids=lambda k: f"{k}_points")
def test_slide_stops_where_the_slope_at_its_right_end_is_that_at_its_left(make_curve, k):
    """A rise over the last k points: the window stops before its foot, 1.2 decades to the left."""
    curve = make_curve(losses_that_rise_by(k), rates_of_slide())
    right = 99 - k - 1  # the gradient at the foot, 99 - k, is half of the rise's

    assert slide(curve) == curve.learning_rates[right - 18]


def test_slide_on_one_slope_stays_at_the_end(make_curve):
    """Where all slopes are equal the answer lies 1.2 decades below the greatest rate."""
    curve = make_curve(np.linspace(2.0, 1.0, 100), rates_of_slide())

    assert slide(curve) == curve.learning_rates[99 - 18]


@pytest.mark.parametrize(
    ("slope", "left_end"), [(0.0624, 99 - 18), (0.0626, 99 - 10 - 18)], ids=["below", "above"]
)
def test_slide_has_the_stated_threshold(make_curve, slope, left_end):
    """A difference of slopes up to 0.0625 initial losses a decade is none, above it is one."""
    losses = 7 * (1 + slope * (losses_that_rise_by(10) - 1))
    curve = make_curve(losses, rates_of_slide())

    assert slide(curve) == curve.learning_rates[left_end]


def test_slide_that_finds_no_end_gives_the_first_rate(make_curve):
    """Where the slope grows all the way the window slides to the start of the range."""
    x = np.arange(40) * DECADES_PER_POINT
    curve = make_curve(1 + x**2, rates_of_slide(40))

    assert slide(curve) == curve.learning_rates[0]


@pytest.mark.parametrize(
    ("decades", "has_rate"), [(1.19, False), (1.21, True)], ids=["shorter", "longer"]
)
def test_slide_needs_a_curve_as_long_as_its_window(make_curve, decades, has_rate):
    """A curve of less than 1.2 decades has too few points, whatever their number."""
    curve = make_curve(np.linspace(2, 1, 500), 10 ** np.linspace(0, decades, 500))

    if has_rate:
        assert slide(curve) == curve.learning_rates[curve.log_learning_rates <= 0.01][-1]
    else:
        with pytest.raises(NoLearningRateError, match=r"\(too_few_points\)"):
            slide(curve)


def test_slide_does_not_depend_on_the_number_of_points(make_curve):
    """Five times as many points in the same range give the same rate within one of their steps."""
    answers = []
    for n in (140, 700):
        rates = 10 ** np.linspace(-6, 1, n)
        answers.append(slide(make_curve(flat_then_falling_then_rising(rates), rates)))

    assert abs(np.log10(answers[0] / answers[1])) < 0.15


def test_slide_takes_a_first_loss_of_zero(make_curve):
    """The initial loss, the unit of the slopes, may be zero."""
    curve = make_curve(losses_that_rise_by(5) - 1, rates_of_slide())

    assert slide(curve) == curve.learning_rates[99 - 5 - 1 - 18]
