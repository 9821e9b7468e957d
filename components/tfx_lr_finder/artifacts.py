"""The types of the component's artifacts, and the files and properties of a sweep."""

import math
import os
from collections.abc import Callable
from typing import Any

from tfx.dsl.io import fileio
from tfx.types import standard_artifacts
from tfx.types.artifact import Artifact

from tfx_lr_finder.core.evidence import EVIDENCE_FILE, SWEEP_TYPE, Evidence
from tfx_lr_finder.search.files import write_file
from tfx_lr_finder.views.plot import plot
from tfx_lr_finder.views.report import report
from tfx_lr_finder.views.summary import one_line
from tfx_lr_finder.views.tensorboard import tensorboard_files

PLOT_FILE = "curve.png"
REPORT_FILE = "report.html"


class LearningRateSweep(Artifact):
    """The evidence for a learning rate: `sweep.json`, `curve.png`, `report.html`, `tensorboard/`.

    Custom properties, set when it is written:

    - `learning_rate` (float), and with all its digits `learning_rate_text` (str);
    - `learning_rate_low` and `learning_rate_high` (float): the interval of rates in which 9 of 10
      repetitions of the search find theirs, if it is known;
    - `spread` (float): standard deviation of the sweeps' rates in decades, if there are several;
    - `constant_loss` (float): loss of the best constant output, if it is known;
    - `proof_loss` (float): loss of the published rate's last proof, if it is finite;
    - `proof_steps` (int): number of steps of that proof, if there is one;
    - `num_proofs` (int): number of proofs of any rate;
    - `rule` and `verdict` (str) of the published rate;
    - `num_sweeps` (int): those with different losses;
    - `stop_reason`, `model` and `optimizer` (str) and `num_steps`, `num_points`, `batch_size`,
      `num_replicas`, `gradient_accumulation_steps` and `seed` (int) of the first sweep;
    - `train_steps` (int): number of steps of the training to come, if it is known;
    - `schedule` (str): how the rate moves in it;
    - `search_steps` (int): number of steps of all trainings of the search;
    - `num_trials` (int): number of trials.

    ML Metadata in SQLite, and Kubeflow Pipelines, keep six decimals of a float; the text and the
    component's other outputs have the exact rate. The rule is `default` if no rate could be
    suggested and the default rate was published.
    """

    # Kubeflow Pipelines accepts no declared PROPERTIES; custom properties reach the next task.
    TYPE_NAME = SWEEP_TYPE


INPUT_TYPES: dict[str, type[Artifact]] = {
    "examples": standard_artifacts.Examples,
    "schema": standard_artifacts.Schema,
    "transform_graph": standard_artifacts.TransformGraph,
    "base_model": standard_artifacts.Model,
    "hyperparameters": standard_artifacts.HyperParameters,
}
"""Type of each input of the component, by name; `examples` alone must be given."""
OUTPUT_TYPES: dict[str, type[Artifact]] = {
    "best_hyperparameters": standard_artifacts.HyperParameters,
    "learning_rate": standard_artifacts.Float,
    "sweep": LearningRateSweep,
}
"""Type of each output of the component, by name."""


def write_sweep(artifact: LearningRateSweep, evidence: Evidence) -> None:
    """Writes the files of the evidence to an artifact, and sets the artifact's properties."""
    picture = plot(evidence)
    contents = {  # all contents exist before the first file is written
        EVIDENCE_FILE: evidence.to_json().encode(),
        PLOT_FILE: picture,
        REPORT_FILE: report(evidence, picture).encode(),
        **tensorboard_files(evidence, picture),
    }
    for name, content in contents.items():
        write_file(os.path.join(artifact.uri, name), content)
    for key, value in _properties(evidence).items():
        set_property = _SETTERS[type(value)]
        set_property(artifact, key, value)


_SETTERS: dict[type, Callable[[Artifact, str, Any], None]] = {
    float: Artifact.set_float_custom_property,
    int: Artifact.set_int_custom_property,
    str: Artifact.set_string_custom_property,
}


def _properties(evidence: Evidence) -> dict[str, float | int | str]:
    """Returns the custom properties of a sweep, by name; what is not known is left out."""
    published, curve = evidence.published, evidence.curves[0]
    proofs = [p for p in evidence.proofs if p.learning_rate == published.learning_rate]
    proof = proofs[-1] if proofs else None
    low, high = published.interval or (None, None)
    properties = {
        "learning_rate": published.learning_rate,
        "learning_rate_text": str(published.learning_rate),
        "learning_rate_low": low,
        "learning_rate_high": high,
        "spread": evidence.spread,
        "constant_loss": curve.constant_loss,
        "proof_loss": proof.loss if proof and math.isfinite(proof.loss) else None,
        "proof_steps": proof.num_steps if proof else None,
        "num_proofs": len(evidence.proofs),
        "num_trials": len(evidence.trials),
        "search_steps": evidence.num_steps,
        "rule": evidence.rule,
        "verdict": published.verdict.value,
        "num_sweeps": len(evidence.curves),
        "stop_reason": curve.stop_reason.value,
        "num_steps": curve.num_steps,
        "num_points": len(curve),
        "seed": curve.seed,
        **curve.known,
    }
    return {name: value for name, value in properties.items() if value is not None}


def found_line(artifact: Artifact, report_uri: str = "") -> str:
    """Returns a line for the end of a log: the rate, its interval, its verdict, and the report.

    Args:
        artifact: The sweep.
        report_uri: Where the report lies; by default in the artifact.
    """
    report_uri = report_uri or os.path.join(artifact.uri, REPORT_FILE)
    return f"{one_line(read_evidence(artifact))}. Report: {report_uri}"


def read_evidence(artifact: Artifact) -> Evidence:
    """Reads the evidence that `write_sweep` wrote to an artifact."""
    with fileio.open(os.path.join(artifact.uri, EVIDENCE_FILE), "rb") as file:
        return Evidence.from_json(file.read().decode())
