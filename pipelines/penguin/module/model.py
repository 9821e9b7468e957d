"""The user's code for Transform, LearningRateFinder and Trainer: predicts a penguin's species."""

import keras
import tensorflow as tf
import tensorflow_transform as tft
from tfx.components.trainer.fn_args_utils import FnArgs
from tfx_bsl.public.tfxio import TensorFlowDatasetOptions

from tfx_lr_finder import LrFinderFnResult

FEATURES = ("culmen_length_mm", "culmen_depth_mm", "flipper_length_mm", "body_mass_g")
LABEL = "species"
NUM_SPECIES = 3
BATCH_SIZE = 16
DEFAULT_LEARNING_RATE = 1e-3  # Keras's own for Adam


def preprocessing_fn(inputs: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
    """Scales every measurement to mean 0 and variance 1."""
    return {LABEL: inputs[LABEL], **{name: tft.scale_to_z_score(inputs[name]) for name in FEATURES}}


def lr_finder_fn(fn_args: FnArgs) -> LrFinderFnResult:
    """Returns model and data for LearningRateFinder: the same as the Trainer's."""
    return LrFinderFnResult(
        model=_model(fn_args),
        dataset=_batches(fn_args, fn_args.train_files),
        validation_dataset=_batches(fn_args, fn_args.eval_files),
    )


def run_fn(fn_args: FnArgs) -> None:
    """Trains the model and exports it."""
    keras.utils.set_random_seed(0)
    model = _model(fn_args)
    model.fit(
        _batches(fn_args, fn_args.train_files).repeat(),
        steps_per_epoch=fn_args.train_steps,
        validation_data=_batches(fn_args, fn_args.eval_files),
        verbose=0,
    )
    _export(model, fn_args)


def _model(fn_args: FnArgs) -> keras.Model:
    values = fn_args.hyperparameters["values"] if fn_args.hyperparameters else {}
    inputs = {name: keras.Input((1,), name=name) for name in FEATURES}
    hidden = keras.layers.concatenate(list(inputs.values()))
    for _ in range(2):
        hidden = keras.layers.Dense(8, activation="relu")(hidden)
    model = keras.Model(inputs, keras.layers.Dense(NUM_SPECIES, activation="softmax")(hidden))
    model.compile(
        optimizer=keras.optimizers.Adam(values.get("learning_rate", DEFAULT_LEARNING_RATE)),
        loss="sparse_categorical_crossentropy",
    )
    return model


def _batches(fn_args: FnArgs, files: list[str]) -> tf.data.Dataset:
    transform = tft.TFTransformOutput(fn_args.transform_graph_path)
    return fn_args.data_accessor.tf_dataset_factory(
        files,
        TensorFlowDatasetOptions(
            batch_size=BATCH_SIZE, label_key=LABEL, num_epochs=1, shuffle_seed=0
        ),
        transform.transformed_metadata.schema,
    )


def _export(model: keras.Model, fn_args: FnArgs) -> None:
    """Exports the model with a signature that takes raw, serialised examples."""
    transform = tft.TFTransformOutput(fn_args.transform_graph_path)
    raw_features = {k: v for k, v in transform.raw_feature_spec().items() if k in FEATURES}

    def serve(serialized: tf.Tensor) -> dict[str, tf.Tensor]:
        features = transform.transform_raw_features(
            tf.io.parse_example(serialized, raw_features), drop_unused_features=True
        )
        return {"probabilities": model({name: features[name] for name in FEATURES})}

    archive = keras.export.ExportArchive()
    archive.track(model)
    archive.add_endpoint(
        "serving_default", serve, input_signature=[tf.TensorSpec([None], tf.string, "examples")]
    )
    archive.write_out(fn_args.serving_model_dir, verbose=False)
