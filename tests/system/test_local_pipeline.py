"""The component between Transform and Trainer in a real pipeline: metadata and files."""

import json
import re
import zipfile
from pathlib import Path

import keras_tuner
import pytest
from tfx.types import standard_artifacts

from tfx_lr_finder import Evidence, LearningRateSweep, NoLearningRateError, suggest

NODES = [
    "CsvExampleGen",
    "StatisticsGen",
    "SchemaGen",
    "Transform",
    "Tuned",
    "LearningRateFinder",
    "Trainer",
]
UPSTREAM_NODES = NODES[: NODES.index("LearningRateFinder")]
MODULE_FILE = Path(__file__).parents[1] / "data" / "tuned_penguin" / "model.py"


def ids(artifacts):
    """Returns the identities of artifacts in the metadata."""
    return [artifact.id for artifact in artifacts]


@pytest.fixture(scope="module")
def sweep(first_run):
    """The sweep of the first run."""
    return first_run.output("LearningRateFinder", "sweep")


@pytest.fixture(scope="module")
def config(first_run):
    """The hyperparameters of the first run, as the Trainer reads them."""
    folder = Path(first_run.output("LearningRateFinder", "best_hyperparameters").uri)
    return json.loads((folder / "best_hyperparameters.txt").read_text())


@pytest.fixture(scope="module")
def rate(first_run):
    """The rate of the first run."""
    value = first_run.output("LearningRateFinder", "learning_rate")
    value.read()
    return value.value


@pytest.fixture(scope="module")
def training(first_run):
    """What the Trainer's module noted in the first run."""
    folder = Path(first_run.output("Trainer", "model_run").uri)
    return json.loads((folder / "training.json").read_text())


@pytest.mark.parametrize("node", NODES)
def test_every_execution_completes(first_run, node):
    """From the CSV file to the trained model."""
    assert first_run.state(node) == "COMPLETE"


@pytest.mark.parametrize("node", NODES)
def test_second_run_is_served_from_the_cache(second_run, node):
    """Nothing has changed: nothing is done again."""
    assert second_run.state(node) == "CACHED"


@pytest.mark.parametrize("key", ["best_hyperparameters", "learning_rate", "sweep"])
def test_cached_outputs_are_the_first_runs(first_run, second_run, key):
    """The very same artifacts."""
    first, second = (run.output("LearningRateFinder", key) for run in (first_run, second_run))

    assert first.id == second.id


@pytest.mark.parametrize(
    ("key", "producer", "output"),
    [
        ("examples", "Transform", "transformed_examples"),
        ("transform_graph", "Transform", "transform_graph"),
        ("hyperparameters", "Tuned", "result"),
    ],
    ids=["examples", "transform_graph", "hyperparameters"],
)
def test_finder_read_what_was_put_out_upstream(first_run, key, producer, output):
    """The lineage leads from the finder to Transform and to the Tuner's place."""
    read = first_run.inputs("LearningRateFinder")[key]

    assert ids(read) == ids(first_run.outputs(producer)[output])


def test_trainer_read_the_finders_hyperparameters(first_run):
    """The lineage leads from the model to the rate that it was trained with."""
    read = first_run.inputs("Trainer")["hyperparameters"]

    assert ids(read) == ids(first_run.outputs("LearningRateFinder")["best_hyperparameters"])


def test_finders_events_are_its_inputs_and_outputs(first_run):
    """Three artifacts in, three out, under their documented names."""
    assert first_run.events("LearningRateFinder") == {
        ("examples", "INPUT"),
        ("transform_graph", "INPUT"),
        ("hyperparameters", "INPUT"),
        ("best_hyperparameters", "OUTPUT"),
        ("learning_rate", "OUTPUT"),
        ("sweep", "OUTPUT"),
    }


@pytest.mark.parametrize(
    ("key", "kind", "name"),
    [
        ("best_hyperparameters", standard_artifacts.HyperParameters, "HyperParameters"),
        ("learning_rate", standard_artifacts.Float, "Float"),
        ("sweep", LearningRateSweep, "tfx_lr_finder.LearningRateSweep"),
    ],
    ids=["best_hyperparameters", "learning_rate", "sweep"],
)
def test_artifact_has_its_type(first_run, key, kind, name):
    """Standard types for the standard things; ours under its importable name."""
    artifact = first_run.output("LearningRateFinder", key)

    assert type(artifact) is kind
    assert first_run.artifact_type(artifact).name == name


def test_sweep_type_is_recorded_without_properties(first_run, sweep):
    """Facts are custom properties: the type itself can never conflict with an older one."""
    assert dict(first_run.artifact_type(sweep).properties) == {}


def test_hyperparameters_are_exactly_one_file(first_run):
    """The Trainer refuses two."""
    folder = Path(first_run.output("LearningRateFinder", "best_hyperparameters").uri)

    assert [path.name for path in folder.rglob("*")] == ["best_hyperparameters.txt"]


