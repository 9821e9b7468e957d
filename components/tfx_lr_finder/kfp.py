"""LearningRateFinder as a component of the KFP SDK, for pipelines without TFX's DSL."""

import dataclasses
import inspect
from collections.abc import Sequence
from typing import Any

from tfx_lr_finder.kubeflow.extras import kfp_imported
from tfx_lr_finder.search.options import OPTION_TYPES, SweepOptions

with kfp_imported():
    from kfp import dsl

INPUT_ARTIFACTS = ("transform_graph", "schema", "base_model", "hyperparameters", "module_file")

_OUTPUTS = {
    "learning_rate": dsl.OutputPath(float),
    "best_hyperparameters": dsl.Output[dsl.Artifact],
    "sweep": dsl.Output[dsl.Artifact],
    "metrics": dsl.Output[dsl.Metrics],
    "report": dsl.Output[dsl.HTML],
}


def learning_rate_finder(image: str, input_artifacts: Sequence[str] = ()) -> Any:
    """Returns a container component that finds the learning rate of a Keras model.

    It runs the executor of the TFX component `LearningRateFinder`.

    Inputs, by keyword:

    - `examples`: artifact: a folder with `Split-train` and `Split-eval`, as TFX writes it.
    - The artifacts that are named in `input_artifacts`.
    - The user's code, in exactly one of four ways: `module_file`, an artifact; `module`, the
      source text of a module; `lr_finder_fn` or `run_fn`, the dotted path of a function in the
      image.
    - `train_steps`: number of steps of the training to come, if the user's code does not give it.
      The best rate of a short training is higher. 0 (default) if not known.
    - `custom_config`: dict for the user's code.
    - The options of the TFX component, with the same defaults: `num_steps` and so on.

    Outputs:

    - `learning_rate`: a number, for the next task or a `dsl.If`.
    - `best_hyperparameters` and `sweep`: the same as the outputs of the TFX component.
    - `metrics`, shown on the page of the run: `learning_rate`, the interval that is expected
      around it (`learning_rate_low` and `learning_rate_high`), `verdict`, and for several sweeps
      `spread` in decades. The page shows six decimals; `learning_rate_text` has all digits.
    - `report`, shown on the page of the run: the HTML report of the sweep.

    Args:
        image: Container image in which this package is installed.
        input_artifacts: The names from INPUT_ARTIFACTS that the pipeline hands over. Each becomes
            a required input, because kfp.local and older backends have no optional artifacts.

    Raises:
        ValueError: If a name is not one of INPUT_ARTIFACTS.

    Example:
        ```
        find_learning_rate = learning_rate_finder(
            "registry.example/tfx-lr-finder:1", ["transform_graph"]
        )
        ```
    """
    unknown = sorted(set(input_artifacts) - set(INPUT_ARTIFACTS))
    if unknown:
        raise ValueError(
            f"Argument `input_artifacts` must be of {INPUT_ARTIFACTS}. Received: {unknown}. "
            "Options and the other inputs need not be named."
        )

    def learning_rate_finder(*_: Any) -> dsl.ContainerSpec:
        """Finds the learning rate of a Keras model with the range test."""
        return dsl.ContainerSpec(
            image=image,
            command=["python", "-m", "tfx_lr_finder.kubeflow.kfp_task"],
            args=["--executor_input", dsl.PIPELINE_TASK_EXECUTOR_INPUT_PLACEHOLDER],
        )

    # KFP reads a component's inputs and outputs from the signature of its function.
    learning_rate_finder.__signature__ = _signature(input_artifacts)  # type: ignore[attr-defined]
    return dsl.container_component(learning_rate_finder)


def _signature(input_artifacts: Sequence[str]) -> inspect.Signature:
    artifacts = dict.fromkeys(("examples", *input_artifacts), dsl.Input[dsl.Artifact])
    return inspect.Signature(
        [
            *(_parameter(name, annotation) for name, annotation in artifacts.items()),
            *(_parameter(name, annotation) for name, annotation in _OUTPUTS.items()),
            _parameter("module", str, ""),
            _parameter("lr_finder_fn", str, ""),
            _parameter("run_fn", str, ""),
            _parameter("train_steps", int, 0),  # kfp.local cannot convert None to an integer
            _parameter("custom_config", dict, None),
            *(
                _parameter(field.name, OPTION_TYPES[field.name], field.default)
                for field in dataclasses.fields(SweepOptions)
            ),
        ],
        return_annotation=dsl.ContainerSpec,
    )


def _parameter(name: str, annotation: Any, default: Any = inspect.Parameter.empty) -> Any:
    kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
    return inspect.Parameter(name, kind, annotation=annotation, default=default)
