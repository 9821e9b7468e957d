"""The penguin pipeline: which components there are, and what goes from one to the next."""

from collections.abc import Sequence
from pathlib import Path

from tfx.components import CsvExampleGen, SchemaGen, StatisticsGen, Trainer, Transform
from tfx.dsl.components.base.base_component import BaseComponent
from tfx.proto import trainer_pb2

from tfx_lr_finder import LearningRateFinder

DATA = Path(__file__).parent / "data"
MODULE_FILE = Path(__file__).parent / "module" / "model.py"
TRAIN_STEPS = 200


def create_components() -> Sequence[BaseComponent]:
    """Returns the components of the pipeline, the finder between Transform and Trainer.

    A second Trainer, `DefaultTrainer`, trains with the module's own rate, to compare.
    """
    module_file = str(MODULE_FILE)
    train_args = trainer_pb2.TrainArgs(num_steps=TRAIN_STEPS)
    eval_args = trainer_pb2.EvalArgs()

    examples = CsvExampleGen(input_base=str(DATA))
    statistics = StatisticsGen(examples=examples.outputs["examples"])
    schema = SchemaGen(statistics=statistics.outputs["statistics"])
    transform = Transform(
        examples=examples.outputs["examples"],
        schema=schema.outputs["schema"],
        module_file=module_file,
    )
    data = {
        "examples": transform.outputs["transformed_examples"],
        "transform_graph": transform.outputs["transform_graph"],
        "module_file": module_file,
        "train_args": train_args,
        "eval_args": eval_args,
    }
    finder = LearningRateFinder(**data)
    trainer = Trainer(**data, hyperparameters=finder.outputs["best_hyperparameters"])
    default_trainer = Trainer(**data).with_id("DefaultTrainer")
    return [examples, statistics, schema, transform, finder, trainer, default_trainer]
