"""Shows a sweep in a notebook, through TFX's InteractiveContext."""

import os

from IPython.display import HTML, Image, display
from tfx.dsl.io import fileio
from tfx.orchestration.experimental.interactive import visualizations
from tfx.types.artifact import Artifact

from tfx_lr_finder.artifacts import PLOT_FILE, LearningRateSweep, read_evidence
from tfx_lr_finder.views.report import with_code


class LearningRateSweepVisualization(visualizations.ArtifactVisualization):
    """Shows the learning rate, its verdict in words, and the picture of a sweep."""

    ARTIFACT_TYPE = LearningRateSweep

    def display(self, artifact: Artifact) -> None:
        """Shows a sweep in the output of the notebook's cell."""
        published = read_evidence(artifact).published
        rate, verdict = f"{published.learning_rate:.3g}", published.verdict
        meaning = f"{verdict.value}: {with_code(verdict.meaning)}"
        display(HTML(f"<p><strong>Learning rate {rate}</strong> ({meaning})</p>"))
        with fileio.open(os.path.join(artifact.uri, PLOT_FILE), "rb") as file:
            display(Image(file.read()))


def register_visualization() -> None:
    """Makes `context.show(finder.outputs["sweep"])` show the rate and the plot.

    Call it once in a notebook, like TFX's `register_standard_visualizations`.
    """
    visualizations.get_registry().register(LearningRateSweepVisualization)
