"""When a sweep ends, on losses with known answers."""

import numpy as np
import pytest

from tfx_lr_finder.core.sweep import StopReason, check_sweep, end_of_sweep

NAN = float("nan")


@pytest.mark.parametrize(
    ("losses", "end"),
    [
        ([], None),
        ([4, 2, 1], None),
        ([4, 2, 1, 1, 1, 1], (6, StopReason.ALL_STEPS)),
        ([4, 2, 1, 1, 1, 4.1], (6, StopReason.DIVERGED)),
        ([4, 2, 1, 4.1, 1], (4, StopReason.DIVERGED)),
        ([4, 2, 1, 4.1, NAN], (4, StopReason.DIVERGED)),
        ([4, 2, NAN, 9], (2, StopReason.NON_FINITE)),
        ([4, 2, 1, 1, 1, NAN], (5, StopReason.NON_FINITE)),
        ([NAN], (0, StopReason.NON_FINITE)),
    ],
    ids=[
        "nothing_yet",
        "goes_on",
        "all_steps",
        "at_the_last_step",
        "some_steps_ago",
        "diverged_then_nan",
        "nan_then_divergence",
        "nan_at_the_last_step",
        "nan_at_the_first_step",
    ],
)
def test_end_is_that_of_the_first_step_that_ends_it(losses, end):
    """Of six steps: whatever the steps after the end did, they do not count."""
    assert end_of_sweep(np.array(losses, dtype=float), 6, 0.0, 4.0) == end


def test_an_infinite_factor_never_stops():
    """Neither a great loss nor a best one of 0, whose scale is 0, is above the bound."""
    losses = np.array([1.0, 0.0, 1e300, 5.0])

    assert end_of_sweep(losses, 5, 0.0, float("inf")) is None


@pytest.mark.parametrize("smoothing", [0.0, 0.5, 0.98], ids=str)
def test_end_does_not_depend_on_how_often_it_is_looked_for(smoothing):
    """Looked for after every step or once at the end, it is the same."""
    losses = np.abs(np.linspace(-3, 6, 60)) ** 3 + np.random.default_rng(0).normal(size=60)
    ends = [end_of_sweep(losses[:n], 60, smoothing, 2.0) for n in range(61)]
    first = next(end for end in ends if end is not None)

    assert first[1] is StopReason.DIVERGED
    assert ends[first[0] :] == [first] * (61 - first[0])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"min_learning_rate": 0.0}, r"`min_\w+` must be greater than 0 and finite.*=0\.0\."),
        ({"min_learning_rate": -1e-3}, r"`min_\w+` must be greater than 0 and finite.*=-0\.001\."),
        ({"min_learning_rate": NAN}, r"`min_\w+` must be greater than 0 and finite.*=nan\."),
        ({"max_learning_rate": float("inf")}, r"`max_\w+` must be greater than 0 and .*=inf\."),
        ({"max_learning_rate": NAN}, r"`max_\w+` must be greater than 0 and finite.*=nan\."),
        ({"min_learning_rate": 10.0}, r"greater than `min.*Received: min_learning_rate=10\.0, max"),
        ({"min_learning_rate": 20.0}, r"greater than `min.*min_learning_rate=20\.0, .*=10\.0\."),
        ({"min_learning_rate": 10 * (1 - 1e-15)}, r"must be further apart, for 200 rates between"),
        ({"num_steps": 1}, r"`num_steps` must be from 2 to 10,000.*Received: num_steps=1\."),
        ({"num_steps": 0}, r"`num_steps` must be from 2 to 10,000.*Received: num_steps=0\."),
        ({"num_steps": -3}, r"`num_steps` must be from 2 to 10,000.*Received: num_steps=-3\."),
        ({"num_steps": 10_001}, r"`num_steps` must be from 2 to 10,000.*num_steps=10001\."),
        ({"smoothing": 1.0}, r"`smoothing` must be in \[0, 1\)\. Received: smoothing=1\.0\."),
        ({"smoothing": NAN}, r"`smoothing` must be in \[0, 1\)\. Received: smoothing=nan\."),
        ({"divergence_factor": 1}, r"`divergence_factor` must be greater than 1\. .*_factor=1\."),
        ({"divergence_factor": NAN}, r"`divergence_factor` must be greater than 1\. .*=nan\."),
    ],
    ids=lambda value: str(value) if isinstance(value, dict) else "",
)
def test_argument_of_a_sweep_out_of_range_is_refused(arguments, message):
    """The message names the argument, its rule and the value received."""
    whole = {"min_learning_rate": 1e-6, "max_learning_rate": 10.0, "num_steps": 200}

    with pytest.raises(ValueError, match=message):
        check_sweep({**whole, **arguments})


def test_arguments_that_are_not_known_yet_are_not_checked():
    """Each at the end of its range; what is no argument of a sweep is left alone."""
    check_sweep({})
    check_sweep({"min_learning_rate": 20.0, "rule": "any"})
    check_sweep({"max_learning_rate": 1e-9})
    check_sweep({"num_steps": 2, "smoothing": 0, "divergence_factor": float("inf")})
    check_sweep({"num_steps": 10_000, "min_learning_rate": 1e-6, "max_learning_rate": 10.0})
