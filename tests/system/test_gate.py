"""A gate on the verdict in a real pipeline: no training with a rate that cannot be trusted."""

import sys
from pathlib import Path

import pytest
from tfx.components import Trainer
from tfx.dsl.experimental.conditionals.conditional import Cond
from tfx.orchestration.local.local_dag_runner import LocalDagRunner
from tfx.orchestration.metadata import Metadata, sqlite_metadata_connection_config
from tfx.orchestration.pipeline import Pipeline
from tfx.proto import trainer_pb2

from tfx_lr_finder import LearningRateFinder
from tfx_lr_finder.command_line.found_rate import Module
from tfx_lr_finder.command_line.lineage import latest_rates

USER_CODE = Path(__file__).parents[1] / "data"


@pytest.fixture(scope="module")
def user():
    """The module with the user's code and the component before the finder."""
    sys.path.insert(0, str(USER_CODE))
    import kubeflow_components

    yield kubeflow_components
    sys.path.remove(str(USER_CODE))


@pytest.fixture
def run(user, tmp_path):
    """A function that runs the pipeline with a gate before its Trainer and a check of its model.

    It returns the verdict, where the models lie, and the metadata.
    """

    def run_(**finder_arguments):
        connection = sqlite_metadata_connection_config(str(tmp_path / "metadata.db"))
        produce = user.produce(a_float=1e-5, an_int=7, a_text="a")
        finder = LearningRateFinder(examples=produce.outputs["examples"], **finder_arguments)
        with Cond(finder.outputs["sweep"].future()[0].custom_property("verdict") == "ok"):
            trainer = Trainer(
                examples=produce.outputs["examples"],
                run_fn="kubeflow_components.run_fn",
                train_args=trainer_pb2.TrainArgs(num_steps=5),
                eval_args=trainer_pb2.EvalArgs(),
                hyperparameters=finder.outputs["best_hyperparameters"],
            )
            check = user.check(model=trainer.outputs["model"])
        LocalDagRunner().run(
            Pipeline(
                pipeline_name="gate",
                pipeline_root=str(tmp_path / "root"),
                components=[produce, finder, trainer, check],
                metadata_connection_config=connection,
            )
        )
        with Metadata(connection) as handle:
            (sweep,) = handle.store.get_artifacts_by_type("tfx_lr_finder.LearningRateSweep")
            models = handle.store.get_artifacts_by_type("Model")
        uris = [model.uri for model in models]
        return sweep.custom_properties["verdict"].string_value, uris, connection

    return run_


def test_rate_that_can_be_trusted_is_trained_with(run):
    """The gate is open. Of what lies behind it, the Trainer alone has used the rate."""
    verdict, (model,), connection = run(run_fn="kubeflow_components.run_fn")
    (rate,) = latest_rates(connection, limit=1)

    assert verdict == "ok"
    assert Path(model, "Format-Serving", "saved_model.pb").is_file()
    assert rate.module == Module("kubeflow_components.run_fn")
    assert [(t.node, t.models) for t in rate.trainings] == [("Trainer", (model,))]


def test_rate_that_cannot_be_trusted_is_not_trained_with(run):
    """The run ends well, without a model: the rate is the default, and the verdict says why."""
    verdict, models, _ = run(
        lr_finder_fn="kubeflow_components.flat_lr_finder_fn",
        on_failure="default",
        default_learning_rate=1e-3,
    )

    assert verdict == "flat"
    assert models == []
