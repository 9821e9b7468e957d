"""Runs LearningRateFinder's executor as a task of a KFP pipeline, without TFX's DSL.

The component `tfx_lr_finder.kfp.learning_rate_finder` runs it by the command
`python -m tfx_lr_finder.kubeflow.kfp_task`.
"""

import argparse
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
from absl import logging

from tfx_lr_finder.artifacts import LearningRateSweep, found_line
from tfx_lr_finder.kubeflow import page
from tfx_lr_finder.kubeflow.invocation import Json, with_local_paths
from tfx_lr_finder.search.options import OPTION_TYPES, USER_CODE, SweepOptions, the_one_given
from tfx_lr_finder.search.working_folder import working_folder
from tfx_lr_finder.standalone import find_on_files


def main(argv: Sequence[str] | None = None) -> None:
    """Parses the command line of a task and runs the executor.

    Args:
        argv: Command-line arguments; by default the arguments of this process.
    """
    parser = argparse.ArgumentParser(prog="python -m tfx_lr_finder.kubeflow.kfp_task")
    parser.add_argument("--executor_input", required=True, type=json.loads)
    logging.set_verbosity(logging.INFO)  # as TFX's own entrypoint does
    run(parser.parse_args(argv).executor_input)


def run(executor_input: Json) -> None:
    """Runs the executor, and writes KFP's `ExecutorOutput`.

    Args:
        executor_input: KFP's `ExecutorInput`. The output file that it names is removed first, in
            case an earlier attempt has left one, and written when everything is done.

    Raises:
        ValueError: If the user's code is not given in exactly one way, the examples have no
            splits, or the executor refuses an option. Other errors are the executor's.
    """
    Path(executor_input["outputs"]["outputFile"]).unlink(missing_ok=True)
    local = with_local_paths(executor_input)
    paths = _paths(local["inputs"])
    output_paths = _paths(local["outputs"])
    for name, output in local["outputs"]["parameters"].items():
        output_paths[name] = output["outputFile"]
    with working_folder() as folder:
        values = local["inputs"].get("parameterValues", {})
        given = {name: value for name, value in values.items() if value is not None}
        sweep = find_on_files(
            paths,
            output_paths,
            _user_code(given, paths, Path(folder)),
            SweepOptions(**{n: _meant(given[n], t) for n, t in OPTION_TYPES.items() if n in given}),
            _meant(given.get("train_steps", 0), int) or None,
            given.get("custom_config"),
        )
    page.copy_report(sweep.uri, output_paths["report"])
    facts = _facts(sweep)
    _report(executor_input["outputs"], {"sweep": facts, "metrics": page.metrics(facts)})
    click.echo(found_line(sweep, _paths(executor_input["outputs"])["report"]))


def _paths(part: Json) -> dict[str, str]:
    return {name: v["artifacts"][0]["uri"] for name, v in part.get("artifacts", {}).items()}


def _meant(value: Any, kind: type) -> Any:
    """Returns an option in its declared type.

    JSON has a single type of number, so the integer 30 may arrive as 30.0. A value that the
    conversion would change, such as 30.5 for an integer, is returned as it is, so that the
    executor refuses it.
    """
    meant = kind(value)
    return meant if meant == value else value


def _user_code(parameters: dict[str, Any], paths: dict[str, str], folder: Path) -> dict[str, str]:
    sources = {**parameters, **paths}  # a module file is an artifact
    given = {name: sources.get(name) for name in ("module", *USER_CODE)}
    name = the_one_given(
        given,
        "Give the user's module as an artifact or as text, or the dotted path of a function.",
    )
    if name == "module":
        file = folder / "module.py"
        file.write_text(sources["module"])
        return {"module_file": str(file)}
    return {name: sources[name]}


def _facts(sweep: LearningRateSweep) -> Json:
    values = sweep.mlmd_artifact.custom_properties
    return {name: getattr(value, value.WhichOneof("value")) for name, value in values.items()}


def _report(outputs: Json, metadata: dict[str, Json]) -> None:
    """Writes KFP's `ExecutorOutput`: the launcher's output artifacts, with metadata added."""
    reported = {
        name: {"artifacts": [{**values["artifacts"][0], "metadata": metadata[name]}]}
        if name in metadata
        else values
        for name, values in outputs["artifacts"].items()
    }
    os.makedirs(os.path.dirname(outputs["outputFile"]), exist_ok=True)
    with open(outputs["outputFile"], "w") as file:
        json.dump({"artifacts": reported}, file)


if __name__ == "__main__":
    main()
