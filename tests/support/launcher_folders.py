"""The folders in which Kubeflow's launcher keeps local copies of objects."""

import contextlib
import shutil
import uuid
from pathlib import Path

import pytest

LOCAL_ROOTS = {"gs://": Path("/gcs"), "minio://": Path("/minio"), "s3://": Path("/s3")}


@pytest.fixture(scope="module")
def bucket():
    """The name of a bucket for which the launcher's local folders can be written."""
    name = f"tfx-lr-finder-{uuid.uuid4().hex}"
    missing = [root for root in LOCAL_ROOTS.values() if not root.exists()]
    try:
        for root in LOCAL_ROOTS.values():
            (root / name).mkdir(parents=True)
    except PermissionError:
        pytest.skip(
            "needs the launcher's folders /gcs, /minio and /s3: run as root or in the image"
        )
    yield name
    for root in LOCAL_ROOTS.values():
        shutil.rmtree(root / name, ignore_errors=True)
    with contextlib.suppress(OSError):  # another test run uses them by now
        for root in missing:
            root.rmdir()