def test_sweep_is_evidence_plot_report_and_events(sweep):
    """The files and the folder that its documentation names."""
    files = sorted(path.name for path in Path(sweep.uri).iterdir())

    assert files == ["curve.png", "report.html", "sweep.json", "tensorboard"]


def test_rate_lies_in_the_range_of_the_sweep(rate):
    """Of the defaults, 1e-6 to 10."""
    assert 1e-6 < rate < 10


def test_rate_is_the_same_in_every_artifact(rate, config, sweep):
    """Float, hyperparameters and property hold one number; SQLite keeps six decimals of it."""
    assert config["values"]["learning_rate"] == rate
    assert sweep.get_float_custom_property("learning_rate") == pytest.approx(rate, abs=5e-7)


def test_trainer_module_was_given_the_hyperparameters_as_they_are(training, config):
    """What the stock Trainer read is what the finder wrote."""
    assert training["hyperparameters"] == config


def test_trainer_really_trained_with_the_rate(training, rate):
    """Its optimizer had the rate before and after the training, in Keras's single precision."""
    assert training["learning_rate"] == pytest.approx(rate, rel=1e-6)
    assert training["learning_rate_at_the_end"] == pytest.approx(rate, rel=1e-6)


def test_trainer_built_its_model_with_the_other_hyperparameters(training):
    """Units and activation are those of upstream, not the module's own."""
    assert (training["units"], training["activation"]) == (12, "tanh")


def test_other_hyperparameters_are_unchanged(config, pipeline):
    """Values and space are upstream's, but for the value of the rate."""
    upstream = json.loads((pipeline.upstream / "best_hyperparameters.txt").read_text())
    values = {k: v for k, v in config["values"].items() if k != "learning_rate"}

    assert values == {"units": 12, "activation": "tanh", "dropout": 0.25}
    assert config["space"] == upstream["space"]


def test_keras_tuner_reads_the_hyperparameters(config, rate):
    """As the Trainer's module does."""
    hyperparameters = keras_tuner.HyperParameters.from_config(config)

    assert hyperparameters.get("learning_rate") == rate
    assert hyperparameters.get("units") == 12


def test_text_properties_of_the_sweep(sweep):
    """Rule, verdict and stop reason."""
    assert sweep.get_string_custom_property("rule") == "descent"
    assert sweep.get_string_custom_property("verdict") == "ok"
    assert sweep.get_string_custom_property("stop_reason") in ("all_steps", "diverged")


def test_number_properties_of_the_sweep(sweep):
    """Steps, batch size and seed are the options' and the data's; points those of the curve."""
    names = ("num_steps", "batch_size", "seed", "num_points")
    numbers = [sweep.get_int_custom_property(name) for name in names]

    assert numbers[:3] == [200, 16, 0]
    assert 10 <= numbers[3] <= 200


def test_published_curve_gives_the_published_rate(sweep, rate):
    """Whoever doubts the rate can read it off the curve again."""
    curve = Evidence.from_json((Path(sweep.uri) / "sweep.json").read_text()).curves[0]

    suggestion = suggest(curve, sweep.get_string_custom_property("rule"))

    assert suggestion.learning_rate == rate
    assert suggestion.verdict.value == sweep.get_string_custom_property("verdict")


def test_length_of_the_training_is_known_to_the_sweep(sweep):
    """The finder is given the Trainer's own `train_args`, and notes their number of steps."""
    curve = Evidence.from_json((Path(sweep.uri) / "sweep.json").read_text()).curves[0]

    assert curve.train_steps == 40


def test_published_curve_is_one_of_a_classifier(sweep):
    """The first loss is about that of three equally likely classes, ln 3; then it falls."""
    curve = Evidence.from_json((Path(sweep.uri) / "sweep.json").read_text()).curves[0]

    assert 0.5 < curve.losses[0] < 2.5
    assert curve.smoothed_losses.min() < 0.8 * curve.losses[0]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("min_learning_rate", 1e-6),
        ("max_learning_rate", 10.0),
        ("num_steps", 200),
        ("smoothing", 0.98),
        ("divergence_factor", 4.0),
        ("rule", "descent"),
        ("num_sweeps", 1),
        ("search_budget", 0.1),
        ("trial_steps", 0),
        ("seed", 0),
        ("learning_rate_name", "learning_rate"),
        ("on_failure", "raise"),
    ],
    ids=str,
)
def test_option_is_recorded_with_the_execution(first_run, name, value):
    """Every option, also one that nobody set: how the rate was found is in the metadata."""
    assert first_run.properties("LearningRateFinder")[name] == value


def test_module_file_is_packaged_as_a_wheel(first_run, pipeline):
    """The text that ran is kept under the pipeline's root; the execution says where."""
    properties = first_run.properties("LearningRateFinder")
    module, _, wheel = properties["module_path"].partition("@")

    assert module == "model"
    assert Path(wheel).parent == pipeline.root / "_wheels"
    assert re.match("(?i)tfx_user_code_learningratefinder-", Path(wheel).name)
    assert zipfile.ZipFile(wheel).read("model.py") == MODULE_FILE.read_bytes()
    assert not properties.get("module_file")


