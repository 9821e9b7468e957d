"""What the entrypoint makes of the launcher's JSON."""

import copy

import pytest

from tfx_lr_finder.kubeflow.invocation import (
    local_path,
    with_local_paths,
    with_plain_properties,
    with_remote_uris,
    with_tfx_outputs,
    with_types,
)

EXAMPLES = {"instanceSchema": "title: tfx.Examples\ntype: object\n"}
SPEC = {"artifacts": {"examples": {"artifactType": EXAMPLES}}}
SCHEMES = [("gs://", "/gcs/"), ("minio://", "/minio/"), ("s3://", "/s3/")]


def executor_input(input_uri="minio://bucket/in", output_uri="minio://bucket/out", **artifact):
    """Returns what the launcher hands to a task with one input and one output."""
    return {
        "inputs": {
            "parameterValues": {"num_steps": 100},
            "artifacts": {"examples": {"artifacts": [{"uri": input_uri, **artifact}]}},
        },
        "outputs": {
            "artifacts": {"model": {"artifacts": [{"uri": output_uri, "type": EXAMPLES}]}},
            "outputFile": "/tmp/kfp_outputs/output_metadata.json",
        },
    }


def executor_output(uri):
    """Returns what TFX reports of a task with one output."""
    return {"artifacts": {"model": {"artifacts": [{"uri": uri, "metadata": {"verdict": "ok"}}]}}}


def input_type(invocation):
    """Returns the type of the one input."""
    return invocation["inputs"]["artifacts"]["examples"]["artifacts"][0]["type"]


@pytest.mark.parametrize(("scheme", "root"), SCHEMES)
def test_object_store_uri_becomes_the_path_of_the_launchers_copy(scheme, root):
    """The path is the root of the scheme, then bucket and key as they are."""
    assert local_path(f"{scheme}bucket/a key/x?y") == f"{root}bucket/a key/x?y"


def test_image_of_a_model_becomes_the_path_at_which_kubeflow_mounts_it():
    """Its slashes are underscores there."""
    assert local_path("oci://registry/team/model:1") == "/oci/registry_team_model:1/models"


@pytest.mark.parametrize("uri", ["/tmp/minio://x", "relative/path", "https://host/x"])
def test_other_uri_stays(uri):
    """Only what the launcher copies has a local path."""
    assert local_path(uri) == uri


@pytest.mark.parametrize(("scheme", "root"), SCHEMES)
def test_inputs_and_outputs_get_local_paths(scheme, root):
    """Every artifact's URI is mapped, and nothing else."""
    local = with_local_paths(executor_input(f"{scheme}bucket/in", f"{scheme}bucket/out"))

    assert local == executor_input(f"{root}bucket/in", f"{root}bucket/out")


@pytest.mark.parametrize(("scheme", "root"), SCHEMES)
def test_input_in_the_workspace_of_the_run_is_found_there(scheme, root):
    """Kubeflow has put it there already, and does not copy it once more."""
    flag = {"metadata": {"_kfp_workspace": True}}
    handed_in = executor_input(f"{scheme}bucket/in", f"{scheme}bucket/out", **flag)
    path = f"/kfp-workspace/.artifacts{root}bucket/in"

    assert with_local_paths(handed_in) == executor_input(path, f"{root}bucket/out", **flag)
    for found in (path, f"{root}bucket/out"):
        report = with_remote_uris(executor_output(found), handed_in)
        assert report in (executor_output(f"{scheme}bucket/{end}") for end in ("in", "out"))


@pytest.mark.parametrize(("scheme", "root"), SCHEMES)
def test_reported_path_becomes_the_uri_that_was_handed_in(scheme, root):
    """A local path left in the report would silently not be uploaded."""
    handed_in = executor_input(output_uri=f"{scheme}bucket/out")

    report = with_remote_uris(executor_output(f"{root}bucket/out"), handed_in)

    assert report == executor_output(f"{scheme}bucket/out")


def test_path_that_the_executor_chose_is_mapped_too():
    """An executor may report a folder beneath its output, or one of its inputs."""
    handed_in = executor_input("s3://bucket/in", "minio://bucket/out")

    for path, uri in [
        ("/minio/bucket/out/sub", "minio://bucket/out/sub"),
        ("/s3/bucket/in", "s3://bucket/in"),
    ]:
        assert with_remote_uris(executor_output(path), handed_in) == executor_output(uri)


