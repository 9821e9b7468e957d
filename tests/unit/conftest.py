"""Fixtures of the unit tests."""

import importlib

import numpy as np
import pytest

from tfx_lr_finder.curve import Curve, StopReason


@pytest.fixture(scope="session")
def make_curve():
    """A function that makes a curve of given losses; the other attributes have defaults."""

    def make(losses, learning_rates=None, **attributes):
        losses = np.asarray(losses, dtype=float)
        if learning_rates is None:
            learning_rates = 10 ** np.linspace(-6, 1, losses.size)
        defaults = {
            "smoothing": 0.0,
            "stop_reason": StopReason.ALL_STEPS,
            "num_steps": losses.size,
            "batch_size": 32,
            "seed": 0,
        }
        return Curve(learning_rates, losses, **{**defaults, **attributes})

    return make


@pytest.fixture(
    scope="session",
    params=["keras", pytest.param("tf_keras", marks=pytest.mark.slow)],
    ids=["keras3", "tf_keras"],
)
def keras_module(request):
    """Keras 3 and the legacy Keras, one after the other."""
    return importlib.import_module(request.param)
