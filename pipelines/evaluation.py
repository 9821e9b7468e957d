"""How the pipelines judge a model: by its loss, against that of another."""

import tensorflow_model_analysis as tfma


def loss_not_above_baseline(model: tfma.ModelSpec, loss: str) -> tfma.EvalConfig:
    """Returns a configuration of Evaluator: blessed is a loss that is not above the baseline's.

    Args:
        model: Which signatures of the models to call, and where the labels are.
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
