"""Part 5: how time and memory grow with the data, the steps, the sweeps, and in a container."""

import contextlib
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import apache_beam as beam_library
from tfx.proto import trainer_pb2
from tfx.types.standard_artifacts import Examples
from tfx.utils import proto_utils

from speed import container, records
from speed.contenders import GREATEST, LEAST, sweeps, warm
from speed.report import Result, at_least, at_most
from speed.timing import Times, interleaved, ratio, spread
from speed.workloads import TABULAR
from tfx_lr_finder.search.request import Search

HERE = Path(__file__).parent
FACTORS = (1, 10, 100)
DATA_ROUNDS = 3
STEPS = (100, 1000, 10_000)
STEP_ROUNDS = 5
NUM_SWEEPS = 4
WORKERS = (1, 2)
WORKER_STEPS = 80
WORKER_ROUNDS = 2
CONTAINER_ROUNDS = 3


def measure() -> list[Result]:
    """Returns how a sweep grows, and when it starts in a container."""
    with tempfile.TemporaryDirectory() as folder:
        return [
            *_data(Path(folder)),
            *_steps(),
            *_workers(Path(folder)),
            *_container(Path(folder)),
        ]


def _data(folder: Path) -> list[Result]:
    """Sweeps over data sets of several sizes, each in a process of its own."""
    patterns = {factor: records.write(folder / f"data{factor}", factor) for factor in FACTORS}
    times: Times = {str(factor): [] for factor in FACTORS}
    peaks: Times = {str(factor): [] for factor in FACTORS}
    for _ in range(DATA_ROUNDS):
        for factor, pattern in patterns.items():
            command = [sys.executable, "-W", "ignore", "-m", "speed.records", pattern]
            measured = json.loads(subprocess.check_output(command).splitlines()[-1])
            times[str(factor)].append(measured["seconds"])
            peaks[str(factor)].append(measured["peak"] / 2**20)
    results = []
    for name, values, unit in (("time", times, "s"), ("peak memory", peaks, "MiB")):
        for factor in FACTORS:
            result = Result.of(f"{name}, data x {factor}", spread(values[str(factor)]), unit)
            results.append(result)
        for factor in FACTORS[1:]:
            over = ratio(values, str(factor), "1")
            results.append(Result.of(f"{name}: data x {factor} / x 1", over, "x", at_most(1.1)))
    return results


def _steps() -> list[Result]:
    """Sweeps of several lengths, all of them traced before.

    What a sweep costs whatever its length makes a step of a long one look cheap: the longest is
    compared with the line through the other two.
    """
    with contextlib.ExitStack() as stack:
        model = TABULAR.model()
        contenders = {}
        for num_steps in STEPS:
            curves = stack.enter_context(
                contextlib.closing(sweeps(TABULAR, num_steps, lambda: model))
            )
            contenders[str(num_steps)] = warm(lambda curves=curves: next(curves))
        times = interleaved(contenders, STEP_ROUNDS)
    results = [Result.of(f"{n} steps", spread(times[str(n)]), "s") for n in STEPS]
    few, some, many = STEPS
    pairs = zip(times[str(few)], times[str(some)], strict=True)
    more = (many - few) / (some - few)
    times["linear"] = [short + more * (long - short) for short, long in pairs]
    over = ratio(times, str(many), "linear")
    name = f"{many} steps / what {few} and {some} foretell"
    return [*results, Result.of(name, over, "x", at_most(1.1))]


def _workers(folder: Path) -> list[Result]:
    """Four sweeps on one and two Beam workers, each of one core; their start counts."""
    split = folder / "examples" / "Split-train"
    split.mkdir(parents=True)
    (split / "unread").touch()
    # As in pods of one core: otherwise a single worker's TensorFlow would take both.
    os.environ.update(TF_NUM_INTRAOP_THREADS="1", TF_NUM_INTEROP_THREADS="1", OMP_NUM_THREADS="1")
    try:
        contenders = {str(w): lambda w=w: _run_workers(folder, w) for w in WORKERS}
        times = interleaved(contenders, WORKER_ROUNDS)
    finally:
        for name in ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS", "OMP_NUM_THREADS"):
            del os.environ[name]
    results = [
        Result.of(f"{NUM_SWEEPS} sweeps, Beam workers: {w}", spread(times[w]), "s") for w in times
    ]
    gain = ratio(times, "1", "2")
    return [*results, Result.of("1 worker / 2 workers", gain, "x", at_least(1.6))]


def _run_workers(folder: Path, workers: int) -> None:
    options = ["--direct_running_mode=multi_processing", f"--direct_num_workers={workers}"]
    workers.run(
        _search(folder),
        "sweeps",
        list(range(NUM_SWEEPS)),
        lambda: beam_library.Pipeline(argv=options),
        str(folder / f"results{workers}"),
    )


def _search(folder: Path) -> Search:
    examples = Examples()
    examples.uri = str(folder / "examples")
    examples.split_names = '["train", "eval"]'
    properties = {
        "module_file": str(HERE / "worker_code" / "heavy.py"),
        "train_args": proto_utils.proto_to_json(trainer_pb2.TrainArgs(num_steps=1000)),
        "eval_args": proto_utils.proto_to_json(trainer_pb2.EvalArgs()),
        "num_sweeps": NUM_SWEEPS,
        "num_steps": WORKER_STEPS,
        "min_learning_rate": LEAST,
        "max_learning_rate": GREATEST,
    }
    return Search.of_execution({"examples": [examples]}, properties, None)


def _container(folder: Path) -> list[Result]:
    """A task's container, started several times."""
    what = "container start to first step"
    if not container.is_there():
        return [Result(f"{what}: no image that runs", None, "s")]
    taken = []
    for number in range(CONTAINER_ROUNDS):
        (folder / f"container{number}").mkdir()
        taken.append(container.seconds_to_first_step(folder / f"container{number}"))
    return [Result.of(what, spread(taken), "s")]
