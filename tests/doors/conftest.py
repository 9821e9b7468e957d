"""Fixtures of these tests."""

from without_downloads import no_downloads  # noqa: F401
