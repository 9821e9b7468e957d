"""Runs the penguin pipeline on this machine: `python -m penguin.run_local FOLDER`."""

import os
import sys
from pathlib import Path

from local import latest_output, output_to_log, run

PIPELINE_NAME = "penguin"


def main(folder: Path) -> None:
    """Runs the pipeline and prints what came of it."""
    print("Loading TFX ...", flush=True)
    with output_to_log(folder) as terminal:
        from penguin.pipeline import create_components

        run(PIPELINE_NAME, create_components(), folder, terminal)
        print(summary(folder), file=terminal)


def summary(folder: Path) -> str:
    """Returns the rate that was found, where its evidence lies, and what the training made of it.

    Args:
        folder: The pipeline's folder, after a run.
    """
    from penguin.module.model import DEFAULT_LEARNING_RATE

    sweep = latest_output(folder, PIPELINE_NAME, "LearningRateFinder", "sweep")
    model = latest_output(folder, PIPELINE_NAME, "Trainer", "model")
    rate = sweep.get_float_custom_property("learning_rate")
    verdict, rule = (sweep.get_string_custom_property(name) for name in ("verdict", "rule"))
    found, default = _evaluation_losses(folder)
    return f"""
Learning rate    {rate:.3g} (rule: {rule}, verdict: {verdict})
Curve            {os.path.relpath(sweep.uri)}/curve.png
Report           {os.path.relpath(sweep.uri)}/report.html
Model            {os.path.relpath(model.uri)}
Evaluation loss  {found:.4f} with the rate found
                 {default:.4f} with the module's default, {DEFAULT_LEARNING_RATE:g}"""


def _evaluation_losses(folder: Path) -> tuple[float, float]:
    """Returns the losses that the Evaluator found for the Trainer and for the DefaultTrainer."""
    import tensorflow_model_analysis as tfma

    evaluation = latest_output(folder, PIPELINE_NAME, "Evaluator", "evaluation")
    ((_, outputs),) = tfma.load_eval_result(evaluation.uri).slicing_metrics
    losses = outputs[""][""]
    found = losses["sparse_categorical_crossentropy"]["doubleValue"]
    return found, found - losses["sparse_categorical_crossentropy_diff"]["doubleValue"]


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve())
