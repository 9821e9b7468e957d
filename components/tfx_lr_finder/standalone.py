"""Finds the learning rate on files and folders, without a TFX pipeline."""

import functools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import apache_beam as beam
from tfx.proto.trainer_pb2 import TrainArgs
from tfx.types import artifact_utils
from tfx.types.artifact import Artifact

from tfx_lr_finder.artifacts import INPUT_TYPES, OUTPUT_TYPES, LearningRateSweep
from tfx_lr_finder.executor import read_hyperparameters, run
from tfx_lr_finder.search.options import SweepOptions
from tfx_lr_finder.search.request import Search


def find_on_files(
    inputs: Mapping[str, str],
    outputs: Mapping[str, str],
    user_code: Mapping[str, str],
    options: SweepOptions,
    train_steps: int | None = None,
    custom_config: dict[str, Any] | None = None,
    beam_pipeline_args: Sequence[str] = (),
) -> LearningRateSweep:
    """Finds the learning rate as LearningRateFinder does in a pipeline.

    Args:
        inputs: Path of each input artifact, by the name of the component's input. `examples` is
            required, all other inputs are optional.
        outputs: Path of each output artifact, by the name of the component's output. The path of
            `learning_rate` is a file, all other paths are folders.
        user_code: The parameter of the component that names the user's code, by name.
        options: The options of the search.
        train_steps: Number of steps of the training to come, from 1 to 2**31 - 1; None if the
            user's code says it.
        custom_config: The user's own arguments, or None.
        beam_pipeline_args: Arguments for Beam, as TFX takes them; default none.

    Returns:
        The sweep artifact. If several processes train together, only the chief writes it.

    Raises:
        TypeError: If `train_steps` is not an integer.
        ValueError: If the examples have no splits. Other errors are those of `Executor.Do`.
    """
    if not isinstance(train_steps, int | None):
        raise TypeError(
            "Argument `train_steps` must be of type int. "
            f"Received: train_steps={train_steps!r} of type {type(train_steps).__name__}."
        )
    read = {name: _artifact(t, inputs[name]) for name, t in INPUT_TYPES.items() if name in inputs}
    read["examples"].split_names = artifact_utils.encode_split_names(_splits(inputs["examples"]))
    written = {name: [_artifact(t, outputs[name])] for name, t in OUTPUT_TYPES.items()}
    artifacts = {name: [artifact] for name, artifact in read.items()}
    search = Search(
        artifacts,
        dict(user_code),
        options,
        read_hyperparameters(artifacts),
        TrainArgs(num_steps=train_steps or 0),
        custom_config=custom_config,
    )
    return run(search, written, functools.partial(beam.Pipeline, argv=list(beam_pipeline_args)))


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
