"""How the image is built: what the script asks of the container engine."""

import itertools
import os
import shutil
import subprocess
from pathlib import Path

import pytest

import tfx_lr_finder

REPOSITORY = Path(__file__).parents[2]
COMMIT = "4f2a"
LABELS = "org.opencontainers.image."


@pytest.fixture
def build(tmp_path):
    """A function that runs the script; returns the words that the engine was given.

    It runs in a copy of what it reads, with an engine that only writes down its arguments, and a
    git that knows one commit and perhaps an address.
    """

    def build_(origin=None, **environment):
        project = tmp_path / "project"
        shutil.copytree(REPOSITORY / "container", project / "container")
        shutil.copy(REPOSITORY / "pyproject.toml", project)
        commands = {
            "docker": f'[ "$1" != build ] || printf "%s\\n" "$@" >{tmp_path}/words',
            "git": f'case $1 in describe) echo {COMMIT} ;; remote) echo "$ORIGIN" ;; esac',
        }
        for name, script in commands.items():
            (tmp_path / name).write_text(f"#!/bin/sh\n{script}\n")
            (tmp_path / name).chmod(0o755)
        known = {k: v for k, v in os.environ.items() if not k.endswith(("_CERT", "_CERT_FILE"))}
        path = f"{tmp_path}:{os.environ['PATH']}"
        subprocess.run(
            [project / "container" / "build.sh"],
            env={**known, "PATH": path, "ORIGIN": origin or "", **environment},
            check=True,
        )
        return (tmp_path / "words").read_text().splitlines()

    return build_


def labels(words):
    """Returns the labels that the script sets."""
    given = [word for option, word in itertools.pairwise(words) if option == "--label"]
    return dict(word.removeprefix(LABELS).split("=", 1) for word in given)


def test_image_is_named_after_the_version(build):
    """It is built as the stage in which tasks run, on the base that the Containerfile names."""
    words = build()

    assert f"tfx-lr-finder:{tfx_lr_finder.__version__}" in words
    assert f"VERSION={tfx_lr_finder.__version__}" in words
    assert "runtime" in words
    assert "BASE=python:3.13-slim-trixie" in words


def test_base_may_be_another(build):
    """As for a GPU."""
    assert "BASE=nvidia/cuda:13" in build(BASE="nvidia/cuda:13")


@pytest.mark.parametrize(
    "origin",
    [
        "https://host.example/team/finder.git",
        "https://user:secret@host.example/team/finder.git",
        "git@host.example:team/finder.git",
        "ssh://git@host.example:2222/team/finder.git",
    ],
    ids=["https", "credentials", "scp", "ssh"],
)
def test_source_is_where_everybody_can_read_it(build, origin):
    """However the repository was fetched, and without the credentials for that."""
    assert labels(build(origin)) == {
        "revision": COMMIT,
        "source": "https://host.example/team/finder.git",
    }


@pytest.mark.parametrize("origin", [None, "/home/user/finder", "file:///home/user/finder"])
def test_source_without_an_address_is_left_out(build, origin):
    """The commit still tells what the image was made from."""
    assert labels(build(origin)) == {"revision": COMMIT}


@pytest.mark.parametrize("variable", ["SSL_CERT_FILE", "PIP_CERT"])
def test_certificate_is_handed_over_as_a_secret(build, variable):
    """It stays out of the image."""
    words = build(**{variable: "/etc/bundle.pem"})

    assert words[words.index("--secret") + 1] == "id=ca-bundle,src=/etc/bundle.pem"
