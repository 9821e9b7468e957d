"""A pipeline of an importer and the finder on a function of `mistakes`, in a process of its own.

`python pipeline.py EXAMPLES FOLDER FUNCTION NUM_STEPS NUM_SWEEPS [BEAM_ARGUMENT ...]`
"""

import sys

from tfx.dsl.components.common.importer import Importer
from tfx.orchestration.local.local_dag_runner import LocalDagRunner
from tfx.orchestration.metadata import sqlite_metadata_connection_config
from tfx.orchestration.pipeline import Pipeline
from tfx.types import standard_artifacts

from tfx_lr_finder import LearningRateFinder


def run(examples, folder, function, num_steps, num_sweeps=1, beam_arguments=()):
    """Runs the pipeline; its root and its metadata lie in the folder."""
    importer = Importer(
        source_uri=str(examples),
        artifact_type=standard_artifacts.Examples,
        properties={"split_names": '["train","eval"]'},
    ).with_id("Examples")
    finder = LearningRateFinder(
        examples=importer.outputs["result"],
        lr_finder_fn=f"mistakes.{function}",
        num_steps=num_steps,
        num_sweeps=num_sweeps,
    )
    LocalDagRunner().run(
        Pipeline(
            pipeline_name="finder",
            pipeline_root=f"{folder}/root",
            components=[importer, finder],
            metadata_connection_config=sqlite_metadata_connection_config(f"{folder}/metadata.db"),
            beam_pipeline_args=list(beam_arguments),
        )
    )


if __name__ == "__main__":
    examples, folder, function, num_steps, num_sweeps, *beam_arguments = sys.argv[1:]
    run(examples, folder, function, int(num_steps), int(num_sweeps), beam_arguments)
