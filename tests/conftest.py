"""What holds for all tests: no downloads, and which programs of the machine a test needs."""

import os
import shutil

import pytest

from tfx_lr_finder.offline import offline


@pytest.fixture(scope="session", autouse=True)
def no_downloads():
    """Pipelines of a test's own process download nothing, as those of the demo."""
    with offline():
        yield


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