def test_property_that_names_an_artifact_is_mapped_too():
    """An Evaluator notes where the model lies; other texts stay as they are."""
    handed_in = executor_input("s3://bucket/in", "minio://bucket/out")
    report = executor_output("/minio/bucket/out")
    metadata = report["artifacts"]["model"]["artifacts"][0]["metadata"]
    metadata.update(current_model="/s3/bucket/in", note="/s3/bucket/in is it", blessed=1.0)

    found = with_remote_uris(report, handed_in)["artifacts"]["model"]["artifacts"][0]["metadata"]

    assert found == {**metadata, "current_model": "s3://bucket/in"}


def test_local_path_stays_where_nothing_was_remote():
    """kfp.local may well have its pipeline root in a folder called /minio."""
    handed_in = executor_input("/minio/root/in", "/minio/root/out")

    report = with_remote_uris(executor_output("/minio/root/out"), handed_in)

    assert report == executor_output("/minio/root/out")


@pytest.mark.parametrize(
    "artifact",
    [
        {},
        {"type": {}},
        {"type": {"instanceSchema": ""}},
        {"type": {"schemaTitle": "system.Artifact", "schemaVersion": "0.0.1"}},
        {"type": {"schemaTitle": "system.Dataset"}},
    ],
    ids=["no_type", "empty_type", "kubeflow_backend", "kfp_local", "kfp_dataset"],
)
def test_missing_input_type_comes_from_the_components_definition(artifact):
    """Neither the backend nor kfp.local hands over the type that the producer had."""
    typed = with_types(executor_input(**artifact), SPEC)

    assert typed == executor_input(type=EXAMPLES)


@pytest.mark.parametrize(
    "right",
    [
        {"instanceSchema": "title: tfx.Model\ntype: object\n"},
        {"schemaTitle": "tfx.Model"},
        {"schemaTitle": "tfx_lr_finder.LearningRateSweep"},
    ],
    ids=["schema", "title", "custom_title"],
)
def test_right_input_type_is_left_alone(right):
    """What TFX can read is not replaced, whatever the definition says."""
    assert input_type(with_types(executor_input(type=right), SPEC)) == right


def test_right_types_need_no_definition():
    """Pipelines of spec 2.0 come without input definitions."""
    assert input_type(with_types(executor_input(type=EXAMPLES), {})) == EXAMPLES


def test_input_without_any_type_is_refused():
    """The message names the input and the way out."""
    with pytest.raises(
        ValueError, match=r"input 'examples' of type None, .*use_pipeline_spec_2_1=True"
    ):
        with_types(executor_input(), {})


@pytest.mark.parametrize(
    ("stored", "put_out"),
    [
        ({"struct": {"train": 1.0}}, {"train": 1.0}),
        ({"list": [1.0, {"struct": 2.0}]}, [1.0, {"struct": 2.0}]),
        ({"struct": {"struct": {"a": 1.0}}}, {"struct": {"a": 1.0}}),  # the producer's own word
        ({"struct": 1.0}, {"struct": 1.0}),
        ({"list": [1.0], "struct": {}}, {"list": [1.0], "struct": {}}),
        ("struct", "struct"),
        (1.0, 1.0),
    ],
)
def test_property_is_what_its_producer_put_out(stored, put_out):
    """One layer is the backend's; what else looks like it is the producer's own."""
    plain = with_plain_properties(executor_input(metadata={"blessed": stored}))

    assert plain == executor_input(metadata={"blessed": put_out})


def test_log_that_kubeflow_adds_to_the_outputs_is_kept_from_tfx():
    """TFX cannot read its type; the launcher uploads it by itself."""
    expected = executor_input()
    handed_in = copy.deepcopy(expected)
    handed_in["outputs"]["artifacts"]["executor-logs"] = {
        "artifacts": [{"uri": "minio://bucket/log", "type": {"schemaTitle": "system.Artifact"}}]
    }

    assert with_tfx_outputs(handed_in) == expected


def test_task_without_artifacts_passes():
    """Inputs, their artifacts and the outputs' artifacts may all be absent."""
    bare = {"outputs": {"outputFile": "/tmp/kfp_outputs/output_metadata.json"}}

    assert with_types(with_local_paths(bare), {}) == bare
    assert with_remote_uris({}, bare) == {}
    assert with_tfx_outputs(bare)["outputs"]["artifacts"] == {}


def test_arguments_are_not_changed():
    """Every function returns a copy."""
    handed_in = executor_input(metadata={"blessed": {"struct": {"train": 1.0}}})
    before = copy.deepcopy(handed_in)

    with_tfx_outputs(with_plain_properties(with_local_paths(with_types(handed_in, SPEC))))

    assert handed_in == before
