"""What is missing or taken is said by its name: an extra, and a file that is locked."""

import subprocess
import sys
import time

import forked
import pytest
from click.testing import CliRunner
from ml_metadata import MetadataStore
from ml_metadata.proto.metadata_store_pb2 import ConnectionConfig

from tfx_lr_finder.command_line import main
from tfx_lr_finder.kubeflow.extras import kfp_imported


@pytest.mark.parametrize(
    "imported",
    ["from tfx_lr_finder.kubeflow import compile_pipeline", "import tfx_lr_finder.kfp"],
    ids=["kubeflow", "kfp"],
)
def test_missing_extra_is_named(imported):
    """In a Python in which its package cannot be imported."""
    script = f"import sys; sys.modules['kfp'] = None; {imported}"

    process = forked.run(["-c", script])

    assert process.returncode == 1
    *_, last = process.stderr.splitlines()
    assert last.startswith(
        "ImportError: The package kfp must be installed: it comes with the extra `kfp`. Received: "
    )
    assert last.endswith(". Install `tfx-lr-finder[kfp]`.")


def test_other_missing_package_is_not_taken_for_the_extras():
    """It is told by Python."""
    with (
        pytest.raises(ModuleNotFoundError, match="No module named 'no_such_package'"),
        kfp_imported(),
    ):
        import no_such_package  # noqa: F401


@pytest.fixture
def metadata(tmp_path):
    """A metadata store without a rate, in a folder whose name is a URI's mark."""
    file = tmp_path / "a?b#c%20d" / "metadata.db"
    file.parent.mkdir()
    MetadataStore(ConnectionConfig(sqlite={"filename_uri": str(file), "connection_mode": 3}))
    return file


def test_locked_metadata_are_told_so(metadata):
    """Within seconds; they are shown when the lock is gone."""
    lock = f"import sqlite3; db = sqlite3.connect({str(metadata)!r})\n"
    lock += "db.execute('BEGIN EXCLUSIVE'); print('locked', flush=True); input()"
    process = subprocess.Popen(
        [sys.executable, "-c", lock], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "locked\n"
    started = time.monotonic()

    result = CliRunner().invoke(main, ["show", str(metadata)])

    assert time.monotonic() - started < 15
    process.communicate("\n")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == (
        "Error: The metadata store must not be locked by another process. "
        f"Received: {metadata}: database is locked. "
        "Wait until the pipeline that writes to it is done, or show a copy.\n"
    )
    shown = CliRunner().invoke(main, ["show", str(metadata)])
    assert shown.stdout == "No learning rate was found in these metadata.\n"
