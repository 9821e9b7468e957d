"""The schedule, the smoothing and the curve: closed forms, refusals and JSON."""

import dataclasses
import json

import numpy as np
import pytest

from tfx_lr_finder.core.curve import Curve, distinct
from tfx_lr_finder.core.smoothing import exponential_moving_average
from tfx_lr_finder.core.sweep import StopReason, exponential_learning_rates

RANGES = pytest.mark.parametrize(
    ("least", "greatest", "num_steps"),
    [(1e-6, 10.0, 100), (1e-5, 1e-4, 2), (0.3, 0.7, 3), (1e-7, 10.0, 1001), (1, 2, 7)],
    ids=["default", "two_steps", "three_steps", "many_steps", "integers"],
)


@RANGES
def test_schedule_starts_and_ends_exactly_at_the_given_rates(least, greatest, num_steps):
    """Both ends are the arguments themselves, without a rounding error."""
    rates = exponential_learning_rates(least, greatest, num_steps)

    assert rates.shape == (num_steps,)
    assert rates.dtype == np.float64
    assert (rates[0], rates[-1]) == (least, greatest)


@RANGES
def test_schedule_follows_its_formula(least, greatest, num_steps):
    """Rate i is min * (max / min) ** (i / (num_steps - 1)): the ratio of neighbours is constant."""
    expected = [least * (greatest / least) ** (i / (num_steps - 1)) for i in range(num_steps)]

    rates = exponential_learning_rates(least, greatest, num_steps)

    np.testing.assert_allclose(rates, expected, rtol=1e-12)
    np.testing.assert_allclose(
        rates[1:] / rates[:-1], (greatest / least) ** (1 / (num_steps - 1)), rtol=1e-12
    )


@pytest.mark.parametrize("smoothing", [0.0, 0.5, 0.9, 0.98], ids=str)
def test_average_is_the_weighted_mean_of_the_past(smoothing):
    """Point i is the mean of losses 0..i with weights smoothing ** (i - j), which sum to 1."""
    losses = np.random.default_rng(0).normal(size=50)
    expected = [
        np.average(losses[: i + 1], weights=smoothing ** np.arange(i, -1, -1.0))
        for i in range(losses.size)
    ]

    np.testing.assert_allclose(exponential_moving_average(losses, smoothing), expected, rtol=1e-9)


@pytest.mark.parametrize("smoothing", [0.0, 0.5, 0.98, 0.9999], ids=str)
@pytest.mark.parametrize("constant", [2.5, -7.0, 1e-12, 0.0], ids=str)
def test_average_of_a_constant_is_the_constant(smoothing, constant):
    """The correction for the start at zero is exact from the first point on."""
    smoothed = exponential_moving_average([constant] * 30, smoothing)

    np.testing.assert_allclose(smoothed, constant, rtol=1e-9)


def test_average_without_smoothing_is_the_series_itself():
    """Smoothing 0 returns every loss bit for bit."""
    losses = np.random.default_rng(1).normal(size=20)

    np.testing.assert_array_equal(exponential_moving_average(losses, 0), losses)


def test_average_of_a_step_approaches_its_level():
    """With zeros from k on it is (b ** (i - k + 1) - b ** (i + 1)) / (1 - b ** (i + 1))."""
    b, k, n = 0.9, 5, 25
    i = np.arange(k, n)
    expected = (b ** (i - k + 1) - b ** (i + 1)) / (1 - b ** (i + 1))

    smoothed = exponential_moving_average([1.0] * k + [0.0] * (n - k), b)

    np.testing.assert_allclose(smoothed[:k], 1.0, rtol=1e-12)
    np.testing.assert_allclose(smoothed[k:], expected, rtol=1e-12)


def test_average_of_nothing_is_nothing():
    """An empty series has an empty average."""
    assert exponential_moving_average((), 0.98).shape == (0,)


@pytest.mark.parametrize(
    "smoothing", [1.0, 1.5, -0.1, float("nan")], ids=["one", "above_one", "negative", "nan"]
)
def test_average_refuses_a_smoothing_out_of_range(smoothing):
    """The message states the range and the value received."""
    with pytest.raises(
        ValueError, match=rf"`smoothing` must be in \[0, 1\)\. Received: smoothing={smoothing}\."
    ):
        exponential_moving_average([1.0, 2.0], smoothing)


