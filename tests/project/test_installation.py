"""The README's lines and table of the installation, against what is declared and what sets up."""

import importlib.metadata
import re
import subprocess
import sys
from pathlib import Path

import pytest
from packaging.requirements import Requirement

REPOSITORY = Path(__file__).parents[2]
README = (REPOSITORY / "README.md").read_text()
SET_UP = (REPOSITORY / "container" / "create-environment.sh").read_text()
REQUIREMENTS = [Requirement(text) for text in importlib.metadata.requires("tfx-lr-finder")]
ROW = re.compile(
    r"\| 3\.(\d+)(?: to 3\.(\d+))? "  # Python
    r"\| 2\.(\d+) (?:to 2\.(\d+)|or later) "  # glibc
    r"\| [^|]+ \| (\S+) \| (.+) \|"  # TFX, and what to install
)
PYTHONS = range(10, 14)
GLIBCS = (17, 28, 35, 36, 38, 39, 41)
TFX = {"1.16": "1.16.0", "1.21": "1.21.0"}


def table():
    """Yields Python's and glibc's minor releases, TFX and what to install of each row."""
    for first, last, oldest, newest, tfx, what in ROW.findall(README):
        pythons = range(int(first), int(last or first) + 1)
        yield pythons, range(int(oldest), int(newest or 99) + 1), tfx, what


def row(python, glibc):
    """Returns TFX and what to install where the table has a Python and a glibc."""
    (found,) = (
        (tfx, what)
        for pythons, glibcs, tfx, what in table()
        if python in pythons and glibc in glibcs
    )
    return found


def set_up_version(python, glibc):
    """Returns the TFX version that the set-up takes; `none` where it takes none."""
    program = SET_UP.partition("<<'PYTHON'\n")[2].partition("\nPYTHON\n")[0]
    for question, answer in (
        ("platform.libc_ver()", ("glibc", f"2.{glibc}")),
        ("sys.version_info[:2]", (3, python)),
    ):
        assert program.count(question) == 1
        program = program.replace(question, repr(answer))
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True).stdout


def declared(name, python, extra=""):
    """Returns what the package asks of another one on a Python, perhaps with an extra."""
    environment = {"python_version": f"3.{python}", "extra": extra}
    return [
        requirement.specifier
        for requirement in REQUIREMENTS
        if requirement.name == name
        and (requirement.marker is None or requirement.marker.evaluate(environment))
    ]


@pytest.mark.parametrize("glibc", GLIBCS)
@pytest.mark.parametrize("python", PYTHONS)
def test_table_says_which_tfx_the_set_up_takes(python, glibc):
    """For every Python that the package takes there is one row."""
    tfx, _ = row(python, glibc)

    assert (set_up_version(python, glibc).strip() or "none") == tfx


@pytest.mark.parametrize("python", PYTHONS)
def test_declared_tfx_is_that_of_the_table(python):
    """The newer TFX for every Python, the older one for none for which the table has none."""
    assert all(specifier.contains(TFX["1.21"]) for specifier in declared("tfx", python))
    takes_older = all(specifier.contains(TFX["1.16"]) for specifier in declared("tfx", python))

    assert takes_older == (row(python, 36)[0] == "1.16")


def test_lines_install_what_the_table_says():
    """One line for each TFX, with the same words but for what is installed."""
    line = r"^pip install uv && uv pip install (\S+) +# TFX (\S+)$"
    lines = {tfx: what.strip("'") for what, tfx in re.findall(line, README, re.MULTILINE)}

    assert lines == {tfx: what.strip("`") for _, _, tfx, what in table() if tfx != "none"}


def test_extra_is_what_the_lock_of_the_older_tfx_was_made_from():
    """But for TensorFlow, of which the lock has the build without GPU kernels."""
    text = (REPOSITORY / "container" / "requirements" / "tfx-1.16.in").read_text()
    lines = [line.partition("#")[0].strip() for line in text.splitlines()]
    asked = {str(Requirement(line)) for line in lines if line and "tensorflow-cpu" not in line}
    extra = {
        f"{requirement.name}{requirement.specifier}"
        for requirement in REQUIREMENTS
        if requirement.marker and "tfx116" in str(requirement.marker)
    }

    assert extra == {text.replace("tf_keras", "tf-keras") for text in asked}


def test_packing_of_a_module_file_works_with_what_is_installed():
    """The setuptools of a new environment of Python 3.10 or 3.11 cannot build its wheel."""
    assert not any(specifier.contains("65.5.0") for specifier in declared("setuptools", 10))
    assert declared("setuptools", 13)
