"""Fixtures of these tests."""

from launcher_folders import bucket  # noqa: F401
from without_downloads import no_downloads  # noqa: F401
