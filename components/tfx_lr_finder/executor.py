"""The executor of LearningRateFinder: artifacts in, sweep, artifacts out.

Its dotted path is written into compiled pipelines: `tfx_lr_finder.executor.Executor`.
"""

import dataclasses
import json
import os
import tempfile
from typing import Any

from absl import logging
from tfx.dsl.components.base.base_executor import BaseExecutor
from tfx.dsl.io import fileio
from tfx.types import artifact_utils
from tfx.types.artifact import Artifact
from tfx.utils import io_utils

from tfx_lr_finder import user_module
from tfx_lr_finder.artifacts import write_file, write_sweep
from tfx_lr_finder.curve import Curve
from tfx_lr_finder.errors import NoLearningRateError
from tfx_lr_finder.hyperparameters import Config, parse_config, with_learning_rate
from tfx_lr_finder.options import SweepOptions
from tfx_lr_finder.suggestion import Suggestion, suggest
from tfx_lr_finder.sweep import range_test
from tfx_lr_finder.training_state import seed_everything

HYPERPARAMETERS_FILE = "best_hyperparameters.txt"
"""The Tuner's own name; the Trainer wants exactly one file, of any name."""

Artifacts = dict[str, list[Artifact]]


class Executor(BaseExecutor):
    """Finds the learning rate of the user's model on the user's data."""

    def Do(
        self, input_dict: Artifacts, output_dict: Artifacts, exec_properties: dict[str, Any]
    ) -> None:
        """Sweeps the learning rate, suggests one, and writes it with its evidence.

        Args:
            input_dict: `examples`; optionally `transform_graph`, `schema`, `base_model` and
                `hyperparameters`.
            output_dict: `best_hyperparameters`, `learning_rate` and `sweep`.
            exec_properties: The parameters of `LearningRateFinder`.

        Raises:
            NoLearningRateError: If no rate can be suggested and `on_failure` is `raise`.
            TypeError: If the user's function returns anything but an LrFinderFnResult.
            ValueError: If an option, the user's module or its data cannot be used.
        """
        self._log_startup(input_dict, output_dict, exec_properties)
        options = _options(exec_properties)
        upstream = _read_hyperparameters(input_dict)

        curve = _sweep(input_dict, exec_properties, options, upstream)
        suggestion = _suggest(curve, options)
        logging.info("Found learning rate %g (%s).", suggestion.learning_rate, suggestion.verdict)

        _write_rate(output_dict, suggestion.learning_rate, options, upstream)
        write_sweep(artifact_utils.get_single_instance(output_dict["sweep"]), curve, suggestion)


def _options(exec_properties: dict[str, Any]) -> SweepOptions:
    names = (field.name for field in dataclasses.fields(SweepOptions))
    # TFX leaves out a property that is None.
    return SweepOptions(**{n: exec_properties[n] for n in names if n in exec_properties})


def _read_hyperparameters(inputs: Artifacts) -> Config | None:
    if not inputs.get("hyperparameters"):
        return None
    uri = io_utils.get_only_uri_in_dir(artifact_utils.get_single_uri(inputs["hyperparameters"]))
    with fileio.open(uri) as file:
        text = file.read()
    return parse_config(text, uri)


def _sweep(
    inputs: Artifacts,
    exec_properties: dict[str, Any],
    options: SweepOptions,
    hyperparameters: Config | None,
) -> Curve:
    function = user_module.load(exec_properties)
    with tempfile.TemporaryDirectory(prefix="tfx-lr-finder-") as working_dir:
        fn_args = user_module.make_fn_args(inputs, exec_properties, hyperparameters, working_dir)
        seed_everything(options.seed)
        model, dataset = user_module.call(function, fn_args)
        return range_test(
            model,
            dataset,
            train_steps=fn_args.train_steps,
            min_learning_rate=options.min_learning_rate,
            max_learning_rate=options.max_learning_rate,
            num_steps=options.num_steps,
            smoothing=options.smoothing,
            divergence_factor=options.divergence_factor,
            seed=options.seed,
        )


def _suggest(curve: Curve, options: SweepOptions) -> Suggestion:
    try:
        return suggest(curve, options.rule)
    except NoLearningRateError as error:
        if options.default_learning_rate is None:
            raise
        logging.warning("%s Using default_learning_rate instead.", error)
        return Suggestion(options.default_learning_rate, "default", error.verdict)


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
