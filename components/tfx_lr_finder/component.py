"""The TFX component: its inputs, outputs and parameters, and what it refuses."""

import dataclasses
from typing import Any

from tfx.components.util import udf_utils
from tfx.dsl.components.base.base_beam_component import BaseBeamComponent
from tfx.dsl.components.base.executor_spec import BeamExecutorSpec
from tfx.orchestration.data_types import RuntimeParameter
from tfx.proto import trainer_pb2
from tfx.types import standard_artifacts, standard_component_specs
from tfx.types.channel import BaseChannel, Channel
from tfx.types.component_spec import ChannelParameter, ComponentSpec, ExecutionParameter
from tfx.utils import json_utils

from tfx_lr_finder import executor
from tfx_lr_finder.artifacts import LearningRateSweep
from tfx_lr_finder.search.options import SweepOptions, check_functions, checked, option_type


class LearningRateFinderSpec(ComponentSpec):
    """The contract of LearningRateFinder, as pipelines record it."""

    PARAMETERS = {
        # Only float, int, str and JSON of protos: other types change on Kubeflow Pipelines.
        "module_file": ExecutionParameter(type=str, optional=True),
        "module_path": ExecutionParameter(type=str, optional=True),
        "lr_finder_fn": ExecutionParameter(type=str, optional=True),
        "run_fn": ExecutionParameter(type=str, optional=True),
        "train_args": ExecutionParameter(type=trainer_pb2.TrainArgs),
        "eval_args": ExecutionParameter(type=trainer_pb2.EvalArgs),
        "custom_config": ExecutionParameter(type=str, optional=True),
        **{
            field.name: ExecutionParameter(
                type=option_type(field.name), optional=field.default is None
            )
            for field in dataclasses.fields(SweepOptions)
        },
    }
    INPUTS = {
        "examples": ChannelParameter(type=standard_artifacts.Examples),
        "schema": ChannelParameter(type=standard_artifacts.Schema, optional=True),
        "transform_graph": ChannelParameter(type=standard_artifacts.TransformGraph, optional=True),
        "base_model": ChannelParameter(type=standard_artifacts.Model, optional=True),
        "hyperparameters": ChannelParameter(type=standard_artifacts.HyperParameters, optional=True),
    }
    OUTPUTS = {
        "best_hyperparameters": ChannelParameter(type=standard_artifacts.HyperParameters),
        "learning_rate": ChannelParameter(type=standard_artifacts.Float),
        "sweep": ChannelParameter(type=LearningRateSweep),
    }


