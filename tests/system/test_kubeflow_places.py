"""What components name by a path or a URI: refused where no task on Kubeflow would reach it."""

import re

import pytest
import yaml
from tfx.components import CsvExampleGen, ImportExampleGen, Pusher
from tfx.components.example_gen.component import FileBasedExampleGen
from tfx.components.example_gen.custom_executors import avro_executor
from tfx.components.schema_gen.import_schema_gen.component import ImportSchemaGen
from tfx.dsl.component.experimental.annotations import OutputArtifact, Parameter
from tfx.dsl.component.experimental.decorators import component
from tfx.dsl.components.base.executor_spec import BeamExecutorSpec
from tfx.dsl.components.common.importer import Importer
from tfx.orchestration.data_types import RuntimeParameter
from tfx.proto.pusher_pb2 import PushDestination
from tfx.types.standard_artifacts import Examples, Model

from tfx_lr_finder import LearningRateFinder
from tfx_lr_finder.kubeflow import compile_pipeline

STORED_EXAMPLES = "s3://bucket/examples"


@pytest.fixture
def compiled(tmp_path):
    """A function that compiles components and returns the documents that were written."""

    def compile_(components, **options):
        file = tmp_path / "small.yaml"
        compile_pipeline("small", components, "image@sha256:0", file, **options)
        return list(yaml.safe_load_all(file.read_text()))

    return compile_


def pusher(folder):
    """Returns a model that is stored, and a Pusher of it to a folder."""
    model = Importer(source_uri="s3://bucket/model", artifact_type=Model).with_id("Stored")
    destination = PushDestination(filesystem=PushDestination.Filesystem(base_directory=folder))
    return [model, Pusher(model=model.outputs["result"], push_destination=destination)]


def csv(path):
    """Returns an ExampleGen that reads from a path."""
    return [CsvExampleGen(input_base=path)]


def schema(path):
    """Returns a component that reads a schema from a path."""
    return [ImportSchemaGen(schema_file=path)]


def importer(uri):
    """Returns an Importer of stored examples."""
    return [Importer(source_uri=uri, artifact_type=Examples).with_id("Stored")]


def parameter(default):
    """Returns a parameter of the run."""
    return RuntimeParameter("place", ptype=str, default=default)


@pytest.mark.parametrize("scheme", ["s3", "minio", "hdfs"])
@pytest.mark.parametrize(
    ("make", "option"), [(csv, "input_base"), (schema, "schema_file")], ids=["csv", "schema"]
)
def test_file_that_tensorflow_cannot_read_is_refused(compiled, make, option, scheme):
    """The component reads it by itself, and not by Kubeflow's launcher."""
    with pytest.raises(
        ValueError,
        match=rf"file system for the `{option}`.*'{scheme}://bucket/data' of .*"
        r"file systems \['file', 'gs', 'ram'\].*with an Importer",
    ):
        compiled(make(f"{scheme}://bucket/data"))


@component
def download(input_base: Parameter[str], model: OutputArtifact[Model]):
    """Reads with a client of its own."""


@pytest.mark.parametrize(
    "reader",
    [
        lambda path: ImportExampleGen(input_base=path),
        lambda path: FileBasedExampleGen(
            input_base=path, custom_executor_spec=BeamExecutorSpec(avro_executor.Executor)
        ),
        lambda path: download(input_base=path),
    ],
    ids=["import", "avro", "own"],
)
def test_file_that_another_reads_is_compiled(compiled, reader):
    """Beam, for which the image may have the extra `aws`, or the component's own client."""
    assert compiled([reader("s3://bucket/data")])


@pytest.mark.parametrize("path", ["gs://bucket/data", "/data", "data"])
@pytest.mark.parametrize("make", [csv, schema])
def test_file_in_the_image_or_in_google_storage_is_compiled(compiled, make, path):
    """TensorFlow reads both."""
    assert compiled(make(path))


@pytest.mark.parametrize("default", ["gs://bucket/data", None])
def test_parameter_for_a_place_is_judged_by_its_default(compiled, default):
    """If it has one; what a run gives is not known here."""
    assert compiled(csv(parameter(default)))
    with pytest.raises(ValueError, match=r"'s3://bucket/data' of 'CsvExampleGen'"):
        compiled(csv(parameter("s3://bucket/data")))


