"""The events of a search, read with TensorBoard's own reader and asked of its own server."""

import contextlib
import dataclasses
import hashlib
import json
import re
import subprocess
import sys
import time
import urllib.parse
import urllib.request

import numpy as np
import pytest
from tensorboard.backend.event_processing.plugin_event_multiplexer import EventMultiplexer
from tensorboard.plugins.hparams import metadata as hparams
from tensorboard.util import tensor_util

from tfx_lr_finder import Curve, Evidence, StopReason, Suggestion, Verdict
from tfx_lr_finder.core.evidence import Publication
from tfx_lr_finder.core.trials.halving import Trial
from tfx_lr_finder.views.plot import plot
from tfx_lr_finder.views.tensorboard import tensorboard_files

ARTIFACT = "LearningRateFinder/sweep/6"
RATES = np.geomspace(1e-3, 1.0, 7)  # half a decade apart
LOSSES = np.array([2.0, 1.5, 1.0, 0.5, 0.25, 1.0, 3.0])
TRIALS = (Trial(0.01, 0.5, 50), Trial(0.03, 0.25, 50), Trial(0.1, float("inf"), 50))


def sweep(seed):
    """Returns a curve, higher by the seed."""
    facts = {"batch_size": 16, "model": "net", "optimizer": "Adam"}
    return Curve(RATES, LOSSES + seed, 0.5, StopReason.ALL_STEPS, 7, seed, **facts)


READ = Suggestion(0.0312, "valley", Verdict.OK, spread=0.125)
EVIDENCE = Evidence(Publication(0.0312, Verdict.OK), READ, (sweep(0), sweep(1)), TRIALS)


@pytest.fixture(scope="module")
def picture():
    """The picture of the search."""
    return plot(EVIDENCE)


@pytest.fixture(scope="module")
def pipeline_root(tmp_path_factory, picture):
    """A pipeline's folder with the sweep's artifact, three folders deeper."""
    root = tmp_path_factory.mktemp("pipeline")
    write(root / ARTIFACT, tensorboard_files(EVIDENCE, picture))
    return root


def write(folder, files):
    """Writes files into a folder."""
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True)
        (folder / name).write_bytes(content)


@pytest.fixture(scope="module")
def events(pipeline_root):
    """What TensorBoard reads from the pipeline's folder."""
    reader = EventMultiplexer()
    reader.AddRunsFromDirectory(str(pipeline_root))
    reader.Reload()
    return reader


def series(events, run, tag):
    """Returns the steps and the values of a tag, as TensorBoard has read them."""
    points = events.Tensors(f"{ARTIFACT}/tensorboard/{run}", tag)
    values = [tensor_util.make_ndarray(point.tensor_proto).item() for point in points]
    return [point.step for point in points], values


def values_of(events, run):
    """Returns the hyperparameters of a run, as TensorBoard has read them."""
    metadata = events.SummaryMetadata(
        f"{ARTIFACT}/tensorboard/{run}", hparams.SESSION_START_INFO_TAG
    )
    session = hparams.parse_session_start_info_plugin_data(metadata.plugin_data.content)
    return {
        name: getattr(value, value.WhichOneof("kind")) for name, value in session.hparams.items()
    }


def test_search_sweeps_and_trials_are_runs(events):
    """Named after their folders, which tell them from those of other artifacts."""
    runs = ("search", "sweep_1", "sweep_2", "trial_1", "trial_2", "trial_3")

    assert sorted(events.Runs()) == [f"{ARTIFACT}/tensorboard/{run}" for run in runs]


@pytest.mark.parametrize("number", [1, 2])
def test_losses_are_shown_over_the_step(events, number):
    """Each batch's loss, the smoothed loss, and the rate, from step 0."""
    curve = EVIDENCE.curves[number - 1]
    expected = {
        "batch_loss": curve.losses,
        "smoothed_loss": curve.smoothed_losses,
        "learning_rate": curve.learning_rates,
    }

    for name, values in expected.items():
        steps, found = series(events, f"sweep_{number}", f"sweep_over_step/{name}")
        assert steps == list(range(7))
        assert found == pytest.approx(values.tolist(), rel=1e-6)