class LearningRateFinder(BaseBeamComponent):
    """Finds the learning rate of a Keras model with the range test, for the stock Trainer.

    It builds the user's model on the user's data, trains it while the learning rate grows
    exponentially, and reads the best rate off the loss curve (L. N. Smith, arXiv 1506.01186).
    Nothing of that training is kept.

    Component `outputs` contains:

    - `best_hyperparameters`: `HyperParameters`, the upstream ones with the learning rate
      replaced; for `Trainer(hyperparameters=...)`.
    - `learning_rate`: `Float`, the rate alone.
    - `sweep`: `LearningRateSweep`, the curve, a plot, a report, and the facts as properties.

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
        confirmation_steps: int | RuntimeParameter = SweepOptions.confirmation_steps,
        proof_steps: int | RuntimeParameter = SweepOptions.proof_steps,
        seed: int | RuntimeParameter = SweepOptions.seed,
        learning_rate_name: str | RuntimeParameter = SweepOptions.learning_rate_name,
        on_failure: str | RuntimeParameter = SweepOptions.on_failure,
        default_learning_rate: float | RuntimeParameter | None = None,
    ) -> None:
        """Constructs the component.

        Args:
            examples: Channel of `Examples`: what the Trainer trains on, transformed or raw.
            schema: Optional channel of `Schema`, for raw examples.
            transform_graph: Optional channel of `TransformGraph`, for transformed examples.
            base_model: Optional channel of `Model`, which the user's code may start from.
            hyperparameters: Optional channel of `HyperParameters`, for example a Tuner's. All of
                them are handed to the user's code and to the Trainer; only the learning rate is
                replaced.
            module_file: Path of the Trainer's module. Its `run_fn` is run up to its first `fit`,
                which yields the model and the data; nothing is trained or exported. If it has a
                function `lr_finder_fn(fn_args: FnArgs) -> LrFinderFnResult`, that is called
                instead, with the same `FnArgs`. Exactly one of `module_file`, `lr_finder_fn` and
                `run_fn` must be given.
            lr_finder_fn: Dotted path of such a function in an installed package.
            run_fn: Dotted path of a `run_fn` in an installed package, as for the Trainer.
            train_args: The Trainer's own: the splits to sweep on (default `train`), and
                `num_steps`, for the best rate of a short training is higher: those of the whole
                training, unless `run_fn` gives `fit` epochs or `lr_finder_fn` says `train_steps`.
            eval_args: The same for evaluation (default `eval`).
            custom_config: JSON-serialisable dict for the user's code.
            min_learning_rate: The first rate of the sweep, greater than 0; default 1e-6.
            max_learning_rate: The last rate, greater than the first; default 10.
            num_steps: Training steps of the sweep, at least 10, and 7 for each decade of the
                range; default 200.
            smoothing: Weight of the past in the smoothed loss, in [0, 1); default 0.98; 0: none.
            divergence_factor: The sweep stops when the smoothed loss exceeds this multiple of
                its best; greater than 1; default 4.
            rule: How the rate is read off the curve: `descent` (default), `valley`, `slide`,
                `steepest` or `minimum`.
            num_sweeps: Independent sweeps with the seeds `seed`, `seed + 1` and so on, from 1
                to 100; default 1. Their rates' median is published, with its spread; 3 of them
                show how far a single one can be trusted. They are alike, and the spread is 0, if
                the user's code sets seeds of its own.
            confirmation_steps: If not 0, the model is trained so many steps at the rate, and at
                0.75 decades below and above it, and the validation loss decides; default 0. A
                fifth of `train_args.num_steps` is worth its time, a tenth is not.
            proof_steps: Steps of the training at the rate itself that proves it, at least 10;
                default 120, but no more than the training to come has. It must end clearly below
                the loss of the best constant output; where it does not, lower and higher rates
                are proved, eight in all.
            seed: Seed of initial weights, data order and dropout; default 0.
            learning_rate_name: Name of the rate in the hyperparameters; default
                `learning_rate`.
            on_failure: What happens where no rate can be suggested: `raise` (default), or
                `default` to publish `default_learning_rate` with the verdict.
            default_learning_rate: Greater than 0; given exactly if `on_failure` is `default`.

        Raises:
            TypeError: If an option is of the wrong type. An integer is a good float.
            ValueError: If not exactly one of `module_file`, `lr_finder_fn` and `run_fn` is given,
                one of the latter is not a dotted path, or an option is out of its range.
        """
        given = {"module_file": module_file, "lr_finder_fn": lr_finder_fn, "run_fn": run_fn}
        if sum(map(bool, given.values())) != 1:
            raise ValueError(
                "Exactly one of `module_file`, `lr_finder_fn` and `run_fn` must be given. "
                f"Received: {', '.join(f'{name}={value!r}' for name, value in given.items())}. "
                "Give the Trainer's module_file, or the dotted path of a function."
            )
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
            confirmation_steps=confirmation_steps,
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
            best_hyperparameters=Channel(type=standard_artifacts.HyperParameters),
            learning_rate=Channel(type=standard_artifacts.Float),
            sweep=Channel(type=LearningRateSweep),
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
    """Returns the options, those that are known now checked; a default stands for its parameter."""
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
    """Returns what is known of an argument when the pipeline is built: a parameter's default."""
    return value.default if isinstance(value, RuntimeParameter) else value
