"""Pipelines of a test's own process download nothing, as those of the demo."""

import pytest


@pytest.fixture(scope="session", autouse=True)
def no_downloads():
    """Holds for every test below the conftest that imports it."""
    # Here, as the process that hands out the tests loads this file, too, but needs no Beam.
    from tfx_lr_finder.search.offline import offline

    with offline():
        yield
