"""A user's code with tuned hyperparameters: penguins by their measurements.

The training notes in its `model_run` folder what it was given and what it trained with.
"""

import json
from pathlib import Path

import keras
import keras_tuner
import tensorflow_transform as tft
from tfx_bsl.public.tfxio import TensorFlowDatasetOptions

from tfx_lr_finder import LrFinderFnResult

FEATURES = ("culmen_length_mm", "culmen_depth_mm", "flipper_length_mm", "body_mass_g")
LABEL = "species"
TRAINING_FILE = "training.json"


def lr_finder_fn(fn_args):
    """Returns the Trainer's own model and data."""
    return LrFinderFnResult(model=_model(fn_args), dataset=_batches(fn_args, fn_args.train_files))


def run_fn(fn_args):
    """Trains the model, notes what it trained with, and exports it."""
    keras.utils.set_random_seed(0)
    model = _model(fn_args)
    hidden = model.get_layer("hidden")
    note = {
        "hyperparameters": fn_args.hyperparameters,
        "learning_rate": float(model.optimizer.learning_rate),
        "units": hidden.units,
        "activation": hidden.activation.__name__,
    }
    history = model.fit(
        _batches(fn_args, fn_args.train_files), epochs=1, steps_per_epoch=fn_args.train_steps
    )
    note["loss"] = history.history["loss"][-1]
    note["learning_rate_at_the_end"] = float(model.optimizer.learning_rate)
    Path(fn_args.model_run_dir).mkdir(parents=True, exist_ok=True)
    Path(fn_args.model_run_dir, TRAINING_FILE).write_text(json.dumps(note))
    model.export(fn_args.serving_model_dir)


def _model(fn_args):
    hyperparameters = keras_tuner.HyperParameters.from_config(fn_args.hyperparameters)
    inputs = {name: keras.Input((1,), name=name) for name in FEATURES}
    hidden = keras.layers.Dense(
        hyperparameters.get("units"), activation=hyperparameters.get("activation"), name="hidden"
    )(keras.layers.concatenate(list(inputs.values())))
    model = keras.Model(inputs, keras.layers.Dense(3, activation="softmax")(hidden))
    model.compile(
        optimizer=keras.optimizers.Adam(hyperparameters.get("learning_rate")),
        loss="sparse_categorical_crossentropy",
    )
    return model


def _batches(fn_args, files):
    schema = tft.TFTransformOutput(fn_args.transform_graph_path).transformed_metadata.schema
    options = TensorFlowDatasetOptions(batch_size=16, label_key=LABEL, shuffle_seed=0)
    return fn_args.data_accessor.tf_dataset_factory(files, options, schema)
