"""What holds for all tests: curves, both Kerases, and which programs a test needs."""

import importlib
import os
import shutil

import numpy as np
import pytest

from tfx_lr_finder.core.curve import Curve
from tfx_lr_finder.core.sweep import StopReason


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


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    """Leaves each file in one process, and in the same one the two that share a pipeline's run."""
    from xdist.scheduler import LoadFileScheduling

    class Scheduling(LoadFileScheduling):
        def _split_scope(self, nodeid):
            return super()._split_scope(nodeid).replace("test_command_line", "test_local_pipeline")

    return Scheduling(config, log) if config.getvalue("dist") == "loadfile" else None


def is_installed(program):
    """Returns whether one of the programs is there that a name like "docker or podman" lists."""
    return any(map(shutil.which, program.split(" or ")))


def pytest_runtest_setup(item):
    """Looks for the programs of the marker `needs`, before any fixture is made."""
    for mark in item.iter_markers("needs"):
        missing = [program for program in mark.args if not is_installed(program)]
        if missing:
            reason = f"needs {', '.join(missing)}: apt-get install {mark.kwargs['packages']}"
            # CI has every program: one that it lost would take its tests along in silence.
            (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(reason)
