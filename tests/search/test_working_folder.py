"""The temporary folder of the user's code."""

import os
import platform
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from tfx_lr_finder.search.working_folder import working_folder

KILLED = """
import os, signal
from tfx_lr_finder.search.working_folder import working_folder
with working_folder() as folder:
    open(os.path.join(folder, "note.txt"), "w").close()
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture(autouse=True)
def temporary(tmp_path, monkeypatch):
    """The folder for temporary files, of this process and of its children."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    return tmp_path


def test_folder_is_gone_at_the_end(temporary):
    """With what was written to it."""
    with working_folder() as folder:
        assert temporary in Path(folder).parents
        Path(folder, "note.txt").touch()

    assert list(temporary.iterdir()) == []


def test_folder_of_a_killed_process_is_removed_by_the_next(temporary):
    """The killed one could not do it."""
    killed = subprocess.run([sys.executable, "-c", KILLED], check=False)
    assert killed.returncode == -9
    assert len(list(temporary.iterdir())) == 1

    with working_folder():
        assert len(list(temporary.iterdir())) == 1

    assert list(temporary.iterdir()) == []


def test_folders_of_others_are_left_alone(temporary):
    """Of a living process, of another machine, of another program."""
    node = platform.node()
    others = {
        f"tfx-lr-finder-{node}-{os.getppid()}-abcdefgh",
        f"tfx-lr-finder-{node}-elsewhere-999999999-abcdefgh",
        f"tfx-lr-finder-{node}-notes",
        "another-999999999-abcdefgh",
    }
    for name in others:
        (temporary / name).mkdir()

    with working_folder():
        pass

    assert {folder.name for folder in temporary.iterdir()} == others
