"""Kubeflow Pipelines: `compile_pipeline`, and the entrypoints of tasks."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tfx_lr_finder.kubeflow.compiler import compile_pipeline

__all__ = ["compile_pipeline"]


def __getattr__(name: str) -> object:
    """Loads the compiler on first access, because tasks run without it."""
    if name != "compile_pipeline":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from tfx_lr_finder.kubeflow import compiler

    return compiler.compile_pipeline
