"""The component: what it refuses, what it accepts, what pipelines record of it."""

import json
import re

import pytest
from google.protobuf.message import Message
from tfx.orchestration.data_types import RuntimeParameter
from tfx.proto import trainer_pb2
from tfx.types import standard_artifacts
from tfx.types.channel import Channel

from tfx_lr_finder import LearningRateFinder, LearningRateSweep
from tfx_lr_finder.component import LearningRateFinderSpec
from tfx_lr_finder.executor import Executor

INPUTS = {
    "examples": standard_artifacts.Examples,
    "schema": standard_artifacts.Schema,
    "transform_graph": standard_artifacts.TransformGraph,
    "base_model": standard_artifacts.Model,
    "hyperparameters": standard_artifacts.HyperParameters,
}
OUTPUTS = {
    "best_hyperparameters": standard_artifacts.HyperParameters,
    "learning_rate": standard_artifacts.Float,
    "sweep": LearningRateSweep,
}


def finder(**arguments):
    """Returns a component on examples, with a function's dotted path unless a file is given."""
    named = {"module_file", "run_fn"} & arguments.keys()
    function = {} if named else {"lr_finder_fn": "package.module.function"}
    examples = Channel(type=standard_artifacts.Examples)
    return LearningRateFinder(**{"examples": examples, **function, **arguments})


def parameter(kind, default=None):
    """Returns an option that is known only when the pipeline runs."""
    return RuntimeParameter(name="option", ptype=kind, default=default)


@pytest.mark.parametrize(
    ("arguments", "received"),
    [
        ({"lr_finder_fn": None}, "none of them"),
        ({"lr_finder_fn": ""}, "none of them"),
        (
            {"module_file": "model.py", "lr_finder_fn": "package.function"},
            "module_file='model.py', lr_finder_fn='package.function'",
        ),
        (
            {"lr_finder_fn": "package.function", "run_fn": "package.run_fn"},
            "lr_finder_fn='package.function', run_fn='package.run_fn'",
        ),
        (
            {"module_file": "model.py", "lr_finder_fn": "a.f", "run_fn": "a.g"},
            "module_file='model.py', lr_finder_fn='a.f', run_fn='a.g'",
        ),
    ],
    ids=["none", "empty", "file and function", "two functions", "all"],
)
def test_not_exactly_one_source_of_the_function_is_refused(arguments, received):
    """The module's file, or the dotted path of one function."""
    message = (
        "Exactly one of module_file, lr_finder_fn and run_fn must be given. "
        f"Received: {received}. Give the Trainer's module_file"
    )

    with pytest.raises(ValueError, match=re.escape(message)):
        finder(**arguments)


@pytest.mark.parametrize("path", ["function", ".function", "package."])
@pytest.mark.parametrize("name", ["lr_finder_fn", "run_fn"])
def test_function_without_a_module_is_refused(name, path):
    """A dotted path has a module and a name; what has not would fail in the middle of a run."""
    message = rf"`{name}` must .*'{re.escape(path)}'.*'package\.module\.{name}'"

    with pytest.raises(ValueError, match=message):
        finder(**{name: path})


@pytest.mark.parametrize("name", ["lr_finder_fn", "run_fn"])
def test_dotted_path_is_recorded(name):
    """Under its own name, as the Trainer records its `run_fn`."""
    properties = finder(**{name: "package.module.function"}).spec.exec_properties

    assert properties[name] == "package.module.function"
    assert properties["module_file"] is None


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            {"min_learning_rate": 1.0, "max_learning_rate": 0.1},
            "`max_learning_rate` must be greater than `min_learning_rate`. Received: "
            "min_learning_rate=1.0, max_learning_rate=0.1. Swap them",
        ),
        ({"min_learning_rate": 0}, "`min_learning_rate` must be greater than 0"),
        ({"num_steps": 9}, "`num_steps` must be at least 10"),
        (
            {"rule": "lowest"},
            "known rule: descent, minimum, slide, steepest, valley. Received: rule='lowest'",
        ),
        (
            {"on_failure": "default"},
            "Received: on_failure='default', default_learning_rate=None. Give both, or neither.",
        ),
        (
            {"default_learning_rate": 1e-3},
            "Received: on_failure='raise', default_learning_rate=0.001. Give both, or neither.",
        ),
        ({"smoothing": 1}, "`smoothing` must be in [0, 1)"),
        ({"divergence_factor": 1}, "`divergence_factor` must be greater than 1"),
        ({"num_sweeps": 0}, "`num_sweeps` must be from 1 to 100"),
        ({"trial_steps": -1}, "`trial_steps` must be from 0 to 100,000"),
        ({"seed": -1}, "`seed` must be from 0 to 2**31 - 1"),
        ({"learning_rate_name": ""}, "`learning_rate_name` must not be empty"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_option_out_of_range_is_refused_at_construction(arguments, message):
    """Nobody waits for a cluster to learn of it."""
    with pytest.raises(ValueError, match=re.escape(message)):
        finder(**arguments)


@pytest.mark.parametrize(
    "arguments",
    [{"num_steps": 100.0}, {"min_learning_rate": "1e-6"}, {"seed": True}, {"rule": None}],
    ids=lambda arguments: next(iter(arguments)),
)
def test_option_of_wrong_type_is_refused_at_construction(arguments):
    """The message names the argument and both types."""
    (name,) = arguments

    with pytest.raises(TypeError, match=rf"Argument `{name}` must be of type \w+\. Received: "):
        finder(**arguments)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("min_learning_rate", float),
        ("max_learning_rate", float),
        ("num_steps", int),
        ("smoothing", float),
        ("divergence_factor", float),
        ("rule", str),
        ("num_sweeps", int),
        ("search_budget", float),
        ("trial_steps", int),
        ("seed", int),
        ("learning_rate_name", str),
        ("on_failure", str),
        ("default_learning_rate", float),
    ],
    ids=str,
)
def test_option_may_be_a_runtime_parameter(name, kind):
    """What is known only when the pipeline runs is accepted and recorded as it is."""
    option = parameter(kind)

    assert finder(**{name: option}).spec.exec_properties[name] is option


