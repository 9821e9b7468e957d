"""Pipelines of a test's own process download nothing, as those of the demo."""

import pytest

from tfx_lr_finder.search.offline import offline


@pytest.fixture(scope="session", autouse=True)
def no_downloads():
    """Holds for every test below the conftest that imports it."""
    with offline():
        yield
