"""Real components run through the entrypoint, under a launcher that behaves as Kubeflow's."""

import graphlib
import itertools
import json
import os
import sys
from pathlib import Path

import forked
import pytest
import yaml
from kubeflow_launcher import Launcher, artifacts
from launcher_folders import LOCAL_ROOTS
from tfx.components import Trainer
from tfx.dsl.experimental.conditionals.conditional import Cond
from tfx.orchestration.data_types import RuntimeParameter
from tfx.proto import trainer_pb2

from penguin.kubeflow import MODULE_IN_IMAGE
from penguin.pipeline import DATA, create_components
from tfx_lr_finder import Evidence, LearningRateFinder
from tfx_lr_finder.kubeflow import compile_pipeline, entrypoint

USER_CODE = Path(__file__).parents[1] / "data"


def in_a_process_of_its_own(command):
    """Runs a task's command as the launcher does; its output is pytest's to show or not."""
    environment = {**os.environ, "PYTHONPATH": str(USER_CODE)}
    process = forked.run(command[1:], env=environment)
    sys.stdout.write(process.stdout)
    sys.stderr.write(process.stderr)
    return process.returncode


def in_this_process(command):
    """Runs a task's command, `python -m MODULE ARGUMENTS`, without loading TFX again."""
    entrypoint.main(entrypoint.parse_arguments(command[2:]))
    return 0


def gated_trainer(produce, finder, gate, name):
    """Returns a Trainer that runs only if a function of the sweep's properties is true."""
    with Cond(gate(finder.outputs["sweep"].future()[0].custom_property)):
        return Trainer(
            examples=produce.outputs["examples"],
            run_fn="kubeflow_components.run_fn",
            train_args=trainer_pb2.TrainArgs(num_steps=5),
            eval_args=trainer_pb2.EvalArgs(),
            hyperparameters=finder.outputs["best_hyperparameters"],
        ).with_id(name)


@pytest.fixture(scope="module")
def spec(tmp_path_factory):
    """A compiled pipeline: examples, the finder, and a component that looks at everything."""
    sys.path.insert(0, str(USER_CODE))
    import kubeflow_components as user

    whole = RuntimeParameter("whole", ptype=int, default=7)
    produce = user.produce(a_float=1e-5, an_int=whole, a_text="a 'b' \"c\"")
    finder = LearningRateFinder(
        examples=produce.outputs["examples"],
        lr_finder_fn="kubeflow_components.lr_finder_fn",
        min_learning_rate=1e-4,
        max_learning_rate=RuntimeParameter("greatest", ptype=float, default=20.0),
        num_steps=40,
        rule=RuntimeParameter("rule", ptype=str, default="steepest"),
    )
    consume = user.consume(
        examples=produce.outputs["examples"],
        noise=produce.outputs["noise"],
        learning_rate=finder.outputs["learning_rate"],
        hyperparameters=finder.outputs["best_hyperparameters"],
        sweep=finder.outputs["sweep"],
    )
    fail = user.fail(noise=produce.outputs["noise"])
    flat_finder = LearningRateFinder(
        examples=produce.outputs["examples"],
        lr_finder_fn="kubeflow_components.flat_lr_finder_fn",
        num_steps=50,
        on_failure="default",
        default_learning_rate=1e-3,
    ).with_id("FlatFinder")
    file = tmp_path_factory.mktemp("compiled") / "pipeline.yaml"
    trainers = [
        gated_trainer(produce, finder, lambda of: of("verdict") == "ok", "Trainer"),
        gated_trainer(produce, flat_finder, lambda of: of("verdict") == "ok", "FlatTrainer"),
        gated_trainer(produce, finder, lambda of: of("spread") < 0.1, "SteadyTrainer"),
    ]
    components = [produce, finder, consume, fail, flat_finder, *trainers]
    compile_pipeline("test", components, "an/image:1", file)
    yield yaml.safe_load(file.read_text())
    sys.path.remove(str(USER_CODE))


@pytest.fixture(scope="module")
def launcher(spec, bucket, tmp_path_factory):
    """A launcher that has run the pipeline, each task with a store of another kind."""
    launcher = Launcher(spec, tmp_path_factory.mktemp("kubeflow"), bucket)
    assert launcher.run("produce", "minio://", in_this_process) == 0
    assert launcher.run("LearningRateFinder", "s3://", in_a_process_of_its_own) == 0
    assert launcher.run("consume", "gs://", in_this_process) == 0
    return launcher


@pytest.fixture(scope="module")
def penguin(bucket, tmp_path_factory):
    """A launcher that has run the penguin pipeline, each task with a store of another kind."""
    folder = tmp_path_factory.mktemp("penguin")
    file = folder / "penguin.yaml"
    compile_pipeline("penguin", create_components(str(DATA), MODULE_IN_IMAGE), "an/image:1", file)
    launcher = Launcher(yaml.safe_load(file.read_text()), folder, bucket)
    tasks = launcher.spec["root"]["dag"]["tasks"]
    order = {name: task.get("dependentTasks", []) for name, task in tasks.items()}
    schemes = itertools.cycle(LOCAL_ROOTS)
    for task in graphlib.TopologicalSorter(order).static_order():
        assert launcher.run(task, next(schemes), in_this_process) == 0
    return launcher


