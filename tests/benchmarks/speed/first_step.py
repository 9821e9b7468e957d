"""Part 2: what the first step costs, with tracing, against `fit`'s own."""

from typing import Any

from speed.contenders import sweeps
from speed.report import Result, at_most
from speed.timing import Times, interleaved, ratio, seconds, spread
from speed.workloads import TABULAR, WORKLOADS, Workload
from tfx_lr_finder import range_test

ROUNDS = 7
NUM_SWEEPS = 5


def measure() -> list[Result]:
    """Returns the time to the end of the first step, and of the sweeps after the first."""
    results = []
    for workload in WORKLOADS:
        times = _first_steps(workload)
        for name in times:
            results.append(Result.of(f"{workload.name}: {name}", spread(times[name]), "s"))
        over = ratio(times, "range_test", "fit")
        results.append(Result.of(f"{workload.name}: range_test / fit", over, "x", at_most(1.2)))
    curves = sweeps(TABULAR)
    first, *later = (seconds(lambda: next(curves)) for _ in range(NUM_SWEEPS))
    results.append(Result(f"{TABULAR.name}: first sweep, 1000 steps", first, "s"))
    results.append(Result.of(f"{TABULAR.name}: each later sweep", spread(later), "s"))
    return results


def _first_steps(workload: Workload) -> Times:
    """Times the first two steps of a new model: a range test has at least two."""
    dataset = workload.dataset().take(2)

    def fit(model: Any) -> None:
        model.fit(dataset, verbose=0)

    def sweep(model: Any) -> None:
        range_test(model, dataset, num_steps=2, max_learning_rate=1e-5)

    contenders = {"fit": fit, "range_test": sweep}
    interleaved({name: lambda f=f: f(workload.model()) for name, f in contenders.items()}, 1)
    times: Times = {name: [] for name in contenders}
    for _ in range(ROUNDS):
        for name, contender in contenders.items():
            model = workload.model()
            times[name].append(seconds(lambda c=contender, m=model: c(m)))
    return times
