"""The image, and the penguin pipeline run in it task by task. Needs docker or podman."""

import csv
import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from cut_off import asked, cut_off
from tfx.components import CsvExampleGen, SchemaGen
from tfx.dsl.components.common.importer import Importer
from tfx.orchestration.data_types import RuntimeParameter
from tfx.types.standard_artifacts import ExampleStatistics

import tfx_lr_finder
from penguin import pipeline
from plain_kfp.pipeline import main as compile_plain_kfp
from tfx_lr_finder import Evidence
from tfx_lr_finder.kubeflow import compile_pipeline
from tfx_lr_finder.search.options import OUTPUT_KEYS, SweepOptions
from tfx_lr_finder.standalone import find_on_files

pytestmark = [
    pytest.mark.container,
    pytest.mark.needs("docker or podman", packages="podman runc debootstrap"),
]

REPOSITORY = Path(__file__).parents[2]
LABELS = "org.opencontainers.image."
KFP_PYTHON = Path(f"{sys.prefix}-kfp") / "bin" / "python"
FINDER = "LearningRateFinder"

USE_AS_A_TASK_DOES = """
import getpass, os, pathlib, subprocess, sys, tempfile
import apache_beam as beam
import matplotlib.pyplot
import tensorflow as tf
import tfx_lr_finder.executor, tfx_lr_finder.kubeflow.entrypoint

assert os.getuid() == 12345
getpass.getuser()
pathlib.Path.home().joinpath("file").write_text("")
pathlib.Path("/minio/bucket").mkdir()
with beam.Pipeline() as pipeline:
    pipeline | beam.Create([1, 2]) | beam.Map(tf.constant) | beam.Map(print)
with tempfile.TemporaryDirectory() as folder:
    pathlib.Path(folder, "pyproject.toml").write_text("[project]\\nname = 'x'\\nversion = '1'")
    install = ["pip", "install", "--no-build-isolation", "--target", f"{folder}/x", folder]
    subprocess.run([sys.executable, "-m", *install], check=True)
"""

DEMO_AND_COMMAND_LINE = """
python -m penguin.run_local /tmp/demo
data=/tmp/demo/Transform
tfx-lr-finder sweep --module-file /project/pipelines/penguin/module/model.py --num-sweeps 2 \\
    --examples $data/transformed_examples/* --transform-graph $data/transform_graph/* \\
    --output /tmp/found
"""


@pytest.fixture(scope="module")
def engine():
    """The command of the container engine that works here."""
    return subprocess.check_output([REPOSITORY / "container" / "engine.sh"], text=True).strip()


@pytest.fixture(scope="module")
def image(engine):
    """The image of the wheel that is tested; built unless it is there."""
    tag = f"tfx-lr-finder:{tfx_lr_finder.__version__}"
    if subprocess.run([engine, "image", "inspect", tag], capture_output=True).returncode:
        subprocess.run([REPOSITORY / "container" / "build.sh", tag], check=True)
    return tag


@pytest.fixture(scope="module")
def config(engine, image):
    """What the image says about itself."""
    inspected = subprocess.check_output([engine, "image", "inspect", image])
    return json.loads(inspected)[0]["Config"]


@pytest.fixture(scope="module")
def run(engine, image):
    """A function that runs a command in the image, and returns what it printed."""

    def run(*command, options=()):
        full = [engine, "run", "--rm", *options, image, *command]
        return subprocess.run(full, check=True, capture_output=True, text=True).stdout

    return run


@pytest.fixture(scope="module")
def image_with_own_code(engine, image):
    """An image built with the two lines that container/README.md shows."""
    readme = (REPOSITORY / "container" / "README.md").read_text()
    (lines,) = re.findall(r"```dockerfile\n(FROM [^\n]*\nCOPY [^\n]*\n)```", readme)
    tag = f"{image}-own-code"
    build = [engine, "build", "--tag", tag, "--file", "-", "."]
    subprocess.run(build, input=lines, text=True, check=True, cwd=REPOSITORY)
    yield tag
    subprocess.run([engine, "rmi", "--force", tag], check=True, capture_output=True)


@pytest.fixture(scope="module")
def asked_file(tmp_path_factory):
    """The file that says what the run of the penguin pipeline asked of other machines."""
    return tmp_path_factory.mktemp("asked") / "asked.json"