@pytest.fixture(scope="module")
def seen(launcher):
    """What the last task saw of the outputs of the others."""
    model = launcher.recorded["consume", "model"]["uri"]
    return json.loads((launcher.stored(model) / "seen.json").read_text())


def test_inputs_have_the_types_that_their_producers_gave_them(seen):
    """The backend hands over an empty schema; each input arrives as its TFX class."""
    assert seen["types"] == ["Examples", "Float", "HyperParameters", "LearningRateSweep"]


def test_properties_of_every_kind_reach_the_next_task(seen):
    """Declared ones, and custom ones of each type, as they were: the backend wraps two of them."""
    assert (seen["split_names"], seen["span"]) == ('["train", "eval"]', 3)
    assert (seen["a_float"], seen["an_int"], seen["a_text"]) == (1e-5, 7, "a 'b' \"c\"")
    assert seen["a_dict"] == {"train": 1.0, "eval": {"a": [0.5]}}
    assert seen["a_list"] == [1.0, "b", {"c": 2.0, "d": False}]
    assert [type(seen[name]) for name in ("span", "a_float", "an_int")] == [int, float, int]
    assert (seen["verdict"], seen["num_steps"]) == ("ok", 40)


def test_bool_arrives_as_a_number(seen):
    """Kubeflow's metadata have no bool; within a list or dict it stays one."""
    assert (seen["a_bool"], type(seen["a_bool"])) == (1.0, float)
    assert seen["a_list"][2]["d"] is False


def test_options_reach_the_executor(launcher):
    """As they were given, or by the default of a parameter of the run; what is None, is None."""
    sweep = launcher.stored(launcher.recorded["LearningRateFinder", "sweep"]["uri"])
    evidence = Evidence.from_json((sweep / "sweep.json").read_text())
    (curve,) = evidence.curves
    first, second = curve.learning_rates[:2]

    assert (first, curve.num_steps) == (pytest.approx(1e-4), 40)
    assert first * (second / first) ** 39 == pytest.approx(20.0)
    assert evidence.rule == "steepest"


def test_values_of_inputs_are_read(seen, launcher):
    """A component may ask for the value itself, or read its artifact."""
    rate = launcher.stored(launcher.recorded["LearningRateFinder", "learning_rate"]["uri"])

    assert seen["noise"] == 0.25
    assert seen["learning_rate"] == float(rate.read_text())
    assert seen["rate_of_sweep"] == round(seen["learning_rate"], 6)  # as Kubeflow keeps properties


def test_folders_and_single_files_are_found_in_each_kind_of_store(seen, launcher):
    """What a task wrote to minio:// or s3:// was there for the next."""
    sweep = launcher.stored(launcher.recorded["LearningRateFinder", "sweep"]["uri"])

    assert seen["files"] == ["data.gz"]
    assert seen["hyperparameters"] == ["best_hyperparameters.txt"]
    files = ["curve.png", "report.html", "sweep.json", "tensorboard"]
    assert sorted(file.name for file in sweep.iterdir()) == files


@pytest.mark.parametrize(
    ("task", "scheme"),
    [("produce", "minio://"), ("LearningRateFinder", "s3://"), ("consume", "gs://")],
)
def test_every_output_is_reported_where_the_launcher_uploads_it(launcher, task, scheme):
    """Not one output is reported with a local path, which would lose it."""
    report = json.loads(launcher.output_files[task].read_text())
    uris = [artifact["uri"] for artifact in artifacts(report)]
    metrics = f"{scheme}{launcher.bucket}/root/LearningRateFinder/metrics"  # properties, no file

    assert uris
    assert all(uri.startswith(f"{scheme}{launcher.bucket}/root/{task}/") for uri in uris)
    assert all(launcher.stored(uri).exists() for uri in uris if uri != metrics)


def test_page_of_a_run_shows_rate_and_report(launcher):
    """The rate with its interval and verdict as metrics; the report is the sweep's own."""
    stored, recorded = launcher.stored, launcher.recorded
    sweep = recorded["LearningRateFinder", "sweep"]
    shown = recorded["LearningRateFinder", "metrics"]["metadata"]
    report = recorded["LearningRateFinder", "report"]

    rate = float(stored(recorded["LearningRateFinder", "learning_rate"]["uri"]).read_text())
    assert shown["learning_rate"] == pytest.approx(rate, abs=1e-6)  # as the metadata keep it
    assert float(shown["learning_rate_text"]) == rate
    assert shown["learning_rate_low"] < rate < shown["learning_rate_high"]
    assert shown["verdict"] == sweep["metadata"]["verdict"] == "ok"
    assert shown["display_name"] == "metrics"  # without this name, the page leaves it out
    assert stored(report["uri"]).read_text() == (stored(sweep["uri"]) / "report.html").read_text()