def module_copy(folder, addition=""):
    """Returns the path of a copy of the user's module, with something added to its text."""
    folder.mkdir()
    copy = folder / "model.py"
    copy.write_text(MODULE_FILE.read_text() + addition)
    return str(copy)


@pytest.fixture(
    scope="module",
    params=["another option", "another text of the module"],
)
def changed_run(request, pipeline, second_run, tmp_path_factory):
    """A run up to the finder, with one thing changed; test_command_line changes the seed."""
    folder = tmp_path_factory.mktemp("changed") / "module"
    return pipeline.run_to_finder(
        **{
            "another option": lambda: {"min_learning_rate": 1e-8},
            "another text of the module": lambda: {"module_file": module_copy(folder, "\n# new\n")},
        }[request.param]()
    )


def test_change_is_not_served_from_the_cache(changed_run, first_run):
    """Options and the module's text are part of the execution."""
    assert changed_run.state("LearningRateFinder") == "COMPLETE"
    assert changed_run.output("LearningRateFinder", "sweep").id != (
        first_run.output("LearningRateFinder", "sweep").id
    )


def test_change_of_the_finder_runs_the_finder_alone(changed_run):
    """Everything before it is served from the cache."""
    assert {changed_run.state(node) for node in UPSTREAM_NODES} == {"CACHED"}


def test_rates_below_a_millionth_reach_the_sweep(pipeline, second_run):
    """The metadata round numbers to six decimals; the sweep does not: it starts where it should."""
    run = pipeline.run_to_finder(min_learning_rate=1e-8)
    folder = Path(run.output("LearningRateFinder", "sweep").uri)

    (curve,) = Evidence.from_json((folder / "sweep.json").read_text()).curves
    assert curve.learning_rates[0] == 1e-8


def test_same_text_in_another_place_is_served_from_the_cache(pipeline, second_run, tmp_path):
    """What counts is what the module says, not where it lies."""
    run = pipeline.run_to_finder(module_file=module_copy(tmp_path / "elsewhere"))

    assert run.state("LearningRateFinder") == "CACHED"


@pytest.fixture(scope="module")
def two_sweeps(pipeline, second_run):
    """The evidence of two sweeps, each in a Beam worker process of its own."""
    components = pipeline.components(num_sweeps=2)[:-1]
    components[-1].with_beam_pipeline_args(
        ["--direct_running_mode=multi_processing", "--direct_num_workers=2"]
    )
    folder = Path(pipeline.run(components).output("LearningRateFinder", "sweep").uri)
    return Evidence.from_json((folder / "sweep.json").read_text()), folder


@pytest.mark.slow
def test_sweep_in_a_worker_process_is_the_one_in_the_pipelines_process(two_sweeps, sweep):
    """The first of the two has the only sweep's seed: the same curve, bit for bit."""
    evidence, _ = two_sweeps
    alone = Evidence.from_json((Path(sweep.uri) / "sweep.json").read_text())

    assert [curve.seed for curve in evidence.curves] == [0, 1]
    assert evidence.curves[0] == alone.curves[0]
    assert evidence.curves[1].losses[0] != alone.curves[0].losses[0]


@pytest.mark.slow
def test_workers_leave_nothing_behind(two_sweeps, sweep):
    """The artifact has the files and folders of a single sweep."""
    _, folder = two_sweeps

    assert sorted(path.name for path in folder.iterdir()) == sorted(
        path.name for path in Path(sweep.uri).iterdir()
    )


@pytest.fixture(scope="module")
def failed_run(pipeline, second_run):
    """A run whose sweep begins where the loss blows up, and the error that it ended with."""
    with pytest.raises(NoLearningRateError, match="low_end_of_range") as raised:
        pipeline.run_to_finder(min_learning_rate=1e3, max_learning_rate=1e6)
    return pipeline.latest(["LearningRateFinder"]), str(raised.value)


def test_failing_finder_fails_its_execution(failed_run):
    """No Trainer ever starts with a rate that is none."""
    run, _ = failed_run

    assert run.state("LearningRateFinder") == "FAILED"


def test_failing_finder_leaves_no_outputs(failed_run, pipeline):
    """Neither in the metadata nor on the disk."""
    run, _ = failed_run
    execution = run.executions["LearningRateFinder"].id

    assert not any(run.outputs("LearningRateFinder").values())
    for key in ("best_hyperparameters", "learning_rate", "sweep"):
        folder = pipeline.root / "LearningRateFinder" / key
        assert folder.exists()
        assert [path for path in (folder / str(execution)).rglob("*") if path.is_file()] == []


def test_message_of_a_failing_finder_is_the_evidence(failed_run):
    """The verdict, what to do, and points of the curve: the curve itself is deleted."""
    _, message = failed_run

    assert "Lower `min_learning_rate`" in message
    assert re.search(
        r"Received: \d+ of 200 steps, stopped because the loss (diverged|was not finite)", message
    )
    assert re.search(r"rate and loss 1\.0e\+03: [\d.]+", message)
