"""Runs the penguin pipeline on this machine: `python -m penguin.run_local FOLDER`."""

import functools
import sys
from pathlib import Path

from local import latest_output, output_to_log, run
from penguin.summary import summary

PIPELINE_NAME = "penguin"


def main(folder: Path) -> None:
    """Runs the pipeline and prints what came of it."""
    print("Loading TFX ...", flush=True)
    with output_to_log(folder) as terminal:
        from penguin.pipeline import create_components

        run(PIPELINE_NAME, create_components(), folder, terminal)
        output = functools.partial(latest_output, folder, PIPELINE_NAME)
        sweep = output("LearningRateFinder", "sweep")
        properties = ("learning_rate", "rule", "verdict")
        found = summary(
            sweep.uri,
            {name: sweep.get_custom_property(name) for name in properties},
            output("Trainer", "model").uri,
            output("Evaluator", "evaluation").uri,
        )
        print(found, file=terminal)


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve())
