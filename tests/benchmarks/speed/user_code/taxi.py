"""The user's code of parts 3 and 4: taxi trips, and whether the tip is above a fifth of the fare.

TFX packs this folder: nothing else may lie in it.
"""

import json
import math
from pathlib import Path

import keras
import keras_tuner
import tensorflow as tf
import tensorflow_transform as tft
from tfx.components.tuner.component import TunerFnResult
from tfx_bsl.public.tfxio import TensorFlowDatasetOptions

from tfx_lr_finder import LrFinderFnResult

LABEL = "is_big_tip"
NUMBERS = ("fare", "trip_miles", "trip_start_hour", "trip_start_day", "trip_start_month")
CARD = "paid_by_card"
FEATURES = (*NUMBERS, CARD)
BATCH_SIZE = 32
LEAST, GREATEST = 1e-5, 1e-1
NUM_TRIALS = 10
NUM_EPOCHS = 10
LOSS_FILE = "evaluation_loss.json"


def preprocessing_fn(inputs):
    """Scales every number to mean 0 and variance 1; labels the trips."""
    is_big = inputs["tips"] > 0.2 * inputs["fare"]
    numbers = {name: tf.cast(inputs[name], tf.float32) for name in NUMBERS}
    numbers[CARD] = tf.cast(inputs["payment_type"] == "Credit Card", tf.float32)
    scaled = {name: tft.scale_to_z_score(numbers[name]) for name in FEATURES}
    return {LABEL: tf.cast(is_big, tf.int64), **scaled}


def lr_finder_fn(fn_args):
    """Returns the Trainer's own model and data."""
    return LrFinderFnResult(model=_model(_space()), dataset=_batches(fn_args, fn_args.train_files))


def tuner_fn(fn_args):
    """Returns a search over the learning rate alone: ten trials, each as long as the training."""
    options = {
        "hypermodel": _model,
        "hyperparameters": _space(),
        "objective": "val_loss",
        "seed": 0,
        "directory": fn_args.working_dir,
        "project_name": fn_args.custom_config["tuner"],
    }
    if fn_args.custom_config["tuner"] == "RandomSearch":
        tuner = keras_tuner.RandomSearch(max_trials=NUM_TRIALS, **options)
    else:
        tuner = keras_tuner.Hyperband(max_epochs=NUM_EPOCHS, factor=3, **options)
        tuner.oracle.max_trials = NUM_TRIALS
    fit = {
        "x": _batches(fn_args, fn_args.train_files).repeat(),
        "steps_per_epoch": fn_args.train_steps // NUM_EPOCHS,
        "epochs": NUM_EPOCHS,
        "validation_data": _batches(fn_args, fn_args.eval_files),
        "verbose": 0,
    }
    return TunerFnResult(tuner=tuner, fit_kwargs=fit)


def run_fn(fn_args):
    """Trains the model, notes its loss on the evaluation data, and exports it."""
    keras.utils.set_random_seed(fn_args.custom_config["seed"])
    model = _model(keras_tuner.HyperParameters.from_config(fn_args.hyperparameters))
    batches = _batches(fn_args, fn_args.train_files).repeat()
    model.fit(batches, steps_per_epoch=fn_args.train_steps, verbose=0)
    if fn_args.custom_config["is_evaluated"]:
        results = model.evaluate(_batches(fn_args, fn_args.eval_files), return_dict=True, verbose=0)
        note = {"loss": results["loss"], "learning_rate": float(model.optimizer.learning_rate)}
        Path(fn_args.model_run_dir).mkdir(parents=True, exist_ok=True)
        Path(fn_args.model_run_dir, LOSS_FILE).write_text(json.dumps(note))
    model.export(fn_args.serving_model_dir, verbose=False)


def _space():
    space = keras_tuner.HyperParameters()
    default = math.sqrt(LEAST * GREATEST)
    space.Float("learning_rate", LEAST, GREATEST, sampling="log", default=default)
    return space


def _model(hyperparameters):
    inputs = {name: keras.Input((1,), name=name) for name in FEATURES}
    hidden = keras.layers.concatenate(list(inputs.values()))
    for _ in range(2):
        hidden = keras.layers.Dense(64, activation="relu")(hidden)
    model = keras.Model(inputs, keras.layers.Dense(1, activation="sigmoid")(hidden))
    model.compile(
        optimizer=keras.optimizers.Adam(hyperparameters.get("learning_rate")),
        loss="binary_crossentropy",
        metrics=["accuracy"],
    )
    return model


def _batches(fn_args, files):
    schema = tft.TFTransformOutput(fn_args.transform_graph_path).transformed_metadata.schema
    options = TensorFlowDatasetOptions(
        batch_size=BATCH_SIZE, label_key=LABEL, num_epochs=1, shuffle_seed=0
    )
    return fn_args.data_accessor.tf_dataset_factory(files, options, schema)
