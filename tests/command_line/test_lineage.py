"""The rates in a metadata store: which of its sweeps count, and what is said of the module."""

import json

import pytest
from click.testing import CliRunner
from ml_metadata import MetadataStore
from ml_metadata.proto.metadata_store_pb2 import (
    Artifact,
    ArtifactType,
    ConnectionConfig,
    Context,
    ContextType,
    Event,
    Execution,
    ExecutionType,
)

from tfx_lr_finder.command_line import main
from tfx_lr_finder.command_line.found_rate import Module
from tfx_lr_finder.command_line.lineage import SWEEP_TYPE, latest_rates

FACTS = {"learning_rate": 0.01, "rule": "descent", "verdict": "ok", "search_steps": 320}


@pytest.fixture
def connection(tmp_path):
    """A metadata store in a file."""
    file = str(tmp_path / "metadata.db")
    return ConnectionConfig(sqlite={"filename_uri": file, "connection_mode": 3})


def put_sweep(connection, node, facts, **parameters):
    """Records an execution of a node and the sweep that it put out, with its facts."""
    store = MetadataStore(connection)
    artifact_type = store.put_artifact_type(ArtifactType(name=SWEEP_TYPE), can_add_fields=True)
    execution_type = store.put_execution_type(ExecutionType(name=node))
    context_type = store.put_context_type(ContextType(name="node"))
    sweep = Artifact(type_id=artifact_type, uri=f"/root/{node}", state=Artifact.LIVE)
    execution = Execution(type_id=execution_type)
    for properties, values in ((sweep, facts), (execution, parameters)):
        for name, value in values.items():
            kind = {float: "double", int: "int", str: "string"}[type(value)]
            setattr(properties.custom_properties[name], f"{kind}_value", value)
    put_out = Event(type=Event.OUTPUT)
    put_out.path.steps.add(key="sweep")
    store.put_execution(execution, [(sweep, put_out)], [Context(type_id=context_type, name=node)])


def test_imported_sweep_is_left_out(connection):
    """Of an Importer's artifact the metadata know only the place; the limit is one of rates."""
    put_sweep(connection, "LearningRateFinder", FACTS)
    put_sweep(connection, "Importer", {})

    assert [rate.sweep for rate in latest_rates(connection, 1)] == ["/root/LearningRateFinder"]


def test_interval_is_shown_where_there_is_one(connection, tmp_path):
    """A default rate has none."""
    ends = {"learning_rate_low": 0.005, "learning_rate_high": 0.02}
    put_sweep(connection, "Default", FACTS)
    put_sweep(connection, "LearningRateFinder", {**FACTS, **ends})

    shown = CliRunner().invoke(main, ["show", str(tmp_path / "metadata.db")]).stdout
    content = CliRunner().invoke(main, ["show", str(tmp_path / "metadata.db"), "--json"]).stdout

    assert [rate["interval"] for rate in json.loads(content)["rates"]] == [[0.005, 0.02], None]
    assert shown.count("Expected       0.005 to 0.02 in 9 of 10 repetitions\n") == 1
    assert shown.count("Expected") == 1


def test_interval_that_the_store_has_rounded_to_zero_is_not_shown(connection):
    """SQLite keeps six decimals."""
    ends = {"learning_rate_low": 4e-7, "learning_rate_high": 1.6e-6}
    put_sweep(connection, "LearningRateFinder", {**FACTS, "learning_rate": 8e-7, **ends})

    (rate,) = latest_rates(connection, 1)

    assert rate.interval is None


@pytest.mark.parametrize("root", ["/root", "/home/me@team/root"])
def test_packed_module_is_told_from_its_wheel(connection, root):
    """At the first `@`, for the path of the wheel may have some of its own."""
    wheel = f"{root}/_wheels/tfx_user_code_Finder-0.0+ab12-py3-none-any.whl"
    put_sweep(connection, "LearningRateFinder", FACTS, module_path=f"model@{wheel}")

    (rate,) = latest_rates(connection, 1)

    assert rate.module == Module("model", "0.0+ab12", wheel)
