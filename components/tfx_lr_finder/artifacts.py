"""The artifact of a sweep: its type, its files, and the facts in its properties."""

import os

from tfx.dsl.io import fileio
from tfx.types.artifact import Artifact

from tfx_lr_finder.curve import Curve
from tfx_lr_finder.plot import plot
from tfx_lr_finder.report import report
from tfx_lr_finder.suggestion import Suggestion

CURVE_FILE = "curve.json"
PLOT_FILE = "curve.png"
REPORT_FILE = "report.html"


class LearningRateSweep(Artifact):
    """The evidence for a learning rate: `curve.json`, `curve.png` and `report.html`.

    Custom properties, set when it is written: `learning_rate` (float); `rule`, `verdict` and
    `stop_reason` (str); `num_steps`, `num_points`, `batch_size` and `seed` (int). `rule` is
    `default` where no rate could be suggested and the default rate was published. ML Metadata in
    SQLite keeps six decimals of a float: the exact rate is in the component's other outputs.
    """

    # Kubeflow Pipelines imports the type under this very name: `<package>.<Class>`. It accepts
    # no declared PROPERTIES; custom properties reach the next task.
    TYPE_NAME = "tfx_lr_finder.LearningRateSweep"


def write_sweep(artifact: LearningRateSweep, curve: Curve, suggestion: Suggestion) -> None:
    """Writes a sweep's files to an artifact, and its facts to the artifact's properties."""
    picture = plot(curve, suggestion)
    contents = {  # all of them, before the first is written
        CURVE_FILE: curve.to_json().encode(),
        PLOT_FILE: picture,
        REPORT_FILE: report(curve, suggestion, picture).encode(),
    }
    for name, content in contents.items():
        write_file(os.path.join(artifact.uri, name), content)
    artifact.set_float_custom_property("learning_rate", suggestion.learning_rate)
    artifact.set_string_custom_property("rule", suggestion.rule)
    artifact.set_string_custom_property("verdict", suggestion.verdict.value)
    artifact.set_string_custom_property("stop_reason", curve.stop_reason.value)
    artifact.set_int_custom_property("num_steps", curve.num_steps)
    artifact.set_int_custom_property("num_points", len(curve))
    artifact.set_int_custom_property("batch_size", curve.batch_size)
    artifact.set_int_custom_property("seed", curve.seed)


def read_curve(artifact: Artifact) -> Curve:
    """Returns the curve that `write_sweep` wrote."""
    with fileio.open(os.path.join(artifact.uri, CURVE_FILE), "rb") as file:
        return Curve.from_json(file.read().decode())


def write_file(uri: str, content: bytes) -> None:
    """Writes a file through TFX's file systems, with the folder that it lies in."""
    fileio.makedirs(os.path.dirname(uri))
    with fileio.open(uri, "wb") as file:
        file.write(content)
