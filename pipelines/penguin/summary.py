"""What the penguin pipeline found, in words."""

import os
from collections.abc import Mapping
from typing import Any


def summary(sweep: str, properties: Mapping[str, Any], model: str, evaluation: str) -> str:
    """Returns the rate that was found, where its evidence lies, and what the training made of it.

    Args:
        sweep: Folder of the sweep.
        properties: Custom properties of the sweep.
        model: Folder of the Trainer's model.
        evaluation: Folder of the Evaluator's evaluation.
    """
    from penguin.module.model import DEFAULT_LEARNING_RATE

    found, default = _evaluation_losses(evaluation)
    return f"""
Learning rate    {properties["learning_rate"]:.3g} (rule: {properties["rule"]}, \
verdict: {properties["verdict"]})
Curve            {os.path.relpath(sweep)}/curve.png
Report           {os.path.relpath(sweep)}/report.html
Model            {os.path.relpath(model)}
Evaluation loss  {found:.4f} with the rate found
                 {default:.4f} with the module's default, {DEFAULT_LEARNING_RATE:g}"""


def _evaluation_losses(evaluation: str) -> tuple[float, float]:
    """Returns the losses that the Evaluator found for the Trainer and for the DefaultTrainer."""
    import tensorflow_model_analysis as tfma

    ((_, outputs),) = tfma.load_eval_result(evaluation).slicing_metrics
    losses = outputs[""][""]
    found = losses["sparse_categorical_crossentropy"]["doubleValue"]
    return found, found - losses["sparse_categorical_crossentropy_diff"]["doubleValue"]
