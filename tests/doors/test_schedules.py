"""The one-cycle schedule: its closed form, its refusals, and its life within Keras."""

import math
import re

import keras
import numpy as np
import pytest

from tfx_lr_finder import OneCycle

PEAK = 0.08
NUM_STEPS = 101  # the last step is 100, the peak at step 30


def rate(schedule, step):
    """Returns the rate of a step as a float."""
    return float(schedule(step))


def model(schedule):
    """Returns a compiled model of one weight with the schedule."""
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1, use_bias=False)])
    model.compile(optimizer=keras.optimizers.SGD(schedule), loss="mse")
    return model


@pytest.mark.parametrize(
    ("step", "expected"),
    [
        (0, PEAK / 25),
        (15, (PEAK / 25 + PEAK) / 2),
        (30, PEAK),
        (65, (PEAK + PEAK / 1e4) / 2),
        (100, PEAK / 1e4),
        (101, PEAK / 1e4),
        (100_000, PEAK / 1e4),
    ],
    ids=["first", "half-way up", "peak", "half-way down", "last", "after", "long after"],
)
def test_rate_at_key_steps(step, expected):
    """A 25th of the peak, the peak after 30% of the steps, then a 10000th of it for ever."""
    assert rate(OneCycle(PEAK, NUM_STEPS), step) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("step", [1, 7, 29, 31, 50, 99])
def test_rate_between_key_steps_is_a_half_cosine(step):
    """The formula of the docstring, in double precision."""
    peak, first, last = 1.0, 1 / 10, 1 / 50
    if step < 30:
        expected = peak + (first - peak) * (1 + math.cos(math.pi * step / 30)) / 2
    else:
        expected = last + (peak - last) * (1 + math.cos(math.pi * (step - 30) / 70)) / 2

    schedule = OneCycle(peak, NUM_STEPS, initial_divisor=10, final_divisor=50)

    assert rate(schedule, step) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("fraction", [0.0, 0.25, 0.9], ids=str)
def test_peak_is_where_the_warmup_ends(fraction):
    """The greatest rate of all steps is the peak, at `warmup_fraction` of the cycle."""
    schedule = OneCycle(PEAK, NUM_STEPS, warmup_fraction=fraction)

    rates = [rate(schedule, step) for step in range(NUM_STEPS)]

    assert int(np.argmax(rates)) == round(100 * fraction)
    assert max(rates) == pytest.approx(PEAK, rel=1e-6)


def test_rate_rises_to_the_peak_and_falls_after_it():
    """One cycle: one way up, one way down."""
    changes = np.diff([rate(OneCycle(PEAK, NUM_STEPS), step) for step in range(NUM_STEPS)])

    assert np.all(changes[:30] > 0)
    assert np.all(changes[30:] < 0)


def test_shortest_cycle_has_its_first_and_its_last_rate():
    """Two steps leave no room for a peak."""
    schedule = OneCycle(PEAK, 2)

    rates = [rate(schedule, step) for step in range(2)]

    assert rates == pytest.approx([PEAK / 25, PEAK / 1e4], rel=1e-5)


def test_divisors_of_one_leave_the_rate_constant():
    """No warm-up and no decay."""
    schedule = OneCycle(PEAK, 20, initial_divisor=1, final_divisor=1)

    assert [rate(schedule, step) for step in range(25)] == pytest.approx([PEAK] * 25)


@pytest.mark.parametrize(
    ("argument", "value", "rule"),
    [
        ("peak_learning_rate", 0.0, "greater than 0"),
        ("peak_learning_rate", -0.1, "greater than 0"),
        ("peak_learning_rate", math.nan, "greater than 0"),
        ("num_steps", 1, "at least 2"),
        ("num_steps", 0, "at least 2"),
        ("warmup_fraction", 1.0, "in [0, 1)"),
        ("warmup_fraction", -0.1, "in [0, 1)"),
        ("initial_divisor", 0.5, "at least 1"),
        ("final_divisor", 0.0, "at least 1"),
        ("final_divisor", math.nan, "at least 1"),
    ],
    ids=str,
)
def test_argument_out_of_range_is_refused(argument, value, rule):
    """The message names the argument, its rule and what was received."""
    message = f"Argument `{argument}` must be {rule}. Received: {argument}={value}."

    with pytest.raises(ValueError, match=f"^{re.escape(message)}"):
        OneCycle(**{"peak_learning_rate": PEAK, "num_steps": NUM_STEPS, argument: value})


