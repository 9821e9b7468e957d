"""The executor of LearningRateFinder: reads artifacts, searches, writes artifacts.

Compiled pipelines contain its dotted path `tfx_lr_finder.executor.Executor`, so it must not move.
"""

import dataclasses
import json
import os
import types
from collections.abc import Callable, Mapping
from typing import Any

import apache_beam as beam
import click
from absl import logging
from tfx.dsl.components.base.base_beam_executor import BaseBeamExecutor
from tfx.dsl.io import fileio
from tfx.types import artifact_utils
from tfx.types.artifact import Artifact

from tfx_lr_finder.artifacts import LearningRateSweep, found_line, write_sweep
from tfx_lr_finder.search.files import write_file
from tfx_lr_finder.search.find import find
from tfx_lr_finder.search.hyperparameters import (
    Config,
    hyperparameter_names,
    parse_config,
    with_learning_rate,
)
from tfx_lr_finder.search.offline import offline
from tfx_lr_finder.search.request import Search
from tfx_lr_finder.search.termination import sigterm_raises
from tfx_lr_finder.search.workers import Workers
from tfx_lr_finder.training.model.cluster import check_cluster, is_chief

HYPERPARAMETERS_FILE = "best_hyperparameters.txt"
"""The file name that the Tuner uses. The Trainer accepts any name, but exactly one file."""

Artifacts = dict[str, list[Artifact]]


class Executor(BaseBeamExecutor):
    """Finds the learning rate of the user's model on the user's data."""

    def Do(
        self, input_dict: Artifacts, output_dict: Artifacts, exec_properties: dict[str, Any]
    ) -> None:
        """Finds a learning rate by `find`, and writes it with its evidence.

        At the end, one line with the rate, the verdict and the report's path goes to the standard
        output.

        If the `beam_pipeline_args` name several workers or another runner than Beam's own, several
        sweeps, and the trials, are elements of a Beam pipeline; otherwise they run in this process.
        The processes of a cluster train together: each of them runs every sweep and trial, and only
        the chief writes.

        Args:
            input_dict: `examples`; optionally `transform_graph`, `schema`, `base_model` and
                `hyperparameters`.
            output_dict: `best_hyperparameters`, `learning_rate` and `sweep`.
            exec_properties: The parameters of `LearningRateFinder`.

        Raises:
            NoLearningRateError: If no rate can be suggested and `on_failure` is `raise`.
            TerminatedError: If the process receives SIGTERM during the search.
            RuntimeError: If a sweep or trial fails on a Beam worker, with the worker's traceback;
                or if a worker is lost, which leaves none.
            tensorflow.errors.UnavailableError: If another process of the cluster fails.
            TypeError: If the user's function returns anything but an LrFinderFnResult.
            ValueError: If an option, the user's module or its data cannot be used.
        """
        self._log_startup(input_dict, output_dict, exec_properties)
        search = Search.of_execution(input_dict, exec_properties, read_hyperparameters(input_dict))
        sweep = run(search, output_dict, self._make_beam_pipeline, _place(self._context))
        if is_chief():
            # Not a log message: TFX hides them unless the user asks for the level INFO.
            click.echo(f"LearningRateFinder: {found_line(sweep)}")


def _place(context: BaseBeamExecutor.Context | None) -> dict[str, str]:
    """Returns the pipeline and the component of an execution, as far as they are known."""
    info, node = getattr(context, "pipeline_info", None), getattr(context, "pipeline_node", None)
    place = {
        "Pipeline": info.id if info else "",
        "Component": node.node_info.id if node else "",
    }
    return {name: value for name, value in place.items() if value}


def run(
    search: Search,
    outputs: Artifacts,
    make_pipeline: Callable[[], beam.Pipeline],
    place: Mapping[str, str] = types.MappingProxyType({}),
) -> LearningRateSweep:
    """Runs a search and writes what it found. In a cluster, only the chief writes.

    Args:
        search: The search.
        outputs: The component's output artifacts.
        make_pipeline: Returns a new Beam pipeline, for several sweeps and for trials.
        place: The pipeline and the component that search, by names for human readers.

    Returns:
        The sweep artifact among the outputs.

    Raises:
        Exception: As for `Executor.Do`.
    """
    check_cluster()
    _log_added_rate(search)
    sweep: LearningRateSweep = artifact_utils.get_single_instance(outputs["sweep"])
    folder = os.path.join(sweep.uri, "unfinished")
    with sigterm_raises(), offline():
        with Workers(search, make_pipeline, folder) as workers:
            evidence = find(search, workers)
        if is_chief():
            evidence = dataclasses.replace(evidence, origin={**place, **search.origin})
            write_sweep(sweep, evidence)
            _write_rate(outputs, evidence.published.learning_rate, search)
    return sweep


def _log_added_rate(search: Search) -> None:
    if search.hyperparameters is None:
        return
    name, others = search.options.learning_rate_name, hyperparameter_names(search.hyperparameters)
    if name not in others:
        logging.warning(
            "The upstream hyperparameters have no %r: it is added to them. Received: %s. "
            "If one of these is the learning rate, set learning_rate_name to its name.",
            *(name, ", ".join(sorted(others)) or "none"),
        )


def read_hyperparameters(inputs: Artifacts) -> Config | None:
    """Reads the upstream hyperparameters among the component's inputs; None if there are none.

    Raises:
        ValueError: If the folder does not hold exactly one file, or that is no configuration.
    """
    if not inputs.get("hyperparameters"):
        return None
    folder = artifact_utils.get_single_uri(inputs["hyperparameters"])
    files = fileio.listdir(folder)
    if len(files) != 1:
        raise ValueError(
            "Input `hyperparameters` must be a folder with exactly one file, as a Tuner writes it. "
            f"Received: {len(files)} files in {folder}. "
            "Hand over a Tuner's `best_hyperparameters`, or leave the input out."
        )
    path = os.path.join(folder, files[0])
    with fileio.open(path, "rb") as file:
        return parse_config(file.read().decode(errors="replace"), path)


def _write_rate(outputs: Artifacts, learning_rate: float, search: Search) -> None:
    options = search.options
    config = with_learning_rate(
        search.hyperparameters,
        options.learning_rate_name,
        learning_rate,
        options.min_learning_rate,
        options.max_learning_rate,
    )
    folder = artifact_utils.get_single_uri(outputs["best_hyperparameters"])
    write_file(
        os.path.join(folder, HYPERPARAMETERS_FILE), json.dumps(config, allow_nan=False).encode()
    )
    value = artifact_utils.get_single_instance(outputs["learning_rate"])
    fileio.makedirs(os.path.dirname(value.uri))
    value.write(learning_rate)
