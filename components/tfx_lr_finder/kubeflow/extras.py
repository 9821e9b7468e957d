"""The optional dependency of this folder."""

import contextlib
from collections.abc import Iterator


@contextlib.contextmanager
def kfp_imported() -> Iterator[None]:
    """Context for imports of kfp: if it is missing, the error names the extra that installs it.

    Raises:
        ImportError: If kfp is not installed.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "kfp":
            raise
        raise ImportError(
            "The package kfp must be installed: it comes with the extra `kfp`. "
            f"Received: {error}. Install `tfx-lr-finder[kfp]`.",
            name="kfp",
        ) from error
