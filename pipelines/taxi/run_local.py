"""Runs the taxi pipeline on this machine: `python -m taxi.run_local FOLDER`."""

import sys
from pathlib import Path

from demo import run_demo

PIPELINE_NAME = "taxi"


def main(folder: Path) -> None:
    """Runs the pipeline and prints a summary."""
    run_demo(PIPELINE_NAME, folder)


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve())
