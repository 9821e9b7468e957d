"""Measures what a sweep costs, and prints it beside its targets.

    PYTHONPATH=tests/benchmarks python -m speed [--part 1 2 3 4 5 6] [--output output/speed]

Under half an hour on two cores that have nothing else to do. The results of each part are kept
as JSON; the table shows every part that was measured.
"""

import argparse
import importlib
import os
import time
from pathlib import Path

os.environ.update(CUDA_VISIBLE_DEVICES="-1", TF_CPP_MIN_LOG_LEVEL="3")

from speed.report import PARTS, write_part, write_report

MODULES = {1: "steps", 2: "first_step", 3: "fixed_cost", 4: "tuner", 5: "growth", 6: "share"}


def main() -> None:
    """Runs the benchmark."""
    parser = argparse.ArgumentParser(prog="python -m speed")
    parser.add_argument("--part", type=int, nargs="+", choices=PARTS, default=[*PARTS])
    parser.add_argument("--output", type=Path, default=Path("output/speed"))
    arguments = parser.parse_args()
    for part in arguments.part:
        started = time.monotonic()
        measure = importlib.import_module(f"speed.{MODULES[part]}").measure
        write_part(arguments.output, part, measure())
        print(f"Part {part}: {time.monotonic() - started:.0f} s", flush=True)
    print(write_report(arguments.output))


if __name__ == "__main__":
    main()
