"""Runs a pipeline on this machine: `run_pipeline`, and `output_to_log` around it."""

from typing import TYPE_CHECKING

from tfx_lr_finder.local.output import output_to_log

if TYPE_CHECKING:
    from tfx_lr_finder.local.run import run_pipeline

__all__ = ["output_to_log", "run_pipeline"]


def __getattr__(name: str) -> object:
    """Loads TFX on first access, because its loading prints what belongs into the log."""
    if name != "run_pipeline":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from tfx_lr_finder.local import run

    return run.run_pipeline
