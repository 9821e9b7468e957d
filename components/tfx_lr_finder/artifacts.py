"""The types of the component's artifacts, and the files and properties of a sweep."""

import math
import os

from tfx.dsl.io import fileio
from tfx.types import standard_artifacts
from tfx.types.artifact import Artifact

from tfx_lr_finder.core.evidence import EVIDENCE_FILE, SWEEP_TYPE, Evidence
from tfx_lr_finder.search.files import write_file
from tfx_lr_finder.views.plot import plot
from tfx_lr_finder.views.report import report
from tfx_lr_finder.views.tensorboard import tensorboard_files

PLOT_FILE = "curve.png"
REPORT_FILE = "report.html"


class LearningRateSweep(Artifact):
    """The evidence for a learning rate: `sweep.json`, `curve.png`, `report.html`, `tensorboard/`.

    Custom properties, set when it is written:

    - `learning_rate` (float);
    - `spread` (float): standard deviation of the sweeps' rates in decades, if there are several;
    - `constant_loss` (float): loss of the best constant output, if it is known;
    - `proof_loss` (float): loss of the published rate's last proof, if it is finite;
    - `proof_steps` (int): number of steps of that proof, if there is one;
    - `num_proofs` (int): number of proofs of any rate;
    - `rule` and `verdict` (str) of the published rate;
    - `num_sweeps` (int);
    - `stop_reason`, `model` and `optimizer` (str) and `num_steps`, `num_points`, `batch_size`,
      `num_replicas`, `gradient_accumulation_steps` and `seed` (int) of the first sweep;
    - `train_steps` (int): number of steps of the training to come, if it is known.

    ML Metadata in SQLite keeps six decimals of a float; the component's other outputs have the
    exact rate. The rule is `default` if no rate could be suggested and the default rate was
    published.
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
    published, curve = evidence.published, evidence.curves[0]
    artifact.set_float_custom_property("learning_rate", published.learning_rate)
    if evidence.spread is not None:
        artifact.set_float_custom_property("spread", evidence.spread)
    artifact.set_string_custom_property("rule", evidence.rule)
    artifact.set_string_custom_property("verdict", published.verdict.value)
    artifact.set_string_custom_property("stop_reason", curve.stop_reason.value)
    artifact.set_int_custom_property("num_sweeps", len(evidence.curves))
    artifact.set_int_custom_property("num_points", len(curve))
    artifact.set_int_custom_property("num_steps", curve.num_steps)
    artifact.set_int_custom_property("seed", curve.seed)
    _set_proofs(artifact, evidence)
    for name, fact in curve.known.items():
        if isinstance(fact, str):
            artifact.set_string_custom_property(name, fact)
        else:
            artifact.set_int_custom_property(name, fact)


def _set_proofs(artifact: LearningRateSweep, evidence: Evidence) -> None:
    constant_loss = evidence.curves[0].constant_loss
    if constant_loss is not None:
        artifact.set_float_custom_property("constant_loss", constant_loss)
    artifact.set_int_custom_property("num_proofs", len(evidence.proofs))
    rate = evidence.published.learning_rate
    of_rate = [proof for proof in evidence.proofs if proof.learning_rate == rate]
    if of_rate:
        artifact.set_int_custom_property("proof_steps", of_rate[-1].num_steps)
        if math.isfinite(of_rate[-1].loss):
            artifact.set_float_custom_property("proof_loss", of_rate[-1].loss)


def read_evidence(artifact: Artifact) -> Evidence:
    """Reads the evidence that `write_sweep` wrote to an artifact."""
    with fileio.open(os.path.join(artifact.uri, EVIDENCE_FILE), "rb") as file:
        return Evidence.from_json(file.read().decode())
