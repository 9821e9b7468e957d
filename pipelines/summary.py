"""Summary of a run of a pipeline with LearningRateFinder, Trainer and DefaultTrainer."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def summary(
    sweep: str,
    properties: Mapping[str, Any],
    hyperparameters: str,
    model: str,
    evaluation: str,
    default_learning_rate: float,
) -> str:
    """Returns the rate that was found, the paths of its evidence, and the losses of the trainings.

    Args:
        sweep: Folder of the sweep.
        properties: Custom properties of the sweep.
        hyperparameters: Folder of the finder's hyperparameters.
        model: Folder of the Trainer's model.
        evaluation: Folder of the Evaluator's evaluation. It has one loss, and the difference
            between this loss and the loss of the DefaultTrainer's model.
        default_learning_rate: The rate of the DefaultTrainer's training.
    """
    found, default = _evaluation_losses(evaluation)
    return f"""
Learning rate    {properties["learning_rate"]:.3g} (rule: {properties["rule"]}, \
verdict: {properties["verdict"]}){_carried_over(hyperparameters)}
Curve            {os.path.relpath(sweep)}/curve.png
Report           {os.path.relpath(sweep)}/report.html
Model            {os.path.relpath(model)}
Evaluation loss  {found:.4f} with the rate found
                 {default:.4f} with the module's default, {default_learning_rate:g}"""


def _carried_over(hyperparameters: str) -> str:
    """Returns a line with the upstream hyperparameters, or an empty text if there are none."""
    (file,) = Path(hyperparameters).iterdir()
    values = json.loads(file.read_text())["values"]
    others = [f"{name} {value}" for name, value in values.items() if name != "learning_rate"]
    return f"\nCarried over     {', '.join(others)}" if others else ""


def _evaluation_losses(evaluation: str) -> tuple[float, float]:
    """Returns the evaluated losses of the Trainer's and of the DefaultTrainer's model."""
    import tensorflow_model_analysis as tfma

    ((_, outputs),) = tfma.load_eval_result(evaluation).slicing_metrics
    metrics = {name: value["doubleValue"] for name, value in outputs[""][""].items()}
    (loss,) = (name for name in metrics if f"{name}_diff" in metrics)
    return metrics[loss], metrics[loss] - metrics[f"{loss}_diff"]
