"""The penguin pipeline: its components and their connections."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import tensorflow_model_analysis as tfma
from tfx.components import (
    CsvExampleGen,
    Evaluator,
    SchemaGen,
    StatisticsGen,
    Trainer,
    Transform,
)
from tfx.dsl.components.base.base_component import BaseComponent
from tfx.proto import trainer_pb2

from evaluation import loss_not_above_baseline
from tfx_lr_finder import LearningRateFinder

DATA = Path(__file__).parent / "data"
MODULE_FILE = Path(__file__).parent / "module" / "model.py"
TRAIN_STEPS = 200
LOSS = "SparseCategoricalCrossentropy"
EVALUATED = tfma.ModelSpec(signature_name="serving_default", label_key="species")


def create_components(
    data_folder: str = str(DATA), module: str | None = None, **sweep: Any
) -> Sequence[BaseComponent]:
    """Returns the components of the pipeline, with the finder between Transform and Trainer.

    A second Trainer, `DefaultTrainer`, trains with the module's own rate. The Evaluator blesses
    the model trained with the finder's rate if its loss is not above the DefaultTrainer's.

    Args:
        data_folder: Folder of the CSV file, as CsvExampleGen sees it.
        module: Dotted path of the user's module if it is installed, for example in the image. By
            default TFX packs the module's file into the pipeline root.
        sweep: Options of LearningRateFinder, for example `num_steps`.
    """

    def code(function: str) -> dict[str, Any]:
        return {function: f"{module}.{function}"} if module else {"module_file": str(MODULE_FILE)}

    train_args = trainer_pb2.TrainArgs(num_steps=TRAIN_STEPS)
    eval_args = trainer_pb2.EvalArgs()

    examples = CsvExampleGen(input_base=data_folder)
    statistics = StatisticsGen(examples=examples.outputs["examples"])
    schema = SchemaGen(statistics=statistics.outputs["statistics"])
    transform = Transform(
        examples=examples.outputs["examples"],
        schema=schema.outputs["schema"],
        disable_statistics=True,  # StatisticsGen computes them
        **code("preprocessing_fn"),
    )
    data = {
        "examples": transform.outputs["transformed_examples"],
        "transform_graph": transform.outputs["transform_graph"],
        "train_args": train_args,
        "eval_args": eval_args,
    }
    finder = LearningRateFinder(**data, **code("lr_finder_fn"), **sweep)
    trainer = Trainer(
        **data, **code("run_fn"), hyperparameters=finder.outputs["best_hyperparameters"]
    )
    default_trainer = Trainer(**data, **code("run_fn")).with_id("DefaultTrainer")
    evaluator = Evaluator(
        examples=examples.outputs["examples"],
        model=trainer.outputs["model"],
        baseline_model=default_trainer.outputs["model"],
        eval_config=loss_not_above_baseline(EVALUATED, LOSS),
    )
    return [
        examples,
        statistics,
        schema,
        transform,
        finder,
        trainer,
        default_trainer,
        evaluator,
    ]
