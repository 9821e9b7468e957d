"""Reads the file of a compiled pipeline, converts its parameters, and changes image and cache."""

import contextlib
import json
import math
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml  # type: ignore[import-untyped]

from tfx_lr_finder.kubeflow.page import OUTPUT_TYPES
from tfx_lr_finder.kubeflow.yaml_text import yaml_text

Spec = dict[str, Any]

_PARSERS: dict[str, Callable[[str], Any]] = {
    "NUMBER_INTEGER": int,
    "NUMBER_DOUBLE": float,
    "STRING": str,
}
_JSON_TYPES = {"BOOLEAN": bool, "LIST": list, "STRUCT": dict}


class PipelineError(ValueError):
    """A file is not a compiled pipeline, or a parameter does not fit; for the user to read."""


def read(pipeline: Path) -> list[Spec]:
    """Returns the documents of a compiled pipeline: its spec and, in some files, a platform spec.

    Raises:
        PipelineError: If the file cannot be read, or is not a compiled pipeline.
    """
    try:
        documents = list(yaml.safe_load_all(pipeline.read_text()))
        documents[0]["root"]["dag"]
        documents[0]["pipelineInfo"]["name"]
    except (LookupError, TypeError) as error:
        raise _not_compiled(pipeline, "it has no name or no tasks") from error
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise _not_compiled(pipeline, " ".join(str(error).split())) from error
    return documents


def _not_compiled(pipeline: Path, reason: str) -> PipelineError:
    return PipelineError(
        f"{pipeline} is not a compiled pipeline: {reason}. "
        "Compile one with `tfx-lr-finder compile`."
    )


def typed_parameters(spec: Spec, given: Mapping[str, str]) -> dict[str, Any]:
    """Returns the parameters of a run with the types that the compiled pipeline declares.

    Raises:
        PipelineError: If a parameter is unknown, missing or of the wrong type.
    """
    declared = spec["root"].get("inputDefinitions", {}).get("parameters", {})
    unknown = sorted(given.keys() - declared.keys())
    required = {
        n for n, p in declared.items() if "defaultValue" not in p and not p.get("isOptional")
    }
    missing = sorted(required - given.keys())
    if unknown or missing:
        raise PipelineError(
            f"The pipeline's parameters are {sorted(declared)}, "
            f"of which {sorted(required)} must be given. "
            f"Received: unknown {unknown}, missing {missing}."
        )
    return {
        name: _typed(name, text, declared[name]["parameterType"]) for name, text in given.items()
    }


def _typed(name: str, text: str, parameter_type: str) -> Any:
    error = PipelineError(
        f"Parameter {name!r} must be of type {parameter_type}. Received: {text!r}."
    )
    try:
        value = _PARSERS.get(parameter_type, json.loads)(text)
    except ValueError as cause:
        raise error from cause
    of_json = _JSON_TYPES.get(parameter_type)
    if of_json and not isinstance(value, of_json):
        raise error
    if isinstance(value, float) and not math.isfinite(value):
        raise error
    return value


def task_names(spec: Spec) -> dict[str, str]:
    """Returns the names of all tasks as their author gave them, by the keys that Argo's nodes have.

    Tasks within conditions and loops are among them.
    """
    tasks = {key: task for dag in _dags(spec) for key, task in dag["tasks"].items()}
    return {key: task.get("taskInfo", {}).get("name", key) for key, task in tasks.items()}


def has_finder(spec: Spec) -> bool:
    """Returns whether a task puts out what `tfx_lr_finder.kubeflow.page` shows."""
    components = spec.get("components", {}).values()
    outputs = [c.get("outputDefinitions", {}).get("artifacts", {}) for c in components]
    return any({"sweep", *OUTPUT_TYPES} <= artifacts.keys() for artifacts in outputs)


def _dags(spec: Spec) -> Iterator[Spec]:
    """Yields the graph of tasks, and those within its tasks."""
    for component in (spec["root"], *spec.get("components", {}).values()):
        if "dag" in component:
            yield component["dag"]


@contextlib.contextmanager
def package(
    pipeline: Path, documents: list[Spec], image: str | None = None, use_cache: bool = True
) -> Iterator[Path]:
    """Yields the file to upload: the compiled one, or a copy with what is to be different.

    Args:
        pipeline: The compiled pipeline.
        documents: Its documents, as `read` returns them.
        image: Image of every task; None leaves the compiled one.
        use_cache: Whether tasks may be cached as they were compiled; False means that none is.
    """
    if image is None and use_cache:
        yield pipeline
        return
    if image is not None:
        for executor in documents[0]["deploymentSpec"]["executors"].values():
            if "container" in executor:
                executor["container"]["image"] = image
    if not use_cache:
        for dag in _dags(documents[0]):
            for task in dag["tasks"].values():
                task["cachingOptions"] = {"enableCache": False}
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, pipeline.name)
        file.write_text(yaml_text(documents))
        yield file
