"""The user's code for Transform, Tuner and Trainer: predicts whether a taxi trip has a big tip.

There is no `lr_finder_fn`: LearningRateFinder runs `run_fn` up to its `fit`.
"""

from typing import Any

import keras
import keras_tuner
import numpy as np
import tensorflow as tf
import tensorflow_transform as tft
from tfx.components.trainer.fn_args_utils import FnArgs
from tfx.components.tuner.component import TunerFnResult
from tfx_bsl.public.tfxio import TensorFlowDatasetOptions

NUMBERS = ("fare", "trip_miles", "trip_seconds")
COORDINATES = ("pickup_latitude", "pickup_longitude", "dropoff_latitude", "dropoff_longitude")
WORDS = ("payment_type", "company")
CODES = ("trip_start_hour", "dropoff_community_area")
CATEGORIES = (*COORDINATES, *WORDS, *CODES)
FARE = "fare"
TIP = "tips"
LABEL = "is_big_tip"
BIG_TIP = 0.2  # of the fare

NUM_BUCKETS = 10
BATCH_SIZE = 64
MAX_TRIALS = 3
DEFAULT_LEARNING_RATE = 1e-3  # Keras's own for Adam


def preprocessing_fn(inputs: dict[str, Any]) -> dict[str, tf.Tensor]:
    """Scales numbers, puts coordinates into buckets, indexes words and codes, and makes the label.

    A missing number becomes the mean. Missing coordinates have a separate bucket, and missing
    words and codes a separate index.
    """
    is_big = inputs[TIP] > BIG_TIP * inputs[FARE]
    outputs = {LABEL: tf.cast(is_big, tf.int64)}
    for name in NUMBERS:
        outputs[name] = _filled(tft.scale_to_z_score(tf.cast(inputs[name], tf.float32)), 0)
    for name in COORDINATES:
        outputs[name] = _filled(tft.bucketize(inputs[name], NUM_BUCKETS), NUM_BUCKETS)
    for name in WORDS:
        outputs[name] = _index(_filled(inputs[name], "(missing)"))
    for name in CODES:
        outputs[name] = _index(_filled(inputs[name], -1))
    return outputs


def tuner_fn(fn_args: FnArgs) -> TunerFnResult:
    """Returns a search for the size of the model; every trial uses the default rate."""
    transform = tft.TFTransformOutput(fn_args.transform_graph_path)
    tuner = keras_tuner.RandomSearch(
        lambda hyperparameters: _model(hyperparameters, transform),
        hyperparameters=_search_space(),
        tune_new_entries=False,
        objective="val_loss",
        max_trials=MAX_TRIALS,
        seed=0,
        directory=fn_args.working_dir,
    )
    keras.utils.set_random_seed(0)
    return TunerFnResult(
        tuner=tuner,
        fit_kwargs={
            "x": _batches(fn_args, fn_args.train_files, transform).repeat(),
            "steps_per_epoch": fn_args.train_steps,
            "validation_data": _batches(fn_args, fn_args.eval_files, transform),
            "verbose": 0,
        },
    )


def run_fn(fn_args: FnArgs) -> None:
    """Trains the model and exports it."""
    keras.utils.set_random_seed(0)
    transform = tft.TFTransformOutput(fn_args.transform_graph_path)
    model = _model(keras_tuner.HyperParameters.from_config(fn_args.hyperparameters), transform)
    model.fit(
        _batches(fn_args, fn_args.train_files, transform).repeat(),
        steps_per_epoch=fn_args.train_steps,
        validation_data=_batches(fn_args, fn_args.eval_files, transform),
        verbose=0,
    )
    _export(model, transform, fn_args.serving_model_dir)


def _filled(feature: Any, value: Any) -> tf.Tensor:
    """Returns a dense feature, in which `value` stands for missing values."""
    if isinstance(feature, tf.Tensor):
        return feature
    shape = [feature.dense_shape[0], 1]
    return tf.sparse.to_dense(tf.SparseTensor(feature.indices, feature.values, shape), value)


