"""Any pipeline on this machine: a line for each component, and what its finder found."""

import io
import re
from pathlib import Path

import pytest
from tf_examples import write_examples
from tfx.components.schema_gen.import_schema_gen.component import ImportSchemaGen
from tfx.dsl.component.experimental.annotations import InputArtifact, OutputArtifact, Parameter
from tfx.dsl.component.experimental.decorators import component
from tfx.dsl.components.common.importer import Importer
from tfx.dsl.experimental.conditionals.conditional import Cond
from tfx.orchestration.metadata import sqlite_metadata_connection_config
from tfx.orchestration.pipeline import Pipeline
from tfx.types import standard_artifacts

from tfx_lr_finder import LearningRateFinder
from tfx_lr_finder.local import run_pipeline

LINEAR = Path(__file__).parents[1] / "data" / "linear"


def printed(folder, *components):
    """Runs a pipeline in a folder, and returns what it prints."""
    pipeline = Pipeline(
        pipeline_name="own",
        pipeline_root=str(folder / "root"),
        components=components,
        enable_cache=True,
        metadata_connection_config=sqlite_metadata_connection_config(str(folder / "metadata.db")),
    )
    terminal = io.StringIO()
    run_pipeline(pipeline, terminal)
    return terminal.getvalue()


def test_pipeline_without_a_finder_has_its_lines_alone(tmp_path):
    """With its seconds, and the second time from the cache."""
    (tmp_path / "schema.pbtxt").write_text("")
    schema = ImportSchemaGen(schema_file=str(tmp_path / "schema.pbtxt"))

    first, second = (printed(tmp_path, schema) for _ in range(2))

    assert re.fullmatch(r"\[1/1\] ImportSchemaGen \.+ \d+\.\d s\n", first)
    assert re.fullmatch(
        r"\[1/1\] ImportSchemaGen \.+ cached\nEverything was served from the cache\.\n", second
    )


@pytest.fixture
def make_finder(tmp_path, monkeypatch):
    """A function that makes a finder and the node that imports its examples."""
    monkeypatch.syspath_prepend(str(LINEAR))
    monkeypatch.chdir(tmp_path)
    rows = [{"x": (-1.0) ** i, "y": 2 * (-1.0) ** i} for i in range(128)]
    for split in ("train", "eval"):
        write_examples(f"{tmp_path}/examples/Split-{split}/data_tfrecord-00000-of-00001.gz", rows)

    def make():
        examples = Importer(
            source_uri=str(tmp_path / "examples"),
            artifact_type=standard_artifacts.Examples,
            properties={"split_names": '["train","eval"]'},
        ).with_id("Examples")
        finder = LearningRateFinder(
            examples=examples.outputs["result"], lr_finder_fn="linear.lr_finder_fn", num_steps=100
        )
        return examples, finder

    return make


def test_summary_of_any_pipeline_has_rate_and_files(make_finder, tmp_path):
    """Here without a Trainer: the rate, and where its evidence lies."""
    lines = printed(tmp_path, *make_finder()).splitlines()

    assert re.fullmatch(r"Learning rate    \d\S* \(rule: descent, verdict: \w+\)", lines[3])
    paths = [re.fullmatch(r"(Curve|Report)   +(\S+)", line) for line in lines[4:]]
    assert [path[1] for path in paths] == ["Curve", "Report"]
    assert all(Path(path[2]).is_file() for path in paths)


@component
def gate(is_open: Parameter[bool], value: OutputArtifact[standard_artifacts.Integer]):
    """Writes 1 for an open gate."""
    value.value = int(is_open)


@component
def train(
    hyperparameters: InputArtifact[standard_artifacts.HyperParameters],
    model: OutputArtifact[standard_artifacts.Model],
):
    """Stands behind the gate."""


def test_component_that_a_condition_skips_is_not_shown(make_finder, tmp_path):
    """Neither when it has never run, nor with what it did in an earlier run."""

    def run(is_open):
        examples, finder = make_finder()
        opened = gate(is_open=is_open)
        with Cond(opened.outputs["value"].future()[0].value == 1):
            trainer = train(hyperparameters=finder.outputs["best_hyperparameters"])
        return printed(tmp_path, examples, finder, opened, trainer)

    never, first, later = (run(is_open) for is_open in (False, True, False))

    assert re.search(r"\[4/4\] train \.+ \d+\.\d s\n", first)
    assert re.search(r"\nModel +root/train/model/\d+\n", first)
    for skipped in (never, later):
        assert re.search(r"\[4/4\] train \.+ skipped\n", skipped)
        assert re.search(r"\nLearning rate +\d", skipped)
        assert "Model" not in skipped
