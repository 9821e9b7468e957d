"""Packages that this one works without, and which a part of it needs."""

import contextlib
from collections.abc import Iterator


@contextlib.contextmanager
def imported_with_extra(extra: str, package: str) -> Iterator[None]:
    """Says which extra to install where a package that it brings cannot be imported.

    Raises:
        ImportError: In place of the error that the package is missing.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != package:
            raise
        raise ImportError(
            f"The package {package} must be installed: it comes with the extra `{extra}`. "
            f"Received: {error}. Install `tfx-lr-finder[{extra}]`.",
            name=package,
        ) from error
