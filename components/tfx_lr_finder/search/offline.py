"""Keeps Beam and pip from downloads that no pipeline asked for."""

import contextlib
import os
from collections.abc import Iterator
from typing import Any

from apache_beam.runners.portability import prism_runner

from tfx_lr_finder.training.model.replacement import replaced

_PIP_OPTION = "PIP_DISABLE_PIP_VERSION_CHECK"


@contextlib.contextmanager
def offline() -> Iterator[None]:
    """Prevents downloads that no pipeline asked for, while the context is open.

    Beam's default, DirectRunner, tries Prism before it uses its runner in this process. It
    downloads Prism without a time limit. TFX installs a module file with pip, which each time asks
    the package index for a newer pip. Behind a firewall, it waits seconds for an answer.
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
    """Runs only pipelines that name Prism; otherwise DirectRunner falls back to another runner."""

    def run_pipeline(self, pipeline: Any, options: Any) -> Any:
        """Runs the pipeline on Prism.

        Raises:
            RuntimeError: If the pipeline names another runner.
        """
        if pipeline.runner is not self:
            raise RuntimeError(
                "Prism is downloaded only where a pipeline names it. "
                f"Received: a pipeline for {type(pipeline.runner).__name__}. "
                "Give it --runner=PrismRunner."
            )
        return super().run_pipeline(pipeline, options)
