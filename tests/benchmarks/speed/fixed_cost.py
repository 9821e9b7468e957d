"""Part 3: what the component costs beyond its sweep, against the Trainer beyond its training."""

import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras
from tfx.components.trainer import executor as trainer_executor
from tfx.components.util import udf_utils

from speed.phases import Seconds, timed
from speed.report import Result, at_most
from speed.taxi_pipeline import Node, TaxiPipeline, finder, trainer
from speed.timing import interleaved, ratio, spread
from tfx_lr_finder import executor, sweep, sweep_loop, user_module

ROUNDS = 5
IMPORT_ROUNDS = 3
TRAIN_STEPS = 200

IMPORTS = ("tfx_lr_finder", "tfx_lr_finder.executor", "tfx.components.trainer.executor")

PACKING, LOADING = "packing the module", "loading the module"
TRACING, SWEEP = "tracing", "sweep"
FIT, EXPORT = "fit", "export"
EXECUTOR, NODE, METADATA, REST = "executor", "node", "metadata and driver", "rest"

_BOTH = {
    PACKING: (udf_utils, "package_user_module_file"),
    LOADING: (udf_utils, "get_fn"),
}
FINDER_PHASES = {
    **_BOTH,
    "user's function: data and model": (user_module, "call"),
    TRACING: (sweep, "build_loop"),
    SWEEP: (sweep_loop.Loop, "run"),
    "report, plot and curve": (executor, "write_sweep"),
    "rate and hyperparameters": (executor, "_write_rate"),
    EXECUTOR: (executor.Executor, "Do"),
}
TRAINER_PHASES = {
    **_BOTH,
    FIT: (keras.Model, "fit"),
    EXPORT: (keras.Model, "export"),
    EXECUTOR: (trainer_executor.GenericExecutor, "Do"),
}


def measure() -> list[Result]:
    """Returns the phases of both components, their fixed costs, and the times of imports."""
    results = _imports()
    with tempfile.TemporaryDirectory() as folder:
        finders, trainers = _nodes(Path(folder) / "pipeline")
    for name, rounds in (("finder", finders), ("Trainer", trainers)):
        for phase in rounds[0]:
            # The first of each in a process loads libraries.
            values = spread([seconds[phase] for seconds in rounds[1:]])
            results.append(Result.of(f"{name}: {phase}", values, "s"))
    work = {
        "finder": (finders, (TRACING, SWEEP)),
        "Trainer": (trainers, (FIT,)),
        "Trainer without export": (trainers, (FIT, EXPORT)),
    }
    costs = {
        name: [_fixed(seconds, *phases) for seconds in rounds]
        for name, (rounds, phases) in work.items()
    }
    for name, (first, *values) in costs.items():
        results.append(Result(f"fixed cost, first in its process: {name}", first, "s"))
        costs[name] = values
        results.append(Result.of(f"fixed cost: {name}", spread(values), "s"))
    over = ratio(costs, "finder", "Trainer")
    results.append(Result.of("fixed cost: finder / Trainer", over, "x", at_most(1.0)))
    over = ratio(costs, "finder", "Trainer without export")
    results.append(Result.of("fixed cost: finder / Trainer without export", over, "x"))
    return results


def _fixed(seconds: Seconds, *work: str) -> float:
    return seconds[PACKING] + seconds[NODE] - sum(seconds[phase] for phase in work)


def _imports() -> list[Result]:
    def importing(module: str) -> None:
        subprocess.run([sys.executable, "-W", "ignore", "-c", f"import {module}"], check=True)

    times = interleaved({m: lambda m=m: importing(m) for m in IMPORTS}, IMPORT_ROUNDS)
    results = [Result.of(f"import {module}", spread(times[module]), "s") for module in IMPORTS]
    _, finder, trainer = IMPORTS
    over = ratio(times, finder, trainer)
    return [*results, Result.of("import: finder's executor / Trainer's", over, "x", at_most(1.0))]


def _nodes(folder: Path) -> tuple[list[Seconds], list[Seconds]]:
    """Runs finder and Trainer in turns; returns the phases of each round, and of one before."""
    pipeline = TaxiPipeline(folder, TRAIN_STEPS)
    finders: list[Seconds] = []
    trainers: list[Seconds] = []
    for number in range(ROUNDS + 1):
        found = finder(f"Finder{number}")
        finders.append(_phases(pipeline, FINDER_PHASES, found))
        trained = trainer(f"Trainer{number}", found)
        trainers.append(_phases(pipeline, TRAINER_PHASES, found, trained))
    return finders, trainers


def _phases(pipeline: TaxiPipeline, functions: Mapping[str, Any], *nodes: Node) -> Seconds:
    """Runs nodes, the last one for the first time, and returns the phases of that."""
    with timed(functions) as seconds:
        seconds[NODE] = pipeline.run(*nodes)[nodes[-1].name]
    seconds[PACKING] /= 1 + len(nodes)  # the Transform's is packed each time, too
    inside = sum(s for phase, s in seconds.items() if phase not in (PACKING, EXECUTOR, NODE))
    return {
        **seconds,
        REST: seconds[EXECUTOR] - inside,
        METADATA: seconds[NODE] - seconds[EXECUTOR],
    }