@pytest.mark.parametrize("number", [1, 2])
def test_losses_are_shown_over_the_learning_rate(events, number):
    """The horizontal axis is its logarithm, in thousandths of a decade."""
    curve = EVIDENCE.curves[number - 1]
    expected = {"batch_loss": curve.losses, "smoothed_loss": curve.smoothed_losses}

    for name, values in expected.items():
        steps, found = series(events, f"sweep_{number}", f"sweep_over_learning_rate/{name}")
        assert steps == [-3000, -2500, -2000, -1500, -1000, -500, 0]
        assert found == pytest.approx(values.tolist(), rel=1e-6)


def test_validation_losses_are_shown_beside_the_others(tmp_path, picture):
    """Over the step and over the learning rate; a sweep without them has no such tag."""
    validated = dataclasses.replace(EVIDENCE.curves[0], validation_losses=np.arange(7.0))
    search = dataclasses.replace(EVIDENCE, curves=(validated, EVIDENCE.curves[1]))
    write(tmp_path / ARTIFACT, tensorboard_files(search, picture))
    reader = EventMultiplexer()
    reader.AddRunsFromDirectory(str(tmp_path))
    reader.Reload()

    for group in ("sweep_over_step", "sweep_over_learning_rate"):
        tag = f"{group}/validation_loss"
        assert series(reader, "sweep_1", tag)[1] == list(range(7))
        with pytest.raises(KeyError, match=tag):
            series(reader, "sweep_2", tag)


def test_axis_of_learning_rates_is_explained(events):
    """TensorBoard shows a description at the plot."""
    metadata = events.SummaryMetadata(
        f"{ARTIFACT}/tensorboard/sweep_1", "sweep_over_learning_rate/batch_loss"
    )

    assert "-1000 is 0.1, -3000 is 0.001" in metadata.summary_description


def test_rate_spread_and_picture_are_shown(events, picture):
    """What was found, once."""
    assert series(events, "search", "search/learning_rate") == ([0], [pytest.approx(0.0312)])
    assert series(events, "search", "search/spread") == ([0], [0.125])
    (image,) = events.Tensors(f"{ARTIFACT}/tensorboard/search", "search/curve")
    width, height, png = tensor_util.make_ndarray(image.tensor_proto)
    assert (width, height, png) == (b"1200", b"675", picture)


def test_search_is_described_by_its_options(events):
    """What searches are told apart by in the HParams tab."""
    assert values_of(events, "search") == {
        "model": "net",
        "optimizer": "Adam",
        "rule": "valley",
        "verdict": "ok",
        "num_sweeps": 2,
        "num_steps": 7,
        "batch_size": 16,
        "num_replicas": 1,
        "gradient_accumulation_steps": 1,
        "schedule": "unknown",
        "seed": 0,
    }


def test_trials_are_told_apart_by_their_rates(events):
    """And by the validation loss at their end; one that was not finite says so."""
    for number, trial in enumerate(TRIALS, 1):
        run = f"trial_{number}"
        assert values_of(events, run)["learning_rate"] == trial.learning_rate
        assert series(events, run, "trial/loss") == ([50], [trial.loss])


def test_what_is_not_known_is_left_out(tmp_path, picture):
    """A single sweep without names: no trial, no spread, no empty text."""
    curve = Curve(RATES, LOSSES, 0.5, StopReason.ALL_STEPS, 7, 0, batch_size=16)
    evidence = Evidence.of(Suggestion(0.01, "valley", Verdict.OK), [curve])
    write(tmp_path / ARTIFACT, tensorboard_files(evidence, picture))
    reader = EventMultiplexer()
    reader.AddRunsFromDirectory(str(tmp_path))
    reader.Reload()

    search = f"{ARTIFACT}/tensorboard/search"
    assert sorted(reader.Runs()) == [search, f"{ARTIFACT}/tensorboard/sweep_1"]
    assert "search/spread" not in reader.Runs()[search]["tensors"]
    assert not {"model", "optimizer", "train_steps"} & set(values_of(reader, "search"))