def test_curve_has_as_many_points_as_losses(make_curve):
    """The length of a curve is its number of points, not its number of steps."""
    assert len(make_curve([3.0, 2.0, 1.0], num_steps=100)) == 3


def test_curve_knows_the_logarithm_of_its_rates(make_curve):
    """The axis of every slope is the logarithm to base 10."""
    curve = make_curve([3.0, 2.0, 1.0], [0.001, 0.1, 10.0])

    np.testing.assert_allclose(curve.log_learning_rates, [-3, -1, 1], rtol=1e-12)


def test_curve_smooths_its_losses_by_its_own_factor(make_curve):
    """The smoothed losses are the weighted means for the curve's smoothing."""
    curve = make_curve([4.0, 1.0, 1.0], smoothing=0.5)

    np.testing.assert_allclose(curve.smoothed_losses, [4, (2 + 1) / 1.5, (1 + 0.5 + 1) / 1.75])


@pytest.mark.parametrize("name", [field.name for field in dataclasses.fields(Curve)])
def test_curve_is_frozen(make_curve, name):
    """No attribute can be set anew."""
    curve = make_curve([2.0, 1.0])

    with pytest.raises(dataclasses.FrozenInstanceError, match=f"cannot assign to field '{name}'"):
        setattr(curve, name, getattr(curve, name))


@pytest.mark.parametrize("name", ["learning_rates", "losses", "validation_losses"])
def test_arrays_of_a_curve_are_read_only(make_curve, name):
    """No point can be changed in place."""
    curve = make_curve([2.0, 1.0], validation_losses=[2.0, 1.0])

    with pytest.raises(ValueError, match="read-only"):
        getattr(curve, name)[0] = 5.0


def test_curve_does_not_share_the_arrays_it_was_made_of(make_curve):
    """Changing the array given afterwards does not change the curve, and it stays writable."""
    losses, learning_rates = np.array([2.0, 1.0]), np.array([0.1, 0.2])
    curve = make_curve(losses, learning_rates)

    losses[0] = learning_rates[0] = 0.05

    assert curve.losses.tolist() == [2.0, 1.0]
    assert curve.learning_rates.tolist() == [0.1, 0.2]


def test_curve_takes_lists_and_the_value_of_a_stop_reason():
    """Plain lists become float64 arrays, a string the stop reason of that value."""
    curve = Curve([1, 2], [3, 4], 0.5, "diverged", 10, 1, batch_size=8)

    assert curve.losses.dtype == curve.learning_rates.dtype == np.float64
    assert curve.stop_reason is StopReason.DIVERGED


@pytest.mark.parametrize(
    ("losses", "learning_rates"),
    [
        ([1.0, 2.0], [0.1]),
        ([1.0], [0.1, 0.2]),
        ([], []),
        ([[1.0, 2.0]], [[0.1, 0.2]]),
        (1.0, 0.1),
    ],
    ids=["more_losses", "more_rates", "no_points", "two_dimensions", "scalars"],
)
def test_curve_refuses_arrays_that_do_not_fit(make_curve, losses, learning_rates):
    """There are as many rates as losses, at least one; the message gives both shapes."""
    shapes = f"shapes {np.shape(learning_rates)} and {np.shape(losses)}"
    shapes = shapes.replace("(", r"\(").replace(")", r"\)")

    with pytest.raises(ValueError, match=f"as many learning rates as losses.* Received: {shapes}"):
        make_curve(losses, learning_rates, num_steps=2)


@pytest.mark.parametrize(
    "learning_rates",
    [
        [0.0, 0.1],
        [-0.1, 0.1],
        [0.1, 0.1],
        [0.2, 0.1],
        [0.1, float("inf")],
        [0.1, float("nan")],
        [float("nan"), 0.1],
    ],
    ids=["zero", "negative", "equal", "falling", "infinite", "nan_last", "nan_first"],
)
def test_curve_refuses_rates_that_do_not_grow(make_curve, learning_rates):
    """Rates are greater than 0, finite and strictly increasing."""
    with pytest.raises(
        ValueError, match=r"greater than 0, finite and strictly increasing\. Received: \["
    ):
        make_curve([1.0, 2.0], learning_rates)


