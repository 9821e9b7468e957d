"""The pipeline of parts 3 and 4: everything up to Transform once, then single nodes after it."""

import contextlib
import dataclasses
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from tfx.components import (
    CsvExampleGen,
    SchemaGen,
    StatisticsGen,
    Trainer,
    Transform,
    Tuner,
)
from tfx.dsl.components.base.base_component import BaseComponent
from tfx.orchestration.local.local_dag_runner import LocalDagRunner
from tfx.orchestration.metadata import sqlite_metadata_connection_config
from tfx.orchestration.pipeline import Pipeline
from tfx.orchestration.portable.launcher import Launcher
from tfx.proto import trainer_pb2

from speed.phases import Seconds
from speed.user_code.taxi import LOSS_FILE
from tfx_lr_finder import LearningRateFinder

HERE = Path(__file__).parent
MODULE_FILE = HERE / "user_code" / "taxi.py"
CSV_FILE = HERE.parents[2] / "pipelines" / "taxi" / "data" / "chicago_taxi.csv"


Components = dict[str, BaseComponent]
"""Components by the names of their nodes."""


@dataclasses.dataclass(frozen=True)
class Node:
    """A node after Transform. TFX's components serve in one pipeline only: it is made anew.

    Attributes:
        name: Its name.
        make: Returns its component, of the arguments that all have and of the nodes before.
    """

    name: str
    make: Callable[[dict[str, Any], Components], BaseComponent]


def finder(name: str) -> Node:
    """Returns a LearningRateFinder with the defaults."""
    return Node(name, lambda data, _: LearningRateFinder(**data))


def tuner(name: str, search: str) -> Node:
    """Returns a Tuner with a search by its name in the user's code."""
    return Node(name, lambda data, _: Tuner(**data, custom_config={"tuner": search}))


def trainer(name: str, source: Node, seed: int = 0, is_evaluated: bool = False) -> Node:
    """Returns a Trainer with the hyperparameters of another node."""
    config = {"seed": seed, "is_evaluated": is_evaluated}

    def make(data: dict[str, Any], made: Components) -> BaseComponent:
        hyperparameters = made[source.name].outputs["best_hyperparameters"]
        return Trainer(**data, hyperparameters=hyperparameters, custom_config=config)

    return Node(name, make)


class TaxiPipeline:
    """The pipeline in a folder.

    Args:
        folder: The folder: empty, or one where the pipeline ran before.
        train_steps: Length of a training.
    """

    def __init__(self, folder: Path, train_steps: int) -> None:
        self._folder, self._train_steps = folder, train_steps
        self._metadata = sqlite_metadata_connection_config(str(folder / "metadata.db"))
        if not (folder / "data").exists():
            (folder / "data").mkdir(parents=True)
            (folder / "data" / CSV_FILE.name).symlink_to(CSV_FILE)

    def run(self, *nodes: Node) -> Seconds:
        """Runs the pipeline with nodes after Transform; what was run before comes from the cache.

        Returns:
            The seconds of each node, by its name.
        """
        upstream, data = self._upstream()
        made: Components = {}
        for node in nodes:
            made[node.name] = node.make(data, made).with_id(node.name)
        with _nodes_timed() as seconds:
            LocalDagRunner().run(
                Pipeline(
                    pipeline_name="speed",
                    pipeline_root=str(self._folder / "root"),
                    components=[*upstream, *made.values()],
                    enable_cache=True,
                    metadata_connection_config=self._metadata,
                )
            )
        return seconds

    def evaluation_loss(self, node: Node) -> float:
        """Returns the loss of a Trainer that was run with `is_evaluated`."""
        return float(self._output(node, f"model_run/*/{LOSS_FILE}")["loss"])

    def learning_rate(self, node: Node) -> float:
        """Returns the rate among the hyperparameters that a node put out."""
        return float(self._output(node, "best_hyperparameters/*/*")["values"]["learning_rate"])

    def _output(self, node: Node, pattern: str) -> Any:
        (file,) = (self._folder / "root" / node.name).glob(pattern)
        return json.loads(file.read_text())

    def _upstream(self) -> tuple[list[BaseComponent], dict[str, Any]]:
        """Returns the components up to Transform, and the arguments of those after it."""
        examples = CsvExampleGen(input_base=str(self._folder / "data"))
        statistics = StatisticsGen(examples=examples.outputs["examples"])
        schema = SchemaGen(statistics=statistics.outputs["statistics"])
        transform = Transform(
            examples=examples.outputs["examples"],
            schema=schema.outputs["schema"],
            module_file=str(MODULE_FILE),
            disable_statistics=True,  # StatisticsGen has made them
        )
        return [examples, statistics, schema, transform], {
            "examples": transform.outputs["transformed_examples"],
            "transform_graph": transform.outputs["transform_graph"],
            "module_file": str(MODULE_FILE),
            "train_args": trainer_pb2.TrainArgs(num_steps=self._train_steps),
            "eval_args": trainer_pb2.EvalArgs(),
        }


@contextlib.contextmanager
def _nodes_timed() -> Iterator[Seconds]:
    """Yields the seconds of each node that TFX launches until the block ends, by its id."""
    launch, seconds = Launcher.launch, {}

    def timed_launch(launcher: Launcher) -> Any:
        started = time.perf_counter()
        try:
            return launch(launcher)
        finally:
            node = launcher._pipeline_node.node_info.id
            seconds[node] = time.perf_counter() - started

    Launcher.launch = timed_launch
    try:
        yield seconds
    finally:
        Launcher.launch = launch
