"""A real pipeline on LocalDagRunner, with the finder between a Tuner's values and the Trainer."""

import dataclasses
import json
from pathlib import Path

import keras_tuner
from ml_metadata.proto.metadata_store_pb2 import Event, Execution
from tfx.components import CsvExampleGen, SchemaGen, StatisticsGen, Trainer, Transform
from tfx.dsl.components.common.importer import Importer
from tfx.orchestration.local.local_dag_runner import LocalDagRunner
from tfx.orchestration.metadata import Metadata, sqlite_metadata_connection_config
from tfx.orchestration.pipeline import Pipeline
from tfx.orchestration.portable.mlmd import execution_lib
from tfx.proto import trainer_pb2
from tfx.types import standard_artifacts

from tfx_lr_finder import LearningRateFinder

REPOSITORY = Path(__file__).parents[2]
DATA = REPOSITORY / "pipelines" / "penguin" / "data"
MODULE_FILE = REPOSITORY / "tests" / "data" / "tuned_penguin" / "model.py"
PIPELINE_NAME = "tuned-penguin"
TRAIN_STEPS = 40


def tuned_hyperparameters():
    """Returns what a Tuner would hand on: a number of units, an activation, a rate."""
    hyperparameters = keras_tuner.HyperParameters()
    hyperparameters.Int("units", 4, 32, step=4, default=12)
    hyperparameters.Choice("activation", ["relu", "tanh"], default="tanh")
    hyperparameters.Float("dropout", 0.0, 0.5, default=0.25)
    hyperparameters.Float("learning_rate", 1e-5, 1e-1, sampling="log", default=1e-4)
    return hyperparameters.get_config()


@dataclasses.dataclass(frozen=True)
class Run:
    """What one run of the pipeline left in the metadata: the execution of each node."""

    connection: object
    executions: dict

    def state(self, node):
        """Returns the name of the state of a node's execution."""
        return Execution.State.Name(self.executions[node].last_known_state)

    def inputs(self, node):
        """Returns the artifacts that a node read, by key."""
        with Metadata(self.connection) as handle:
            return execution_lib.get_input_artifacts(handle, self.executions[node].id)

    def outputs(self, node):
        """Returns the artifacts that a node put out, by key."""
        with Metadata(self.connection) as handle:
            return execution_lib.get_output_artifacts(handle, self.executions[node].id)

    def output(self, node, key):
        """Returns the one artifact that a node put out under a key."""
        (artifact,) = self.outputs(node)[key]
        return artifact

    def properties(self, node):
        """Returns the parameters that are recorded of a node's execution."""
        recorded = self.executions[node].custom_properties
        return {name: getattr(v, v.WhichOneof("value")) for name, v in recorded.items()}

    def events(self, node):
        """Returns the paths and kinds of the events between a node's execution and artifacts."""
        with Metadata(self.connection) as handle:
            events = handle.store.get_events_by_execution_ids([self.executions[node].id])
        return {(event.path.steps[0].key, Event.Type.Name(event.type)) for event in events}

    def artifact_type(self, artifact):
        """Returns the type of an artifact as the metadata have it."""
        with Metadata(self.connection) as handle:
            (kind,) = handle.store.get_artifact_types_by_id([artifact.type_id])
        return kind


class TunedPenguin:
    """The pipeline CsvExampleGen to Trainer, with upstream hyperparameters, in a folder."""

    def __init__(self, folder):
        """Writes the upstream hyperparameters."""
        self.root = folder / "root"
        self.connection = sqlite_metadata_connection_config(str(folder / "metadata.db"))
        self.upstream = folder / "upstream"
        self.upstream.mkdir()
        (self.upstream / "best_hyperparameters.txt").write_text(json.dumps(tuned_hyperparameters()))

    def components(self, **finder_arguments):
        """Returns the components, the Trainer last."""
        examples = CsvExampleGen(input_base=str(DATA))
        statistics = StatisticsGen(examples=examples.outputs["examples"])
        schema = SchemaGen(statistics=statistics.outputs["statistics"])
        transform = Transform(
            examples=examples.outputs["examples"],
            schema=schema.outputs["schema"],
            preprocessing_fn="penguin.module.model.preprocessing_fn",
            disable_statistics=True,  # most of its time, and nobody reads them
        )
        tuned = Importer(
            source_uri=str(self.upstream), artifact_type=standard_artifacts.HyperParameters
        ).with_id("Tuned")
        data = {
            "examples": transform.outputs["transformed_examples"],
            "transform_graph": transform.outputs["transform_graph"],
            "train_args": trainer_pb2.TrainArgs(num_steps=TRAIN_STEPS),
            "eval_args": trainer_pb2.EvalArgs(),
        }
        finder = LearningRateFinder(
            **data,
            hyperparameters=tuned.outputs["result"],
            **{"module_file": str(MODULE_FILE), **finder_arguments},
        )
        trainer = Trainer(
            **data,
            hyperparameters=finder.outputs["best_hyperparameters"],
            module_file=str(MODULE_FILE),
        )
        return [examples, statistics, schema, transform, tuned, finder, trainer]

    def run(self, components):
        """Runs some of the components; returns what is then in the metadata."""
        LocalDagRunner().run(
            Pipeline(
                pipeline_name=PIPELINE_NAME,
                pipeline_root=str(self.root),
                components=components,
                enable_cache=True,
                metadata_connection_config=self.connection,
            )
        )
        return self.latest([component.id for component in components])

    def run_to_finder(self, **finder_arguments):
        """Runs the pipeline without its Trainer, the finder with these arguments."""
        return self.run(self.components(**finder_arguments)[:-1])

    def latest(self, nodes):
        """Returns the latest execution of each node."""
        with Metadata(self.connection) as handle:
            executions = {node: max(_executions(handle, node), key=_id) for node in nodes}
        return Run(self.connection, executions)


def _executions(handle, node):
    context = handle.store.get_context_by_type_and_name("node", f"{PIPELINE_NAME}.{node}")
    return handle.store.get_executions_by_context(context.id)


def _id(execution):
    return execution.id
