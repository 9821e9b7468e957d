"""The penguin notebook, executed anew, shows what it shows in the repository."""

import base64
import re
import shutil
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

PENGUIN = Path(__file__).parents[2] / "pipelines" / "penguin"
SHOW = 'context.show(finder.outputs["sweep"])'


def read(path):
    """Returns a notebook."""
    return nbformat.read(path, nbformat.NO_CONVERT)


@pytest.fixture(scope="module")
def stored():
    """The notebook as it is in the repository."""
    return read(PENGUIN / "penguin.ipynb")


@pytest.fixture(scope="module")
def executed(tmp_path_factory):
    """The notebook executed from top to bottom, in a copy of its folder."""
    folder = tmp_path_factory.mktemp("repository") / "pipelines" / "penguin"
    shutil.copytree(PENGUIN, folder)
    notebook = read(folder / "penguin.ipynb")
    NotebookClient(notebook, timeout=600, resources={"metadata": {"path": str(folder)}}).execute()
    return notebook


@pytest.fixture(params=["stored", pytest.param("executed", marks=pytest.mark.slow)])
def notebook(request):
    """The notebook as it is stored, and executed anew."""
    return request.getfixturevalue(request.param)


def shown(notebook):
    """Returns the outputs of the cell that shows the sweep, as their data."""
    (cell,) = [cell for cell in notebook.cells if cell.source == SHOW]
    return [output.data for output in cell.outputs]


def rate(notebook):
    """Returns the rate that is shown."""
    return float(re.search(r"Learning rate ([\d.e-]+)<", shown(notebook)[1]["text/html"])[1])


def test_sweep_is_shown_with_rate_verdict_and_plot(notebook):
    """Below TFX's own heading: the rate and what to do next, and the picture."""
    heading, text, picture = shown(notebook)

    assert heading["text/html"].startswith("<b>Artifact at ../../output/notebook/")
    assert "verdict ok<br>The model learns at this rate" in text["text/html"]
    assert base64.b64decode(picture["image/png"]).startswith(b"\x89PNG")


@pytest.mark.slow
def test_rate_of_another_run_is_the_stored_one(stored, executed):
    """The same data, model and seed: with another TensorFlow, within a tenth."""
    assert rate(executed) == pytest.approx(rate(stored), rel=0.1)


def test_cells_print_nothing_else(notebook):
    """No wall of warnings between the cells."""
    texts = [
        output.text
        for cell in notebook.cells
        if cell.cell_type == "code"
        for output in cell.outputs
        if output.output_type == "stream"
    ]

    assert texts == []


def test_stored_notebook_is_executed_in_order(stored):
    """Top to bottom, once."""
    counts = [cell.execution_count for cell in stored.cells if cell.cell_type == "code"]

    assert counts == list(range(1, len(counts) + 1))


def test_stored_notebook_is_light_and_names_no_machine():
    """It can be looked at on a web page; no absolute path is in it."""
    text = (PENGUIN / "penguin.ipynb").read_text("utf-8")

    assert len(text) < 200_000
    assert not re.search(r'"/\w+/|[" ]/(home|root|tmp|usr|work)/', text)


FINDING = """
import time

import keras
import numpy as np

from tfx_lr_finder import find_learning_rate


class Slow(keras.utils.PyDataset):
    def __len__(self):
        return 50

    def __getitem__(self, index):
        time.sleep(0.02)
        x = np.random.default_rng(index).normal(size=(16, 4))
        return x, x.sum(axis=1)


model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
model.compile("adam", "mse")
finding = find_learning_rate(model, Slow())
finding
"""


@pytest.mark.slow
def test_finding_shows_itself_after_a_progress_bar():
    """In a real kernel: a bar for a sweep of some seconds, then rate, verdict and picture."""
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(FINDING)])

    NotebookClient(notebook, timeout=600).execute()

    (cell,) = notebook.cells
    printed = "".join(output.text for output in cell.outputs if output.get("name") == "stdout")
    assert "Learning-rate sweep: 100%" in printed
    shown = cell.outputs[-1].data
    assert "<p><strong>Learning rate " in shown["text/html"]
    assert "data:image/png;base64," in shown["text/html"]
    assert re.fullmatch(r"Learning rate \S+ \(.*\), verdict \w+", shown["text/plain"])