def _index(values: tf.Tensor) -> tf.Tensor:
    """Returns the index of every value in its vocabulary; the last index is for unknown values."""
    return tft.compute_and_apply_vocabulary(values, num_oov_buckets=1)


def _search_space() -> keras_tuner.HyperParameters:
    space = keras_tuner.HyperParameters()
    space.Choice("embedding_size", [2, 4, 8])
    space.Choice("units", [8, 16, 32])
    space.Int("hidden_layers", 1, 2)
    space.Fixed("learning_rate", DEFAULT_LEARNING_RATE)
    return space


def _model(
    hyperparameters: keras_tuner.HyperParameters, transform: tft.TFTransformOutput
) -> keras.Model:
    """Returns a wide and deep model: a weight per category, and hidden layers over all features."""
    inputs = {name: keras.Input((1,), name=name) for name in NUMBERS}
    inputs |= {name: keras.Input((1,), name=name, dtype="int64") for name in CATEGORIES}
    sizes = [_num_indices(name, transform) for name in CATEGORIES]
    # A single table holds the rows of all categorical features, one feature after the other.
    first_rows = np.cumsum([0, *sizes[:-1]])
    rows = keras.layers.concatenate([inputs[name] for name in CATEGORIES]) + first_rows
    wide = keras.layers.Embedding(sum(sizes), 1)(rows)
    embedded = keras.layers.Embedding(sum(sizes), hyperparameters.get("embedding_size"))(rows)
    hidden = keras.layers.concatenate(
        [*(inputs[name] for name in NUMBERS), keras.layers.Flatten()(embedded)]
    )
    for _ in range(hyperparameters.get("hidden_layers")):
        hidden = keras.layers.Dense(hyperparameters.get("units"), activation="relu")(hidden)
    logit = keras.layers.Dense(1)(hidden) + keras.ops.sum(wide, axis=1)
    model = keras.Model(inputs, keras.layers.Activation("sigmoid")(logit))
    model.compile(
        optimizer=keras.optimizers.Adam(hyperparameters.get("learning_rate")),
        loss="binary_crossentropy",
    )
    return model


def _num_indices(name: str, transform: tft.TFTransformOutput) -> int:
    if name in COORDINATES:
        return NUM_BUCKETS + 1  # the last one is for missing coordinates
    return int(transform.num_buckets_for_transformed_feature(name))


def _batches(
    fn_args: FnArgs, files: list[str], transform: tft.TFTransformOutput
) -> tf.data.Dataset:
    return fn_args.data_accessor.tf_dataset_factory(
        files,
        TensorFlowDatasetOptions(
            batch_size=BATCH_SIZE, label_key=LABEL, num_epochs=1, shuffle_seed=0
        ),
        transform.transformed_metadata.schema,
    )


def _export(model: keras.Model, transform: tft.TFTransformOutput, folder: str) -> None:
    """Exports the model with two signatures that take raw, serialised examples.

    The second one is for the Evaluator: only Transform knows the labels.
    """
    transform_layer = transform.transform_features_layer()
    raw_features = transform.raw_feature_spec()
    features_of_model = {k: v for k, v in raw_features.items() if k in (*NUMBERS, *CATEGORIES)}

    def serve(serialized: tf.Tensor) -> dict[str, tf.Tensor]:
        features = transform_layer(tf.io.parse_example(serialized, features_of_model))
        return {"probabilities": model({n: features[n] for n in (*NUMBERS, *CATEGORIES)})}

    def transform_features(serialized: tf.Tensor) -> dict[str, tf.Tensor]:
        return dict(transform_layer(tf.io.parse_example(serialized, raw_features)))

    archive = keras.export.ExportArchive()
    archive.track(model)
    archive.track(transform_layer)  # for its vocabularies
    signature = [tf.TensorSpec([None], tf.string, "examples")]
    archive.add_endpoint("serving_default", serve, input_signature=signature)
    archive.add_endpoint("transform_features", transform_features, input_signature=signature)
    archive.write_out(folder, verbose=False)
