"""The executor of LearningRateFinder: artifacts in, sweep, artifacts out.

Its dotted path is written into compiled pipelines: `tfx_lr_finder.executor.Executor`.
"""

import dataclasses
import functools
import importlib.metadata
import json
import os
import time
from collections.abc import Sequence
from typing import Any

import tensorflow as tf
from absl import logging
from tfx.dsl.components.base.base_beam_executor import BaseBeamExecutor
from tfx.dsl.io import fileio
from tfx.types import artifact_utils
from tfx.types.artifact import Artifact

from tfx_lr_finder import beam
from tfx_lr_finder.artifacts import write_file, write_sweep
from tfx_lr_finder.cluster import check_cluster, is_chief
from tfx_lr_finder.confirmation import Trial, candidate_rates, confirmed_rate
from tfx_lr_finder.curve import Curve
from tfx_lr_finder.errors import NoLearningRateError
from tfx_lr_finder.evidence import DEFAULT, Evidence
from tfx_lr_finder.hyperparameters import (
    Config,
    hyperparameter_names,
    parse_config,
    with_learning_rate,
)
from tfx_lr_finder.options import SweepOptions
from tfx_lr_finder.search import Search
from tfx_lr_finder.suggestion import Suggestion, suggest
from tfx_lr_finder.termination import sigterm_raises

HYPERPARAMETERS_FILE = "best_hyperparameters.txt"
"""The Tuner's own name; the Trainer wants exactly one file, of any name."""

Artifacts = dict[str, list[Artifact]]


class Executor(BaseBeamExecutor):
    """Finds the learning rate of the user's model on the user's data."""

    def Do(
        self, input_dict: Artifacts, output_dict: Artifacts, exec_properties: dict[str, Any]
    ) -> None:
        """Sweeps the learning rate, suggests one, and writes it with its evidence.

        Several sweeps, and the trainings that confirm the rate, are elements of a Beam pipeline
        made with the `beam_pipeline_args`. Processes of one cluster, which train together, each
        do all of them; the chief alone writes.

        Args:
            input_dict: `examples`; optionally `transform_graph`, `schema`, `base_model` and
                `hyperparameters`.
            output_dict: `best_hyperparameters`, `learning_rate` and `sweep`.
            exec_properties: The parameters of `LearningRateFinder`.

        Raises:
            NoLearningRateError: If no rate can be suggested and `on_failure` is `raise`.
            TerminatedError: If the process receives SIGTERM meanwhile.
            RuntimeError: If one of several trainings fails, with the traceback of its worker.
            tensorflow.errors.UnavailableError: If another process of the cluster fails.
            TypeError: If the user's function returns anything but an LrFinderFnResult.
            ValueError: If an option, the user's module or its data cannot be used.
        """
        self._log_startup(input_dict, output_dict, exec_properties)
        check_cluster()
        upstream = _read_hyperparameters(input_dict)
        search = Search(input_dict, exec_properties, upstream)
        options = search.options
        if upstream is not None:
            _log_added_rate(upstream, options.learning_rate_name)
        sweep = artifact_utils.get_single_instance(output_dict["sweep"])

        with sigterm_raises():
            evidence = self._find(search, os.path.join(sweep.uri, "unfinished"))
            if is_chief():
                write_sweep(sweep, evidence)
                _write_rate(output_dict, evidence.suggestion.learning_rate, options, upstream)
        _log_rate(evidence)

    def _find(self, search: Search, folder: str) -> Evidence:
        options, started = search.options, time.monotonic()
        run = functools.partial(
            beam.run, search, make_pipeline=self._make_beam_pipeline, folder=folder
        )
        seeds = range(options.seed, options.seed + options.num_sweeps)
        _log_start(options)
        curves = run("sweeps", list(seeds))
        _log_sweeps(curves)
        suggestion, trials = _suggest(curves, options), []
        if options.confirmation_steps and suggestion.rule != DEFAULT:
            trials = run("trials", candidate_rates(suggestion.learning_rate))
            _log_trials(trials)
            rate = confirmed_rate(
                trials, options.confirmation_steps, curves[0].train_steps, curves[0].is_plain_sgd
            )
            suggestion = dataclasses.replace(suggestion, learning_rate=rate)
        return Evidence(
            suggestion,
            tuple(curves),
            tuple(trials),
            options.confirmation_steps if trials else 0,
            _versions(),
            time.monotonic() - started,
        )


def _log_start(options: SweepOptions) -> None:
    logging.info(
        "Learning-rate search: %d sweep(s) of %d steps from %g to %g, rule %s.",
        *(options.num_sweeps, options.num_steps),
        *(options.min_learning_rate, options.max_learning_rate, options.rule),
    )


def _log_added_rate(upstream: Config, learning_rate_name: str) -> None:
    others = hyperparameter_names(upstream)
    if learning_rate_name not in others:
        logging.warning(
            "The upstream hyperparameters have no %r: it is added to them. Received: %s. "
            "If one of these is the learning rate, set learning_rate_name to its name.",
            *(learning_rate_name, ", ".join(sorted(others)) or "none"),
        )


def _log_sweeps(curves: Sequence[Curve]) -> None:
    for curve in curves:
        logging.info(
            "Sweep, seed %d (%s, %s): %d of %d steps, stopped because %s.",
            *(curve.seed, curve.model, curve.optimizer),
            *(len(curve), curve.num_steps, curve.stop_reason.meaning),
        )


def _log_trials(trials: Sequence[Trial]) -> None:
    for trial in trials:
        logging.info("Trial at %.3g: validation loss %.4g.", trial.learning_rate, trial.loss)


def _log_rate(evidence: Evidence) -> None:
    suggestion = evidence.suggestion
    logging.info(
        "Learning rate %.3g (rule %s, verdict %s), found in %.1f s. %s",
        *(suggestion.learning_rate, suggestion.rule, suggestion.verdict.value, evidence.seconds),
        suggestion.verdict.meaning,
    )


def _versions() -> dict[str, str]:
    names = ("tfx-lr-finder", "tfx", "apache-beam", "keras")
    versions = {name: importlib.metadata.version(name) for name in names}
    return {**versions, "tensorflow": tf.__version__}  # a package of several names


def _read_hyperparameters(inputs: Artifacts) -> Config | None:
    if not inputs.get("hyperparameters"):
        return None
    folder = artifact_utils.get_single_uri(inputs["hyperparameters"])
    files = fileio.glob(os.path.join(folder, "*"))
    if len(files) != 1:
        raise ValueError(
            "Input `hyperparameters` must be a folder with exactly one file, as a Tuner writes it. "
            f"Received: {len(files)} files in {folder}. "
            "Hand over a Tuner's `best_hyperparameters`, or leave the input out."
        )
    with fileio.open(files[0]) as file:
        text = file.read()
    return parse_config(text, files[0])


def _suggest(curves: Sequence[Curve], options: SweepOptions) -> Suggestion:
    try:
        return suggest(curves, options.rule)
    except NoLearningRateError as error:
        if options.default_learning_rate is None:
            raise
        logging.warning("%s Using default_learning_rate instead.", error)
        return Suggestion(options.default_learning_rate, DEFAULT, error.verdict)


def _write_rate(
    outputs: Artifacts, learning_rate: float, options: SweepOptions, upstream: Config | None
) -> None:
    config = with_learning_rate(
        upstream,
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
