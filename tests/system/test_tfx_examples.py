"""TFX's own published modules, unmodified, as they lie in the installed package."""

import contextlib
import importlib
import json
import os
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
import sklearn.datasets
import tensorflow as tf
import tfx
from ml_metadata.proto.metadata_store_pb2 import Execution
from tfx.components import CsvExampleGen, Transform
from tfx.components.trainer.executor import GenericExecutor
from tfx.dsl.components.common.importer import Importer
from tfx.orchestration.local.local_dag_runner import LocalDagRunner
from tfx.orchestration.metadata import Metadata, sqlite_metadata_connection_config
from tfx.orchestration.pipeline import Pipeline
from tfx.orchestration.portable.mlmd import execution_lib
from tfx.proto import trainer_pb2
from tfx.types import standard_artifacts
from tfx.types.channel import Channel

from tfx_lr_finder import LearningRateFinder
from tfx_lr_finder.executor import Executor
from tfx_lr_finder.search.request import Search

pytestmark = pytest.mark.slow

TFX = Path(tfx.__file__).parent
TAXI = TFX / "examples" / "chicago_taxi_pipeline" / "data"
PENGUIN = TFX / "components" / "testdata" / "penguin"
NUM_TRIPS = 500

PREPROCESSING = {
    "penguin": "tfx.examples.penguin.penguin_utils_keras",
    "mnist": "tfx.examples.mnist.mnist_utils_native_keras",
    "taxi": "tfx.examples.chicago_taxi_pipeline.taxi_utils_native_keras",
    "taxi-template": "tfx.experimental.templates.taxi.models.preprocessing",
}
"""Where each example has its `preprocessing_fn`; that of the penguin template is the penguin's."""

TRAINING = {
    "tfx.examples.penguin.penguin_utils_keras": "penguin",
    "tfx.experimental.templates.penguin.models.model": "penguin",
    "tfx.examples.mnist.mnist_utils_native_keras": "mnist",
    "tfx.examples.chicago_taxi_pipeline.taxi_utils_native_keras": "taxi",
    "tfx.experimental.templates.taxi.models.keras_model.model": "taxi-template",
}
"""Where each example has its `run_fn`, and whose data it is for."""

# Keras 3 takes no inputs that the outputs do not need; TFX 1.21 has dropped them.
BROKEN = (
    {
        "tfx.examples.chicago_taxi_pipeline.taxi_utils_native_keras": (
            "`inputs` not connected to `outputs`"
        )
    }
    if tfx.__version__.startswith("1.16.")
    else {}
)
"""The examples that do not run under the installed TFX itself, and what they raise."""


def write_digits(folder):
    """Writes handwritten digits in the form of the MNIST example's, with their schema."""
    digits = sklearn.datasets.load_digits()
    images = np.pad(np.kron(digits.images / 16 - 0.5, np.ones((3, 3))), ((0, 0), (2, 2), (2, 2)))
    for split, rows in {"train": slice(600), "eval": slice(600, 800)}.items():
        (folder / "data" / f"Split-{split}").mkdir(parents=True)
        path = folder / "data" / f"Split-{split}" / "data_tfrecord-00000-of-00001.gz"
        with tf.io.TFRecordWriter(str(path), "GZIP") as file:
            for image, digit in zip(images[rows], digits.target[rows], strict=True):
                feature = {
                    "image_floats": tf.train.Feature(
                        float_list=tf.train.FloatList(value=image.ravel())
                    ),
                    "image_class": tf.train.Feature(int64_list=tf.train.Int64List(value=[digit])),
                }
                example = tf.train.Example(features=tf.train.Features(feature=feature))
                file.write(example.SerializeToString())
    (folder / "schema").mkdir()
    (folder / "schema" / "schema.pbtxt").write_text(
        """
        feature { name: "image_floats" type: FLOAT presence { min_fraction: 1.0 min_count: 1 }
                  shape { dim { size: 784 } } }
        feature { name: "image_class" type: INT presence { min_fraction: 1.0 min_count: 1 }
                  shape { dim { size: 1 } } }
        """
    )


def imported(name, kind, folder, **properties):
    """Returns a node for an artifact that lies there already."""
    node = Importer(source_uri=str(folder), artifact_type=kind, properties=properties)
    return node.with_id(f"{name}-{kind.TYPE_NAME}")


@pytest.fixture(scope="module")
def transformed(tmp_path_factory):
    """The outputs of a real Transform for each example, and its schema; one pipeline for all."""
    folder = tmp_path_factory.mktemp("examples")
    (folder / "trips").mkdir()
    lines = (TAXI / "simple" / "data.csv").read_text().splitlines(keepends=True)
    (folder / "trips" / "data.csv").write_text("".join(lines[: NUM_TRIPS + 1]))
    write_digits(folder / "mnist")
    splits = {"split_names": '["train", "eval"]'}
    penguins = imported("penguin", standard_artifacts.Examples, PENGUIN / "data", **splits)
    digits = imported("mnist", standard_artifacts.Examples, folder / "mnist" / "data", **splits)
    trips = CsvExampleGen(input_base=str(folder / "trips"))
    examples = {
        "penguin": penguins.outputs["result"],
        "mnist": digits.outputs["result"],
        "taxi": trips.outputs["examples"],
    }
    schemas = {
        "penguin": imported("penguin", standard_artifacts.Schema, PENGUIN / "schema"),
        "mnist": imported("mnist", standard_artifacts.Schema, folder / "mnist" / "schema"),
        "taxi": imported("taxi", standard_artifacts.Schema, TAXI / "user_provided_schema"),
    }
    transforms = [
        Transform(
            examples=examples[name.partition("-")[0]],
            schema=schemas[name.partition("-")[0]].outputs["result"],
            preprocessing_fn=f"{module}.preprocessing_fn",
            disable_statistics=True,
            disable_analyzer_cache=True,
        ).with_id(name)
        for name, module in PREPROCESSING.items()
    ]
    connection = sqlite_metadata_connection_config(str(folder / "metadata.db"))
    LocalDagRunner().run(
        Pipeline(
            pipeline_name="tfx-examples",
            pipeline_root=str(folder / "root"),
            components=[penguins, digits, trips, *schemas.values(), *transforms],
            metadata_connection_config=connection,
        )
    )
    with Metadata(connection) as handle:
        found = {}
        for name in PREPROCESSING:
            context = handle.store.get_context_by_type_and_name("node", f"tfx-examples.{name}")
            (execution,) = handle.store.get_executions_by_context(context.id)
            assert execution.last_known_state == Execution.COMPLETE
            outputs = execution_lib.get_output_artifacts(handle, execution.id)
            inputs = execution_lib.get_input_artifacts(handle, execution.id)
            found[name] = {
                "examples": outputs["transformed_examples"],
                "transform_graph": outputs["transform_graph"],
                "schema": inputs["schema"],
            }
    return found


