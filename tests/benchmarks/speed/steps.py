"""Part 1: what a step of the sweep costs, against the limit and against the peers."""

import statistics

from speed.contenders import CONTENDERS, PEERS
from speed.report import Result, at_least, at_most
from speed.timing import interleaved, ratio, ratios, spread
from speed.workloads import TABULAR, WORKLOADS

ROUNDS = 7


def measure() -> list[Result]:
    """Returns the cost of a step of every contender on every workload, and the ratios."""
    results, to_limit = [], []
    for workload in WORKLOADS:
        contenders = {name: make(workload) for name, make in CONTENDERS.items()}
        times = interleaved(contenders, ROUNDS)
        for name in CONTENDERS:
            milliseconds = spread(times[name]).scaled(1e3 / workload.num_steps)
            results.append(Result.of(f"{workload.name}: {name}", milliseconds, "ms/step"))
        over = ratios(times, "sweep", "limit")
        to_limit.append(over)
        line = f"{workload.name}: sweep / limit"
        results.append(Result.of(line, spread(over), "x", at_most(1.15)))
        validated = ratio(times, "sweep, validated", "limit, validated")
        line = f"{workload.name}: sweep / limit, validated"
        results.append(Result.of(line, validated, "x", at_most(1.15)))
        target = at_least(3.0 if workload is TABULAR else 1.0)
        for peer in PEERS:
            faster = ratio(times, peer, "sweep")
            results.append(Result.of(f"{workload.name}: {peer} / sweep", faster, "x", target))
    # Round by round, the model in the middle.
    medians = spread([statistics.median(a_round) for a_round in zip(*to_limit, strict=True)])
    line = "sweep / limit, median of the five models"
    return [*results, Result.of(line, medians, "x", at_most(1.05))]
