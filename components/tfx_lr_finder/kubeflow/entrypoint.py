"""Runs any TFX component on open-source Kubeflow Pipelines v2 and under kfp.local.

The command of a task is `python -m tfx_lr_finder.kubeflow.entrypoint`, with the arguments of TFX's
own `kubeflow_v2_run_executor`, which does the work. This module adds what TFX lacks there: types
of inputs, object-store URIs, output folders, and values of value artifacts. It also keeps Beam and
pip from downloading anything that the pipeline does not name.
"""

import argparse
import contextlib
import json
import os
from collections.abc import Iterator
from typing import Any

from absl import app
from absl.flags import argparse_flags
from tfx.dsl.io import fileio
from tfx.orchestration.kubeflow.v2.container import (
    kubeflow_v2_entrypoint_utils,
    kubeflow_v2_run_executor,
)
from tfx.types.artifact import Artifact
from tfx.types.value_artifact import ValueArtifact

from tfx_lr_finder.kubeflow.invocation import (
    Json,
    artifacts,
    with_local_paths,
    with_remote_uris,
    with_tfx_outputs,
    with_types,
)
from tfx_lr_finder.search.offline import offline

Arguments = tuple[argparse.Namespace, list[str]]


def main(arguments: Arguments) -> None:
    """Runs a component's executor on the `ExecutorInput` from Kubeflow's launcher.

    The executor output file is removed first, in case an earlier attempt has left one. It appears
    again only when everything is done.

    Args:
        arguments: The parsed arguments, and the remaining arguments, which are for Beam.

    Raises:
        Exception: Any error of the executor. There is no executor output file then.
    """
    known, beam_arguments = arguments
    handed_in = json.loads(known.json_serialized_invocation_args)
    output_file = handed_in["outputs"]["outputFile"]
    unfinished = f"{output_file}.unfinished"
    for file in filter(fileio.exists, (output_file, unfinished)):
        fileio.remove(file)

    inputs_spec = json.loads(known.json_serialized_inputs_spec_args or "{}")
    local = with_local_paths(with_types(with_tfx_outputs(handed_in), inputs_spec))
    local["outputs"]["outputFile"] = unfinished
    known.json_serialized_invocation_args = json.dumps(local)
    output_uris = {artifact["uri"] for artifact in artifacts(local["outputs"])}
    with offline(), _artifacts_prepared(output_uris):
        kubeflow_v2_run_executor.main((known, beam_arguments))
    _restore_uris(unfinished, handed_in)
    fileio.rename(unfinished, output_file)


def parse_arguments(argv: list[str]) -> Arguments:
    """Returns the parsed arguments of TFX's command, and the remaining arguments."""
    parser = argparse_flags.ArgumentParser(prog="python -m tfx_lr_finder.kubeflow.entrypoint")
    parser.add_argument("--executor_class_path", required=True)
    parser.add_argument("--json_serialized_invocation_args", required=True)
    parser.add_argument("--json_serialized_inputs_spec_args")
    known, beam_arguments = parser.parse_known_args(argv[1:])
    return known, beam_arguments


@contextlib.contextmanager
def _artifacts_prepared(output_uris: set[str]) -> Iterator[None]:
    """Makes output folders and reads the values of input artifacts, as TFX does in a local run.

    TFX has no hook for this on Kubeflow, so a function that it calls there is replaced.
    """
    parse = kubeflow_v2_entrypoint_utils.parse_raw_artifact_dict

    def parse_and_prepare(*args: Any, **kwargs: Any) -> dict[str, list[Artifact]]:
        parsed: dict[str, list[Artifact]] = parse(*args, **kwargs)
        for values in parsed.values():
            for artifact in values:
                if artifact.uri in output_uris:
                    _make_folder(artifact)
                elif isinstance(artifact, ValueArtifact):
                    artifact.read()
        return parsed

    kubeflow_v2_entrypoint_utils.parse_raw_artifact_dict = parse_and_prepare
    try:
        yield
    finally:
        kubeflow_v2_entrypoint_utils.parse_raw_artifact_dict = parse


def _make_folder(artifact: Artifact) -> None:
    # A value artifact is a file, every other artifact a folder.
    is_file = isinstance(artifact, ValueArtifact)
    fileio.makedirs(os.path.dirname(artifact.uri) if is_file else artifact.uri)


def _restore_uris(output_file: str, handed_in: Json) -> None:
    with fileio.open(output_file) as file:
        executor_output = json.load(file)
    restored = json.dumps(with_remote_uris(executor_output, handed_in))
    with fileio.open(output_file, "w") as file:
        file.write(restored)


if __name__ == "__main__":
    app.run(main, flags_parser=parse_arguments)
