"""Beam pipelines within `offline`: in Prism's place, a program that says that it was started."""

import os
import subprocess
import sys

import apache_beam as beam
import pytest
from apache_beam.runners.portability import prism_runner

from tfx_lr_finder.search.offline import offline

PROCESS_ID = "__import__('os').getpid()"
BEAMS_PRISM = prism_runner.PrismRunner  # as it is before a test runs


class Prism:
    """An executable file in the place of Prism, which ends at once."""

    def __init__(self, folder):
        """Writes the file."""
        self._started = folder / "started"
        program = folder / "prism"
        program.write_text(f"#!/bin/sh\ntouch {self._started}\n")
        program.chmod(0o755)
        self.argument = f"--prism_location={program}"

    @property
    def was_started(self):
        """Whether anything has run the file."""
        return self._started.exists()


@pytest.fixture(autouse=True)
def beam_as_it_is(monkeypatch):
    """Other tests run within `offline`."""
    monkeypatch.setattr(prism_runner, "PrismRunner", BEAMS_PRISM)


@pytest.fixture
def prism(tmp_path):
    """A program in the place of Prism."""
    return Prism(tmp_path)


def process_ids(folder, *arguments):
    """Returns the processes in which a Beam pipeline had its elements."""
    file = folder / "ids"
    with beam.Pipeline(argv=list(arguments)) as pipeline:
        ids = pipeline | beam.Create([PROCESS_ID] * 4) | beam.Reshuffle() | beam.Map(eval)
        _ = ids | beam.io.WriteToText(str(file), shard_name_template="")
    return {int(line) for line in file.read_text().splitlines()}


@pytest.mark.parametrize("runner", [[], ["--runner=DirectRunner"]], ids=["none", "DirectRunner"])
def test_pipeline_that_does_not_name_prism_runs_in_this_process(prism, tmp_path, runner):
    """Beam 2.77 would try Prism first, also for its DirectRunner."""
    with offline():
        assert process_ids(tmp_path, prism.argument, *runner) == {os.getpid()}

    assert not prism.was_started


def test_pipeline_runs_in_processes_of_this_machine_where_it_asks_for_them(prism, tmp_path):
    """Prism would not know the options."""
    workers = ["--direct_running_mode=multi_processing", "--direct_num_workers=1"]
    with offline():
        assert os.getpid() not in process_ids(tmp_path, prism.argument, *workers)

    assert not prism.was_started


def test_prism_is_started_for_a_pipeline_that_names_it(prism, tmp_path):
    """The user's own choice holds; the pipeline fails, for this program is no runner."""
    with offline(), pytest.raises(RuntimeError, match="Service failed to start up"):
        process_ids(tmp_path, prism.argument, "--runner=PrismRunner")

    assert prism.was_started


def test_other_pipelines_of_the_process_are_beams_to_decide():
    """Before and afterwards."""
    with offline():
        assert prism_runner.PrismRunner is not BEAMS_PRISM

    assert prism_runner.PrismRunner is BEAMS_PRISM


@pytest.mark.parametrize("before", [None, "0"])
def test_pip_does_not_look_for_a_newer_pip(monkeypatch, before):
    """By pip's own account of its options, which are afterwards as they were."""
    monkeypatch.delenv("PIP_DISABLE_PIP_VERSION_CHECK", raising=False)
    if before:
        monkeypatch.setenv("PIP_DISABLE_PIP_VERSION_CHECK", before)
    with offline():
        options = subprocess.check_output([sys.executable, "-m", "pip", "config", "list"])

    assert b"disable-pip-version-check='1'" in options
    assert os.environ.get("PIP_DISABLE_PIP_VERSION_CHECK") == before