@pytest.fixture(scope="module")
def folder(tmp_path_factory, image, engine, asked_file, pipelines_environment):
    """The pipeline root, after a run of the compiled penguin pipeline in containers.

    What they send to other machines is lost.
    """
    root = tmp_path_factory.mktemp("kubeflow")
    program = [sys.executable, "-m", "penguin.run_kubeflow_local", image, root, KFP_PYTHON]
    before = engine_cut_off(engine, "dropped", asked_file)
    subprocess.run([*before, *program], check=True, env=pipelines_environment)
    return root


@pytest.fixture(scope="module")
def outputs(folder):
    """What every task put out, by its component."""
    return json.loads((folder / "outputs.json").read_text())


@pytest.fixture(scope="module")
def local_curve(outputs, tmp_path_factory):
    """The curve that this machine finds with what the pipeline's Transform put out."""
    root = tmp_path_factory.mktemp("local")
    keys = {"examples": "transformed_examples", "transform_graph": "transform_graph"}
    inputs = {name: outputs["Transform"][key]["uri"] for name, key in keys.items()}
    written = {name: str(root / name) for name in OUTPUT_KEYS}
    code = {"module_file": str(pipeline.MODULE_FILE)}
    sweep = find_on_files(inputs, written, code, SweepOptions(), pipeline.TRAIN_STEPS)
    return read_curve(sweep.uri)


def read_curve(sweep):
    """Returns the curve of a sweep."""
    return Evidence.from_json(Path(sweep, "sweep.json").read_text()).curves[0]


def engine_cut_off(engine, mode, report):
    """Returns `cut_off` for containers: those of podman, for Docker's belong to its service."""
    return cut_off(mode, report) if engine == "podman" else []


def run_compiled(pipeline_file, root, *, before=(), **environment):
    """Runs a compiled pipeline in containers, and returns how that ended."""
    return subprocess.run(
        [*before, KFP_PYTHON, "-m", "run_kubeflow_local", pipeline_file, root],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY / "pipelines"), **environment},
    )


def test_image_has_no_entrypoint(config):
    """A task's command means the same to Docker and to Kubernetes then."""
    assert not config.get("Entrypoint")


def test_image_is_labelled(config):
    """Version and licence are those of the package, and the commit is named."""
    labels = config["Labels"]
    assert labels[LABELS + "version"] == tfx_lr_finder.__version__
    assert labels[LABELS + "licenses"] == "Apache-2.0"
    assert labels[LABELS + "revision"]


def test_image_does_not_run_as_root(config):
    """The user is a number, with which Kubernetes can tell that it is not root."""
    assert int(config["User"].partition(":")[0]) != 0


def test_any_user_id_can_run_a_task(run):
    """Imports, home, scratch folders, Beam and pip work for a user that the image never saw.

    Nor its group; a user of group 0, as the image's own, runs the tests in the image.
    """
    run("python", "-c", USE_AS_A_TASK_DOES, options=["--user", "12345:12345"])


def test_image_holds_the_tested_wheel(run):
    """Every file of the wheel in dist/ is installed with the same hash."""
    (wheel,) = (REPOSITORY / "dist").glob("*.whl")
    info = f"tfx_lr_finder-{tfx_lr_finder.__version__}.dist-info"
    with zipfile.ZipFile(wheel) as archive:
        packed = archive.read(f"{info}/RECORD").decode().splitlines()
    code = (
        "from importlib.metadata import distribution as d;"
        "print(d('tfx-lr-finder').read_text('RECORD'))"
    )
    installed = run("python", "-c", code).splitlines()
    hashes = [{row[0]: row[1] for row in csv.reader(r) if row} for r in (packed, installed)]
    del hashes[0][f"{info}/RECORD"]
    assert hashes[0].items() <= hashes[1].items()


def test_image_is_compiled_and_has_no_compiler(run):
    """Every module has its bytecode, or each container would compile TensorFlow anew."""
    assert run("sh", "-c", "command -v cc gcc g++ uv || true") == ""
    code = (
        "import importlib.util as u, pathlib, sysconfig;"
        "files = pathlib.Path(sysconfig.get_path('purelib')).rglob('*.py');"
        "print([str(f) for f in files if not pathlib.Path(u.cache_from_source(f)).exists()])"
    )
    assert run("python", "-c", code).strip() == "[]"


def test_image_keeps_no_certificates_of_the_build(run):
    """The machine that built it may have a certificate of its own."""
    assert run("sh", "-c", "ls /run/secrets 2>/dev/null || true") == ""


