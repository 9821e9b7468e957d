"""What a command asks of other machines, by running it on one that is cut off from them."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Literal

import pytest

PROGRAM = Path(__file__).with_name("machine_cut_off.py")
NAMESPACE = ("unshare", "--net", "--mount")


def cut_off(mode: Literal["refused", "dropped"], report: Path) -> list[str]:
    """Returns the beginning of a command line that cuts off the command after it.

    It is empty where this machine does not let us: the command then runs as ever, without a
    report.
    """
    is_possible = (
        os.geteuid() == 0
        and shutil.which("ip")
        and subprocess.run([*NAMESPACE, "true"], capture_output=True).returncode == 0
    )
    return [*NAMESPACE, sys.executable, str(PROGRAM), mode, str(report)] if is_possible else []


def asked(report: Path) -> list[str]:
    """Returns the names and addresses of other machines that the command asked for.

    Without a report the test is skipped, and fails in CI, which has all that is needed.
    """
    if not report.exists():
        reason = "needs a network of its own: run as root, after apt-get install iproute2"
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(reason)
    return json.loads(report.read_text())