@pytest.mark.parametrize("uri", ["/data/examples", "examples", "https://x/y"])
def test_importer_of_what_is_in_no_object_store_is_refused(compiled, uri):
    """The launcher would skip it, and the next task fail."""
    with pytest.raises(
        ValueError,
        match=rf"must begin with one of \('gs://', 'minio://', 's3://'\).*'{uri}' of 'Stored'.*"
        r"Upload it to the bucket of the pipeline root\.",
    ):
        compiled(importer(uri))


@pytest.mark.parametrize("uri", ["gs://b/x", "minio://b/x", "s3://b/x", "oci://registry/x"])
def test_importer_of_what_kubeflow_brings_is_compiled(compiled, uri):
    """From an object store, or out of an image: data that are not in the image of the tasks."""
    assert compiled(importer(uri))
    assert compiled(importer(parameter(uri)))


@pytest.mark.parametrize("path", ["/serving/model", "serving"])
def test_pusher_into_its_own_container_is_refused(compiled, path):
    """The model would be gone with it."""
    with pytest.raises(
        ValueError, match=rf"must outlive its task.*'{path}' of 'Pusher'.*`pipeline_root`"
    ):
        compiled(pusher(path))


def test_pusher_to_where_tensorflow_cannot_write_is_refused(compiled):
    """It writes by itself."""
    with pytest.raises(ValueError, match=r"`push_destination`.*'s3://bucket/serving' of 'Pusher'"):
        compiled(pusher("s3://bucket/serving"))


def test_pusher_to_google_storage_is_compiled(compiled):
    """TensorFlow writes there."""
    assert compiled(pusher("gs://bucket/serving"))


@pytest.mark.parametrize("make", [pusher, importer])
def test_folder_of_the_pipeline_is_reached(compiled, tmp_path, make):
    """And no folder outside of it."""
    assert compiled(make(str(tmp_path / "inside")), pipeline_root=str(tmp_path))
    with pytest.raises(ValueError, match=re.escape(f"Received: '{tmp_path.parent / 'x'}'")):
        compiled(make(str(tmp_path.parent / "x")), pipeline_root=str(tmp_path))


def test_volume_is_mounted_into_every_container(compiled, tmp_path):
    """At the pipeline root, where the code was packed; an Importer has no container."""
    module = tmp_path / "model.py"
    module.write_text("")
    examples = Importer(source_uri=STORED_EXAMPLES, artifact_type=Examples).with_id("Stored")
    finder = LearningRateFinder(examples=examples.outputs["result"], module_file=str(module))
    root = str(tmp_path / "root")

    spec, platform = compiled([examples, finder], pipeline_root=root, volume_claim="team-code")

    mount = {"pvcMount": [{"constant": "team-code", "mountPath": root}]}
    assert platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"] == {
        spec["components"]["LearningRateFinder"]["executorLabel"]: mount
    }
    parameters = spec["root"]["dag"]["tasks"]["LearningRateFinder"]["inputs"]["parameters"]
    assert f"@{root}/_wheels/" in parameters["module_path"]["runtimeValue"]["constant"]


@pytest.mark.parametrize("root", [None, "s3://bucket/root", "root"])
def test_volume_without_a_folder_is_refused(compiled, root):
    """There would be no path to mount it at."""
    with pytest.raises(
        ValueError, match=rf"absolute path.*volume_claim='team-code', pipeline_root={root!r}\."
    ):
        compiled(importer(STORED_EXAMPLES), pipeline_root=root, volume_claim="team-code")


@pytest.mark.parametrize(("claim", "is_warned"), [(None, True), ("team-code", False)])
def test_folder_without_a_volume_is_warned_of(compiled, caplog, tmp_path, claim, is_warned):
    """It is enough for kfp.local, and not for Kubeflow."""
    compiled(importer(STORED_EXAMPLES), pipeline_root=str(tmp_path), volume_claim=claim)

    warned = [text for text in caplog.messages if "volume_claim" in text]
    assert len(warned) == is_warned
    assert all(f"pipeline root {str(tmp_path)!r} only if a volume" in text for text in warned)
