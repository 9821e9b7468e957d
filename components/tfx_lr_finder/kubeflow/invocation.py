"""What Kubeflow's launcher hands to a task and reads back, in the form that TFX understands.

Pure functions on the launcher's JSON, an `ExecutorInput` and an `ExecutorOutput`. The launcher:
`backend/src/v2/component/launcher_v2.go` in kubeflow/pipelines.
"""

import copy
from collections.abc import Iterator
from typing import Any

Json = dict[str, Any]

_LOCAL_ROOTS = {"gs://": "/gcs/", "minio://": "/minio/", "s3://": "/s3/"}
"""Where the launcher keeps its copy of what lies in an object store."""


def local_path(uri: str) -> str:
    """Returns where the launcher keeps an object locally; other URIs and paths as they are.

    It downloads inputs there before a task starts, and uploads outputs from there afterwards.
    """
    for scheme, root in _LOCAL_ROOTS.items():
        if uri.startswith(scheme):
            return root + uri.removeprefix(scheme)
    return uri


def with_local_paths(executor_input: Json) -> Json:
    """Returns the input of a task with the local path of every artifact as its URI."""
    result = copy.deepcopy(executor_input)
    for artifact in [*artifacts(result.get("inputs")), *artifacts(result.get("outputs"))]:
        artifact["uri"] = local_path(artifact["uri"])
    return result


def with_remote_uris(executor_output: Json, executor_input: Json) -> Json:
    """Returns the output of a task with object-store URIs in place of local paths.

    The launcher skips the upload of an artifact whose URI is a local path: its data is lost.
    Properties that name an artifact, as an Evaluator's do, outlive the local copy, too.

    Args:
        executor_output: What the task put out, with local paths.
        executor_input: What the launcher handed in: it tells which object stores there are.
    """
    handed_in = [*artifacts(executor_input.get("inputs")), *artifacts(executor_input["outputs"])]
    remote = {local_path(artifact["uri"]): artifact["uri"] for artifact in handed_in}
    schemes = [s for s in _LOCAL_ROOTS if any(uri.startswith(s) for uri in remote.values())]
    result = copy.deepcopy(executor_output)
    for artifact in artifacts(result):
        artifact["uri"] = _remote_uri(artifact["uri"], schemes)
        for name, value in artifact.get("metadata", {}).items():
            if isinstance(value, str):
                artifact["metadata"][name] = remote.get(value, value)
    return result


def with_types(executor_input: Json, inputs_spec: Json) -> Json:
    """Returns the input of a task in which every input artifact names its TFX type.

    Kubeflow's backend hands inputs over with an empty schema, kfp.local as `system.Artifact`
    (https://github.com/tensorflow/tfx/issues/7768). A type that TFX can read is left alone.

    Args:
        executor_input: What the launcher handed in.
        inputs_spec: The component's input definitions in the compiled pipeline.

    Raises:
        ValueError: If an input has no type and the component's definitions have none for it.
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


def with_tfx_outputs(executor_input: Json) -> Json:
    """Returns the input of a task with the outputs of TFX's types only.

    Kubeflow adds one for the log of every task, as `system.Artifact`, which TFX cannot read.
    The launcher itself fills and uploads it.
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
    """Yields every artifact in `inputs` or `outputs` of an input, or in an output."""
    for values in (part or {}).get("artifacts", {}).values():
        yield from values.get("artifacts", [])


def _is_tfx_type(schema: Json) -> bool:
    title = schema.get("schemaTitle", "")
    return bool(schema.get("instanceSchema") or (title and not title.startswith("system.")))


def _remote_uri(path: str, schemes: list[str]) -> str:
    for scheme in schemes:
        if path.startswith(_LOCAL_ROOTS[scheme]):
            return scheme + path.removeprefix(_LOCAL_ROOTS[scheme])
    return path
