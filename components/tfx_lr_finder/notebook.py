"""Shows a sweep in a notebook, through TFX's InteractiveContext."""

import os

from IPython.display import HTML, Image, display
from tfx.dsl.io import fileio
from tfx.orchestration.experimental.interactive import visualizations
from tfx.types.artifact import Artifact

from tfx_lr_finder.artifacts import PLOT_FILE, LearningRateSweep, read_evidence
from tfx_lr_finder.views.summary import html_summary


class LearningRateSweepVisualization(visualizations.ArtifactVisualization):
    """Shows the learning rate, its verdict in words, and the picture of a sweep."""

    ARTIFACT_TYPE = LearningRateSweep

    def display(self, artifact: Artifact) -> None:
        """Shows a sweep in the output of the notebook's cell."""
        display(HTML(html_summary(read_evidence(artifact))))
        with fileio.open(os.path.join(artifact.uri, PLOT_FILE), "rb") as file:
            display(Image(file.read()))


def register_visualization() -> None:
    """Makes `context.show(finder.outputs["sweep"])` show the rate and the plot.

    Call it once in a notebook, like TFX's `register_standard_visualizations`.
    """
    visualizations.get_registry().register(LearningRateSweepVisualization)
