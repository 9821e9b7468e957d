"""Part 2: what the first step costs, with tracing, against `fit`'s own; and every later sweep."""

import contextlib
from typing import Any

from speed.contenders import sweeps
from speed.report import Result, at_most
from speed.timing import Times, interleaved, ratio, seconds, spread
from speed.workloads import WORKLOADS, Workload
from tfx_lr_finder import range_test

ROUNDS = 5
NUM_STEPS = 2
"""Of each training: a range test has at least two."""
NUM_SWEEPS = 5


def measure() -> list[Result]:
    """Returns the time to the end of the first step, and of the sweeps after the first."""
    results = []
    for workload in WORKLOADS:
        times = _first_steps(workload)
        for name in times:
            results.append(Result.of(f"{workload.name}: {name}", spread(times[name]), "s"))
        over = ratio(times, "range_test", "fit")
        results += [
            Result.of(f"{workload.name}: range_test / fit", over, "x", at_most(1.2)),
            *_later_sweeps(workload),
        ]
    return results


def _first_steps(workload: Workload) -> Times:
    """Times the first two steps of a new model."""
    dataset = workload.dataset().take(NUM_STEPS)

    def fit(model: Any) -> None:
        model.fit(dataset, verbose=0)

    def sweep(model: Any) -> None:
        range_test(model, dataset, num_steps=NUM_STEPS, max_learning_rate=1e-5)

    contenders = {"fit": fit, "range_test": sweep}
    interleaved({name: lambda f=f: f(workload.model()) for name, f in contenders.items()}, 1)
    times: Times = {name: [] for name in contenders}
    for _ in range(ROUNDS):
        for name, contender in contenders.items():
            model = workload.model()
            times[name].append(seconds(lambda c=contender, m=model: c(m)))
    return times


def _later_sweeps(workload: Workload) -> list[Result]:
    """Sweeps over and over, each of a new model; counts how often its step is traced."""
    traces = 0

    def model() -> Any:
        made = workload.model()
        train_step = made.train_step

        def counting(batch: Any) -> Any:
            nonlocal traces
            traces += 1
            return train_step(batch)

        made.train_step = counting
        return made

    with contextlib.closing(sweeps(workload, NUM_STEPS, model)) as curves:
        next(curves)
        traces_of_first = traces
        later = [seconds(lambda: next(curves)) for _ in range(NUM_SWEEPS - 1)]
    more = traces - traces_of_first
    line = f"{workload.name}: traces for {len(later)} more sweeps"
    return [
        Result.of(f"{workload.name}: a later sweep, of a new model", spread(later), "s"),
        Result(line, more, "", target=at_most(0)),
    ]
