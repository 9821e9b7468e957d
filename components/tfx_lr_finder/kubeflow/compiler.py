"""Compiles a TFX pipeline for open-source Kubeflow Pipelines v2."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from absl import logging
from google.protobuf import json_format
from tfx.components.example_gen.component import FileBasedExampleGen
from tfx.dsl.components.base.base_component import BaseComponent
from tfx.dsl.components.base.base_node import BaseNode
from tfx.orchestration.data_types import RuntimeParameter
from tfx.orchestration.pipeline import Pipeline

from tfx_lr_finder.artifacts import LearningRateSweep
from tfx_lr_finder.kubeflow.extras import kfp_imported

with kfp_imported():
    from tfx.orchestration.kubeflow.v2.kubeflow_v2_dag_runner import (
        KubeflowV2DagRunner,
        KubeflowV2DagRunnerConfig,
    )

    from tfx_lr_finder.kubeflow import limits, page, places
    from tfx_lr_finder.kubeflow.conditions import condition
    from tfx_lr_finder.kubeflow.yaml_text import yaml_text

COMMAND = ("python", "-m", "tfx_lr_finder.kubeflow.entrypoint")
"""TFX's own command fails on open-source Kubeflow: https://github.com/tensorflow/tfx/issues/7768"""


def compile_pipeline(
    name: str,
    components: Sequence[BaseNode],
    image: str,
    output_file: Path,
    *,
    command: Sequence[str] = COMMAND,
    pipeline_root: str | None = None,
    volume_claim: str | None = None,
    beam_pipeline_args: Sequence[str] = (),
    enable_cache: bool = True,
) -> None:
    """Writes a pipeline to a YAML file for Kubeflow Pipelines or kfp.local.

    A RuntimeParameter becomes a parameter of the run, with its default. A component's
    `with_platform_config` sets its resources.

    Args:
        name: Name of the pipeline: lower-case letters, digits and `-`.
        components: The components of the pipeline.
        image: Container image of every task. This package must be installed in it. Name it by its
            digest, `NAME@sha256:...`: Kubeflow's cache knows an image by its name alone, so behind
            a tag it would reuse the outputs of other code. Without a digest, a warning says so.
        output_file: The file to write. Missing parent folders are created.
        command: The command of every task, to which the arguments of TFX's own command are
            appended; by default the module `tfx_lr_finder.kubeflow.entrypoint`.
        pipeline_root: Folder that this machine and every task see under the same path. It is
            needed only for components with a `module_file`, which is packed into it, and for other
            paths on a volume. By default none: the root of the outputs, in an object store, is
            given to Kubeflow when a run is submitted.
        volume_claim: Name of a PersistentVolumeClaim, which Kubeflow mounts into every task at
            `pipeline_root`.
        beam_pipeline_args: Arguments for the components that run on Beam.
        enable_cache: Whether Kubeflow may reuse a task's outputs from an earlier run. An ExampleGen
            that reads files is never cached: Kubeflow knows their names, not what is in them.

    Raises:
        ValueError: If Kubeflow could not run the pipeline (see
            `tfx_lr_finder.kubeflow.limits.check`), two RuntimeParameters with one name have
            different defaults, or there is a `volume_claim` without a folder to mount it at.
    """
    pipeline = Pipeline(
        pipeline_name=name,
        pipeline_root=pipeline_root,
        components=list(components),
        enable_cache=enable_cache,
        beam_pipeline_args=list(beam_pipeline_args),
    )
    for warning in write_compiled(pipeline, image, output_file, command, volume_claim):
        logging.warning("%s", warning)


def write_compiled(
    pipeline: Pipeline,
    image: str,
    output_file: Path,
    command: Sequence[str] = COMMAND,
    volume_claim: str | None = None,
) -> list[str]:
    """Writes a TFX pipeline to a YAML file, as `compile_pipeline` does with its components.

    Returns:
        Warnings for the user.

    Raises:
        ValueError: As for `compile_pipeline`.
    """
    components, pipeline_root = pipeline.components, pipeline.pipeline_info.pipeline_root
    _check_volume(pipeline_root, volume_claim)
    limits.check(pipeline)
    defaults = _defaults(components)
    config = KubeflowV2DagRunnerConfig(
        default_image=image, default_commands=list(command), use_pipeline_spec_2_1=True
    )
    spec = KubeflowV2DagRunner(config).run(pipeline, write_out=False)["pipelineSpec"]
    # TFX leaves out the defaults of parameters and the resources of an ExampleGen, so both are
    # added here. Without the defaults, every run would have to give a value for each parameter.
    for parameter, default in defaults.items():
        spec["root"]["inputDefinitions"]["parameters"][parameter]["defaultValue"] = default
    for name, resources in _resources(components).items():
        executor = spec["components"][name]["executorLabel"]
        spec["deploymentSpec"]["executors"][executor]["container"]["resources"] = resources
    for component in components:
        task = spec["root"]["dag"]["tasks"][component.id]
        if isinstance(component, FileBasedExampleGen):
            task["cachingOptions"] = {"enableCache": False}
        if "triggerPolicy" in task:
            task["triggerPolicy"]["condition"] = condition(component, pipeline)
        if _is_finder(component):
            page.define_outputs(spec["components"][component.id])
    documents = [spec]
    if volume_claim:
        documents.append(_with_volume(spec, volume_claim, pipeline_root))
    output_file.parent.mkdir(parents=True, exist_ok=True)
    output_file.write_text(yaml_text(documents))
    return _warnings(pipeline, image, volume_claim)


def _check_volume(pipeline_root: str | None, volume_claim: str | None) -> None:
    if volume_claim and not places.folder(pipeline_root):
        raise ValueError(
            "A volume is mounted at `pipeline_root`, which must be the absolute path of a folder. "
            f"Received: volume_claim={volume_claim!r}, pipeline_root={pipeline_root!r}."
        )


def _with_volume(spec: dict[str, Any], claim: str, path: str | None) -> dict[str, Any]:
    """Returns the document that has Kubeflow mount a volume into the container of each task."""
    executors = spec["deploymentSpec"]["executors"]
    mount = {"pvcMount": [{"constant": claim, "mountPath": path}]}
    mounts = {name: mount for name, executor in executors.items() if "container" in executor}
    return {"platforms": {"kubernetes": {"deploymentSpec": {"executors": mounts}}}}


def _warnings(pipeline: Pipeline, image: str, volume_claim: str | None) -> list[str]:
    """Returns what to know of a pipeline that compiles: its root without a volume, its cache."""
    root = pipeline.pipeline_info.pipeline_root
    warnings = []
    if places.folder(root) and not volume_claim:
        warnings.append(
            f"On Kubeflow, tasks see the pipeline root {root!r} only if a volume is mounted "
            "there: name its claim as volume_claim. Under kfp.local they see it anyway."
        )
    if pipeline.enable_cache and "@sha256:" not in image:
        warnings.append(
            f"Kubeflow's cache knows the image {image!r} by its name alone: if its code changes "
            "behind this name, tasks with the same inputs keep their old outputs. Name the image "
            "by its digest (NAME@sha256:...), use a new tag for each change, or compile with "
            "enable_cache=False."
        )
    return warnings


def _is_finder(component: BaseNode) -> bool:
    return "sweep" in component.outputs and component.outputs["sweep"].type is LearningRateSweep


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


def _resources(components: Sequence[BaseNode]) -> dict[str, Any]:
    configs = {c.id: c.platform_config for c in components if isinstance(c, BaseComponent)}
    return {name: json_format.MessageToDict(config) for name, config in configs.items() if config}