def test_own_code_in_the_image_is_found_by_dotted_path(engine, image_with_own_code):
    """By TFX's own way of finding it, with the data beside it."""
    code = (
        "import pathlib; from tfx.components.util import udf_utils as u;"
        "print(u.get_fn({'run_fn': 'penguin.module.model.run_fn'}, 'run_fn').__module__,"
        "pathlib.Path('/pipelines/penguin/data/penguins.csv').exists())"
    )
    command = [engine, "run", "--rm", image_with_own_code, "python", "-c", code]
    printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    assert printed.split() == ["penguin.module.model", "True"]


def test_every_task_reported_its_outputs(outputs):
    """The trained model comes from the last of the tasks that lead to it."""
    assert set(outputs) == {
        *("CsvExampleGen", "StatisticsGen", "SchemaGen", "Transform"),
        *(FINDER, "Trainer", "DefaultTrainer", "Evaluator"),
    }
    model = Path(outputs["Trainer"]["model"]["uri"])
    assert (model / "Format-Serving" / "saved_model.pb").is_file()


def test_tasks_ask_nothing_of_other_machines(folder, asked_file):
    """They look up no name and call no address, where they would have waited for an answer."""
    assert asked(asked_file) == []


def test_demo_and_command_line_in_the_image_ask_nothing_of_other_machines(engine, image, tmp_path):
    """Nor do they with the image's newer Beam, whose default is to download a runner."""
    options = [f"--volume={REPOSITORY}:/project:ro", "--env=PYTHONPATH=/project/pipelines"]
    before = engine_cut_off(engine, "dropped", tmp_path / "asked.json")
    command = [*before, engine, "run", "--rm", "--network=host", *options, image]
    subprocess.run([*command, "sh", "-euc", DEMO_AND_COMMAND_LINE], check=True)
    assert asked(tmp_path / "asked.json") == []


def test_curve_is_that_of_this_machine(outputs, local_curve):
    """Same data, same seed, same rates and losses.

    Not bit for bit: this machine may have another TensorFlow than the image, whose kernels may
    sum in another order. And not in the blow-up, which makes of a difference in the seventh digit
    one in the third: the losses are compared up to ten times the rate that was found.
    """
    curve = read_curve(outputs[FINDER]["sweep"]["uri"])
    np.testing.assert_allclose(curve.learning_rates, local_curve.learning_rates, rtol=1e-6)
    found = outputs[FINDER]["sweep"]["metadata"]["learning_rate"]
    assert found == pytest.approx(tfx_lr_finder.suggest(local_curve).learning_rate, rel=1e-3)
    stable = np.asarray(local_curve.learning_rates) < 10 * found
    np.testing.assert_allclose(
        np.asarray(curve.losses)[stable], np.asarray(local_curve.losses)[stable], rtol=1e-3
    )


def test_properties_survive_from_task_to_task(outputs, folder):
    """StatisticsGen knows the splits of CsvExampleGen's examples, and Transform their format."""
    for task, key in (("StatisticsGen", "statistics"), ("Transform", "transformed_examples")):
        splits = json.loads(outputs[task][key]["metadata"]["split_names"])
        assert sorted(splits) == ["eval", "train"]
    log = (folder / "run.log").read_text()
    # TFX logs what the executor is given, and the next line names the component's executor.
    until = log.partition("artifacts of executor tfx.components.transform.executor.Executor")[0]
    inputs = until.rpartition("PreparingExecutor do: ")[2]
    assert 'key: "payload_format"' in inputs.partition("outputs: ")[0]


def test_facts_of_the_sweep_are_its_properties(outputs):
    """A number is a number, a text is a text."""
    metadata = outputs[FINDER]["sweep"]["metadata"]
    assert metadata["verdict"] == "ok"
    assert (metadata["batch_size"], metadata["seed"]) == (16, 0)


def test_trainer_trained_with_the_rate(outputs):
    """The next task got the number that the finder found."""
    found = outputs[FINDER]["sweep"]["metadata"]["learning_rate"]
    (file,) = Path(outputs[FINDER]["best_hyperparameters"]["uri"]).iterdir()
    assert json.loads(file.read_text())["values"]["learning_rate"] == found


def test_failed_task_stops_the_run_with_its_own_error(image, tmp_path):
    """Nothing after it runs, and the end of its log says why; kfp.local called it a success."""
    file = tmp_path / "penguin.yaml"
    components = pipeline.create_components("/nowhere")
    compile_pipeline("penguin", components, image, file, pipeline_root=str(tmp_path))
    ended = run_compiled(file, tmp_path)
    assert ended.returncode == 1
    assert "CsvExampleGen failed:" in ended.stderr
    assert "Split pattern /nowhere/* does not match any files." in ended.stderr
    assert "[2/8]" not in ended.stderr


