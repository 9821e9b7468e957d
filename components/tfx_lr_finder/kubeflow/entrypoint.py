"""Runs any TFX component on open-source Kubeflow Pipelines v2 and under kfp.local.

The command of a task is `python -m tfx_lr_finder.kubeflow.entrypoint`, with the arguments of TFX's
own `kubeflow_v2_run_executor`, which does the work. This module adds what TFX lacks there: types
of inputs, object-store URIs, output folders, and values of value artifacts. It fills the finder's
outputs for the page of a run. It also keeps Beam and pip from downloading anything that the
pipeline does not name.
"""

import argparse
import itertools
import json
import os
import sys
from typing import Any

from absl import app, logging
from absl.flags import argparse_flags
from tfx.dsl.components.base.base_executor import BaseExecutor
from tfx.dsl.io import fileio
from tfx.orchestration.kubeflow.v2.container import kubeflow_v2_run_executor
from tfx.types.artifact import Artifact
from tfx.types.value_artifact import ValueArtifact
from tfx.utils.import_utils import import_class_by_path

from tfx_lr_finder.kubeflow import page
from tfx_lr_finder.kubeflow.invocation import (
    Json,
    with_local_paths,
    with_plain_properties,
    with_remote_uris,
    with_tfx_outputs,
    with_types,
)
from tfx_lr_finder.search.offline import offline

Arguments = tuple[argparse.Namespace, list[str]]
Artifacts = dict[str, list[Artifact]]


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
    typed = with_types(with_tfx_outputs(handed_in), inputs_spec)
    local = with_local_paths(with_plain_properties(typed))
    local["outputs"]["outputFile"] = unfinished
    known.json_serialized_invocation_args = json.dumps(local)
    with offline():
        known.executor_class_path = _preparing_executor(known.executor_class_path)
        kubeflow_v2_run_executor.main((known, beam_arguments))
    _complete(unfinished, handed_in)
    fileio.rename(unfinished, output_file)


def parse_arguments(argv: list[str]) -> Arguments:
    """Returns the parsed arguments of TFX's command, and the remaining arguments."""
    parser = argparse_flags.ArgumentParser(prog="python -m tfx_lr_finder.kubeflow.entrypoint")
    parser.add_argument("--executor_class_path", required=True)
    parser.add_argument("--json_serialized_invocation_args", required=True)
    parser.add_argument("--json_serialized_inputs_spec_args")
    known, beam_arguments = parser.parse_known_args(argv[1:])
    return known, beam_arguments


def _preparing_executor(class_path: str) -> str:
    """Returns the dotted path of an executor that prepares the artifacts for another one.

    As TFX does in a local run, it reads the values of input artifacts and makes output folders.

    Args:
        class_path: Dotted path of the component's executor.
    """
    executor_class: type[BaseExecutor] = import_class_by_path(class_path)

    # A subclass, because TFX looks at the base classes: a Beam executor's context is of another
    # type, and an Evaluator's blessing is rewritten. The work is done by an instance of the
    # component's own class, whose path Beam's workers can import.
    class PreparingExecutor(executor_class):
        def __init__(self, context: BaseExecutor.Context) -> None:
            self._executor = executor_class(context)

        def Do(self, input_dict: Artifacts, output_dict: Artifacts, exec_properties: Json) -> Any:
            logging.info("Preparing the artifacts of executor %s", class_path)
            for artifact in itertools.chain(*input_dict.values()):
                if isinstance(artifact, ValueArtifact):
                    artifact.read()
            for artifact in itertools.chain(*output_dict.values()):
                _make_folder(artifact)
            return self._executor.Do(input_dict, output_dict, exec_properties)

    # TFX imports the executor by a path, so the class must be found in a module.
    setattr(sys.modules[__name__], PreparingExecutor.__name__, PreparingExecutor)
    return f"{__name__}.{PreparingExecutor.__name__}"


def _make_folder(artifact: Artifact) -> None:
    # A value artifact is a file, every other artifact a folder.
    is_file = isinstance(artifact, ValueArtifact)
    fileio.makedirs(os.path.dirname(artifact.uri) if is_file else artifact.uri)


def _complete(output_file: str, handed_in: Json) -> None:
    """Adds the outputs for the page to what TFX reports, and restores the URIs."""
    with fileio.open(output_file) as file:
        executor_output = json.load(file)
    complete = page.fill_outputs(executor_output, with_local_paths(handed_in)["outputs"])
    restored = json.dumps(with_remote_uris(complete, handed_in))
    with fileio.open(output_file, "w") as file:
        file.write(restored)


if __name__ == "__main__":
    app.run(main, flags_parser=parse_arguments)
