"""Builds a model and its optimizer before a graph is traced, as `fit` of Keras 3 does."""

from typing import Any

import tensorflow as tf

from tfx_lr_finder.training.keras_types import Batch, BatchIterator, Model
from tfx_lr_finder.training.model.kind import has_own_train_step, is_tf_keras


def build_optimizer(model: Model) -> None:
    """Builds the optimizer of a model whose layers are built.

    An optimizer may assign values in its `build`, for example if it keeps a copy of the initial
    weights. Built within a graph, it would assign them at every call of the graph. The optimizers
    of tf_keras leave the graph by themselves.
    """
    if is_tf_keras(model) or model.optimizer.built or not _has_all_layers(model):
        return
    with model.distribute_strategy.scope():
        model.optimizer.build(model.trainable_variables)


def build_model(model: Any, batches: BatchIterator) -> None:
    """Builds the layers of a Keras 3 model by a trace of its call, and then its optimizer.

    The layers are not built if the model has a `train_step` of its own, which may call anything.

    Args:
        model: A compiled Keras model.
        batches: Iterator over batches; none of them is read.
    """
    if not is_tf_keras(model) and not has_own_train_step(model) and not _has_all_layers(model):
        options = {"training": True} if model._call_has_training_arg else {}

        def call(batch: Batch) -> None:
            model(batch[0] if isinstance(batch, tuple) else batch, **options)

        @tf.function(autograph=False)
        def forward(iterator: BatchIterator) -> None:
            model.distribute_strategy.run(call, args=(iterator.get_next(),))

        forward.get_concrete_function(batches)
    build_optimizer(model)


def _has_all_layers(model: Any) -> bool:
    return all(layer.built for layer in model._flatten_layers())
