"""The package: its names, its version, what importing it costs, what its wheel holds."""

import ast
import importlib
import importlib.metadata
import importlib.resources
import re
import subprocess
import sys

import forked
import pytest

import tfx_lr_finder

PUBLIC = [
    "Curve",
    "Evidence",
    "Finding",
    "LearningRateFinder",
    "LearningRateSweep",
    "LrFinderFnResult",
    "NoLearningRateError",
    "OneCycle",
    "StopReason",
    "Suggestion",
    "Verdict",
    "find_learning_rate",
    "plot_curve",
    "range_test",
    "suggest",
]


def loaded_after(code):
    """Returns the top-level names of the modules that a new interpreter has after some code."""
    code += "\nimport sys\nprint(*sorted(sys.modules))"
    process = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    return set(process.stdout.splitlines()[-1].split())


def test_public_names_are_those_of_all():
    """What the package promises, in alphabetical order."""
    assert tfx_lr_finder.__all__ == PUBLIC


def test_public_names_are_those_that_the_package_imports():
    """The source imports every public name, for type checkers too, and no other of its own."""
    source = importlib.resources.files("tfx_lr_finder").joinpath("__init__.py").read_text()
    imported = [
        alias.name
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.ImportFrom) and node.module.startswith("tfx_lr_finder")
        for alias in node.names
    ]

    assert sorted(imported) == PUBLIC


@pytest.mark.parametrize("name", PUBLIC)
def test_public_name_is_importable(name):
    """Each is an object of this package under its own name."""
    member = getattr(tfx_lr_finder, name)

    assert member.__name__ == name
    assert member.__module__.startswith("tfx_lr_finder.")
    assert member.__doc__


def test_star_import_gives_the_public_names():
    """`from tfx_lr_finder import *` brings what `__all__` lists."""
    names = {}

    exec("from tfx_lr_finder import *", names)

    assert sorted(names.keys() - {"__builtins__"}) == PUBLIC


@pytest.mark.parametrize("name", ["nope", "component_", "learning_rate", "_hidden"])
def test_unknown_attribute_is_an_attribute_error(name):
    """The message is the interpreter's own."""
    with pytest.raises(
        AttributeError, match=rf"^module 'tfx_lr_finder' has no attribute '{name}'$"
    ):
        getattr(tfx_lr_finder, name)


def test_unknown_name_is_an_import_error():
    """`from ... import` fails as it does for any module."""
    with pytest.raises(ImportError, match="cannot import name 'nope' from 'tfx_lr_finder'"):
        exec("from tfx_lr_finder import nope")


def test_version_is_that_of_the_installed_package():
    """One place says it."""
    assert tfx_lr_finder.__version__ == importlib.metadata.version("tfx-lr-finder")
    assert re.fullmatch(r"\d+\.\d+\.\d+", tfx_lr_finder.__version__)


def test_package_under_test_is_the_installed_one():
    """The tests test the wheel, not the working tree."""
    installed = importlib.metadata.distribution("tfx-lr-finder").locate_file("tfx_lr_finder")

    assert list(tfx_lr_finder.__path__) == [str(installed)]


def test_wheel_holds_the_package_alone():
    """No tests, no pipelines, no second top-level name."""
    files = importlib.metadata.files("tfx-lr-finder")

    assert {file.parts[0] for file in files if file.suffix == ".py"} == {"tfx_lr_finder"}
    assert "tfx_lr_finder/py.typed" in {str(file) for file in files}


def test_importing_the_package_loads_no_framework():
    """Curves and rules are there at once; frameworks are loaded with the names that need them."""
    modules = loaded_after("import tfx_lr_finder; tfx_lr_finder.suggest")

    assert "tfx_lr_finder.core.suggestion" in modules
    assert not modules & {"tensorflow", "keras", "tf_keras", "tfx", "apache_beam", "matplotlib"}


def test_importing_the_package_is_quick():
    """In less than half a second of a processor; TFX alone takes several."""
    code = "import time; import tfx_lr_finder; print(time.process_time())"

    process = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )

    assert float(process.stdout) < 0.5


def test_no_module_of_the_package_imports_the_facade_of_tfx():
    """`tfx.v1` takes seconds to load, in every task of a pipeline.

    The process begins with the modules that need TFX's components, and those components.
    """
    code = (
        "import importlib, pkgutil, sys, tfx_lr_finder\n"
        "for module in pkgutil.walk_packages(tfx_lr_finder.__path__, 'tfx_lr_finder.'):\n"
        "    importlib.import_module(module.name)\n"
        "print(*sorted(sys.modules))"
    )
    process = forked.run(["-c", code])
    modules = set(process.stdout.split())

    assert process.returncode == 0, process.stderr
    assert {"tfx_lr_finder.component", "tfx_lr_finder.executor"} <= modules
    assert "tfx.v1" not in modules
