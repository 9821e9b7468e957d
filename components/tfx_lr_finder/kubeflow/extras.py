"""Optional dependencies: packages that only a part of this package needs."""

import contextlib
from collections.abc import Iterator


@contextlib.contextmanager
def imported_with_extra(extra: str, package: str) -> Iterator[None]:
    """Context for imports of an optional package: if it is missing, the error names the extra.

    Args:
        extra: Name of the extra that installs the package.
        package: Name of the package's top-level module.

    Raises:
        ImportError: If the package is not installed.
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
