"""The direction in which modules import each other is held by a contract, which can be broken."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
LINTER = Path(sys.executable).with_name("lint-imports")


@pytest.fixture
def copy(tmp_path):
    """A copy of the sources, and of the contract."""
    shutil.copytree(REPOSITORY / "components", tmp_path / "components")
    shutil.copy(REPOSITORY / "pyproject.toml", tmp_path)
    return tmp_path


def checked(folder):
    """Runs the linter as `make lint` does; returns its exit code and what it says."""
    result = subprocess.run(
        [LINTER, "--no-cache"],
        cwd=folder,
        env={"PYTHONPATH": str(folder / "components")},
        capture_output=True,
        text=True,
    )
    return result.returncode, result.stdout


def test_contract_is_kept(copy):
    """As the sources are."""
    assert checked(copy)[0] == 0


@pytest.mark.parametrize(
    ("module", "imported"),
    [
        ("core/curve.py", "tfx_lr_finder.training.loop"),
        ("training/loop.py", "tfx_lr_finder.search.find"),
        ("training/model/form.py", "tfx_lr_finder.training.graph"),
        ("search/find.py", "tfx_lr_finder.views.report"),
        ("views/plot.py", "tfx_lr_finder.search.options"),
        ("core/rules.py", "tensorflow"),
        ("training/graph.py", "tfx.types"),
        ("finding.py", "tfx.types"),
    ],
)
def test_arrow_that_is_turned_round_breaks_it(copy, module, imported):
    """The message names both modules, or the package for one of another package."""
    target = imported if imported.startswith("tfx_lr_finder") else imported.partition(".")[0]
    file = copy / "components" / "tfx_lr_finder" / module
    file.write_text(file.read_text() + f"\nimport {imported}\n")

    code, said = checked(copy)

    assert code == 1
    assert f"tfx_lr_finder.{module.removesuffix('.py').replace('/', '.')} -> {target}" in said


def test_folder_without_a_place_breaks_it(copy):
    """Whoever adds one says what it may import."""
    folder = copy / "components" / "tfx_lr_finder" / "more"
    folder.mkdir()
    (folder / "__init__.py").write_text("")

    assert checked(copy)[0] == 1


def test_architecture_names_modules_that_exist():
    """A search is followed through the code by their paths."""
    page = (REPOSITORY / "docs" / "architecture.md").read_text()
    named = set(re.findall(r"`([a-z_/]+\.py)`", page))

    assert len(named) > 20
    for path in named:
        assert (REPOSITORY / "components" / "tfx_lr_finder" / path).is_file(), path


def test_no_folder_has_more_than_twelve_modules():
    """One that grows beyond is two."""
    for folder in filter(Path.is_dir, (REPOSITORY / "components").rglob("*")):
        modules = {path.stem for path in folder.glob("*.py")} - {"__init__"}
        assert len(modules) <= 12, folder
