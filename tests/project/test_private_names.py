"""Every private name of another package that the code uses is in docs/architecture.md."""

import ast
import re
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]
SOURCES = REPOSITORY / "components" / "tfx_lr_finder"
MODULES = ("keras.src", "tensorflow.python", "tf_keras.src")


def is_private(name):
    """Returns whether a name begins with one underscore, or is TensorFlow's `__internal__`."""
    return name == "__internal__" or re.fullmatch(r"_[A-Za-z]\w+", name) is not None


def own_names(trees):
    """Returns the names that the package defines itself."""
    for tree in trees:
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.ClassDef):
                yield node.name
            elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                yield node.id
            elif (
                isinstance(node, ast.Attribute)
                and isinstance(node.ctx, ast.Store)
                and isinstance(node.value, ast.Name)
                and node.value.id == "self"
            ):
                yield node.attr


def used_names(trees):
    """Returns the private names in attributes, in texts that are such a name, and in imports."""
    for tree in trees:
        for node in ast.walk(tree):
            if isinstance(node, ast.Attribute) and is_private(node.attr):
                yield node.attr
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                if is_private(node.value):
                    yield node.value
            elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith(MODULES):
                yield from (f"{node.module}.{alias.name}" for alias in node.names)


def documented_names():
    """Returns the names in the first column of the table."""
    page = (REPOSITORY / "docs" / "architecture.md").read_text()
    table = page[page.index("## Private names") :]
    columns = [line.split("|")[1] for line in table.splitlines() if line.startswith("| `")]
    return {name for column in columns for name in re.findall(r"`([^`]+)`", column)}


def test_private_names_are_documented():
    """No more and no fewer: whoever adds one says why."""
    trees = [ast.parse(file.read_text()) for file in SOURCES.rglob("*.py")]
    # The package's own: a dictionary's key, and a module whose name Python has so.
    others = {"_read", "_thread"}

    assert set(used_names(trees)) - set(own_names(trees)) - others == documented_names()