def test_runtime_parameter_with_a_good_default_is_accepted():
    """The default stands for the parameter in every check."""
    option = parameter(float, default=1e-4)

    properties = finder(min_learning_rate=option).spec.exec_properties

    assert properties["min_learning_rate"] is option


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_steps": parameter(int, default=3)}, r"`num_steps` .* Received: num_steps=3"),
        ({"num_sweeps": parameter(int, default=101)}, r"`num_sweeps` .* Received: num_sweeps=101"),
        ({"rule": parameter(str, default="lowest")}, "known rule: .* Received: rule='lowest'"),
        (
            {"min_learning_rate": parameter(float, default=20.0)},
            r"min_learning_rate=20\.0, max_learning_rate=10\.0",
        ),
        ({"on_failure": parameter(str, default="default")}, "default_learning_rate=None"),
    ],
    ids=["num_steps", "num_sweeps", "rule", "min_learning_rate", "on_failure"],
)
def test_runtime_parameter_with_a_bad_default_is_refused(arguments, message):
    """A default that would be refused as a value is refused as a default."""
    with pytest.raises(ValueError, match=message):
        finder(**arguments)


def test_runtime_parameter_without_default_leaves_the_other_end_unchecked():
    """A range of which one end is unknown cannot be called empty."""
    properties = finder(
        min_learning_rate=100, max_learning_rate=parameter(float)
    ).spec.exec_properties

    assert properties["min_learning_rate"] == 100.0


def test_integers_are_recorded_as_the_floats_that_are_meant():
    """TFX takes no integer for a float."""
    properties = finder(
        min_learning_rate=1, max_learning_rate=10, smoothing=0, divergence_factor=4
    ).spec.exec_properties

    floats = [properties[name] for name in ("min_learning_rate", "max_learning_rate", "smoothing")]
    assert floats == [1.0, 10.0, 0.0]
    assert {type(value) for value in floats} == {float}


def test_defaults_are_recorded():
    """Also an option that nobody set is part of the execution, hence of the cache's key."""
    properties = finder().spec.exec_properties

    assert {
        name: value
        for name, value in properties.items()
        if name in ("min_learning_rate", "max_learning_rate", "num_steps", "rule", "seed")
    } == {
        "min_learning_rate": 1e-6,
        "max_learning_rate": 10.0,
        "num_steps": 200,
        "rule": "descent",
        "seed": 0,
    }


@pytest.mark.parametrize("name", INPUTS)
def test_input_has_its_standard_type(name):
    """Inputs are what ExampleGen, Transform, Trainer and Tuner put out; one is required."""
    channel = LearningRateFinderSpec.INPUTS[name]

    assert channel.type is INPUTS[name]
    assert channel.optional is (name != "examples")


def test_there_are_no_other_inputs():
    """The inputs of a Trainer that matter to a sweep."""
    assert LearningRateFinderSpec.INPUTS.keys() == INPUTS.keys()


def test_inputs_that_are_given_are_recorded():
    """Every channel arrives under its own name; an absent one is not there."""
    channels = {name: Channel(type=kind) for name, kind in INPUTS.items() if name != "examples"}

    assert set(finder(**channels).inputs) == set(INPUTS)
    assert set(finder().inputs) == {"examples"}


@pytest.mark.parametrize("name", INPUTS)
def test_input_of_another_type_is_refused(name):
    """A channel of evaluations is none of the inputs."""
    with pytest.raises(TypeError, match=rf"(?s){name}.*ModelEvaluation"):
        finder(**{name: Channel(type=standard_artifacts.ModelEvaluation)})


def test_outputs_have_their_types():
    """Hyperparameters for the Trainer, the rate for everyone, the sweep for people."""
    assert {name: channel.type for name, channel in finder().outputs.items()} == OUTPUTS


