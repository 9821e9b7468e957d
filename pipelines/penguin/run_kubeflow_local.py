"""Runs the penguin pipeline on this machine as Kubeflow would, each task in a container.

    python -m penguin.run_kubeflow_local IMAGE FOLDER PYTHON

PYTHON is the Python of the environment with kfp.local; see `run_kubeflow_local`.
"""

import json
import subprocess
import sys
from pathlib import Path

from local import output_to_log
from summary import summary


def main(image: str, folder: Path, python: str) -> None:
    """Compiles the pipeline, runs it, and prints a summary."""
    print("Loading TFX ...", flush=True)
    pipeline_file = folder / "penguin.yaml"
    with output_to_log(folder) as terminal:
        from penguin.compile_kubeflow import main as compile_penguin
        from penguin.module.model import DEFAULT_LEARNING_RATE

        compile_penguin(
            ["--image", image, "--output", str(pipeline_file), "--pipeline-root", str(folder)]
        )
        command = [python, "-m", "run_kubeflow_local", str(pipeline_file), str(folder)]
        ended = subprocess.run(command, stderr=terminal)
        if ended.returncode:
            sys.exit(ended.returncode)
        outputs = json.loads((folder / "outputs.json").read_text())
        finder = outputs["LearningRateFinder"]
        found = summary(
            finder["sweep"]["uri"],
            finder["sweep"]["metadata"],
            finder["best_hyperparameters"]["uri"],
            outputs["Trainer"]["model"]["uri"],
            outputs["Evaluator"]["evaluation"]["uri"],
            DEFAULT_LEARNING_RATE,
        )
        print(found, file=terminal)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]).resolve(), sys.argv[3])
