"""The artifact of a search: its type, its files, and the facts in its properties."""

import math
import os

from tfx.dsl.io import fileio
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

    Custom properties, set when it is written: `learning_rate` (float); `spread` (float, decades,
    of more than one sweep); `constant_loss` (float, the loss of the best constant output, where it
    is known); `proof_loss` (float, that of the published rate's proof, where it is finite);
    `proof_steps` and `num_proofs` (int); `rule`, `verdict` and `stop_reason` (str, the first
    sweep's); `num_sweeps`, `num_steps`, `num_points`, `batch_size`, `num_replicas`,
    `gradient_accumulation_steps` and `seed` (int); `train_steps` (int, where it is known). `rule`
    is `default` where no rate could be suggested and the default rate was published. ML Metadata
    in SQLite keeps six decimals of a float: the exact rate is in the component's other outputs.
    """

    # Kubeflow Pipelines accepts no declared PROPERTIES; custom properties reach the next task.
    TYPE_NAME = SWEEP_TYPE


def write_sweep(artifact: LearningRateSweep, evidence: Evidence) -> None:
    """Writes the evidence's files to an artifact, and its facts to the artifact's properties."""
    picture = plot(evidence)
    contents = {  # all of them, before the first is written
        EVIDENCE_FILE: evidence.to_json().encode(),
        PLOT_FILE: picture,
        REPORT_FILE: report(evidence, picture).encode(),
        **tensorboard_files(evidence, picture),
    }
    for name, content in contents.items():
        write_file(os.path.join(artifact.uri, name), content)
    suggestion, curve = evidence.suggestion, evidence.curves[0]
    artifact.set_float_custom_property("learning_rate", suggestion.learning_rate)
    if suggestion.spread is not None:
        artifact.set_float_custom_property("spread", suggestion.spread)
    artifact.set_string_custom_property("rule", suggestion.rule)
    artifact.set_string_custom_property("verdict", suggestion.verdict.value)
    artifact.set_string_custom_property("stop_reason", curve.stop_reason.value)
    artifact.set_int_custom_property("num_sweeps", len(evidence.curves))
    artifact.set_int_custom_property("num_points", len(curve))
    _set_proofs(artifact, evidence)
    names = ("num_steps", "batch_size", "num_replicas", "gradient_accumulation_steps", "seed")
    for name in names:
        artifact.set_int_custom_property(name, getattr(curve, name))
    if curve.train_steps is not None:
        artifact.set_int_custom_property("train_steps", curve.train_steps)


def _set_proofs(artifact: LearningRateSweep, evidence: Evidence) -> None:
    constant_loss = evidence.curves[0].constant_loss
    if constant_loss is not None:
        artifact.set_float_custom_property("constant_loss", constant_loss)
    artifact.set_int_custom_property("num_proofs", len(evidence.proofs))
    rate = evidence.suggestion.learning_rate
    of_rate = [proof for proof in evidence.proofs if proof.learning_rate == rate]
    if of_rate:
        artifact.set_int_custom_property("proof_steps", of_rate[-1].num_steps)
        if math.isfinite(of_rate[-1].loss):
            artifact.set_float_custom_property("proof_loss", of_rate[-1].loss)


def read_evidence(artifact: Artifact) -> Evidence:
    """Returns the evidence that `write_sweep` wrote."""
    with fileio.open(os.path.join(artifact.uri, EVIDENCE_FILE), "rb") as file:
        return Evidence.from_json(file.read().decode())
