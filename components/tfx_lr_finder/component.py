"""The TFX component: its inputs, outputs and parameters, and their checks."""

import dataclasses
from typing import Any

from tfx.components.util import udf_utils
from tfx.dsl.components.base.base_beam_component import BaseBeamComponent
from tfx.dsl.components.base.executor_spec import BeamExecutorSpec
from tfx.orchestration.data_types import RuntimeParameter
from tfx.proto import trainer_pb2
from tfx.types import standard_component_specs
from tfx.types.channel import BaseChannel, Channel
from tfx.types.component_spec import ChannelParameter, ComponentSpec, ExecutionParameter
from tfx.utils import json_utils

from tfx_lr_finder import executor
from tfx_lr_finder.artifacts import INPUT_TYPES, OUTPUT_TYPES
from tfx_lr_finder.search.options import (
    OPTION_TYPES,
    SweepOptions,
    check_functions,
    checked,
    the_one_given,
)


class LearningRateFinderSpec(ComponentSpec):
    """The inputs, outputs and parameters of LearningRateFinder, as pipelines record them."""

    PARAMETERS = {
        # Only float, int, str and protos as JSON: Kubeflow Pipelines changes other types.
        "module_file": ExecutionParameter(type=str, optional=True),
        "module_path": ExecutionParameter(type=str, optional=True),
        "lr_finder_fn": ExecutionParameter(type=str, optional=True),
        "run_fn": ExecutionParameter(type=str, optional=True),
        "train_args": ExecutionParameter(type=trainer_pb2.TrainArgs),
        "eval_args": ExecutionParameter(type=trainer_pb2.EvalArgs),
        "custom_config": ExecutionParameter(type=str, optional=True),
        **{
            field.name: ExecutionParameter(
                type=OPTION_TYPES[field.name], optional=field.default is None
            )
            for field in dataclasses.fields(SweepOptions)
        },
    }
    INPUTS = {
        name: ChannelParameter(type=artifact_type, optional=name != "examples")
        for name, artifact_type in INPUT_TYPES.items()
    }
    OUTPUTS = {
        name: ChannelParameter(type=artifact_type) for name, artifact_type in OUTPUT_TYPES.items()
    }