def test_same_evidence_is_the_same_files_in_another_process(picture):
    """No time, machine or process in them, nor the order of a set."""
    code = (
        "import hashlib, sys\n"
        "from tfx_lr_finder.core.evidence import Evidence\n"
        "from tfx_lr_finder.views.tensorboard import tensorboard_files\n"
        "evidence = Evidence.from_json(sys.argv[1])\n"
        "files = tensorboard_files(evidence, bytes.fromhex(sys.argv[2]))\n"
        "print(hashlib.sha256(repr(sorted(files.items())).encode()).hexdigest())\n"
    )
    small = picture[:100]
    arguments = [sys.executable, "-c", code, EVIDENCE.to_json(), small.hex()]

    other = subprocess.run(arguments, capture_output=True, text=True, check=True)

    files = tensorboard_files(EVIDENCE, small)
    here = hashlib.sha256(repr(sorted(files.items())).encode()).hexdigest()
    assert other.stdout.strip() == here


@pytest.fixture(scope="module")
def server(pipeline_root):
    """The address of a TensorBoard of the pipeline's folder."""
    command = [sys.executable, "-m", "tensorboard.main", "--logdir", str(pipeline_root)]
    command += ["--host", "localhost", "--port", "0"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        try:
            for line in process.stderr:
                if address := re.search(r"http://localhost:\d+/", line):
                    yield address[0]
                    break
            else:
                pytest.fail("TensorBoard ended without saying where it is.")
        finally:
            process.terminate()


def ask(server, path, **arguments):
    """Returns what the server answers; hands arguments on as JSON, if there are any."""
    data = json.dumps(arguments).encode() if arguments else None
    request = urllib.request.Request(
        f"{server}data/{path}", data, {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=60) as response:
        return json.load(response)


@pytest.fixture(scope="module")
def loaded_server(server):
    """The same, once it has read all runs."""
    for _ in range(120):
        with contextlib.suppress(urllib.error.URLError):
            if len(ask(server, "plugin/scalars/tags")) == 6:
                return server
        time.sleep(0.5)
    return pytest.fail("TensorBoard has not read the runs within a minute.")


@pytest.mark.parametrize(
    ("tag", "steps"),
    [
        ("sweep_over_step/batch_loss", [0, 1, 2, 3, 4, 5, 6]),
        ("sweep_over_learning_rate/batch_loss", [-3000, -2500, -2000, -1500, -1000, -500, 0]),
    ],
)
def test_server_has_the_losses(loaded_server, tag, steps):
    """Over the step and over the learning rate."""
    query = urllib.parse.urlencode({"run": f"{ARTIFACT}/tensorboard/sweep_1", "tag": tag})

    points = ask(loaded_server, f"plugin/scalars/scalars?{query}")

    assert [point[1:] for point in points] == [
        [step, loss] for step, loss in zip(steps, LOSSES, strict=True)
    ]


def test_server_lists_search_and_trials_in_the_hparams_tab(loaded_server):
    """With the rate that was found, and the losses of the trials, as their metrics."""
    experiment = ask(loaded_server, "plugin/hparams/experiment", experimentName="")
    columns = [{"metric": metric["name"]} for metric in experiment["metricInfos"]]
    groups = ask(
        loaded_server,
        "plugin/hparams/session_groups",
        allowedStatuses=["STATUS_UNKNOWN"],
        colParams=columns,
        startIndex=0,
        sliceSize=10,
    )["sessionGroups"]

    metrics = {
        group["sessions"][0]["name"].rpartition("/")[2]: {
            metric["name"]["tag"]: metric["value"] for metric in group["metricValues"]
        }
        for group in groups
    }
    assert metrics == {
        "search": {"search/learning_rate": pytest.approx(0.0312), "search/spread": 0.125},
        "trial_1": {"trial/loss": 0.5},
        "trial_2": {"trial/loss": 0.25},
        "trial_3": {"trial/loss": "Infinity"},
    }


def test_picture_has_the_time_of_the_search(tmp_path, picture):
    """TensorBoard shows it above; the curves' events have none, so that their files are equal."""
    write(tmp_path, tensorboard_files(dataclasses.replace(EVIDENCE, ended=1.8e9), picture))
    events = EventMultiplexer().AddRunsFromDirectory(str(tmp_path)).Reload()

    (image,) = events.Tensors("tensorboard/search", "search/curve")
    assert image.wall_time == 1.8e9
    swept = events.Tensors("tensorboard/sweep_1", "sweep_over_step/batch_loss")
    assert {event.wall_time for event in swept} == {0.0}