def test_log_that_kubeflow_adds_is_left_to_the_launcher(launcher):
    """TFX neither sees the output for the task's log nor reports it."""
    report = json.loads(launcher.output_files["consume"].read_text())

    assert list(report["artifacts"]) == ["model"]


def test_gate_is_decided_on_what_the_finder_reported(launcher):
    """The Trainer behind it is skipped where the rate cannot be trusted, and else runs."""
    assert launcher.run("FlatFinder", "minio://", in_this_process) == 0

    assert not launcher.lets_run("FlatTrainer")
    assert launcher.lets_run("Trainer")
    assert launcher.run("Trainer", "s3://", in_this_process) == 0
    model = launcher.stored(launcher.recorded["Trainer", "model"]["uri"])
    assert (model / "Format-Serving" / "saved_model.pb").is_file()


def test_gate_on_a_property_that_the_sweep_lacks_stays_shut(launcher):
    """A single sweep has no spread; without a check, Kubeflow would fail the run."""
    assert "spread" not in launcher.recorded["LearningRateFinder", "sweep"]["metadata"]

    assert not launcher.lets_run("SteadyTrainer")


@pytest.mark.slow
def test_tfxs_own_components_run_in_each_kind_of_store(penguin):
    """From CsvExampleGen to Evaluator, each output is where the next task looks for it."""
    uris = {key: artifact["uri"] for key, artifact in penguin.recorded.items()}
    missing = {key for (_, key), uri in uris.items() if not penguin.stored(uri).exists()}

    assert all(f"://{penguin.bucket}/root/{task}/{key}" in uris[task, key] for task, key in uris)
    # The module keeps no logs of its training, and metrics are properties alone.
    assert missing == {"executor-logs", "model_run", "metrics"}


@pytest.mark.slow
def test_blessing_names_the_model_in_the_store(penguin):
    """By its URI and its name in Kubeflow's metadata, and not by a path that is gone."""
    model = penguin.recorded["Trainer", "model"]
    blessing = penguin.recorded["Evaluator", "blessing"]["metadata"]

    assert blessing["blessed"] == 1
    assert blessing["current_model"] == model["uri"]
    assert blessing["current_model_id"] == model["name"]


def test_failing_executor_fails_the_task(launcher, capfd):
    """Its own error is shown, and no output file claims success."""
    assert launcher.run("fail", "minio://", in_a_process_of_its_own) != 0

    assert "ValueError: Broken on purpose, noise 0.25." in capfd.readouterr().err
    assert not launcher.output_files["fail"].exists()
    assert ("fail", "model") not in launcher.recorded


def test_report_of_an_earlier_attempt_does_not_outlive_a_failure(launcher):
    """Where a task is tried again in the same place, only this attempt speaks."""
    earlier = launcher.output_files["consume"].read_text()

    def fail_after_an_earlier_success(command):
        launcher.output_files["fail"].parent.mkdir(parents=True, exist_ok=True)
        launcher.output_files["fail"].write_text(earlier)
        return in_this_process(command)

    with pytest.raises(ValueError, match=r"Broken on purpose, noise 0\.25\."):
        launcher.run("fail", "s3://", fail_after_an_earlier_success)

    assert list(launcher.output_files["fail"].parent.iterdir()) == []


def test_report_is_all_that_is_left_beside_the_outputs(launcher):
    """It appears when it is complete, in place of one without the object store's URIs."""
    for file in launcher.output_files.values():
        assert {f.name for f in file.parent.iterdir()} <= {file.name}


def test_task_runs_under_kfp_local(launcher, tmp_path):
    """Untyped inputs, local paths, and no folder for the outputs: the report has local paths."""
    executor_input = launcher.executor_input(
        "consume", str(tmp_path / "root"), {"schemaTitle": "system.Artifact"}
    )
    for artifact in artifacts(executor_input["inputs"]):
        artifact["uri"] = str(launcher.stored(artifact["uri"]))
    output_file = tmp_path / "consume" / "executor_output.json"
    executor_input["outputs"]["outputFile"] = str(output_file)

    in_this_process(launcher.command("consume", executor_input))

    report = json.loads(output_file.read_text())
    assert [a["uri"] for a in artifacts(report)] == [str(tmp_path / "root/consume/model")]
    assert json.loads((tmp_path / "root/consume/model/seen.json").read_text())["noise"] == 0.25


def test_right_types_need_no_repair(launcher, tmp_path):
    """Where inputs are typed, the component's definitions are not needed."""
    executor_input = launcher.executor_input("consume", str(tmp_path / "root"))
    definitions = launcher.spec["components"]["consume"]["inputDefinitions"]["artifacts"]
    for name, values in executor_input["inputs"]["artifacts"].items():
        for artifact in values["artifacts"]:
            artifact["uri"] = str(launcher.stored(artifact["uri"]))
            artifact["type"] = definitions[name]["artifactType"]
    executor_input["outputs"]["outputFile"] = str(tmp_path / "executor_output.json")
    command = launcher.command("consume", executor_input)

    in_this_process(command[: command.index("--json_serialized_inputs_spec_args")])

    assert (tmp_path / "root/consume/model/seen.json").exists()
