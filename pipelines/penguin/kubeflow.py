"""The penguin pipeline for Kubeflow, with its code and its data in the image.

tfx-lr-finder compile penguin.kubeflow:create_pipeline --image IMAGE --output penguin.yaml
"""

from tfx.orchestration.data_types import RuntimeParameter
from tfx.orchestration.pipeline import Pipeline

from penguin.pipeline import create_components
from tfx_lr_finder.search.options import SweepOptions

PIPELINE_NAME = "penguin"
MODULE_IN_IMAGE = "penguin.module.model"
DATA_IN_IMAGE = "/pipelines/penguin/data"
NUM_STEPS = RuntimeParameter("num_steps", ptype=int, default=SweepOptions.num_steps)


def create_pipeline() -> Pipeline:
    """Returns the pipeline. The number of steps of the sweep is a parameter of each run."""
    return Pipeline(
        PIPELINE_NAME,
        components=create_components(DATA_IN_IMAGE, MODULE_IN_IMAGE, num_steps=NUM_STEPS),
        enable_cache=True,
    )
