"""Runs one of the example pipelines on this machine, and prints the rate that it found."""

import importlib
from pathlib import Path
from typing import Any

from tfx_lr_finder.local import output_to_log

LOG_FILE = "run.log"
METADATA_FILE = "metadata.db"


def run_demo(name: str, folder: Path) -> None:
    """Runs the pipeline of a package, and prints a summary.

    Args:
        name: Name of the package, which has `pipeline.create_components`; also the name of the
            pipeline.
        folder: Folder for the pipeline's artifacts, metadata and log.
    """
    print("Loading TFX ...", flush=True)
    with output_to_log(folder / LOG_FILE) as terminal:
        from tfx.orchestration.pipeline import Pipeline

        from tfx_lr_finder.local import run_pipeline

        pipeline = Pipeline(
            pipeline_name=name,
            pipeline_root=str(folder),
            components=importlib.import_module(f"{name}.pipeline").create_components(),
            enable_cache=True,
            metadata_connection_config=metadata_of(folder),
        )
        run_pipeline(pipeline, terminal)


def metadata_of(folder: Path) -> Any:
    """Returns how to connect to the metadata of a demo in a folder."""
    from tfx.orchestration.metadata import sqlite_metadata_connection_config

    return sqlite_metadata_connection_config(str(folder / METADATA_FILE))
