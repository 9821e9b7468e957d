"""Keeps Beam and pip from fetching what nobody asked for."""

import contextlib
import os
from collections.abc import Iterator
from typing import Any

from apache_beam.runners.portability import prism_runner

from tfx_lr_finder.training.model.replacement import replaced

_PIP_OPTION = "PIP_DISABLE_PIP_VERSION_CHECK"


@contextlib.contextmanager
def offline() -> Iterator[None]:
    """Within it, nothing is downloaded that no pipeline names.

    Beam's default, DirectRunner, tries Prism before its runner in this process: it downloads
    that program without a time limit. pip, with which TFX installs a module file, asks the
    package index for a newer pip each time, and waits seconds behind a firewall.
    """
    before = os.environ.get(_PIP_OPTION)
    os.environ[_PIP_OPTION] = "1"
    try:
        with replaced(prism_runner, "PrismRunner", _PrismWhereNamed):
            yield
    finally:
        if before is None:
            del os.environ[_PIP_OPTION]
        else:
            os.environ[_PIP_OPTION] = before


class _PrismWhereNamed(prism_runner.PrismRunner):
    """Prism for a pipeline whose runner it is; DirectRunner takes another one without it."""

    def run_pipeline(self, pipeline: Any, options: Any) -> Any:
        """Runs the pipeline on Prism.

        Raises:
            RuntimeError: If it is not the pipeline's own runner.
        """
        if pipeline.runner is not self:
            raise RuntimeError(
                "Prism is downloaded only where a pipeline names it. "
                f"Received: a pipeline for {type(pipeline.runner).__name__}. "
                "Give it --runner=PrismRunner."
            )
        return super().run_pipeline(pipeline, options)
