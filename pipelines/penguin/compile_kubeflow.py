"""Compiles the penguin pipeline for Kubeflow: `python -m penguin.compile_kubeflow --help`."""

import argparse
import shutil
from collections.abc import Sequence
from pathlib import Path

from tfx.orchestration.data_types import RuntimeParameter

from penguin.pipeline import DATA, create_components
from tfx_lr_finder.kubeflow import compile_pipeline
from tfx_lr_finder.search.options import SweepOptions

PIPELINE_NAME = "penguin"
MODULE_IN_IMAGE = "penguin.module.model"
DATA_IN_IMAGE = "/pipelines/penguin/data"


def main(argv: Sequence[str] | None = None) -> None:
    """Writes the compiled pipeline.

    Args:
        argv: Command-line arguments; by default those of this process.
    """
    arguments = _parser().parse_args(argv)
    root = arguments.pipeline_root
    data = f"{root}/data" if root else DATA_IN_IMAGE
    components = create_components(
        data_folder=arguments.data or data,
        module=None if root else MODULE_IN_IMAGE,
        num_steps=RuntimeParameter("num_steps", ptype=int, default=SweepOptions.num_steps),
    )
    compile_pipeline(
        PIPELINE_NAME, components, arguments.image, arguments.output, pipeline_root=root
    )
    if root and not arguments.data:
        shutil.copytree(DATA, data, dirs_exist_ok=True)
    print(f"Wrote {arguments.output}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m penguin.compile_kubeflow",
        description="Compiles the penguin pipeline for Kubeflow Pipelines. By default its code "
        "and its data are those in the image.",
    )
    parser.add_argument("--image", required=True, help="image of every task")
    parser.add_argument("--output", required=True, type=Path, help="the YAML file to write")
    parser.add_argument(
        "--pipeline-root",
        type=_folder,
        help="folder that this machine and every task see under the same path: the pipeline's "
        "code and its data are put there",
    )
    parser.add_argument(
        "--data",
        help="folder of the CSV file as the tasks see it; by default DIR/data with "
        f"--pipeline-root DIR, else {DATA_IN_IMAGE}",
    )
    return parser


def _folder(path: str) -> str:
    if "://" in path:
        raise argparse.ArgumentTypeError(
            f"must be a folder, not {path}: an object store is told to Kubeflow when a run is "
            "submitted, and code and data are then those in the image"
        )
    return str(Path(path).resolve())


if __name__ == "__main__":
    main()
