"""Converts between the JSON of Kubeflow's launcher and the JSON that TFX expects.

Pure functions on the launcher's `ExecutorInput` and `ExecutorOutput`. The launcher's source is
`backend/src/v2/component/launcher_v2.go` in kubeflow/pipelines.
"""

import copy
from collections.abc import Iterator
from typing import Any

Json = dict[str, Any]

_LOCAL_ROOTS = {"gs://": "/gcs/", "minio://": "/minio/", "s3://": "/s3/"}
"""Folder in which the launcher keeps local copies of objects, for each scheme of object store."""
STORES = tuple(_LOCAL_ROOTS)
"""Object stores between which and a task Kubeflow's launcher copies artifacts."""
_WORKSPACE = "/kfp-workspace/.artifacts"
"""Folder of the artifacts in the workspace of a run: a volume that its tasks share."""


def local_path(uri: str) -> str:
    """Returns the path of the launcher's local copy of an object; other URIs and paths unchanged.

    The launcher downloads inputs to this path before a task starts, and uploads outputs from it
    afterwards. The image of a model, `oci://...`, is mounted instead.
    """
    for scheme, root in _LOCAL_ROOTS.items():
        if uri.startswith(scheme):
            return root + uri.removeprefix(scheme)
    if uri.startswith("oci://"):
        return f"/oci/{uri.removeprefix('oci://').replace('/', '_')}/models"
    return uri


def with_local_paths(executor_input: Json) -> Json:
    """Returns a copy of an `ExecutorInput` in which every artifact has a local path as its URI."""
    result = copy.deepcopy(executor_input)
    for artifact in [*artifacts(result.get("inputs")), *artifacts(result.get("outputs"))]:
        artifact["uri"] = _artifact_path(artifact)
    return result


def with_remote_uris(executor_output: Json, executor_input: Json) -> Json:
    """Returns a copy of an `ExecutorOutput` with object-store URIs in place of local paths.

    The launcher does not upload an artifact whose URI is a local path, so its data would be lost.
    Properties that hold the URI of an artifact, such as an Evaluator's, are converted as well,
    because the local copy is removed after the task.

    Args:
        executor_output: The output of the task, with local paths.
        executor_input: The launcher's input, which shows the object stores in use.
    """
    handed_in = [*artifacts(executor_input.get("inputs")), *artifacts(executor_input["outputs"])]
    remote = {_artifact_path(artifact): artifact["uri"] for artifact in handed_in}
    schemes = [s for s in _LOCAL_ROOTS if any(uri.startswith(s) for uri in remote.values())]
    result = copy.deepcopy(executor_output)
    for artifact in artifacts(result):
        path = artifact["uri"]
        artifact["uri"] = remote.get(path) or _remote_uri(path, schemes)
        for name, value in artifact.get("metadata", {}).items():
            if isinstance(value, str):
                artifact["metadata"][name] = remote.get(value, value)
    return result


def with_types(executor_input: Json, inputs_spec: Json) -> Json:
    """Returns a copy of an `ExecutorInput` in which every input artifact has its TFX type.

    Kubeflow's backend hands inputs over with an empty schema, and kfp.local with the type
    `system.Artifact` (https://github.com/tensorflow/tfx/issues/7768). A type that TFX can read is
    left unchanged.

    Args:
        executor_input: The launcher's input.
        inputs_spec: The component's input definitions in the compiled pipeline.

    Raises:
        ValueError: If an input has no TFX type and is not in the component's input definitions.
    """
    result = copy.deepcopy(executor_input)
    specs = inputs_spec.get("artifacts", {})
    for name, values in result.get("inputs", {}).get("artifacts", {}).items():
        for artifact in values.get("artifacts", []):
            if _is_tfx_type(artifact.get("type", {})):
                continue
            if name not in specs:
                raise ValueError(
                    "An input without a type must be defined in the component's inputs. "
                    f"Received: input {name!r} of type {artifact.get('type')}, "
                    f"definitions of {sorted(specs)}. "
                    "Compile the pipeline with `use_pipeline_spec_2_1=True`."
                )
            artifact["type"] = specs[name]["artifactType"]
    return result


def with_plain_properties(executor_input: Json) -> Json:
    """Returns a copy of an `ExecutorInput` whose dicts and lists are as the producer put them out.

    Kubeflow's backend wraps such a property of an artifact as `{"struct": {...}}` or
    `{"list": [...]}` when it stores it, and does not unwrap it for the next task
    (`backend/src/v2/metadata/converter.go` in kubeflow/pipelines).
    """
    result = copy.deepcopy(executor_input)
    for artifact in artifacts(result.get("inputs")):
        for name, value in artifact.get("metadata", {}).items():
            match value:
                case {"struct": dict(inner)} | {"list": list(inner)} if len(value) == 1:
                    artifact["metadata"][name] = inner
    return result


def with_tfx_outputs(executor_input: Json) -> Json:
    """Returns a copy of an `ExecutorInput` without output artifacts that have no TFX type.

    TFX cannot read the types of Kubeflow: `system.Artifact`, which Kubeflow adds for the log of
    every task, and fills itself; and those of the finder's outputs for the page of a run.
    """
    result = copy.deepcopy(executor_input)
    outputs = result["outputs"]
    outputs["artifacts"] = {
        name: values
        for name, values in outputs.get("artifacts", {}).items()
        if all(_is_tfx_type(artifact.get("type", {})) for artifact in values.get("artifacts", []))
    }
    return result


def artifacts(part: Json | None) -> Iterator[Json]:
    """Yields all artifacts in `inputs` or `outputs` of an `ExecutorInput`, or in its output."""
    for values in (part or {}).get("artifacts", {}).values():
        yield from values.get("artifacts", [])


def _artifact_path(artifact: Json) -> str:
    path = local_path(artifact["uri"])
    is_in_workspace = artifact.get("metadata", {}).get("_kfp_workspace")
    return _WORKSPACE + path if is_in_workspace else path


def _is_tfx_type(schema: Json) -> bool:
    title = schema.get("schemaTitle", "")
    return bool(schema.get("instanceSchema") or (title and not title.startswith("system.")))


def _remote_uri(path: str, schemes: list[str]) -> str:
    for scheme in schemes:
        if path.startswith(_LOCAL_ROOTS[scheme]):
            return scheme + path.removeprefix(_LOCAL_ROOTS[scheme])
    return path
