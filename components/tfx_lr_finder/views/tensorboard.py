"""Event files of a search for TensorBoard."""

import hashlib
import io
from collections.abc import Iterable, Iterator, Mapping

import numpy as np
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData
from tensorboard.plugins.hparams.summary_v2 import hparams_pb
from tensorboard.plugins.image import metadata as image_metadata
from tensorboard.plugins.scalar.summary_v2 import scalar_pb
from tensorboard.summary.writer.record_writer import RecordWriter
from tensorboard.util import tensor_util

from tfx_lr_finder.core.curve import Curve
from tfx_lr_finder.core.evidence import Evidence
from tfx_lr_finder.views.view import losses_by_name

FOLDER = "tensorboard"
"""The folder in a sweep artifact that holds TensorBoard's runs."""
STEPS_PER_DECADE = 1000
"""TensorBoard's steps are integers: on the axis of learning rates, 1000 of them are a decade."""

_OVER_RATE = "Over the learning rate: step 0 is a rate of 1, -1000 is 0.1, -3000 is 0.001."


def tensorboard_files(evidence: Evidence, picture: bytes) -> dict[str, bytes]:
    """Maps paths in the artifact to the contents of event files, one file for each run.

    - `search`: the rate that was found and the picture; in the HParams tab the model, optimizer
      and options;
    - `sweep_1` and so on: the losses over the step, and over the learning rate;
    - `trial_1` and so on: the loss at the end; in the HParams tab the learning rate.

    The files are written with TensorBoard's own writer. The run `search` has the time at which the
    search ended, which TensorBoard shows above the picture; the other runs have no time. So the
    same evidence gives the same files.

    Args:
        evidence: The evidence to show.
        picture: The PNG that `plot` drew from the same evidence.
    """
    path = f"{FOLDER}/{{}}/events.out.tfevents.0"
    search = {path.format("search"): _file(_search(evidence, picture), evidence.ended)}
    runs = {}
    for number, curve in enumerate(evidence.curves, 1):
        runs[f"sweep_{number}"] = _sweep(curve)
    for number in range(1, len(evidence.trials) + 1):
        runs[f"trial_{number}"] = _trial(evidence, number)
    return {**search, **{path.format(run): _file(events) for run, events in runs.items()}}


def _file(events: Iterable[tuple[int, Summary]], time: float = 0.0) -> bytes:
    file = io.BytesIO()
    writer = RecordWriter(file)
    writer.write(Event(file_version="brain.Event:2").SerializeToString())
    for step, summary in events:
        event = Event(wall_time=time, step=step, summary=summary)
        writer.write(event.SerializeToString())
    return file.getvalue()


def _search(evidence: Evidence, picture: bytes) -> Iterator[tuple[int, Summary]]:
    published = evidence.published
    found = {"rule": evidence.rule, "verdict": published.verdict.value}
    yield 0, _hparams(evidence, "search", {**found, "num_sweeps": len(evidence.curves)})
    yield 0, scalar_pb("search/learning_rate", published.learning_rate)
    if evidence.spread is not None:
        yield 0, scalar_pb("search/spread", evidence.spread, "In decades.")
    yield 0, _image("search/curve", picture)


def _sweep(curve: Curve) -> Iterator[tuple[int, Summary]]:
    losses = {name.replace(" ", "_"): line for name, line in losses_by_name(curve).items()}
    for step, rate in enumerate(curve.learning_rates):
        values = {name: losses[name][step] for name in losses}
        yield step, _scalars("sweep_over_step", {**values, "learning_rate": rate})
    for index, decades in enumerate(curve.log_learning_rates):
        values = {name: losses[name][index] for name in losses}
        step = round(decades * STEPS_PER_DECADE)
        yield step, _scalars("sweep_over_learning_rate", values, "" if index else _OVER_RATE)


def _trial(evidence: Evidence, number: int) -> Iterator[tuple[int, Summary]]:
    trial = evidence.trials[number - 1]
    yield 0, _hparams(evidence, f"trial_{number}", {"learning_rate": trial.learning_rate})
    yield trial.num_steps, scalar_pb("trial/loss", trial.loss)


def _scalars(group: str, values: Mapping[str, float], description: str = "") -> Summary:
    summary = Summary()
    for name, value in values.items():
        summary.MergeFrom(scalar_pb(f"{group}/{name}", value, description))
    return summary


def _image(tag: str, picture: bytes) -> Summary:
    """Returns the image summary of a PNG. Width and height are read from the PNG's header."""
    width, height = (int.from_bytes(picture[at : at + 4], "big") for at in (16, 20))
    parts = np.array([str(width).encode(), str(height).encode(), picture], dtype=object)
    summary = Summary()
    summary.value.add(
        tag=tag,
        tensor=tensor_util.make_tensor_proto(parts),
        metadata=image_metadata.create_summary_metadata(display_name=None, description=None),
    )
    return summary


def _hparams(evidence: Evidence, run: str, values: Mapping[str, float | str]) -> Summary:
    curve = evidence.curves[0]
    options = {"num_steps": curve.num_steps, "seed": curve.seed}
    # By default the trial id is a hash of the values: runs with equal values would be one trial.
    search = hashlib.sha256(evidence.to_json().encode()).hexdigest()
    shown, identity = {**curve.known, **options, **values}, f"{run} {search[:12]}"
    summary = hparams_pb(shown, trial_id=identity, start_time_secs=0)
    data = summary.value[0].metadata.plugin_data
    # Protobuf maps have no fixed order: without this, the bytes differ from process to process.
    data.content = HParamsPluginData.FromString(data.content).SerializeToString(deterministic=True)
    return summary
