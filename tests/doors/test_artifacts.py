"""The sweep's artifact: its type name, its files and its properties."""

import json
import re

import forked
import numpy as np
import pytest
from IPython.core.interactiveshell import InteractiveShell
from IPython.utils.capture import capture_output
from tfx.types import artifact_utils
from tfx.types.standard_artifacts import HyperParameters
from tfx.utils import import_utils, json_utils

import tfx_lr_finder
from tfx_lr_finder import Curve, Evidence, StopReason, Suggestion, Verdict
from tfx_lr_finder.artifacts import (
    EVIDENCE_FILE,
    PLOT_FILE,
    REPORT_FILE,
    LearningRateSweep,
    read_evidence,
    write_sweep,
)
from tfx_lr_finder.core.evidence import Publication
from tfx_lr_finder.core.proof import JudgedOn, Proof
from tfx_lr_finder.notebook import LearningRateSweepVisualization
from tfx_lr_finder.search.files import write_file

# What the KFP compiler of TFX accepts as the title of a custom artifact type.
KUBEFLOW_TYPE_NAME = r"[a-z][a-z0-9-_]{2,20}[.][A-Z][a-zA-Z0-9-_]{2,49}"

CURVE = Curve(
    learning_rates=np.geomspace(1e-4, 1.0, 12),
    losses=[2.0, 1.9, 1.7, 1.4, 1.0, 0.7, 0.5, 0.4, 0.5, 0.9, 1.0 / 3.0, 7.0],
    smoothing=0.5,
    stop_reason=StopReason.DIVERGED,
    num_steps=40,
    seed=7,
    constant_loss=1.5,
    batch_size=16,
    model="Sequential of 3 parameters",
    optimizer="Adam",
    train_steps=300,
    num_replicas=2,
    gradient_accumulation_steps=4,
)
SUGGESTION = Suggestion(0.0123, "steepest", Verdict.NOISY, spread=0.25)
PROOF = Proof(0.0123, 0.5, 2.0, 1.5, (), 120, 7, JudgedOn.VALIDATION_DATA)
EVIDENCE = Evidence(
    Publication(0.0123, Verdict.NOISY, interval=(0.006, 0.025)),
    SUGGESTION,
    (CURVE, CURVE),
    proofs=(PROOF,),
    versions={"keras": "3"},
    seconds=1.5,
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The artifact's folder, which does not exist before it is written."""
    return tmp_path_factory.mktemp("pipeline") / "LearningRateFinder" / "sweep" / "6"


@pytest.fixture(scope="module")
def sweep(folder):
    """A written artifact."""
    artifact = LearningRateSweep()
    artifact.uri = str(folder)
    write_sweep(artifact, EVIDENCE)
    return artifact


def test_type_name_is_one_that_kubeflow_accepts():
    """`<package>.<Class>`, of the lengths and letters that the compiler wants."""
    assert re.fullmatch(KUBEFLOW_TYPE_NAME, LearningRateSweep.TYPE_NAME)


def test_type_is_importable_under_its_name():
    """A container of another task finds the class by the type's name."""
    assert import_utils.import_class_by_path(LearningRateSweep.TYPE_NAME) is LearningRateSweep
    assert tfx_lr_finder.LearningRateSweep is LearningRateSweep


def test_type_declares_no_properties():
    """Kubeflow refuses to compile a custom type with declared properties."""
    assert not LearningRateSweep.PROPERTIES


def test_written_sweep_has_evidence_plot_report_and_events(sweep, folder):
    """Three files, and an event file for the search and for each sweep."""
    files = [path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()]

    assert sorted(files) == [
        PLOT_FILE,
        REPORT_FILE,
        EVIDENCE_FILE,
        "tensorboard/search/events.out.tfevents.0",
        "tensorboard/sweep_1/events.out.tfevents.0",
        "tensorboard/sweep_2/events.out.tfevents.0",
    ]


def test_curve_is_read_back_bit_for_bit(sweep):
    """The written curve is the curve."""
    assert read_evidence(sweep) == EVIDENCE


def test_curve_file_is_plain_data(sweep, folder):
    """Any program can read the losses and rates from the JSON."""
    data = json.loads((folder / "sweep.json").read_text())["curves"][0]

    assert data["losses"] == [2.0, 1.9, 1.7, 1.4, 1.0, 0.7, 0.5, 0.4, 0.5, 0.9, 1.0 / 3.0, 7.0]
    assert data["learning_rates"][0] == 1e-4
    assert data["stop_reason"] == "diverged"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("rule", "steepest"),
        ("verdict", "noisy"),
        ("stop_reason", "diverged"),
    ],
    ids=str,
)
def test_text_property_is_set(sweep, name, value):
    """Plain strings, not members of an enumeration."""
    assert sweep.get_string_custom_property(name) == value


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("num_sweeps", 2),
        ("num_steps", 40),
        ("num_points", 12),
        ("batch_size", 16),
        ("num_replicas", 2),
        ("gradient_accumulation_steps", 4),
        ("seed", 7),
        ("train_steps", 300),
    ],
    ids=str,
)
def test_integer_property_is_set(sweep, name, value):
    """Counts are integers."""
    assert sweep.get_int_custom_property(name) == value


