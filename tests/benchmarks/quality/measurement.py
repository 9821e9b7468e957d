"""What is measured of a combination: its oracle and its sweeps, kept in files."""

import dataclasses
import json
import pathlib
from collections.abc import Iterable

import keras

from quality import sweeps
from quality.constant_rates import measure_oracle
from quality.data import load
from quality.oracle import Oracle
from quality.tasks import Combination
from tfx_lr_finder.core.curve import Curve


@dataclasses.dataclass(frozen=True, eq=False)
class Measurement:
    """Everything that the rules and the score read.

    Attributes:
        combination: What was measured.
        oracle: Its validation losses at constant rates.
        sweeps: For each range, by its name, one sweep a seed.
    """

    combination: Combination
    oracle: Oracle
    sweeps: dict[str, list[Curve]]


def measure(
    combination: Combination, directory: pathlib.Path, ranges: Iterable[str]
) -> Measurement:
    """Returns the measurement of a combination; of what a file holds, nothing is repeated.

    Args:
        combination: What to measure.
        directory: Where the files are.
        ranges: Names of the ranges of the sweeps.
    """
    directory = directory / combination.name
    directory.mkdir(parents=True, exist_ok=True)
    data = load(combination.data)
    keras.backend.clear_session()
    oracle_file = directory / "oracle.json"
    if not oracle_file.exists():
        _write(oracle_file, measure_oracle(combination, data).to_json())
    measured = {}
    for name in ranges:
        sweeps_file = directory / f"{name}.json"
        if not sweeps_file.exists():
            texts = [
                sweeps.sweep(combination, data, sweeps.RANGES[name], seed).to_json()
                for seed in range(sweeps.num_seeds(combination, sweeps.RANGES[name]))
            ]
            _write(sweeps_file, json.dumps(texts))
        measured[name] = [Curve.from_json(text) for text in json.loads(sweeps_file.read_text())]
    return Measurement(combination, Oracle.from_json(oracle_file.read_text()), measured)


def _write(file: pathlib.Path, text: str) -> None:
    """Writes a file as a whole or not at all, so that an interrupted run can be resumed."""
    unfinished = file.with_suffix(".unfinished")
    unfinished.write_text(text)
    unfinished.replace(file)
