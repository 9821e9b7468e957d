"""Runs one of the example pipelines on this machine, and prints the rate that it found."""

import functools
import importlib
from pathlib import Path

from local import latest_output, output_to_log, run
from summary import summary


def run_demo(name: str, folder: Path) -> None:
    """Runs the pipeline of a package, and prints a summary.

    Args:
        name: Name of the package, which has `pipeline.create_components` and
            `module.model.DEFAULT_LEARNING_RATE`; also the name of the pipeline.
        folder: Folder for the pipeline's artifacts, metadata and log.
    """
    print("Loading TFX ...", flush=True)
    with output_to_log(folder) as terminal:
        pipeline = importlib.import_module(f"{name}.pipeline")
        model = importlib.import_module(f"{name}.module.model")
        run(name, pipeline.create_components(), folder, terminal)
        output = functools.partial(latest_output, folder, name)
        sweep = output("LearningRateFinder", "sweep")
        properties = ("learning_rate", "rule", "verdict")
        found = summary(
            sweep.uri,
            {name: sweep.get_custom_property(name) for name in properties},
            output("LearningRateFinder", "best_hyperparameters").uri,
            output("Trainer", "model").uri,
            output("Evaluator", "evaluation").uri,
            model.DEFAULT_LEARNING_RATE,
        )
        print(found, file=terminal)
