"""Runs the penguin pipeline on this machine as Kubeflow would, each task in a container.

    python -m penguin.run_kubeflow_local IMAGE FOLDER PYTHON

PYTHON is the Python of the environment with kfp.local; see `run_kubeflow_local`.
"""

import json
import shutil
import subprocess
import sys
from pathlib import Path

from demo import LOG_FILE
from tfx_lr_finder.local import output_to_log


def main(image: str, folder: Path, python: str) -> None:
    """Compiles the pipeline, runs it, and prints a summary."""
    print("Loading TFX ...", flush=True)
    pipeline_file = folder / "penguin.yaml"
    with output_to_log(folder / LOG_FILE) as terminal:
        from tfx_lr_finder.local.summary import evaluation_rows, in_lines, model_row, rate_rows

        compile_into(folder, image, pipeline_file)
        command = [python, "-m", "run_kubeflow_local", str(pipeline_file), str(folder)]
        ended = subprocess.run(command, stderr=terminal)
        if ended.returncode:
            sys.exit(ended.returncode)
        outputs = json.loads((folder / "outputs.json").read_text())
        finder = outputs["LearningRateFinder"]
        rows = [
            *rate_rows(
                finder["sweep"]["uri"],
                finder["sweep"]["metadata"],
                finder["best_hyperparameters"]["uri"],
                "learning_rate",
            ),
            model_row(outputs["Trainer"]["model"]["uri"]),
            *evaluation_rows(outputs["Evaluator"]["evaluation"]["uri"], "DefaultTrainer"),
        ]
        print(f"\n{in_lines(rows)}", end="", file=terminal)


def compile_into(folder: Path, image: str, pipeline_file: Path) -> None:
    """Compiles the pipeline with its code and a copy of its data in a folder.

    Args:
        folder: Pipeline root, which this machine and every task see under the same path.
        image: Image of every task.
        pipeline_file: The file to write.
    """
    from penguin.kubeflow import NUM_STEPS, PIPELINE_NAME
    from penguin.pipeline import DATA, create_components
    from tfx_lr_finder.kubeflow import compile_pipeline

    data = folder / "data"
    shutil.copytree(DATA, data, dirs_exist_ok=True)
    components = create_components(str(data), num_steps=NUM_STEPS)
    compile_pipeline(PIPELINE_NAME, components, image, pipeline_file, pipeline_root=str(folder))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]).resolve(), sys.argv[3])
