"""The component for plain KFP pipelines: what it compiles to, and what its command does."""

import dataclasses
import json
import shutil
from pathlib import Path

import keras
import pytest
import yaml
from google.protobuf import json_format
from kfp import dsl
from kfp.pipeline_spec import pipeline_spec_pb2

from plain_kfp import pipeline as example
from tfx_lr_finder import Evidence, NoLearningRateError, Verdict, suggest
from tfx_lr_finder.kfp import INPUT_ARTIFACTS, learning_rate_finder
from tfx_lr_finder.kubeflow import kfp_task
from tfx_lr_finder.search.options import SweepOptions

IMAGE = "registry.example/team/finder:1"


@pytest.fixture(scope="module")
def compiled(tmp_path_factory):
    """The example pipeline, compiled."""
    file = tmp_path_factory.mktemp("compiled") / "plain.yaml"
    example.main(["--image", IMAGE, "--output", str(file)])
    return json_format.ParseDict(yaml.safe_load(file.read_text()), pipeline_spec_pb2.PipelineSpec())


@pytest.fixture(scope="module")
def examples(tmp_path_factory):
    """What the example pipeline's first task writes."""
    artifact = dsl.Dataset(uri=str(tmp_path_factory.mktemp("root") / "examples"))
    example.make_examples(artifact)
    return artifact


@pytest.fixture(scope="module")
def executor_input(examples):
    """A function that returns what kfp.local hands to a task with a folder for its outputs."""

    def make(folder, input_artifacts=None, **parameters):
        uris = {"examples": examples.uri, **(input_artifacts or {})}
        titles = {"metrics": "system.Metrics", "report": "system.HTML"}
        outputs = ("best_hyperparameters", "sweep", "metrics", "report")
        return {
            "inputs": {
                "parameterValues": {"num_steps": 60.0, **parameters},
                "artifacts": {n: {"artifacts": [{"uri": str(uris[n])}]} for n in uris},
            },
            "outputs": {
                "parameters": {"learning_rate": {"outputFile": str(folder / "learning_rate")}},
                "artifacts": {
                    name: {
                        "artifacts": [
                            {
                                "name": name,
                                "uri": str(folder / name),
                                "type": {"schemaTitle": titles.get(name, "system.Artifact")},
                            }
                        ]
                    }
                    for name in outputs
                },
                "outputFile": str(folder / "executor_output.json"),
            },
        }

    return make


@pytest.fixture(scope="module")
def task(executor_input, tmp_path_factory):
    """The folder of a task's outputs, after it ran with the example's module as text."""
    folder = tmp_path_factory.mktemp("task")
    kfp_task.run(executor_input(folder, module=example.MODULE.read_text()))
    return folder


def reported(task):
    """Returns what the task reported, as Kubeflow reads it."""
    report = pipeline_spec_pb2.ExecutorOutput()
    json_format.Parse((task / "executor_output.json").read_text(), report)
    return {name: values.artifacts[0] for name, values in report.artifacts.items()}


def test_finder_is_a_container_task_of_the_given_image(compiled):
    """Its command is ours, and it is handed the whole executor input."""
    config = pipeline_spec_pb2.PipelineDeploymentConfig()
    json_format.ParseDict(json_format.MessageToDict(compiled.deployment_spec), config)
    container = config.executors["exec-learning-rate-finder"].container

    assert container.image == IMAGE
    assert list(container.command) == ["python", "-m", "tfx_lr_finder.kubeflow.kfp_task"]
    assert list(container.args) == ["--executor_input", "{{$}}"]


def test_rate_is_a_number_for_tasks_and_gates(compiled):
    """The training takes it as a float parameter, and runs only if it is small enough."""
    outputs = compiled.components["comp-learning-rate-finder"].output_definitions
    condition = compiled.root.dag.tasks["condition-1"].trigger_policy.condition

    kind = outputs.parameters["learning_rate"].parameter_type
    assert kind == pipeline_spec_pb2.ParameterType.NUMBER_DOUBLE
    assert condition == (
        "inputs.parameter_values['pipelinechannel--learning-rate-finder-learning_rate'] < 1.0"
    )
    assert list(compiled.components["comp-condition-1"].dag.tasks) == ["train"]