def test_documented_outputs_are_the_outputs():
    """The class docstring has each of them, with its type."""
    documented = re.findall(r"- `(\w+)`: `(\w+)`", LearningRateFinder.__doc__)

    assert dict(documented) == {name: kind.__name__ for name, kind in OUTPUTS.items()}


def test_executor_has_its_public_path():
    """Compiled pipelines hold it: it never changes."""
    assert LearningRateFinder.EXECUTOR_SPEC.class_path == "tfx_lr_finder.executor.Executor"
    assert LearningRateFinder.EXECUTOR_SPEC.executor_class is Executor


def test_executor_is_given_the_arguments_for_beam():
    """Those of this component, as for any other on Beam."""
    component = finder(num_sweeps=3).with_beam_pipeline_args(["--direct_num_workers=3"])

    assert component.executor_spec.beam_pipeline_args == ["--direct_num_workers=3"]


@pytest.mark.parametrize("name", LearningRateFinderSpec.PARAMETERS)
def test_parameter_type_survives_kubeflow(name):
    """A float, an int, a str, or the JSON text of a proto: all else changes on its way."""
    parameter = LearningRateFinderSpec.PARAMETERS[name]

    assert parameter.type in (float, int, str) or issubclass(parameter.type, Message)
    assert not parameter.use_proto


def test_arguments_of_training_are_recorded_as_json():
    """Splits and steps are the Trainer's own protos, in their JSON form."""
    properties = finder(
        train_args=trainer_pb2.TrainArgs(splits=["train", "extra"], num_steps=7),
        eval_args=trainer_pb2.EvalArgs(splits=["test"]),
    ).spec.exec_properties

    assert json.loads(properties["train_args"]) == {"splits": ["train", "extra"], "num_steps": 7}
    assert json.loads(properties["eval_args"]) == {"splits": ["test"]}


def test_arguments_of_training_may_be_left_out():
    """The Trainer's defaults then hold: its splits, and no number of steps."""
    properties = finder().spec.exec_properties

    assert json.loads(properties["train_args"]) == json.loads(properties["eval_args"]) == {}


def test_custom_config_is_recorded_as_json():
    """A dict would change its type on Kubeflow."""
    properties = finder(custom_config={"units": [8, 8], "activation": "relu"}).spec.exec_properties

    assert json.loads(properties["custom_config"]) == {"units": [8, 8], "activation": "relu"}


@pytest.mark.parametrize(
    "name",
    ["module_file", "run_fn", "lr_finder_fn", "train_args", "eval_args", "custom_config"],
)
def test_what_the_trainer_takes_when_it_runs_the_finder_takes_too(name):
    """A RuntimeParameter is recorded as it is."""
    function = {"lr_finder_fn": None} if name in ("module_file", "run_fn") else {}
    given = parameter(str)

    assert finder(**{**function, name: given}).spec.exec_properties[name] is given


def test_default_of_a_function_that_is_known_later_is_checked():
    """As any option's is."""
    with pytest.raises(ValueError, match=r"`run_fn` must be a dotted path.*run_fn='run_fn'"):
        finder(run_fn=parameter(str, "run_fn"))


@pytest.mark.parametrize("config", [[1], "units=8", 8], ids=str)
def test_custom_config_that_is_no_dict_is_refused(config):
    """The Trainer refuses it, too, but only when it runs."""
    with pytest.raises((TypeError, ValueError), match=r"`custom_config` must .*dict"):
        finder(custom_config=config)


def test_custom_config_that_is_not_json_is_refused():
    """What cannot be recorded cannot be handed over."""
    with pytest.raises(TypeError, match="not JSON serializable"):
        finder(custom_config={"function": len})


def test_module_file_is_packaged_as_the_trainers_is(tmp_path):
    """The file becomes a wheel under the pipeline's root, with the file's text in its version."""
    (tmp_path / "user").mkdir()
    module_file = tmp_path / "user" / "model.py"
    module_file.write_text("def lr_finder_fn(fn_args):\n    raise NotImplementedError\n")
    component = finder(module_file=str(module_file))

    (dependency,) = component._pip_dependencies
    wheel = dependency.resolve(str(tmp_path / "root"))

    properties = component.spec.exec_properties
    assert re.fullmatch(
        r".*/_wheels/tfx_user_code_learningratefinder-0\.0\+[0-9a-f]{64}-py3-none-any\.whl",
        wheel,
        re.IGNORECASE,
    )
    assert properties["module_path"] == f"model@{wheel}"
    assert properties["module_file"] is None


def test_dotted_function_is_not_packaged():
    """It lies in an installed package already."""
    component = finder(lr_finder_fn="package.module.function")

    assert [dependency.resolve("") for dependency in component._pip_dependencies] == [None]


def test_component_takes_another_id():
    """Two finders may stand in one pipeline."""
    assert finder().id == "LearningRateFinder"
    assert finder().with_id("SecondFinder").id == "SecondFinder"
