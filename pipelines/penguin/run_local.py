"""Runs the penguin pipeline on this machine: `python -m penguin.run_local FOLDER`."""

import sys
from pathlib import Path

from demo import run_demo

PIPELINE_NAME = "penguin"


def main(folder: Path) -> None:
    """Runs the pipeline and prints a summary."""
    run_demo(PIPELINE_NAME, folder)


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve())
