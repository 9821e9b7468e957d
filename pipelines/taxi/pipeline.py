"""The taxi pipeline: its components and their connections."""

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
    Tuner,
)
from tfx.dsl.components.base.base_component import BaseComponent
from tfx.proto import trainer_pb2

from evaluation import loss_not_above_baseline
from tfx_lr_finder import LearningRateFinder

DATA = Path(__file__).parent / "data"
MODULE_FILE = Path(__file__).parent / "module" / "model.py"
TRAIN_STEPS = 150
LOSS = "BinaryCrossentropy"
EVALUATED = tfma.ModelSpec(
    signature_name="serving_default",
    preprocessing_function_names=["transform_features"],
    label_key="is_big_tip",
)


def create_components(data_folder: str = str(DATA), **sweep: Any) -> Sequence[BaseComponent]:
    """Returns the components of the pipeline, with the finder between Tuner and Trainer.

    The Tuner chooses the size of the model, and the finder replaces the rate in the Tuner's
    hyperparameters. A second Trainer, `DefaultTrainer`, uses the Tuner's hyperparameters
    unchanged. The Evaluator blesses the model trained with the finder's rate if its loss is not
    above the DefaultTrainer's.

    Args:
        data_folder: Folder of the CSV file, as CsvExampleGen sees it.
        sweep: Options of LearningRateFinder, for example `num_steps`.
    """
    code = {"module_file": str(MODULE_FILE)}
    examples = CsvExampleGen(input_base=data_folder)
    statistics = StatisticsGen(examples=examples.outputs["examples"])
    schema = SchemaGen(statistics=statistics.outputs["statistics"])
    transform = Transform(
        examples=examples.outputs["examples"],
        schema=schema.outputs["schema"],
        disable_statistics=True,  # StatisticsGen computes them
        **code,
    )
    data = {
        "examples": transform.outputs["transformed_examples"],
        "transform_graph": transform.outputs["transform_graph"],
        "train_args": trainer_pb2.TrainArgs(num_steps=TRAIN_STEPS),
        "eval_args": trainer_pb2.EvalArgs(),
        **code,
    }
    tuner = Tuner(**data)
    tuned = tuner.outputs["best_hyperparameters"]
    finder = LearningRateFinder(**data, hyperparameters=tuned, **sweep)
    trainer = Trainer(**data, hyperparameters=finder.outputs["best_hyperparameters"])
    default_trainer = Trainer(**data, hyperparameters=tuned).with_id("DefaultTrainer")
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
        tuner,
        finder,
        trainer,
        default_trainer,
        evaluator,
    ]