def artifacts(types, folder):
    """Returns an artifact to be written for each type."""
    made = {key: kind() for key, kind in types.items()}
    for key, artifact in made.items():
        artifact.uri = str(folder / key)
    return {key: [artifact] for key, artifact in made.items()}


def finder_of(module):
    """Returns a finder that is given the module as the Trainer is."""
    return LearningRateFinder(
        examples=Channel(type=standard_artifacts.Examples),
        run_fn=f"{module}.run_fn",
        train_args=trainer_pb2.TrainArgs(num_steps=20),
        eval_args=trainer_pb2.EvalArgs(num_steps=5),
        num_steps=60,
    )


def properties_of(finder):
    """Returns what TFX records of it and hands to its executor."""
    return {k: v for k, v in finder.spec.exec_properties.items() if v is not None}


@pytest.mark.parametrize("module", [module for module in TRAINING if module not in BROKEN])
def test_module_of_tfx_runs_through_the_finder(transformed, tmp_path, module):
    """A rate is found; nothing is left beside what the component puts out."""
    finder = finder_of(module)
    outputs = artifacts({key: c.type for key, c in finder.outputs.items()}, tmp_path / "outputs")
    inputs = {**transformed[TRAINING[module]], **tuned(module, tmp_path / "upstream")}

    Executor().Do(inputs, outputs, properties_of(finder))

    (value,) = outputs["learning_rate"]
    assert 1e-6 < value.read() < 10
    assert {path.name for path in (tmp_path / "outputs").iterdir()} == outputs.keys()


def tuned(module, folder):
    """Returns the hyperparameters of a Tuner as an input, where a module has what is tuned."""
    if not hasattr(importlib.import_module(module), "_get_hyperparameters"):
        return {}
    config = importlib.import_module(module)._get_hyperparameters().get_config()
    artifact = standard_artifacts.HyperParameters()
    artifact.uri = str(folder)
    folder.mkdir()
    (folder / "best_hyperparameters.txt").write_text(json.dumps(config))
    return {"hyperparameters": [artifact]}


def test_module_that_reads_other_hyperparameters_fails_as_in_the_trainer(transformed):
    """Without a Tuner the Trainer is given the learning rate alone; the error has a remedy."""
    module = "tfx.examples.penguin.penguin_utils_keras"
    search = Search.of_execution(
        transformed[TRAINING[module]], properties_of(finder_of(module)), None
    )

    with pytest.raises(KeyError, match="num_layers does not exist") as raised:
        list(search.sweeps([0]))

    assert "holds 'learning_rate' alone, as the Trainer's will" in raised.value.__notes__[-1]


@pytest.mark.parametrize(("module", "message"), BROKEN.items())
def test_module_that_the_trainer_cannot_run_ends_as_in_the_trainer(
    transformed, tmp_path, module, message
):
    """The stock Trainer and the finder raise the same error, from within the module.

    If TensorFlow Transform was the first to be imported in this process, `tf.keras` is tf_keras,
    under which the module runs: both then have no error.
    """
    inputs, finder = transformed[TRAINING[module]], finder_of(module)
    model = {"model": standard_artifacts.Model, "model_run": standard_artifacts.ModelRun}
    is_keras3 = tf.keras.Model is keras.Model

    with pytest.raises(ValueError, match=message) if is_keras3 else contextlib.nullcontext():
        GenericExecutor().Do(inputs, artifacts(model, tmp_path), properties_of(finder))
    with pytest.raises(ValueError, match=message) if is_keras3 else contextlib.nullcontext():
        list(Search.of_execution(inputs, properties_of(finder), None).sweeps([0]))


def test_module_of_tfx_runs_with_legacy_keras(transformed):
    """The taxi example with `TF_USE_LEGACY_KERAS=1`, for which it was written."""
    module = "tfx.examples.chicago_taxi_pipeline.taxi_utils_native_keras"
    search = Search.of_execution(
        transformed[TRAINING[module]], properties_of(finder_of(module)), None
    )
    script = (
        "import sys; from tfx_lr_finder.search.request import Search; "
        "(curve,) = Search.from_json(sys.stdin.read()).sweeps([0]); print(curve.losses.size > 10)"
    )

    completed = subprocess.run(
        [sys.executable, "-c", script],
        input=search.to_json(),
        env={**os.environ, "TF_USE_LEGACY_KERAS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )

    assert completed.returncode == 0, completed.stderr
    assert completed.stdout.split() == ["True"]