def test_page_of_a_run_gets_metrics_and_a_report(compiled):
    """They have the types that Kubeflow's page shows."""
    outputs = compiled.components["comp-learning-rate-finder"].output_definitions.artifacts

    assert outputs["metrics"].artifact_type.schema_title == "system.Metrics"
    assert outputs["report"].artifact_type.schema_title == "system.HTML"


def test_only_the_examples_must_be_given():
    """Every other input has the TFX component's default."""
    inputs = learning_rate_finder(IMAGE).component_spec.inputs
    options = {field.name: field.default for field in dataclasses.fields(SweepOptions)}

    assert [name for name, spec in inputs.items() if not spec.optional] == ["examples"]
    assert {name: inputs[name].default for name in options} == options


def test_artifacts_that_are_asked_for_must_be_given():
    """kfp.local fails on an optional artifact that is not given."""
    inputs = learning_rate_finder(IMAGE, INPUT_ARTIFACTS).component_spec.inputs

    needed = [name for name, spec in inputs.items() if not spec.optional]
    assert needed == ["examples", *INPUT_ARTIFACTS]


def test_unknown_artifact_is_refused():
    """The message lists those that there are."""
    with pytest.raises(ValueError, match=r"must be of .*'schema'.*Received: \['graph'\]"):
        learning_rate_finder(IMAGE, ["graph"])


def test_pipeline_without_its_gate_trains_always(tmp_path):
    """For kfp.local, which cannot decide a condition on a task's output."""
    example.main(["--image", IMAGE, "--output", str(tmp_path / "plain.yaml"), "--no-gate"])
    tasks = yaml.safe_load((tmp_path / "plain.yaml").read_text())["root"]["dag"]["tasks"]

    assert set(tasks) == {"make-examples", "learning-rate-finder", "train"}


def test_task_writes_the_rate_with_its_evidence(task):
    """The number is the one that the curve suggests; the other outputs tell the same."""
    rate = float((task / "learning_rate").read_text())
    curve = Evidence.from_json((task / "sweep" / "sweep.json").read_text()).curves[0]
    config = json.loads((task / "best_hyperparameters" / "best_hyperparameters.txt").read_text())

    assert len(curve) <= curve.num_steps == 60
    assert suggest(curve).learning_rate == rate == config["values"]["learning_rate"]
    assert (task / "report").read_text() == (task / "sweep" / "report.html").read_text()


def test_task_reports_every_output_with_its_facts(task):
    """Metrics are some of the sweep's facts; URIs are those that were handed in."""
    found = reported(task)
    metrics = json_format.MessageToDict(found["metrics"].metadata)
    facts = json_format.MessageToDict(found["sweep"].metadata)

    assert {name: a.uri for name, a in found.items()} == {
        name: str(task / name) for name in ("best_hyperparameters", "sweep", "metrics", "report")
    }
    rate = ("learning_rate", "learning_rate_text", "learning_rate_low", "learning_rate_high")
    assert metrics == {name: facts[name] for name in (*rate, "verdict")}
    assert facts["learning_rate"] == float((task / "learning_rate").read_text())
    assert float(facts["learning_rate_text"]) == facts["learning_rate"]
    assert facts["verdict"] == Verdict.OK.value
    assert (facts["num_steps"], facts["rule"]) == (60, "descent")


