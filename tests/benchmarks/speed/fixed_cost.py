"""Part 3: what the component costs beyond its sweep, against the Trainer beyond its training.

Each runs in a process of its own, as on Kubeflow: `python -m speed.fixed_cost FOLDER KIND NUMBER`
runs one in a pipeline's folder and prints the seconds of its phases as a line of JSON.
"""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

os.environ.update(CUDA_VISIBLE_DEVICES="-1", TF_CPP_MIN_LOG_LEVEL="3")

import keras
from tfx.components.trainer import executor as trainer_executor
from tfx.components.util import udf_utils

from speed.phases import Seconds, timed
from speed.report import Result, at_most
from speed.taxi_pipeline import Node, TaxiPipeline, finder, trainer
from speed.timing import Times, interleaved, ratio, spread
from tfx_lr_finder import executor
from tfx_lr_finder.search import user_module
from tfx_lr_finder.training import loop, sweep

ROUNDS = 3
TRAIN_STEPS = 200

PACKAGE = "tfx_lr_finder"
FINDER, TRAINER = "finder", "Trainer"
EXECUTORS = {FINDER: "tfx_lr_finder.executor", TRAINER: "tfx.components.trainer.executor"}

PACKING, LOADING = "packing the module", "loading the module"
TRACING, SWEEP = "tracing", "sweep"
FIT, EXPORT = "fit", "export"
EXECUTOR, NODE, METADATA, REST = "executor", "node", "metadata and driver", "rest"

_BOTH = {
    PACKING: (udf_utils, "package_user_module_file"),
    LOADING: (udf_utils, "get_fn"),
}
PHASES: dict[str, dict[str, tuple[Any, str]]] = {
    FINDER: {
        **_BOTH,
        "user's function: data and model": (user_module, "call"),
        TRACING: (sweep, "build_loop"),
        SWEEP: (loop.Loop, "run"),
        "report, plot and curve": (executor, "write_sweep"),
        "rate and hyperparameters": (executor, "_write_rate"),
        EXECUTOR: (executor.Executor, "Do"),
    },
    TRAINER: {
        **_BOTH,
        FIT: (keras.Model, "fit"),
        EXPORT: (keras.Model, "export"),
        EXECUTOR: (trainer_executor.GenericExecutor, "Do"),
    },
}
WORK = {FINDER: (TRACING, SWEEP), TRAINER: (FIT,)}
"""The phases that are no fixed cost."""


def measure() -> list[Result]:
    """Returns the phases of both components, their fixed costs, and the times of imports."""
    imports = _imports()
    results = [Result.of(f"import {name}", spread(imports[name]), "s") for name in imports]
    phases = _phases()
    for kind, rounds in phases.items():
        for phase in rounds[0]:
            values = spread([seconds[phase] for seconds in rounds])
            results.append(Result.of(f"{kind}: {phase}", values, "s"))
    costs = {kind: [_fixed(s, *WORK[kind]) for s in rounds] for kind, rounds in phases.items()}
    whole = {
        kind: [sum(pair) for pair in zip(costs[kind], imports[EXECUTORS[kind]], strict=True)]
        for kind in costs
    }
    # Not compared with the target, but told: a finder has nothing to export.
    bare = [_fixed(seconds, FIT, EXPORT) for seconds in phases[TRAINER]]
    for name, times, target in (
        ("fixed cost", costs, at_most(1.0)),
        ("fixed cost with imports", whole, at_most(1.0)),
        ("fixed cost, Trainer without export", {**costs, TRAINER: bare}, None),
    ):
        for kind in times:
            results.append(Result.of(f"{name}: {kind}", spread(times[kind]), "s"))
        over = ratio(times, FINDER, TRAINER)
        results.append(Result.of(f"{name}: finder / Trainer", over, "x", target))
    return results


def _fixed(seconds: Seconds, *work: str) -> float:
    return seconds[PACKING] + seconds[NODE] - sum(seconds[phase] for phase in work)


def _imports() -> Times:
    def importing(module: str) -> None:
        subprocess.run([sys.executable, "-W", "ignore", "-c", f"import {module}"], check=True)

    modules = (PACKAGE, *EXECUTORS.values())
    return interleaved({m: lambda m=m: importing(m) for m in modules}, ROUNDS)


def _phases() -> dict[str, list[Seconds]]:
    """Runs finder and Trainer in turns, each in a new process; returns the phases by round."""
    phases: dict[str, list[Seconds]] = {kind: [] for kind in PHASES}
    with tempfile.TemporaryDirectory() as folder:
        TaxiPipeline(Path(folder), TRAIN_STEPS).run(_finder(0))
        for number in range(1, ROUNDS + 1):
            for kind, rounds in phases.items():
                command = [sys.executable, "-W", "ignore", "-m", "speed.fixed_cost"]
                output = subprocess.check_output(
                    [*command, folder, kind, str(number)], stderr=subprocess.DEVNULL
                )
                rounds.append(json.loads(output.splitlines()[-1]))
    return phases


def _finder(number: int) -> Node:
    return finder(f"Finder{number}")


def _run(folder: Path, kind: str, number: int) -> Seconds:
    """Runs a node for the first time, and returns its phases."""
    nodes = [_finder(number)]
    if kind == TRAINER:
        nodes = [_finder(0), trainer(f"Trainer{number}", _finder(0))]
    with timed(PHASES[kind]) as seconds:
        seconds[NODE] = TaxiPipeline(folder, TRAIN_STEPS).run(*nodes)[nodes[-1].name]
    seconds[PACKING] /= 1 + len(nodes)  # the Transform's is packed each time, too
    inside = sum(s for phase, s in seconds.items() if phase not in (PACKING, EXECUTOR, NODE))
    return {
        **seconds,
        REST: seconds[EXECUTOR] - inside,
        METADATA: seconds[NODE] - seconds[EXECUTOR],
    }


if __name__ == "__main__":
    print(json.dumps(_run(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]))))
