"""Which container engine the scripts take."""

import shutil
import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "container" / "engine.sh"


@pytest.fixture
def choose(tmp_path):
    """A function that runs the script where some engines answer, and others are but installed."""

    def choose_(answering=(), installed=()):
        (tmp_path / "sh").symlink_to(str(shutil.which("sh")))
        for name, status in {**dict.fromkeys(installed, 1), **dict.fromkeys(answering, 0)}.items():
            command = tmp_path / name
            command.write_text(f"#!/bin/sh\nexit {status}\n")
            command.chmod(0o755)
        return subprocess.run(
            [SCRIPT], env={"PATH": str(tmp_path)}, capture_output=True, text=True, check=False
        )

    return choose_


def test_docker_comes_first(choose):
    """Where both answer."""
    assert choose(answering=["docker", "podman"]).stdout == "docker\n"


def test_podman_is_taken_where_docker_does_not_run(choose):
    """A command without its service is no engine."""
    assert choose(answering=["podman"], installed=["docker"]).stdout == "podman\n"


@pytest.mark.parametrize("installed", [[], ["docker", "podman"]], ids=["missing", "broken"])
def test_no_engine_is_one_line(choose, installed):
    """It says what to install or start."""
    result = choose(installed=installed)

    assert result.returncode == 1
    assert result.stdout == ""
    assert result.stderr == (
        "No container engine works here: install podman, or start Docker. "
        "`podman info` and `docker info` tell more.\n"
    )