def test_unknown_number_of_steps_is_refused():
    """`fn_args.train_steps` is None where the Trainer was given no `num_steps`."""
    with pytest.raises(
        (TypeError, ValueError), match=r"Argument `num_steps` must .*num_steps=None"
    ):
        OneCycle(peak_learning_rate=PEAK, num_steps=None)


def test_defaults_are_those_of_the_docstring():
    """30% warm-up from a 25th, down to a 10000th."""
    assert OneCycle(PEAK, NUM_STEPS).get_config() == {
        "peak_learning_rate": PEAK,
        "num_steps": NUM_STEPS,
        "warmup_fraction": 0.3,
        "initial_divisor": 25.0,
        "final_divisor": 1e4,
    }


ANOTHER = {
    "peak_learning_rate": 0.5,
    "num_steps": 40,
    "warmup_fraction": 0.2,
    "initial_divisor": 8.0,
    "final_divisor": 100.0,
}


def test_schedule_comes_back_from_its_config():
    """`get_config` and `from_config` are inverse."""
    assert OneCycle.from_config(ANOTHER).get_config() == ANOTHER


def test_schedule_comes_back_from_keras_serialisation():
    """Registered with Keras: no `custom_objects` are needed."""
    stored = keras.saving.serialize_keras_object(OneCycle(**ANOTHER))

    schedule = keras.saving.deserialize_keras_object(stored)

    assert isinstance(schedule, OneCycle)
    assert schedule.get_config() == ANOTHER
    assert stored["registered_name"] == "tfx_lr_finder>OneCycle"


def test_schedule_comes_back_from_an_optimizer_config():
    """An optimizer that is rebuilt from its configuration has the same schedule."""
    optimizer = keras.optimizers.Adam.from_config(
        keras.optimizers.Adam(OneCycle(**ANOTHER)).get_config()
    )

    assert isinstance(optimizer._learning_rate, OneCycle)
    assert optimizer._learning_rate.get_config() == ANOTHER


def test_fit_trains_with_the_rate_of_every_step():
    """The weight follows gradient descent whose rates are the closed form's."""
    schedule = OneCycle(0.2, 8)
    trained = model(schedule)
    trained.layers[0].kernel.assign([[0.0]])
    # Loss (w - 2)**2, gradient 2 (w - 2): each step shrinks the error by 1 - 2 * rate.
    data = (np.ones((8, 1), "float32"), np.full((8, 1), 2.0, "float32"))

    trained.fit(*data, batch_size=1, shuffle=False, verbose=0)

    warmup, last = 0.3 * 7, 7
    error = 2.0
    for step in range(8):
        if step < warmup:
            start, end, part = 0.2 / 25, 0.2, step / warmup
        else:
            start, end, part = 0.2, 0.2 / 1e4, (step - warmup) / (last - warmup)
        error *= 1 - 2 * (end + (start - end) * (1 + math.cos(math.pi * part)) / 2)
    assert float(trained.layers[0].kernel[0, 0]) == pytest.approx(2 - error, rel=1e-5)
    assert float(trained.optimizer.learning_rate) == pytest.approx(0.2 / 1e4, rel=1e-4)


def test_loaded_model_goes_on_where_it_was_saved(tmp_path):
    """Schedule and step survive saving: training continues in the middle of the cycle."""
    data = (np.ones((6, 1), "float32"), np.ones((6, 1), "float32"))
    saved = model(OneCycle(PEAK, NUM_STEPS))
    saved.fit(*data, batch_size=1, verbose=0)
    saved.save(tmp_path / "model.keras")

    loaded = keras.saving.load_model(tmp_path / "model.keras")

    expected = PEAK + (PEAK / 25 - PEAK) * (1 + math.cos(math.pi * 6 / 30)) / 2
    assert float(loaded.optimizer.learning_rate) == pytest.approx(expected, rel=1e-5)
    loaded.fit(*data, batch_size=1, verbose=0)
    assert int(loaded.optimizer.iterations) == 12
