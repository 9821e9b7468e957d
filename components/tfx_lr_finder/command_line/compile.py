"""The command `compile`: writes a TFX pipeline for Kubeflow Pipelines."""

import contextlib
import importlib
import os
import sys
from pathlib import Path
from typing import Any

import click

from tfx_lr_finder.command_line.program import Command, put_out, tensorflow_loaded_quietly


@click.command("compile", cls=Command)
@click.argument("function", metavar="MODULE:FUNCTION")
@click.option(
    "--image",
    required=True,
    help="Container image of every task, best by its digest: NAME@sha256:...",
)
@click.option(
    "--volume-claim",
    help="Name of a PersistentVolumeClaim, mounted into every task at the pipeline root.",
)
@click.option(
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    required=True,
    help="The YAML file to write.",
)
def compile_command(
    function: str, image: str, volume_claim: str | None, output: Path, as_json: bool
) -> None:
    """Compiles a TFX pipeline for Kubeflow Pipelines.

    MODULE:FUNCTION is a function without arguments that returns a TFX Pipeline. The module may lie
    in the current folder. Name, components, cache and arguments for Beam are the Pipeline's; its
    pipeline root is used only to pack module files, and must then be a folder that every task sees,
    for example on the volume of --volume-claim.

    \b
    Examples:
      tfx-lr-finder compile pipeline:create_pipeline \\
        --image registry.example/team/penguin:1 --output penguin.yaml
      tfx-lr-finder compile team.pipelines:create_penguin \\
        --image registry.example/team/penguin@sha256:0f3c... --output penguin.yaml
    """
    module, separator, name = function.partition(":")
    if not separator or not name.isidentifier() or module.endswith(".py") or os.sep in module:
        raise click.UsageError(
            "MODULE:FUNCTION must be the dotted path of a module and the name of a function. "
            f"Received: {function!r}. Give for example 'pipeline:create_pipeline' for a function "
            "in the file pipeline.py of the current folder."
        )
    sys.path.insert(0, os.getcwd())
    with tensorflow_loaded_quietly():
        from tfx_lr_finder.kubeflow.compiler import write_compiled

    # Only the result goes to stdout, not what the user's code prints.
    with contextlib.redirect_stdout(sys.stderr):
        pipeline = _pipeline(module, name)
        warnings = write_compiled(pipeline, image, output, volume_claim=volume_claim)
    for warning in warnings:
        click.echo(f"Warning: {warning}", err=True)
    put_out({"output": str(output)}, f"Wrote {output}", as_json)


def _pipeline(module: str, name: str) -> Any:
    from tfx.orchestration.pipeline import Pipeline

    function = getattr(importlib.import_module(module), name, None)
    if not callable(function):
        raise ValueError(
            f"The module {module!r} must have the function that is named. Received: {name!r}."
        )
    pipeline = function()
    if not isinstance(pipeline, Pipeline):
        raise TypeError(
            "The function must return a TFX Pipeline. "
            f"Received: {type(pipeline).__name__} from {module}:{name}. Return "
            "tfx.orchestration.pipeline.Pipeline(pipeline_name=..., components=[...])."
        )
    return pipeline
