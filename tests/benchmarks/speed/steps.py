"""Part 1: what a step of the sweep costs, against the limit and against the peers."""

import statistics

from speed.contenders import CONTENDERS
from speed.report import Result, at_least, at_most
from speed.timing import interleaved, ratio, spread
from speed.workloads import TABULAR, WORKLOADS

ROUNDS = 15


def measure() -> list[Result]:
    """Returns the cost of a step of every contender on every workload, and the ratios."""
    results, to_limit = [], []
    for workload in WORKLOADS:
        contenders = {name: make(workload) for name, make in CONTENDERS.items()}
        times = interleaved(contenders, ROUNDS)
        for name in CONTENDERS:
            milliseconds = spread(times[name]).scaled(1e3 / workload.num_steps)
            results.append(Result.of(f"{workload.name}: {name}", milliseconds, "ms/step"))
        over = ratio(times, "sweep", "limit")
        to_limit.append(over.median)
        results.append(Result.of(f"{workload.name}: sweep / limit", over, "x", at_most(1.15)))
        for peer in CONTENDERS:
            if peer in ("limit", "sweep"):
                continue
            target = at_least(3.0 if workload is TABULAR else 1.0)
            results.append(
                Result.of(
                    f"{workload.name}: {peer} / sweep", ratio(times, peer, "sweep"), "x", target
                )
            )
    median = statistics.median(to_limit)
    results.append(Result("sweep / limit, median of the five", median, "x", target=at_most(1.05)))
    return results