def test_machine_without_an_engine_is_one_line(tmp_path):
    """It says what to start or install; the outputs of an earlier run are none of this one."""
    (tmp_path / "outputs.json").write_text("{}")
    compile_plain_kfp(["--image", "any", "--output", str(tmp_path / "plain.yaml"), "--no-gate"])
    ended = run_compiled(
        tmp_path / "plain.yaml", tmp_path, PATH="", DOCKER_HOST=f"unix://{tmp_path}/none"
    )
    assert ended.returncode == 1
    assert re.fullmatch(
        r"A container engine must answer\. Received: no Docker at unix://.*/none, no podman\. "
        r"Start Docker, .* or install podman\.\n",
        ended.stderr,
    )
    assert not (tmp_path / "outputs.json").exists()


def test_task_without_its_image_stops_the_run_with_the_engines_error(engine, tmp_path):
    """The message names the task and the image."""
    file = tmp_path / "small.yaml"
    image = "localhost/no-such-image:1"
    compile_pipeline("small", [CsvExampleGen(input_base="/data")], image, file)
    ended = run_compiled(file, tmp_path)
    assert ended.returncode == 1
    assert "CsvExampleGen failed:" in ended.stderr
    assert image in ended.stderr
    assert "Traceback" not in ended.stderr


def test_tasks_of_alike_names_start_from_an_imported_artifact(image, outputs, tmp_path):
    """Each has a folder of its own, where kfp.local would tell them apart by their ends alone."""
    source = tmp_path / "statistics"
    shutil.copytree(outputs["StatisticsGen"]["statistics"]["uri"], source)
    statistics = Importer(
        source_uri=str(source),
        artifact_type=ExampleStatistics,
        properties={"split_names": json.dumps(["train", "eval"])},
    ).with_id("Statistics")
    schemas = [
        SchemaGen(statistics=statistics.outputs["result"]).with_id(name)
        for name in ("FirstSchemaGen", "OtherSchemaGen")
    ]
    file = tmp_path / "alike.yaml"
    compile_pipeline("alike", [statistics, *schemas], image, file, pipeline_root=str(tmp_path))
    ended = run_compiled(file, tmp_path)
    assert ended.returncode == 0, ended.stderr
    written = json.loads((tmp_path / "outputs.json").read_text())
    assert written["Statistics"]["result"]["uri"] == str(source)
    folders = {Path(written[schema.id]["schema"]["uri"]) for schema in schemas}
    assert len(folders) == 2
    assert all((folder / "schema.pbtxt").is_file() for folder in folders)


def test_parameter_without_default_is_asked_for(image, tmp_path):
    """Before anything is run."""
    file = tmp_path / "small.yaml"
    folder = RuntimeParameter("folder", ptype=str)
    compile_pipeline("small", [CsvExampleGen(input_base=folder)], image, file)
    ended = run_compiled(file, tmp_path)
    assert ended.returncode == 1
    assert "missing ['folder']" in ended.stderr


def test_plain_kfp_pipeline_runs(engine, image, tmp_path):
    """Without TFX's DSL, the rate reaches the next task as a number; no other machine is asked."""
    compile_plain_kfp(["--image", image, "--output", str(tmp_path / "plain.yaml"), "--no-gate"])
    before = engine_cut_off(engine, "refused", tmp_path / "asked.json")
    ended = run_compiled(tmp_path / "plain.yaml", tmp_path, before=before)
    assert ended.returncode == 0, ended.stderr
    outputs = json.loads((tmp_path / "outputs.json").read_text())
    found = outputs["learning-rate-finder"]
    assert found["learning_rate"] == found["sweep"]["metadata"]["learning_rate"]
    assert outputs["train"]["model"]["metadata"]["loss"] < 1
    assert asked(tmp_path / "asked.json") == []


def test_gate_that_cannot_be_decided_is_refused(image, tmp_path):
    """kfp.local would skip the training, and call that a success."""
    compile_plain_kfp(["--image", image, "--output", str(tmp_path / "plain.yaml")])
    ended = run_compiled(tmp_path / "plain.yaml", tmp_path)
    assert ended.returncode == 1
    assert "kfp.local cannot decide conditions" in ended.stderr
    assert "['condition-1']" in ended.stderr
