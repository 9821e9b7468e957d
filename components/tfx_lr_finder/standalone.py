"""Runs the component's executor on files and folders, without a TFX pipeline."""

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tfx.types import artifact_utils
from tfx.types.artifact import Artifact
from tfx.types.standard_artifacts import (
    Examples,
    Float,
    HyperParameters,
    Model,
    Schema,
    TransformGraph,
)
from tfx.utils import json_utils

from tfx_lr_finder.artifacts import LearningRateSweep
from tfx_lr_finder.executor import Executor
from tfx_lr_finder.search.options import USER_CODE, SweepOptions

_INPUT_TYPES: dict[str, type[Artifact]] = {
    "examples": Examples,
    "transform_graph": TransformGraph,
    "schema": Schema,
    "base_model": Model,
    "hyperparameters": HyperParameters,
}
_OUTPUT_TYPES: dict[str, type[Artifact]] = {
    "best_hyperparameters": HyperParameters,
    "learning_rate": Float,
    "sweep": LearningRateSweep,
}


def run_executor(
    inputs: Mapping[str, str], outputs: Mapping[str, str], parameters: Mapping[str, Any]
) -> LearningRateSweep:
    """Finds the learning rate as LearningRateFinder does in a pipeline.

    Args:
        inputs: Path of each input artifact, by the name of the component's input. `examples` is
            required, all other inputs are optional.
        outputs: Path of each output artifact, by the name of the component's output. The path of
            `learning_rate` is a file, all other paths are folders.
        parameters: The component's parameters, but with `train_steps` in place of `train_args`.
            A parameter that is missing or None has the component's default.

    Returns:
        The sweep artifact. If several processes train together, only the chief writes it.

    Raises:
        ValueError: If the examples have no splits. Other errors are the executor's.
    """
    read = {name: _artifact(t, inputs[name]) for name, t in _INPUT_TYPES.items() if name in inputs}
    read["examples"].split_names = artifact_utils.encode_split_names(_splits(inputs["examples"]))
    written = {name: _artifact(t, outputs[name]) for name, t in _OUTPUT_TYPES.items()}
    sweep: LearningRateSweep = written["sweep"]
    Executor().Do(
        {name: [artifact] for name, artifact in read.items()},
        {name: [artifact] for name, artifact in written.items()},
        _exec_properties(parameters),
    )
    return sweep


def _artifact(artifact_type: type[Artifact], path: str) -> Artifact:
    artifact = artifact_type()
    artifact.uri = path
    return artifact


def _splits(examples: str) -> list[str]:
    splits = sorted(path.name.removeprefix("Split-") for path in Path(examples).glob("Split-*"))
    if not splits:
        raise ValueError(
            "Input `examples` must be a folder with one folder for each split. "
            f"Received: {examples} without any Split-*. "
            "Hand over what TFX's Transform or an ExampleGen writes."
        )
    return splits


def _exec_properties(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the parameters as TFX records them: numbers and strings, everything else as JSON."""
    names = [*USER_CODE, *(field.name for field in dataclasses.fields(SweepOptions))]
    train_steps = parameters.get("train_steps")
    return {
        **{name: parameters[name] for name in names if parameters.get(name) is not None},
        "train_args": json.dumps({"num_steps": train_steps} if train_steps else {}),
        "eval_args": "{}",
        "custom_config": json_utils.dumps(parameters.get("custom_config")),
    }