@pytest.fixture(scope="module")
def in_a_bucket(executor_input, examples, bucket, tmp_path_factory):
    """The folder of a task for a training of 100 steps, whose artifacts lie in a bucket.

    The user's code is a dotted path.
    """
    folder = tmp_path_factory.mktemp("in-a-bucket")
    shutil.copytree(examples.uri, f"/minio/{bucket}/examples")
    code = {"lr_finder_fn": "plain_kfp.model.lr_finder_fn"}
    handed_in = executor_input(folder, train_steps=100.0, **code)
    handed_in["inputs"]["artifacts"]["examples"]["artifacts"][0]["uri"] = (
        f"minio://{bucket}/examples"
    )
    for name, values in handed_in["outputs"]["artifacts"].items():
        values["artifacts"][0]["uri"] = f"s3://{bucket}/{name}"
    kfp_task.run(handed_in)
    return folder


def test_outputs_lie_where_the_launcher_uploads_them(in_a_bucket, bucket):
    """It reads inputs from, and writes outputs to, the launcher's copies of object stores."""
    outputs = ("best_hyperparameters", "sweep", "metrics", "report")

    found = {name: artifact.uri for name, artifact in reported(in_a_bucket).items()}
    assert found == {name: f"s3://{bucket}/{name}" for name in outputs}
    written = {path.name for path in Path("/s3", bucket).iterdir()}
    assert written == {"best_hyperparameters", "report", "sweep"}


def test_metrics_of_several_sweeps_have_their_spread(with_options):
    """In decades, beside the rate and the verdict."""
    found = reported(with_options)
    metrics = json_format.MessageToDict(found["metrics"].metadata)
    interval = {"learning_rate_low", "learning_rate_high"}
    rate = {"learning_rate", "learning_rate_text"}
    assert set(metrics) == {*rate, *interval, "verdict", "spread"}
    assert metrics["learning_rate_low"] < metrics["learning_rate"] < metrics["learning_rate_high"]
    assert metrics["spread"] == found["sweep"].metadata["spread"] >= 0


def test_training_takes_the_rate(task, examples):
    """The example's last task trains with it, and leaves its loss as metadata."""
    model = dsl.Model(uri=str(task / "model"), metadata={})
    rate = float((task / "learning_rate").read_text())

    example.train(examples, rate, model)

    assert model.metadata["loss"] < 1.0
    saved = keras.models.load_model(task / "model" / "model.keras")
    assert float(saved.optimizer.learning_rate) == pytest.approx(rate)


def curve_of(task):
    """Returns the curve that a task found."""
    return Evidence.from_json((task / "sweep" / "sweep.json").read_text()).curves[0]


@pytest.mark.usefixtures("in_a_bucket")
def test_user_code_may_be_a_dotted_path(task, bucket):
    """The losses are the same as with the module as text."""
    assert curve_of(Path("/s3", bucket)).losses.tolist() == curve_of(task).losses.tolist()


def test_user_code_may_be_an_artifact(task, executor_input, tmp_path):
    """The curve is the same as with the module as text."""
    kfp_task.run(executor_input(tmp_path, {"module_file": example.MODULE}))

    assert curve_of(tmp_path) == curve_of(task)


def test_user_code_may_be_a_trainers_run_fn(task, executor_input, tmp_path, monkeypatch, capsys):
    """By its dotted path, as for the Trainer; the curve is the same again.

    The last line of the log says what was found, and where the report lies.
    """
    run_fn = (
        "def run_fn(args):\n    found = lr_finder_fn(args)\n    found.model.fit(found.dataset)\n"
    )
    (tmp_path / "trainers_module.py").write_text(f"{example.MODULE.read_text()}\n{run_fn}")
    monkeypatch.syspath_prepend(tmp_path)

    kfp_task.run(executor_input(tmp_path, run_fn="trainers_module.run_fn"))

    assert curve_of(tmp_path) == curve_of(task)
    last = capsys.readouterr().out.splitlines()[-1]
    assert last.startswith("Learning rate ")
    assert last.endswith(f". Report: {tmp_path / 'report'}")


