"""Finds the learning rate on files and folders, without a TFX pipeline."""

import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import apache_beam as beam
from tfx.proto.trainer_pb2 import TrainArgs
from tfx.types import artifact_utils
from tfx.types.artifact import Artifact

from tfx_lr_finder.artifacts import INPUT_TYPES, OUTPUT_TYPES, LearningRateSweep
from tfx_lr_finder.executor import read_hyperparameters, run
from tfx_lr_finder.search.options import OPTION_TYPES, USER_CODE, SweepOptions
from tfx_lr_finder.search.request import Search


def find_learning_rate(
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
        ValueError: If the examples have no splits. Other errors are those of `Executor.Do`.
    """
    read = {name: _artifact(t, inputs[name]) for name, t in INPUT_TYPES.items() if name in inputs}
    read["examples"].split_names = artifact_utils.encode_split_names(_splits(inputs["examples"]))
    written = {name: [_artifact(t, outputs[name])] for name, t in OUTPUT_TYPES.items()}
    artifacts = {name: [artifact] for name, artifact in read.items()}
    given = {name: value for name, value in parameters.items() if value is not None}
    search = Search(
        artifacts,
        {name: given[name] for name in USER_CODE if name in given},
        SweepOptions(**{n: given[n] for n in OPTION_TYPES if n in given}),
        read_hyperparameters(artifacts),
        TrainArgs(num_steps=given.get("train_steps", 0)),
        custom_config=given.get("custom_config"),
    )
    return run(search, written, functools.partial(beam.Pipeline, argv=[]))


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