class LearningRateFinder(BaseBeamComponent):
    """Finds the learning rate of a Keras model with the range test, for TFX's own Trainer.

    It trains the user's model on the user's data while the learning rate grows exponentially, and
    reads the best rate off the loss curve (L. N. Smith, arXiv 1506.01186). The trained weights are
    discarded.

    Component `outputs` contains:

    - `best_hyperparameters`: `HyperParameters` for `Trainer(hyperparameters=...)`: the input
      `hyperparameters` with the learning rate replaced.
    - `learning_rate`: `Float`, the rate alone.
    - `sweep`: `LearningRateSweep` with the curve, a plot, a report, and custom properties.

    Example:
        ```
        data = {
            "examples": transform.outputs["transformed_examples"],
            "transform_graph": transform.outputs["transform_graph"],
            "module_file": "model.py",
            "train_args": trainer_pb2.TrainArgs(num_steps=200),
            "eval_args": trainer_pb2.EvalArgs(),
        }
        finder = LearningRateFinder(**data)
        trainer = Trainer(**data, hyperparameters=finder.outputs["best_hyperparameters"])
        ```
    """

    SPEC_CLASS = LearningRateFinderSpec
    EXECUTOR_SPEC = BeamExecutorSpec(executor.Executor)

    def __init__(
        self,
        examples: BaseChannel,
        schema: BaseChannel | None = None,
        transform_graph: BaseChannel | None = None,
        base_model: BaseChannel | None = None,
        hyperparameters: BaseChannel | None = None,
        module_file: str | RuntimeParameter | None = None,
        lr_finder_fn: str | RuntimeParameter | None = None,
        run_fn: str | RuntimeParameter | None = None,
        train_args: trainer_pb2.TrainArgs | RuntimeParameter | None = None,
        eval_args: trainer_pb2.EvalArgs | RuntimeParameter | None = None,
        custom_config: dict[str, Any] | RuntimeParameter | None = None,
        min_learning_rate: float | RuntimeParameter = SweepOptions.min_learning_rate,
        max_learning_rate: float | RuntimeParameter = SweepOptions.max_learning_rate,
        num_steps: int | RuntimeParameter = SweepOptions.num_steps,
        smoothing: float | RuntimeParameter = SweepOptions.smoothing,
        divergence_factor: float | RuntimeParameter = SweepOptions.divergence_factor,
        rule: str | RuntimeParameter = SweepOptions.rule,
        num_sweeps: int | RuntimeParameter = SweepOptions.num_sweeps,
        search_budget: float | RuntimeParameter = SweepOptions.search_budget,
        trial_steps: int | RuntimeParameter = SweepOptions.trial_steps,
        proof_steps: int | RuntimeParameter = SweepOptions.proof_steps,
        seed: int | RuntimeParameter = SweepOptions.seed,
        learning_rate_name: str | RuntimeParameter = SweepOptions.learning_rate_name,
        on_failure: str | RuntimeParameter = SweepOptions.on_failure,
        default_learning_rate: float | RuntimeParameter | None = None,
    ) -> None:
        """Constructs the component.

        Args:
            examples: Channel of `Examples` that the Trainer trains on, transformed or raw.
            schema: Optional channel of `Schema`, for raw examples.
            transform_graph: Optional channel of `TransformGraph`, for transformed examples.
            base_model: Optional channel of `Model` from which the user's code may start.
            hyperparameters: Optional channel of `HyperParameters`, for example from a Tuner. All
                hyperparameters are handed to the user's code and to the Trainer; only the
                learning rate is replaced.
            module_file: Path of the Trainer's module. Its `run_fn` is run up to its first call of
                `fit`, from which the model and the data are taken; nothing is trained or
                exported. If the module has a function
                `lr_finder_fn(fn_args: FnArgs) -> LrFinderFnResult`, this function is called
                instead, with the same `FnArgs`. Exactly one of `module_file`, `lr_finder_fn` and
                `run_fn` must be given.
            lr_finder_fn: Dotted path of an `lr_finder_fn` in an installed package.
            run_fn: Dotted path of a `run_fn` in an installed package, as for the Trainer.
            train_args: `TrainArgs` as for the Trainer. `splits` are the splits to sweep on
                (default `train`). `num_steps` is the length of the whole training, because the
                best rate of a short training is higher. If `run_fn` gives `fit` a number of
                epochs, or `lr_finder_fn` returns `train_steps`, that length is used instead.
            eval_args: `EvalArgs` as for the Trainer, with the splits to evaluate on (default
                `eval`).
            custom_config: JSON-serialisable dict for the user's code.
            min_learning_rate: The first rate of the sweep, greater than 0; default 1e-6.
            max_learning_rate: The last rate, greater than the first; default 10.
            num_steps: Training steps of the sweep, from 10 to 10,000, and at least 7 for each
                decade of the range; default 200.
            smoothing: Weight of the past in the smoothed loss, in [0, 1); default 0.98. 0 turns
                smoothing off.
            divergence_factor: The sweep stops when the smoothed loss exceeds this multiple of
                its best; greater than 1; default 4.
            rule: Name of the rule that reads the rate off the curve: `descent` (default),
                `valley`, `slide`, `steepest` or `minimum`.
            num_sweeps: Number of independent sweeps, from 1 to 100; default 1. Their seeds are
                `seed`, `seed + 1` and so on. The median of their rates is published, with the
                spread of the rates. Three sweeps show how far a single one can be trusted. If
                the user's code sets seeds itself, all sweeps are equal and count as one.
            search_budget: The share of the steps of the training to come that the search may cost,
                beside one sweep, in [0, 1); default 0.1. (If the model does not learn in the first
                proof, further proofs come on top.) If the training is long enough, it pays for
                trials: trainings at constant rates around the one that was read, whose
                validation loss decides. 0 means no trials.
            trial_steps: Number of steps of each trial, whatever the budget, from 1 to 100,000;
                default 0, which means that they are planned by `search_budget`.
            proof_steps: Number of steps of the short training that shows whether the model
                learns at the rate, from 10 to 10,000; default 120. It is never longer than the
                training to come, unless that has fewer than 10 steps. Its loss must end clearly
                below the loss of the best constant output. If it does not, the training is
                repeated with four times as many steps, then lower and higher rates are tried, at
                most eight rates in all.
            seed: Seed of initial weights, data order and dropout, from 0 to 2**31 - 1; default 0.
            learning_rate_name: Name of the learning rate in the hyperparameters; default
                `learning_rate`.
            on_failure: What happens if no rate can be suggested: `raise` (default) raises an
                error, `default` publishes `default_learning_rate` with the verdict.
            default_learning_rate: The rate to publish if none can be suggested, greater than 0.
                It must be given if `on_failure` is `default`, and must be left out otherwise.

        Raises:
            TypeError: If an option is of the wrong type. An integer is accepted as a float.
            ValueError: If not exactly one of `module_file`, `lr_finder_fn` and `run_fn` is given,
                a function is not named by a dotted path, or an option is out of its range.
        """
        given = {"module_file": module_file, "lr_finder_fn": lr_finder_fn, "run_fn": run_fn}
        the_one_given(given, "Give the Trainer's module_file, or the dotted path of a function.")
        check_functions({name: _known(value) for name, value in given.items()})
        if not isinstance(custom_config, dict | RuntimeParameter | None):
            raise TypeError(
                "Argument `custom_config` must be a dict that can be written as JSON. "
                f"Received: custom_config={custom_config!r} of type {type(custom_config).__name__}."
            )
        options = _checked_options(
            min_learning_rate=min_learning_rate,
            max_learning_rate=max_learning_rate,
            num_steps=num_steps,
            smoothing=smoothing,
            divergence_factor=divergence_factor,
            rule=rule,
            num_sweeps=num_sweeps,
            search_budget=search_budget,
            trial_steps=trial_steps,
            proof_steps=proof_steps,
            seed=seed,
            learning_rate_name=learning_rate_name,
            on_failure=on_failure,
            default_learning_rate=default_learning_rate,
        )
        spec = LearningRateFinderSpec(
            examples=examples,
            schema=schema,
            transform_graph=transform_graph,
            base_model=base_model,
            hyperparameters=hyperparameters,
            module_file=module_file,
            lr_finder_fn=lr_finder_fn,
            run_fn=run_fn,
            train_args=train_args or trainer_pb2.TrainArgs(),
            eval_args=eval_args or trainer_pb2.EvalArgs(),
            custom_config=custom_config
            if isinstance(custom_config, RuntimeParameter)
            else json_utils.dumps(custom_config),
            **{name: Channel(type=artifact_type) for name, artifact_type in OUTPUT_TYPES.items()},
            **options,
        )
        super().__init__(spec=spec)
        if udf_utils.should_package_user_modules():
            udf_utils.add_user_module_dependency(
                self,
                standard_component_specs.MODULE_FILE_KEY,
                standard_component_specs.MODULE_PATH_KEY,
            )


def _checked_options(**options: Any) -> dict[str, Any]:
    """Checks all options that are known when the pipeline is built, and returns the options.

    Of a RuntimeParameter the default is checked, if it has one; the parameter itself is returned.
    """
    values = checked(
        {
            name: _known(value)
            for name, value in options.items()
            if not (isinstance(value, RuntimeParameter) and value.default is None)
        }
    )
    return {
        name: value if isinstance(value, RuntimeParameter) else values[name]
        for name, value in options.items()
    }


def _known(value: Any) -> Any:
    """Returns an argument's value when the pipeline is built: a RuntimeParameter's default."""
    return value.default if isinstance(value, RuntimeParameter) else value
