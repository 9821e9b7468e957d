"""The set-up: on a machine without a Python that TFX supports, and that its parts fit."""

import shutil
import subprocess
from pathlib import Path

import pytest
import tensorflow as tf
import tensorflow_transform as tft
import tensorflow_transform.beam as tft_beam

SCRIPT = Path(__file__).parents[2] / "container" / "create-environment.sh"


def set_up(folder, python):
    """Runs the script where a Python, a shell script, is nearly all there is."""
    commands = folder / "bin"
    commands.mkdir()
    for name in ("sh", "dirname", "cmp"):
        (commands / name).symlink_to(str(shutil.which(name)))
    (commands / "python3").write_text(f"#!/bin/sh\n{python}\n")
    (commands / "python3").chmod(0o755)
    return subprocess.run(
        [str(SCRIPT), str(folder / "environment")],
        env={"PATH": str(commands), "HOME": str(folder)},
        capture_output=True,
        text=True,
        check=False,
    )


def test_set_up_without_a_supported_python_says_in_one_line_what_to_install(tmp_path):
    """Where there is no supported Python, the script fails with the one line that helps."""
    result = set_up(tmp_path, "exit 1")

    assert result.returncode == 1
    assert result.stderr == (
        "No supported Python found: install Python 3.10 (for TFX 1.16), "
        "or Python 3.10-3.13 on glibc 2.39 or later, such as Debian 13 (for TFX 1.21).\n"
    )
    assert not (tmp_path / "environment").exists()


def test_python_310_without_a_compiler_says_in_one_line_what_to_install(tmp_path):
    """One package has no wheel for it: this is said before minutes of installing."""
    result = set_up(tmp_path, "[ $1 = --version ] && echo Python 3.10.13 || echo 1.16")

    assert result.returncode == 1
    assert result.stderr == (
        "Python 3.10 needs a C++ compiler, and its headers: apt-get install g++ python3-dev\n"
    )
    assert not (tmp_path / "environment").exists()


def test_analyzer_that_needs_another_one_runs(tmp_path):
    """The releases of Beam and of Transform fit: a second pass over the data knows the first."""
    schema = tft.DatasetMetadata.from_feature_spec({"x": tf.io.FixedLenFeature([], tf.float32)})

    def preprocessing_fn(inputs):
        centred = inputs["x"] - tft.mean(inputs["x"])
        return {"scaled": centred / tft.max(tf.abs(centred))}

    # As the Transform component does it.
    with tft_beam.Context(temp_dir=str(tmp_path), use_deep_copy_optimization=True):
        rows = ([{"x": 1.0}, {"x": 3.0}, {"x": 8.0}], schema)
        (transformed, _), _ = rows | tft_beam.AnalyzeAndTransformDataset(preprocessing_fn)

    assert [row["scaled"] for row in transformed] == pytest.approx([-0.75, -0.25, 1.0])
