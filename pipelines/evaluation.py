"""Configures the Evaluator to compare a model's loss with the loss of a baseline model."""

import tensorflow_model_analysis as tfma


def loss_not_above_baseline(model: tfma.ModelSpec, loss: str) -> tfma.EvalConfig:
    """Returns a configuration of Evaluator that blesses a loss not above the baseline's.

    Args:
        model: The signatures of the models to call, and the place of the labels.
        loss: Name of a Keras class, for example `BinaryCrossentropy`.
    """
    threshold = tfma.MetricThreshold(
        change_threshold=tfma.GenericChangeThreshold(
            direction=tfma.MetricDirection.LOWER_IS_BETTER, absolute={"value": 0.0}
        )
    )
    metric = tfma.MetricConfig(class_name=loss, threshold=threshold)
    return tfma.EvalConfig(
        model_specs=[model],
        slicing_specs=[tfma.SlicingSpec()],
        metrics_specs=[tfma.MetricsSpec(metrics=[metric])],
    )
