"""The command `compile`, on modules in the current folder."""

import json
import re

import forked
import pytest
import yaml
from click.testing import CliRunner

from tfx_lr_finder.command_line import main

IMAGE = f"registry.example/team/finder@sha256:{'0' * 64}"
MODULE = """
from tfx.components import CsvExampleGen, Trainer
from tfx.dsl.experimental.conditionals.conditional import Cond
from tfx.orchestration.pipeline import Pipeline
from tfx.proto import trainer_pb2

from neighbour import DATA
from tfx_lr_finder import LearningRateFinder

NOT_A_FUNCTION = 1


def create_pipeline(root="s3://bucket/root"):
    print("what the user's code prints")
    examples = CsvExampleGen(input_base=DATA)
    finder = LearningRateFinder(
        examples=examples.outputs["examples"], lr_finder_fn="user.lr_finder_fn"
    )
    with Cond(finder.outputs["sweep"].future()[0].custom_property("verdict") == "ok"):
        trainer = Trainer(
            examples=examples.outputs["examples"],
            run_fn="user.run_fn",
            train_args=trainer_pb2.TrainArgs(num_steps=5),
            eval_args=trainer_pb2.EvalArgs(),
            hyperparameters=finder.outputs["best_hyperparameters"],
        )
    return Pipeline(
        "small",
        pipeline_root=root,
        components=[examples, finder, trainer],
        enable_cache=True,
        beam_pipeline_args=["--direct_num_workers=2"],
    )


def create_on_a_folder():
    return create_pipeline("/shared/root")


def create_from_s3():
    return Pipeline("small", components=[CsvExampleGen(input_base="s3://bucket/data")])


def create_list():
    return []


def fail():
    raise KeyError("user")
"""


@pytest.fixture
def run(tmp_path, monkeypatch):
    """A function that compiles a function of a module in the current folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))  # restored at the end; the command adds it as well
    (tmp_path / "some_pipeline.py").write_text(MODULE)
    (tmp_path / "neighbour.py").write_text("DATA = '/data'\n")

    def run_(function, *options, image=IMAGE):
        arguments = ["--image", image, "--output", "made/small.yaml", *options]
        return CliRunner().invoke(main, ["compile", function, *arguments])

    return run_


def test_tfx_pipeline_is_compiled_with_its_own_settings(run, tmp_path):
    """Name, cache, arguments for Beam, and the condition around a component."""
    result = run("some_pipeline:create_pipeline")

    assert (result.exit_code, result.stdout) == (0, "Wrote made/small.yaml\n")
    assert "what the user's code prints" in result.stderr
    spec = yaml.safe_load((tmp_path / "made" / "small.yaml").read_text())
    assert spec["pipelineInfo"]["name"] == "small"
    tasks = spec["root"]["dag"]["tasks"]
    assert "['verdict'] == 'ok'" in tasks["Trainer"]["triggerPolicy"]["condition"]
    assert tasks["LearningRateFinder"]["cachingOptions"] == {"enableCache": True}
    containers = [e["container"] for e in spec["deploymentSpec"]["executors"].values()]
    assert {container["image"] for container in containers} == {IMAGE}
    assert all("--direct_num_workers=2" in container["args"] for container in containers)


def test_result_is_json_where_that_is_asked_for(run):
    """Alone on the standard output."""
    assert json.loads(run("some_pipeline:create_pipeline", "--json").stdout) == {
        "output": "made/small.yaml"
    }


def test_volume_is_one_of_the_pipelines_root(run, tmp_path):
    """Which must be a folder for it."""
    result = run("some_pipeline:create_on_a_folder", "--volume-claim", "shared")

    assert (result.exit_code, result.stdout) == (0, "Wrote made/small.yaml\n")
    assert "Warning" not in result.stderr
    _, platform = yaml.safe_load_all((tmp_path / "made" / "small.yaml").read_text())
    mounts = platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"].values()
    assert [mount["pvcMount"] for mount in mounts] == 3 * [
        [{"constant": "shared", "mountPath": "/shared/root"}]
    ]

    result = run("some_pipeline:create_pipeline", "--volume-claim", "shared")

    assert result.exit_code == 1
    assert "A volume is mounted at `pipeline_root`, which must be the abs" in result.stderr
    assert "Received: volume_claim='shared', pipeline_root='s3://bucket/root'" in result.stderr


def test_image_without_a_digest_is_warned_of(run):
    """Though the messages of libraries are hidden."""
    result = run("some_pipeline:create_pipeline", image="team/finder:1")

    assert result.exit_code == 0
    assert "Warning: Kubeflow's cache knows the image 'team/finder:1' by its" in result.stderr
    assert "Warning" not in run("some_pipeline:create_pipeline").stderr


def compiled_by_a_process(function, folder):
    """Returns the process that compiles, with all that reaches its standard error."""
    call = "from tfx_lr_finder.command_line import main; main()"
    options = ["--image", "team/finder:1", "--output", "small.yaml"]
    return forked.run(["-c", call, "compile", f"some_pipeline:{function}", *options], folder)


def test_warnings_and_what_user_code_prints_reach_the_terminal(run, tmp_path):
    """Of a whole process, whose standard error is more than Python's."""
    process = compiled_by_a_process("create_on_a_folder", tmp_path)

    assert (process.returncode, process.stdout) == (0, "Wrote small.yaml\n")
    printed, volume, cache = process.stderr.splitlines()
    assert printed == "what the user's code prints"
    assert volume.startswith(
        "Warning: On Kubeflow, tasks see the pipeline root '/shared/root' only if a volume"
    )
    assert cache.startswith("Warning: Kubeflow's cache knows the image 'team/finder:1'")


def test_refused_pipeline_is_one_line(run, tmp_path):
    """Without what TensorFlow prints at its start."""
    process = compiled_by_a_process("create_from_s3", tmp_path)

    assert process.returncode == 1
    [line] = process.stderr.splitlines()
    assert line.startswith("Error: TensorFlow must have a file system for the `input_base`")


@pytest.mark.parametrize(
    ("function", "message"),
    [
        ("no_such_module:f", r"ModuleNotFoundError: No module named 'no_such_module'"),
        ("some_pipeline:none", r"'some_pipeline' must have the function.*Received: 'none'"),
        ("some_pipeline:NOT_A_FUNCTION", r"must have the function.*Received: 'NOT_A_FUNCTION'"),
        ("some_pipeline:create_list", r"must return a TFX Pipeline\. Received: list from some_pip"),
        ("some_pipeline:fail", r"KeyError: 'user'"),
    ],
)
def test_function_that_makes_no_pipeline_is_one_line(run, tmp_path, function, message):
    """The message says what is wanted; nothing is written."""
    result = run(function)

    assert result.exit_code == 1
    *_, last = result.stderr.splitlines()
    assert re.match(f"Error: .*{message}", last)
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize("function", ["pipeline.py", "folder/pipeline.py:f", "pipeline", "a:b.c"])
def test_other_form_of_a_function_is_refused(run, function):
    """A file is none; the message has the form that is wanted."""
    result = run(function)

    assert result.exit_code == 2
    assert f"Received: {function!r}. Give for example 'pipeline:create_pipeline'" in result.stderr
