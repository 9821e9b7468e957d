"""The simulated launcher does what the real one does, rule by rule."""

import json
from pathlib import Path

import pytest
from google.protobuf import json_format
from kubeflow_launcher import Launcher, local_path, mlmd_value

EXAMPLES = {"instanceSchema": "title: tfx.Examples\ntype: object\n"}


@pytest.fixture
def launcher(tmp_path, bucket):
    """A pipeline of two tasks, the second under a condition."""
    condition = "'n' in inputs.artifacts['data'].artifacts[0].metadata && ({}['n'] < 3.0)".format(
        "inputs.artifacts['data'].artifacts[0].metadata"
    )
    source = {"producerTask": "first", "outputArtifactKey": "data"}
    tasks = {
        "first": {},
        "second": {
            "inputs": {"artifacts": {"data": {"taskOutputArtifact": source}}},
            "triggerPolicy": {"condition": condition},
        },
    }
    outputs = {"artifacts": {"data": {"artifactType": EXAMPLES}}}
    container = {"command": ["python", "-m", "module"], "args": ["--json", "{{$}}"]}
    spec = {
        "root": {"dag": {"tasks": tasks}},
        "components": {
            name: {"executorLabel": name, "outputDefinitions": outputs} for name in tasks
        },
        "deploymentSpec": {"executors": {name: {"container": container} for name in tasks}},
    }
    return Launcher(spec, tmp_path, bucket)


def task(files=(), **reported):
    """Returns the work of a task: the files of its output, and what it reports of it."""

    def execute(command):
        handed_in = json.loads(command[-1])
        [output] = handed_in["outputs"]["artifacts"]["data"]["artifacts"]
        for name in files:
            file = local_path(reported.get("uri", output["uri"])) / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(name)
        if reported:
            report = {"artifacts": {"data": {"artifacts": [reported]}}}
            file = Path(handed_in["outputs"]["outputFile"])
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(json.dumps(report))
        return 0

    return execute


@pytest.mark.parametrize(
    ("put_out", "stored"),
    [
        (0.10583348945837663, 0.105833),
        (2.5e-08, 0.0),
        (7, 7),
        (True, 1),
        ("text", "text"),
        ([1.0, True], {"list": [1.0, True]}),
        ({"a": 1.0}, {"struct": {"a": 1.0}}),
    ],
)
def test_property_is_stored_as_mlmd_keeps_it(put_out, stored):
    """And comes back so."""
    assert mlmd_value(put_out) == stored


def test_property_that_is_null_fails():
    """The task, as the real one does."""
    with pytest.raises(AssertionError, match="no null"):
        mlmd_value(None)


def test_outputs_are_typed_and_inputs_are_not(launcher):
    """The next task has an empty schema for what it reads."""
    launcher.run("first", "s3://", task(["a"]))

    executor_input = launcher.executor_input("second", "s3://bucket/root")
    [read] = executor_input["inputs"]["artifacts"]["data"]["artifacts"]
    [written] = executor_input["outputs"]["artifacts"]["data"]["artifacts"]
    assert read["type"] == {"instanceSchema": ""}
    assert written["type"] == EXAMPLES


@pytest.mark.parametrize(("metadata", "runs"), [({"n": 2}, True), ({"n": 3}, False), ({}, False)])
def test_condition_sees_the_metadata_of_inputs(launcher, metadata, runs):
    """As its producer reported them."""
    launcher.run("first", "s3://", task(metadata=metadata))

    assert launcher.lets_run("second") == runs


def test_condition_on_a_property_that_is_absent_fails(launcher):
    """If it does not ask whether there is one."""
    condition = "(inputs.artifacts['data'].artifacts[0].metadata['n'] < 3.0)"
    launcher.spec["root"]["dag"]["tasks"]["second"]["triggerPolicy"]["condition"] = condition
    launcher.run("first", "s3://", task())

    with pytest.raises(KeyError, match="n"):
        launcher.lets_run("second")


def test_files_reach_the_next_task_and_empty_folders_do_not(launcher):
    """What a task did not write is no error."""
    seen = {}

    def look(command):
        [read] = json.loads(command[-1])["inputs"]["artifacts"]["data"]["artifacts"]
        path = local_path(read["uri"])
        seen["files"] = sorted(str(file.relative_to(path)) for file in path.rglob("*"))
        return 0

    def write(command):
        status = task(["a", "b/c"])(command)
        [output] = json.loads(command[-1])["outputs"]["artifacts"]["data"]["artifacts"]
        (local_path(output["uri"]) / "empty").mkdir()
        return status

    launcher.run("first", "minio://", write)
    launcher.run("second", "minio://", look)
    assert seen["files"] == ["a", "b", "b/c"]

    launcher.run("first", "minio://", task())
    launcher.stored(launcher.recorded["first", "data"]["uri"]).rename(launcher.store / "away")
    launcher.run("second", "minio://", look)
    assert seen["files"] == []


def test_folder_around_an_output_exists_and_the_output_does_not(launcher):
    """A task has to make it."""

    def look(command):
        [output] = json.loads(command[-1])["outputs"]["artifacts"]["data"]["artifacts"]
        path = local_path(output["uri"])
        assert path.parent.is_dir()
        assert not path.exists()
        return 0

    assert launcher.run("first", "gs://", look) == 0


def test_report_replaces_uri_and_properties(launcher):
    """A folder beneath the output, for example; without a report, they stay as handed out."""
    root = f"s3://{launcher.bucket}/root"
    launcher.run("first", "s3://", task(["a"]))
    assert launcher.recorded["first", "data"]["uri"] == f"{root}/first/data"

    launcher.run("first", "s3://", task(["a"], uri=f"{root}/first/data/sub", metadata={"n": 1}))
    recorded = launcher.recorded["first", "data"]
    assert recorded["uri"] == f"{root}/first/data/sub"
    assert recorded["metadata"]["n"] == 1.0
    assert launcher.stored(recorded["uri"]).joinpath("a").is_file()


def test_field_of_a_report_that_is_unknown_fails(launcher):
    """It is read strictly."""
    with pytest.raises(json_format.ParseError, match="no field named"):
        launcher.run("first", "s3://", task(other=1))


def test_output_outside_of_the_pipeline_root_fails(launcher):
    """The bucket that is open is the root's."""
    with pytest.raises(AssertionError, match="bucket prefix"):
        launcher.run("first", "s3://", task(uri=f"s3://{launcher.bucket}/elsewhere"))


def test_task_that_fails_is_not_recorded(launcher):
    """Nor is anything copied to the store."""

    def fail(command):
        task(["a"])(command)
        return 1

    assert launcher.run("first", "s3://", fail) == 1
    assert launcher.recorded == {}
    assert not launcher.store.exists()
