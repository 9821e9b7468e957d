"""A task of plain KFP in the image, as the launcher starts it."""

import json
import subprocess
import time
from pathlib import Path
from typing import Any

import tfx_lr_finder

HERE = Path(__file__).parent
ENGINE = HERE.parents[2] / "container" / "engine.sh"
NUM_STEPS = 20
MOUNTED = "/exchange"
IMAGE = f"tfx-lr-finder:{tfx_lr_finder.__version__}"


def is_there() -> bool:
    """Returns whether the image, which `make image` builds, is there and can run."""
    engine = subprocess.run([ENGINE], text=True, capture_output=True).stdout.strip()
    command = [engine, "run", "--rm", IMAGE, "true"]
    return bool(engine) and not subprocess.run(command, capture_output=True).returncode


def seconds_to_first_step(folder: Path) -> float:
    """Returns the time from the start of a container to the first step of its sweep.

    Args:
        folder: An empty folder, in which the container's user may write.

    Raises:
        CalledProcessError: If the task fails; see `is_there`.
    """
    engine = subprocess.check_output([ENGINE], text=True).strip()
    for split in ("Split-train", "Split-eval"):
        (folder / "examples" / split).mkdir(parents=True)
        (folder / "examples" / split / "unread").touch()
    (folder / "module.py").write_text((HERE / "worker_code" / "telling.py").read_text())
    folder.chmod(0o777)  # the image's user is not ours
    mount = ["--volume", f"{folder}:{MOUNTED}"]
    task = ["python", "-m", "tfx_lr_finder.kubeflow.kfp_task", "--executor_input"]
    started = time.time()
    subprocess.run(
        [engine, "run", "--rm", *mount, IMAGE, *task, json.dumps(_executor_input())],
        check=True,
        capture_output=True,
    )
    first, *_ = (folder / "steps.txt").read_text().splitlines()
    return float(first) - started


def _executor_input() -> dict[str, Any]:
    outputs = ("best_hyperparameters", "sweep", "metrics", "report")
    return {
        "inputs": {
            "artifacts": {name: _artifact(name) for name in ("examples", "module_file")},
            "parameterValues": {"num_steps": NUM_STEPS, "max_learning_rate": 0.1},
        },
        "outputs": {
            "artifacts": {name: _artifact(name) for name in outputs},
            "parameters": {"learning_rate": {"outputFile": f"{MOUNTED}/learning_rate"}},
            "outputFile": f"{MOUNTED}/output.json",
        },
    }


def _artifact(name: str) -> dict[str, Any]:
    uri = f"{MOUNTED}/{'module.py' if name == 'module_file' else name}"
    return {"artifacts": [{"name": name, "uri": uri}]}
