"""One real pipeline, run once for all tests that look at what it left; what other tests share."""

import os
from pathlib import Path

import pytest
from launcher_folders import bucket  # noqa: F401
from without_downloads import no_downloads  # noqa: F401

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def pipeline(tmp_path_factory):
    """The pipeline in a folder of its own, not run yet."""
    # Here, as the process that hands out the tests loads this file, too, but needs no TFX.
    from tuned_penguin import TunedPenguin

    return TunedPenguin(tmp_path_factory.mktemp("pipeline"))


@pytest.fixture(scope="session")
def first_run(pipeline):
    """The first run: every component does its work."""
    return pipeline.run(pipeline.components())


@pytest.fixture(scope="session")
def second_run(pipeline, first_run):
    """The same pipeline again."""
    return pipeline.run(pipeline.components())


@pytest.fixture(scope="session")
def pipelines_environment():
    """The environment in which `python -m penguin.run_local` finds the repository's pipelines."""
    return {**os.environ, "PYTHONPATH": str(REPOSITORY / "pipelines")}


@pytest.fixture(scope="module")
def asked_file(tmp_path_factory):
    """The file that says what a run asked of other machines."""
    return tmp_path_factory.mktemp("asked") / "asked.json"