@pytest.mark.parametrize(
    "losses",
    [[1.0, float("nan")], [float("nan"), 1.0], [1.0, float("inf")], [-float("inf"), 1.0]],
    ids=["nan_tail", "nan_head", "infinite", "minus_infinite"],
)
def test_curve_refuses_losses_that_are_not_finite(make_curve, losses):
    """A NaN tail has to be cut off before: no rule ever meets one."""
    with pytest.raises(ValueError, match=r"losses must be finite; end the curve.* Received: \["):
        make_curve(losses)


@pytest.mark.parametrize(
    "validation_losses",
    [[1.0], [[1.0, 2.0]], [1.0, float("nan")], [float("inf"), 1.0]],
    ids=["fewer", "two_dimensions", "nan", "infinite"],
)
def test_curve_refuses_validation_losses_that_do_not_fit(make_curve, validation_losses):
    """There is one for each loss, and it is finite."""
    with pytest.raises(ValueError, match=r"as many validation losses as losses.* Received: \["):
        make_curve([2.0, 1.0], validation_losses=validation_losses)


def test_steady_losses_are_the_validation_losses_where_there_are_any(make_curve):
    """Without them they are the losses."""
    assert make_curve([2.0, 1.0]).steady_losses.tolist() == [2.0, 1.0]
    assert make_curve([2.0, 1.0], validation_losses=[4, 3]).steady_losses.tolist() == [4.0, 3.0]


def test_curve_refuses_more_points_than_steps(make_curve):
    """The message gives the number of points and of steps."""
    with pytest.raises(ValueError, match=r"Received: 3 points, num_steps=2\."):
        make_curve([3.0, 2.0, 1.0], num_steps=2)


def test_curve_refuses_a_smoothing_out_of_range(make_curve):
    """A curve's smoothing has the range of the average's."""
    with pytest.raises(ValueError, match=r"`smoothing` must be in \[0, 1\)\. Received: .*=1\.0"):
        make_curve([1.0], smoothing=1.0)


@pytest.mark.parametrize("train_steps", [0, -1], ids=["zero", "negative"])
def test_curve_refuses_a_training_of_no_steps(make_curve, train_steps):
    """The number of training steps is at least 1, or not known."""
    with pytest.raises(
        ValueError, match=rf"train_steps must be at least 1.* Received: train_steps={train_steps}\."
    ):
        make_curve([1.0], train_steps=train_steps)


def test_curve_refuses_an_unknown_stop_reason(make_curve):
    """A stop reason is one of the enumerated."""
    with pytest.raises(ValueError, match="'bored' is not a valid StopReason"):
        make_curve([1.0], stop_reason="bored")


@pytest.mark.parametrize("validates", [False, True], ids=["training", "validation"])
@pytest.mark.parametrize("stop_reason", list(StopReason), ids=lambda reason: reason.value)
def test_curve_survives_json_bit_for_bit(make_curve, stop_reason, validates):
    """Every attribute comes back with all its bits, also extreme numbers."""
    losses = [*np.random.default_rng(2).normal(size=40), 1 / 3, 5e-324, -1.7e308, 1e-300]
    curve = make_curve(
        losses,
        smoothing=0.1 + 0.2,
        stop_reason=stop_reason,
        num_steps=50,
        batch_size=7,
        seed=-3,
        validation_losses=losses[::-1] if validates else None,
        is_plain_sgd=True,
        train_steps=123,
    )

    again = Curve.from_json(curve.to_json())

    assert again == curve
    assert again.losses.tobytes() == curve.losses.tobytes()
    assert again.learning_rates.tobytes() == curve.learning_rates.tobytes()
    assert again.steady_losses.tobytes() == curve.steady_losses.tobytes()
    assert (again.smoothing, again.stop_reason) == (0.1 + 0.2, stop_reason)
    assert (again.num_steps, again.batch_size, again.seed) == (50, 7, -3)
    assert (again.is_plain_sgd, again.train_steps) == (True, 123)


def test_json_of_a_curve_is_plain_data_for_other_readers(make_curve):
    """The keys are the attributes' names; arrays are lists and the stop reason its value."""
    curve = make_curve([2.0, 1.0], [0.5, 1.0], smoothing=0.98, stop_reason="diverged", seed=4)

    assert json.loads(curve.to_json()) == {
        "learning_rates": [0.5, 1.0],
        "losses": [2.0, 1.0],
        "smoothing": 0.98,
        "stop_reason": "diverged",
        "num_steps": 2,
        "batch_size": 32,
        "seed": 4,
        "validation_losses": None,
        "is_plain_sgd": False,
        "train_steps": None,
        "schedule": "unknown",
        "constant_loss": None,
        "model": "",
        "optimizer": "",
        "num_replicas": 1,
        "gradient_accumulation_steps": 1,
    }


