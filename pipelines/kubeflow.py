"""Compiles a pipeline for Kubeflow Pipelines v2, every task with a command that runs there."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml  # type: ignore[import-untyped]
from tfx.dsl.components.base.base_node import BaseNode
from tfx.orchestration.data_types import RuntimeParameter
from tfx.orchestration.kubeflow.v2.kubeflow_v2_dag_runner import (
    KubeflowV2DagRunner,
    KubeflowV2DagRunnerConfig,
)
from tfx.orchestration.pipeline import Pipeline

COMMAND = ("python", "-m", "tfx_lr_finder.kubeflow_entrypoint")
"""TFX's own command fails on open-source Kubeflow: https://github.com/tensorflow/tfx/issues/7768"""


def compile_pipeline(
    name: str,
    components: Sequence[BaseNode],
    image: str,
    output_file: Path,
    *,
    pipeline_root: str | None = None,
    beam_pipeline_args: Sequence[str] = (),
    enable_cache: bool = True,
) -> None:
    """Writes a pipeline as a YAML file that Kubeflow Pipelines and kfp.local take.

    A RuntimeParameter becomes a parameter of the run, with its default.

    Args:
        name: Name of the pipeline: lower-case letters, digits and `-`.
        components: Its components.
        image: Container image of every task; it has this package in it.
        output_file: The file to write; its folder is made.
        pipeline_root: Folder that this machine and every task see under the same path. Modules
            given by `module_file` are packed into it. By default none: the run's own pipeline
            root, which is told to Kubeflow when the run is submitted, is all that is needed.
        beam_pipeline_args: Arguments for the components that run on Beam.
        enable_cache: Whether Kubeflow may take a task's outputs from an earlier run.

    Raises:
        ValueError: If Kubeflow could not run the pipeline: a component's id has other characters
            than letters, digits and `-`, a `module_file` cannot be packed, or two
            RuntimeParameters of one name have different defaults.
    """
    for component in components:
        _check_id(component.id)
        _check_module_file(component, pipeline_root)
    defaults = _defaults(components)
    config = KubeflowV2DagRunnerConfig(
        default_image=image, default_commands=list(COMMAND), use_pipeline_spec_2_1=True
    )
    pipeline = Pipeline(
        pipeline_name=name,
        pipeline_root=pipeline_root,
        components=list(components),
        enable_cache=enable_cache,
        beam_pipeline_args=list(beam_pipeline_args),
    )
    spec = KubeflowV2DagRunner(config).run(pipeline, write_out=False)["pipelineSpec"]
    for parameter, default in defaults.items():
        # TFX leaves the defaults out: every parameter would have to be given for every run.
        spec["root"]["inputDefinitions"]["parameters"][parameter]["defaultValue"] = default
    output_file.parent.mkdir(parents=True, exist_ok=True)
    output_file.write_text(yaml.safe_dump(spec))


def _defaults(components: Sequence[BaseNode]) -> dict[str, Any]:
    defaults: dict[str, Any] = {}
    for component in components:
        for value in component.exec_properties.values():
            if not isinstance(value, RuntimeParameter) or value.default is None:
                continue
            if defaults.setdefault(value.name, value.default) != value.default:
                raise ValueError(
                    "RuntimeParameters of one name must have one default. "
                    f"Received: {value.name!r} with {defaults[value.name]!r} "
                    f"and {value.default!r}, in {component.id!r}. Rename one of them."
                )
    return defaults


def _check_id(component_id: str) -> None:
    # Argo, which runs the tasks, takes it over as the name of a template.
    if not re.fullmatch(r"[a-zA-Z0-9][a-zA-Z0-9-]*", component_id):
        raise ValueError(
            "A component's id must be of letters, digits and `-` on Kubeflow. "
            f"Received: {component_id!r}. "
            f"Give it another: `.with_id({re.sub('[^a-zA-Z0-9]+', '-', component_id)!r})`."
        )


def _check_module_file(component: BaseNode, pipeline_root: str | None) -> None:
    module_file = component.exec_properties.get("module_file")
    if module_file and (pipeline_root is None or "://" in pipeline_root):
        raise ValueError(
            "A `module_file` is packed into the pipeline root when the pipeline is compiled, so "
            "the root must be a folder that this machine and every task see. "
            f"Received: {component.id} with module_file={module_file!r}, "
            f"pipeline_root={pipeline_root!r}. Put the code into the image, and give the "
            "component's function by its dotted path, as in `run_fn='package.module.run_fn'`."
        )