def test_rate_of_a_short_training_is_higher(task, in_a_bucket):
    """As of the TFX component, which knows the steps from its train_args; of plain descent here."""
    rates = [float((folder / "learning_rate").read_text()) for folder in (in_a_bucket, task)]
    assert rates[0] == pytest.approx((100 / 400) ** -0.2 * rates[1])
    assert reported(in_a_bucket)["sweep"].metadata["train_steps"] == 100


@pytest.fixture(scope="module")
def with_options(executor_input, tmp_path_factory):
    """The folder of a task of two sweeps that had options and upstream hyperparameters."""
    folder = tmp_path_factory.mktemp("with-options")
    upstream = folder / "upstream" / "tuned.json"
    upstream.parent.mkdir()
    upstream.write_text(json.dumps({"space": [], "values": {"units": 8}}))
    kfp_task.run(
        executor_input(
            folder,
            {"hyperparameters": upstream.parent},
            module=example.MODULE.read_text(),
            num_steps=60.0,
            max_learning_rate=1,
            num_sweeps=2.0,
            seed=5.0,
            learning_rate_name="rate",
            custom_config={"any": [1, 2]},
        )
    )
    return folder


def test_options_and_upstream_hyperparameters_are_used(with_options):
    """Numbers come as JSON's numbers; other hyperparameters are carried through."""
    curve = curve_of(with_options)
    config = json.loads(
        (with_options / "best_hyperparameters" / "best_hyperparameters.txt").read_text()
    )
    assert (curve.num_steps, curve.seed) == (60, 5)
    assert curve.learning_rates[-1] <= 1
    assert set(config["values"]) == {"units", "rate"}


def test_no_part_of_a_number_is_cut_off(executor_input, tmp_path):
    """Half a step is the user's mistake, which the executor's own message tells."""
    given = {"module": example.MODULE.read_text(), "num_steps": 30.5}

    with pytest.raises(TypeError, match=r"`num_steps` must be of type int.*num_steps=30\.5"):
        kfp_task.run(executor_input(tmp_path, **given))


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ({}, "none of them"),
        ({"module": "x", "lr_finder_fn": "a.b"}, "module='x', lr_finder_fn='a.b'"),
        ({"lr_finder_fn": "a.b", "run_fn": "a.c"}, "lr_finder_fn='a.b', run_fn='a.c'"),
    ],
    ids=["none", "two", "two_functions"],
)
def test_user_code_must_be_given_in_one_way(executor_input, tmp_path, given, shown):
    """The message lists what was given."""
    with pytest.raises(ValueError, match=f"Exactly one of .*Received: {shown}"):
        kfp_task.run(executor_input(tmp_path, **given))


@pytest.mark.parametrize("name", ["lr_finder_fn", "run_fn"])
def test_function_without_a_module_is_refused(executor_input, tmp_path, name):
    """As by the TFX component, which knows of it when the pipeline is built."""
    with pytest.raises(ValueError, match=rf"`{name}` must be a dotted path.*{name}='function'\."):
        kfp_task.run(executor_input(tmp_path, **{name: "function"}))


def test_examples_without_splits_are_refused(executor_input, tmp_path):
    """A folder of files is not what TFX writes."""
    with pytest.raises(ValueError, match=r"one folder for each split.*without any Split-\*"):
        kfp_task.run(executor_input(tmp_path, {"examples": tmp_path}, module="x"))


def test_failing_sweep_fails_the_task(executor_input, tmp_path):
    """Its reason is shown, and no output claims success, not even that of an earlier attempt."""
    (tmp_path / "executor_output.json").write_text("{}")
    module = example.MODULE.read_text().replace('loss="mse"', "loss=lambda y, p: 0.0 * p")

    with pytest.raises(NoLearningRateError, match=r"No learning rate can be suggested \(flat\)"):
        kfp_task.main(["--executor_input", json.dumps(executor_input(tmp_path, module=module))])

    assert not (tmp_path / "executor_output.json").exists()
    assert not (tmp_path / "learning_rate").exists()