@pytest.mark.parametrize(
    "text",
    ["", "not json", "[]", "null", "3", "{}", '{"losses": [1.0]}', '{"height": 1}'],
    ids=["empty", "words", "list", "null", "number", "no_keys", "too_few_keys", "other_keys"],
)
def test_text_that_is_no_curve_is_refused(text):
    """The message shows the text and what to read instead."""
    shown = repr(text).replace("[", r"\[").replace("{", r"\{")

    with pytest.raises(
        ValueError,
        match=rf"(?s)Not the JSON of a curve: .*Received: {shown}\. Hand over what `Curve",
    ):
        Curve.from_json(text)


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("losses", [float("nan"), 1.0], "NaN is not JSON"),
        ("losses", ["high", "low"], "losses of a curve must be a list of numbers"),
        ("learning_rates", [2.0, 1.0], "strictly increasing"),
        ("learning_rates", None, "learning_rates of a curve must be a list of numbers"),
        ("losses", None, "losses of a curve must be a list of numbers"),
        ("stop_reason", "bored", "stop_reason of a curve must be one of .*'bored'"),
        ("num_steps", 1, "more points than steps"),
        ("smoothing", 2, "`smoothing` must be in"),
        ("smoothing", "much", "smoothing of a curve must be a number.*'much'"),
    ],
    ids=[
        "nan",
        "words",
        "falling_rates",
        "no_rates",
        "no_losses",
        "stop_reason",
        "num_steps",
        "smoothing",
        "type",
    ],
)
def test_json_of_a_wrong_curve_is_refused_with_the_reason(make_curve, name, value, reason):
    """What a curve refuses, its JSON refuses too, with the same reason in the message."""
    values = json.loads(make_curve([2.0, 1.0]).to_json())

    with pytest.raises(ValueError, match=f"(?s)Not the JSON of a curve: .*{reason}"):
        Curve.from_json(json.dumps({**values, name: value}))


def test_refusal_of_a_long_text_shows_its_beginning_only():
    """The message holds the first 200 characters."""
    with pytest.raises(ValueError, match=r"Received: 'x{200}'"):
        Curve.from_json("x" * 10_000)


def test_curves_with_the_same_values_are_equal(make_curve):
    """Equality is that of the values."""
    assert make_curve([2.0, 1.0]) == make_curve([2.0, 1.0])


@pytest.mark.parametrize(
    "change",
    [
        {"losses": [2.0, np.nextafter(1.0, 2)]},
        {"learning_rates": [0.1, np.nextafter(0.2, 1)]},
        {"smoothing": 0.5},
        {"stop_reason": StopReason.DIVERGED},
        {"num_steps": 3},
        {"batch_size": 33},
        {"seed": 1},
        {"validation_losses": [2.0, 1.0]},
        {"is_plain_sgd": True},
        {"train_steps": 100},
    ],
    ids=lambda change: next(iter(change)),
)
def test_curves_that_differ_in_one_value_are_not_equal(make_curve, change):
    """A difference in the last bit of one point is a difference."""
    values = {"losses": [2.0, 1.0], "learning_rates": [0.1, 0.2]}

    assert make_curve(**values) != make_curve(**{**values, **change})


def test_curve_is_not_equal_to_anything_else(make_curve):
    """A curve is not its JSON, and not its losses."""
    curve = make_curve([2.0, 1.0])

    assert curve != curve.to_json()
    assert curve != [2.0, 1.0]


def test_curve_cannot_be_hashed(make_curve):
    """A curve is no key: it holds arrays."""
    with pytest.raises(TypeError, match="unhashable type: 'Curve'"):
        hash(make_curve([1.0]))


def test_sweeps_with_equal_losses_are_not_distinct(make_curve):
    """The seed alone is no difference; the first one stays."""
    fall = [3.0, 2.0, 1.0]
    curves = [make_curve(losses, seed=seed) for seed, losses in enumerate([fall, fall[::-1]])]
    equal = [dataclasses.replace(curve, seed=9) for curve in curves]
    other_rates = make_curve(fall, np.geomspace(1e-3, 1, 3))

    assert distinct([*curves, *equal, other_rates]) == [*curves, other_rates]
