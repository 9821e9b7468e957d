"""Components and user code of the Kubeflow tests: they pass on what they were given."""

import json
from pathlib import Path

import keras
import tensorflow as tf
from tfx.dsl.component.experimental.annotations import InputArtifact, OutputArtifact, Parameter
from tfx.dsl.component.experimental.decorators import component
from tfx.types.standard_artifacts import Examples, Float, HyperParameters, Model

from tfx_lr_finder import LearningRateSweep, LrFinderFnResult

TRUE_WEIGHTS = [[1.0], [-2.0], [0.5]]


@component
def produce(
    examples: OutputArtifact[Examples],
    noise: OutputArtifact[Float],
    a_float: Parameter[float],
    an_int: Parameter[int],
    a_text: Parameter[str],
):
    """Writes examples of a linear relation, with properties of every kind."""
    examples.split_names = json.dumps(["train", "eval"])
    examples.span = 3
    examples.set_float_custom_property("a_float", a_float)
    examples.set_int_custom_property("an_int", an_int)
    examples.set_string_custom_property("a_text", a_text)
    examples.set_json_value_custom_property("a_dict", {"train": 1.0, "eval": {"a": [0.5]}})
    examples.set_json_value_custom_property("a_list", [1.0, "b", {"c": 2.0, "d": False}])
    examples.set_json_value_custom_property("a_bool", True)
    features = tf.random.stateless_normal((256, 3), seed=(0, 0))
    # Without noise, a loss of exactly 0 would stay 0 at any rate.
    noise_of_targets = tf.random.stateless_normal((256, 1), seed=(1, 1), stddev=0.1)
    targets = features @ tf.constant(TRUE_WEIGHTS) + noise_of_targets
    for split in ("train", "eval"):
        file = Path(examples.uri, f"Split-{split}", "data.gz")
        file.parent.mkdir()
        with tf.io.TFRecordWriter(str(file), "GZIP") as writer:
            for x, y in zip(features.numpy(), targets.numpy(), strict=True):
                writer.write(tf.io.serialize_tensor(tf.concat([x, y], 0)).numpy())
    noise.write(0.25)


@component
def consume(
    examples: InputArtifact[Examples],
    noise: float,
    learning_rate: InputArtifact[Float],
    hyperparameters: InputArtifact[HyperParameters],
    sweep: InputArtifact[LearningRateSweep],
    model: OutputArtifact[Model],
):
    """Writes down what it was given."""
    seen = {
        "types": [type(x).__name__ for x in (examples, learning_rate, hyperparameters, sweep)],
        "split_names": examples.split_names,
        "span": examples.span,
        "a_float": examples.get_float_custom_property("a_float"),
        "an_int": examples.get_int_custom_property("an_int"),
        "a_text": examples.get_string_custom_property("a_text"),
        "a_dict": examples.get_json_value_custom_property("a_dict"),
        "a_list": examples.get_json_value_custom_property("a_list"),
        "a_bool": examples.get_json_value_custom_property("a_bool"),
        "files": [f.name for f in Path(examples.uri, "Split-train").iterdir()],
        "noise": noise,
        "learning_rate": learning_rate.read(),
        "hyperparameters": [f.name for f in Path(hyperparameters.uri).iterdir()],
        "verdict": sweep.get_string_custom_property("verdict"),
        "rate_of_sweep": sweep.get_float_custom_property("learning_rate"),
        "num_steps": sweep.get_int_custom_property("num_steps"),
    }
    Path(model.uri, "seen.json").write_text(json.dumps(seen))


@component
def check(model: InputArtifact[Model]):
    """Reads what a Trainer has exported."""
    assert Path(model.uri, "Format-Serving").is_dir()


@component
def fail(noise: float, model: OutputArtifact[Model]):
    """Writes a part of its output and breaks."""
    Path(model.uri, "half.txt").write_text("half")
    raise ValueError(f"Broken on purpose, noise {noise}.")


def lr_finder_fn(fn_args) -> LrFinderFnResult:
    """Returns linear regression on the examples."""
    return LrFinderFnResult(_regression("mse"), _batches(fn_args))


def flat_lr_finder_fn(fn_args) -> LrFinderFnResult:
    """Returns a model with one and the same loss at every rate."""
    return LrFinderFnResult(_regression(lambda y, p: 0.0 * p + 1.0), _batches(fn_args))


def run_fn(fn_args):
    """Trains the regression with the rate that was found, if one was."""
    model = _regression("mse")
    if fn_args.hyperparameters:
        model.optimizer.learning_rate = fn_args.hyperparameters["values"]["learning_rate"]
    model.fit(_batches(fn_args).repeat(), steps_per_epoch=100, verbose=0)
    model.export(fn_args.serving_model_dir)


def _regression(loss):
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
    model.compile(optimizer=keras.optimizers.SGD(), loss=loss)
    return model


def _batches(fn_args):
    records = tf.data.TFRecordDataset(tf.io.gfile.glob(fn_args.train_files), "GZIP")
    rows = records.map(lambda record: tf.ensure_shape(tf.io.parse_tensor(record, tf.float32), [4]))
    return rows.map(lambda row: (row[:3], row[3:])).batch(32)
