"""Kubeflow Pipelines: `compile_pipeline`, and what runs in a task there."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tfx_lr_finder.kubeflow.compiler import compile_pipeline

__all__ = ["compile_pipeline"]


def __getattr__(name: str) -> object:
    """Loads the compiler when it is first asked for: a task runs without it."""
    if name != "compile_pipeline":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from tfx_lr_finder.kubeflow import compiler

    return compiler.compile_pipeline