def test_rate_property_is_set(sweep):
    """The suggested rate, without loss; as a text too, since Kubeflow keeps six decimals."""
    assert sweep.get_float_custom_property("learning_rate") == 0.0123
    assert sweep.get_string_custom_property("learning_rate_text") == "0.0123"


def test_interval_properties_are_set(sweep):
    """The two ends, as floats."""
    assert sweep.get_float_custom_property("learning_rate_low") == 0.006
    assert sweep.get_float_custom_property("learning_rate_high") == 0.025


def test_spread_property_is_set(sweep):
    """The standard deviation of the sweeps' rates, in decades."""
    assert sweep.get_float_custom_property("spread") == 0.25


def test_documented_properties_are_those_that_are_set(sweep):
    """The docstring of the type names every custom property and no other."""
    text = LearningRateSweep.__doc__.partition("when it is written:")[2].partition(". ")[0]

    assert set(re.findall(r"`(\w+)`", text)) == set(sweep.mlmd_artifact.custom_properties)


def test_properties_survive_the_way_through_json(sweep):
    """TFX hands artifacts between processes as JSON; type and properties come through."""
    received = json_utils.loads(json_utils.dumps(sweep))

    assert isinstance(received, LearningRateSweep)
    assert received.get_float_custom_property("learning_rate") == 0.0123
    assert received.get_int_custom_property("num_points") == 12
    assert received.get_string_custom_property("verdict") == "noisy"


def test_curve_is_read_from_an_artifact_without_its_type(sweep):
    """A consumer that knows only the folder reads the curve all the same."""
    untyped = artifact_utils.get_single_instance([HyperParameters()])
    untyped.uri = sweep.uri

    assert read_evidence(untyped) == EVIDENCE


def test_notebook_shows_verdict_in_words_and_picture(sweep):
    """The options that the words name are code, as in the report."""
    InteractiveShell.instance()
    try:
        with capture_output() as captured:
            LearningRateSweepVisualization().display(sweep)
    finally:
        InteractiveShell.clear_instance()

    text, picture = (output.data for output in captured.outputs)
    assert "<strong>Learning rate 0.0123</strong> (0.006 to 0.025 in" in text["text/html"]
    assert ", verdict noisy<br>The fall of" in text["text/html"]
    assert "Raise <code>num_steps</code>, <code>num_sweeps</code> or the" in text["text/html"]
    assert "image/png" in picture


def test_writing_again_gives_the_same_bytes(sweep, folder, tmp_path):
    """The files say nothing of when or where they were written."""
    second = LearningRateSweep()
    second.uri = str(tmp_path)

    write_sweep(second, EVIDENCE)

    first, again = (
        {path.relative_to(root): path.read_bytes() for path in root.rglob("*") if path.is_file()}
        for root in (folder, tmp_path)
    )
    assert again == first


def test_nothing_is_written_where_a_file_cannot_be_made(tmp_path):
    """The contents of all files are made before the first is written."""
    artifact = LearningRateSweep()
    artifact.uri = str(tmp_path / "sweep")

    with pytest.raises(AttributeError, match="'NoneType' object has no attribute"):
        write_sweep(artifact, Evidence.of(Suggestion(0.0123, "steepest", None), [CURVE]))

    assert list(tmp_path.iterdir()) == []


def test_file_is_written_with_its_folders(tmp_path):
    """Kubeflow's local runner makes no folders for a component's outputs."""
    write_file(str(tmp_path / "a" / "b" / "c.txt"), b"\x00\xff")

    assert (tmp_path / "a" / "b" / "c.txt").read_bytes() == b"\x00\xff"


def test_file_is_replaced_where_it_exists(tmp_path):
    """A retried execution writes over what the first try left."""
    write_file(str(tmp_path / "c.txt"), b"longer than the second")
    write_file(str(tmp_path / "c.txt"), b"second")

    assert (tmp_path / "c.txt").read_bytes() == b"second"


def test_nothing_is_unpickled_to_read_an_artifact(sweep, folder):
    """A pickle runs what it names: in a process that refuses to, an artifact is read as ever."""
    code = (
        "import pickle, sys\n"
        "from tfx_lr_finder.artifacts import LearningRateSweep, read_evidence\n"
        "from tfx_lr_finder.search.hyperparameters import parse_config\n"
        "def refuse(event, arguments):\n"
        "    if event == 'pickle.find_class':\n"
        "        raise PermissionError(f'{arguments} is unpickled')\n"
        "sys.addaudithook(refuse)\n"
        "try:\n"
        "    pickle.loads(pickle.dumps(print))\n"
        "except PermissionError:\n"
        "    artifact = LearningRateSweep()\n"
        "    artifact.uri = sys.argv[1]\n"
        "    parse_config('{\"space\": [], \"values\": {}}', 'upstream')\n"
        "    print(read_evidence(artifact).to_json())\n"
    )

    read = forked.run(["-c", code, folder])

    assert read.returncode == 0, read.stderr
    assert read.stdout.strip() == EVIDENCE.to_json()
