"""Runs the penguin pipeline on this machine: `python -m penguin.run_local FOLDER`."""

import json
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
    sweep = latest_output(folder, PIPELINE_NAME, "LearningRateFinder", "sweep")
    model = latest_output(folder, PIPELINE_NAME, "Trainer", "model")
    rate = sweep.get_float_custom_property("learning_rate")
    verdict, rule = (sweep.get_string_custom_property(name) for name in ("verdict", "rule"))
    found, default = (_evaluation(folder, trainer) for trainer in ("Trainer", "DefaultTrainer"))
    return f"""
Learning rate    {rate:.3g} (rule: {rule}, verdict: {verdict})
Curve            {os.path.relpath(sweep.uri)}/curve.png
Report           {os.path.relpath(sweep.uri)}/report.html
Model            {os.path.relpath(model.uri)}
Evaluation loss  {found["loss"]:.4f} with the rate found
                 {default["loss"]:.4f} with the module's default, {default["learning_rate"]:g}"""


def _evaluation(folder: Path, trainer: str) -> dict[str, float]:
    model_run = latest_output(folder, PIPELINE_NAME, trainer, "model_run")
    return dict(json.loads(Path(model_run.uri, "evaluation.json").read_text()))


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve())
