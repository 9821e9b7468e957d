"""What a compiled pipeline says, read with Kubeflow's own protobuf."""

import json
import zipfile
from pathlib import Path

import pytest
import yaml
from google.protobuf import json_format
from kfp import components as kfp_components
from kfp.pipeline_spec import pipeline_spec_pb2
from tfx.components import CsvExampleGen, Trainer
from tfx.dsl.components.common.importer import Importer
from tfx.dsl.components.common.resolver import Resolver
from tfx.dsl.experimental.conditionals.conditional import Cond
from tfx.dsl.input_resolution.strategies.latest_blessed_model_strategy import (
    LatestBlessedModelStrategy,
)
from tfx.dsl.placeholder.placeholder import logical_not, logical_or
from tfx.orchestration.data_types import RuntimeParameter
from tfx.proto import example_gen_pb2, trainer_pb2
from tfx.types.channel import Channel
from tfx.types.channel_utils import artifact_query, union
from tfx.types.standard_artifacts import Examples, Model, ModelBlessing

from penguin import kubeflow, run_kubeflow_local
from tfx_lr_finder import LearningRateFinder
from tfx_lr_finder.kubeflow import compile_pipeline
from tfx_lr_finder.kubeflow.compiler import write_compiled

IMAGE = "registry.example/team/finder:1"
FINDER = "LearningRateFinder"
PLATFORM_CONFIG = pipeline_spec_pb2.PipelineDeploymentConfig.PipelineContainerSpec.ResourceSpec


def read(file):
    """Returns a compiled pipeline; a field that Kubeflow does not know is an error."""
    return json_format.ParseDict(
        yaml.safe_load(Path(file).read_text()), pipeline_spec_pb2.PipelineSpec()
    )


def containers(spec):
    """Returns the container of every component, by its id."""
    config = pipeline_spec_pb2.PipelineDeploymentConfig()
    json_format.ParseDict(json_format.MessageToDict(spec.deployment_spec), config)
    return {
        name: config.executors[component.executor_label].container
        for name, component in spec.components.items()
    }


def types(definitions):
    """Returns the type of every artifact in a component's definitions."""
    return {
        name: artifact.artifact_type.schema_title
        or yaml.safe_load(artifact.artifact_type.instance_schema)["title"]
        for name, artifact in definitions.artifacts.items()
    }


def parameters(spec, task):
    """Returns the constant parameters of a task, with the type that its component declares."""
    declared = spec.components[task].input_definitions.parameters
    kind = pipeline_spec_pb2.ParameterType.ParameterTypeEnum
    return {
        name: (
            kind.Name(declared[name].parameter_type),
            json_format.MessageToDict(value.runtime_value.constant),
        )
        for name, value in spec.root.dag.tasks[task].inputs.parameters.items()
        if value.WhichOneof("kind") == "runtime_value"
    }


def trained_by(examples, finder):
    """Returns a Trainer that takes the rate."""
    return Trainer(
        examples=examples.outputs["examples"],
        run_fn="user.run_fn",
        train_args=trainer_pb2.TrainArgs(num_steps=5),
        eval_args=trainer_pb2.EvalArgs(),
        hyperparameters=finder.outputs["best_hyperparameters"],
    )


def finder_and_trainer(**options):
    """Returns a small pipeline; options are LearningRateFinder's."""
    examples = CsvExampleGen(input_base="/data")
    finder = LearningRateFinder(
        examples=examples.outputs["examples"], lr_finder_fn="user.lr_finder_fn", **options
    )
    return examples, finder, trained_by(examples, finder)


@pytest.fixture
def compiled(tmp_path):
    """A function that compiles components and returns what was written."""

    def compile_(components, **options):
        compile_pipeline("small", components, IMAGE, tmp_path / "small.yaml", **options)
        return read(tmp_path / "small.yaml")

    return compile_


@pytest.fixture(scope="module")
def penguin(tmp_path_factory):
    """The penguin pipeline with its code in the image, as `make kubeflow` compiles it."""
    file = tmp_path_factory.mktemp("penguin") / "penguin.yaml"
    write_compiled(kubeflow.create_pipeline(), IMAGE, file)
    return file


def test_every_task_runs_our_command_in_our_image(penguin):
    """TFX's own command fails on open-source Kubeflow."""
    found = containers(read(penguin))

    assert {c.image for c in found.values()} == {IMAGE}
    assert {tuple(c.command) for c in found.values()} == {
        ("python", "-m", "tfx_lr_finder.kubeflow.entrypoint")
    }


def test_command_may_be_another(compiled):
    """For an entrypoint of one's own."""
    found = containers(compiled(finder_and_trainer(), command=["python", "-m", "team.start"]))

    assert {tuple(c.command) for c in found.values()} == {("python", "-m", "team.start")}


def test_schema_version_is_the_one_that_kubeflow_accepts(penguin):
    """The backend and the SDK refuse 2.0."""
    assert read(penguin).schema_version == "2.1.0"


def test_kubeflows_sdk_reads_the_file(penguin):
    """It is a component of the SDK, with the parameter and its default."""
    component = kfp_components.load_component_from_file(str(penguin))

    assert component.name == "penguin"
    assert component.component_spec.inputs["num_steps"].type == "Integer"
    assert component.component_spec.inputs["num_steps"].default == 200


def test_finder_has_typed_inputs_and_outputs(penguin):
    """The entrypoint takes the inputs' types from here."""
    spec = read(penguin)
    component = spec.components[FINDER]
    arguments = list(containers(spec)[FINDER].args)

    assert arguments[:2] == ["--executor_class_path", "tfx_lr_finder.executor.Executor"]
    assert types(component.input_definitions) == {
        "examples": "tfx.Examples",
        "transform_graph": "tfx.TransformGraph",
    }
    assert types(component.output_definitions) == {
        "best_hyperparameters": "tfx.HyperParameters",
        "learning_rate": "tfx.Float",
        "sweep": "tfx_lr_finder.LearningRateSweep",
        "metrics": "system.Metrics",
        "report": "system.HTML",
    }
    definitions = arguments[arguments.index("--json_serialized_inputs_spec_args") + 1]
    assert json.loads(definitions) == json_format.MessageToDict(component.input_definitions)


def test_page_of_a_run_shows_the_names_that_the_user_gave(compiled):
    """Each task has its component's id; the finder alone has outputs that the page renders."""
    examples, finder, trainer = finder_and_trainer()
    finder.with_id("Rate-of-the-small-model")

    spec = compiled([examples, finder, trainer])

    names = {key: task.task_info.name for key, task in spec.root.dag.tasks.items()}
    assert names == {name: name for name in ("CsvExampleGen", finder.id, "Trainer")}
    rendered = {
        name: {n for n, t in types(c.output_definitions).items() if t.startswith("system.")}
        for name, c in spec.components.items()
    }
    assert {name: shown for name, shown in rendered.items() if shown} == {
        finder.id: {"metrics", "report"}
    }


def test_trainer_takes_the_finders_hyperparameters(penguin):
    """The default Trainer does not."""
    tasks = read(penguin).root.dag.tasks
    source = tasks["Trainer"].inputs.artifacts["hyperparameters"].task_output_artifact

    assert (source.producer_task, source.output_artifact_key) == (FINDER, "best_hyperparameters")
    assert FINDER in tasks["Trainer"].dependent_tasks
    assert "hyperparameters" not in tasks["DefaultTrainer"].inputs.artifacts


def test_floats_integers_and_strings_keep_their_types(compiled):
    """An option that is None is left out."""
    spec = compiled(finder_and_trainer(min_learning_rate=1e-5, seed=3, rule="steepest"))
    found = parameters(spec, FINDER)

    assert found["min_learning_rate"] == ("NUMBER_DOUBLE", 1e-5)
    assert found["seed"] == ("NUMBER_INTEGER", 3)
    assert found["rule"] == ("STRING", "steepest")
    assert found["lr_finder_fn"] == ("STRING", "user.lr_finder_fn")
    assert not {"default_learning_rate", "module_file", "module_path"} & found.keys()


@pytest.mark.parametrize(
    ("option", "ptype", "default", "kind"),
    [
        ("min_learning_rate", float, 1e-5, "NUMBER_DOUBLE"),
        ("num_steps", int, 50, "NUMBER_INTEGER"),
        ("num_sweeps", int, 3, "NUMBER_INTEGER"),
        ("search_budget", float, 0.2, "NUMBER_DOUBLE"),
        ("trial_steps", int, 20, "NUMBER_INTEGER"),
        ("rule", str, "steepest", "STRING"),
    ],
)
def test_runtime_parameter_keeps_its_default(compiled, option, ptype, default, kind):
    """It becomes a parameter of the run, which need not be given."""
    parameter = RuntimeParameter("chosen", ptype=ptype, default=default)

    spec = compiled(finder_and_trainer(**{option: parameter}))

    found = spec.root.input_definitions.parameters["chosen"]
    value = spec.root.dag.tasks[FINDER].inputs.parameters[option]
    assert value.component_input_parameter == "chosen"
    assert pipeline_spec_pb2.ParameterType.ParameterTypeEnum.Name(found.parameter_type) == kind
    assert json_format.MessageToDict(found.default_value) == default


def test_runtime_parameter_without_default_has_none(compiled):
    """It has to be given for every run."""
    spec = compiled(finder_and_trainer(num_steps=RuntimeParameter("num_steps", ptype=int)))

    found = spec.root.input_definitions.parameters["num_steps"]
    assert not found.HasField("default_value")
    assert not found.is_optional


def test_runtime_parameter_with_two_defaults_is_refused(compiled):
    """One of them would be lost."""
    components = finder_and_trainer(
        num_steps=RuntimeParameter("n", ptype=int, default=50),
        seed=RuntimeParameter("n", ptype=int, default=0),
    )

    with pytest.raises(ValueError, match=r"must have one default\. Received: 'n' with 50 and 0"):
        compiled(components)


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("train_args", {"num_steps": RuntimeParameter("n", ptype=int, default=5)}),
        ("custom_config", {"n": RuntimeParameter("n", ptype=int, default=5)}),
    ],
    ids=["proto", "json"],
)
def test_runtime_parameter_inside_an_option_is_refused(compiled, option, value):
    """TFX writes down its description in place of a value."""
    examples = CsvExampleGen(input_base="/data")
    arguments = {"train_args": trainer_pb2.TrainArgs(), "eval_args": trainer_pb2.EvalArgs()}
    trainer = Trainer(
        examples=examples.outputs["examples"], run_fn="user.run_fn", **{**arguments, option: value}
    )

    with pytest.raises(
        ValueError, match=rf"whole of an option.*one inside \['{option}'\] of 'Trainer'"
    ):
        compiled([examples, trainer])


@pytest.mark.parametrize("component", ["CsvExampleGen", FINDER])
def test_resources_reach_the_container(compiled, component):
    """CPU, memory and accelerator, also those of an ExampleGen, which TFX drops."""
    wanted = PLATFORM_CONFIG(
        cpu_limit=2.0,
        memory_limit=4.0,
        accelerator=PLATFORM_CONFIG.AcceleratorConfig(type="nvidia.com/gpu", count=1),
    )
    components = finder_and_trainer()
    (one,) = (c for c in components if c.id == component)
    one.with_platform_config(wanted)

    found = containers(compiled(components))

    assert found[component].resources == wanted
    assert not found["Trainer"].HasField("resources")


def test_arguments_for_beam_reach_the_finder(compiled):
    """Those of the pipeline for every component on Beam; or those of the finder alone."""
    of_pipeline = ["--direct_running_mode=multi_processing", "--direct_num_workers=2"]
    of_finder = ["--runner=FlinkRunner"]

    everywhere = containers(compiled(finder_and_trainer(), beam_pipeline_args=of_pipeline))
    components = finder_and_trainer()
    components[1].with_beam_pipeline_args(of_finder)
    there = containers(compiled(components))

    assert list(everywhere[FINDER].args)[-2:] == of_pipeline
    assert list(there[FINDER].args)[-1:] == of_finder
    assert of_finder[0] not in there["CsvExampleGen"].args


@pytest.mark.parametrize("enabled", [True, False])
def test_caching_is_as_asked_for(compiled, enabled):
    """But for an ExampleGen: it would not notice other data under the same names."""
    spec = compiled(finder_and_trainer(), enable_cache=enabled)

    cached = {name for name, t in spec.root.dag.tasks.items() if t.caching_options.enable_cache}
    assert cached == ({FINDER, "Trainer"} if enabled else set())


@pytest.mark.parametrize(
    ("image", "enabled", "is_warned"),
    [
        ("registry.example/finder:1", True, True),
        ("registry.example/finder:1", False, False),
        (f"registry.example/finder@sha256:{'0' * 64}", True, False),
    ],
)
def test_image_without_a_digest_is_warned_of(tmp_path, caplog, image, enabled, is_warned):
    """Code that changes behind a tag would not be noticed."""
    file = tmp_path / "small.yaml"

    compile_pipeline("small", finder_and_trainer(), image, file, enable_cache=enabled)

    warned = [text for text in caplog.messages if "digest" in text]
    assert len(warned) == is_warned
    for text in warned:
        assert f"knows the image {image!r} by its name alone" in text
        assert "NAME@sha256:..." in text


def test_gate_on_the_verdict_becomes_a_condition(compiled):
    """The backend evaluates it on the metadata of the sweep."""
    examples, finder, _ = finder_and_trainer()
    with Cond(finder.outputs["sweep"].future()[0].custom_property("verdict") == "ok"):
        trainer = trained_by(examples, finder)

    task = compiled([examples, finder, trainer]).root.dag.tasks["Trainer"]

    gate = f"_{FINDER}.sweep"
    metadata = f"inputs.artifacts['{gate}'].artifacts[0].metadata"
    assert task.trigger_policy.condition == (
        f"'verdict' in {metadata} && ({metadata}['verdict'] == 'ok')"
    )
    assert task.inputs.artifacts[gate].task_output_artifact.output_artifact_key == "sweep"


def second_finder(examples):
    """Returns one more finder."""
    return LearningRateFinder(
        examples=examples.outputs["examples"], lr_finder_fn="user.lr_finder_fn"
    ).with_id("Second")


def gated(finder, predicate, component):
    """Returns a component that runs under a condition on the sweep, given as a function."""
    with Cond(predicate(finder.outputs["sweep"].future()[0].custom_property)):
        return component()


def test_texts_in_a_condition_are_escaped(compiled):
    """Else the run would fail with a syntax error."""
    examples, finder, _ = finder_and_trainer()
    second = gated(
        finder,
        lambda of: of("it's") == 'it\'s \\ a "text"\nof 2 lines: ä',
        lambda: second_finder(examples),
    )

    task = compiled([examples, finder, second]).root.dag.tasks["Second"]

    metadata = f"inputs.artifacts['_{FINDER}.sweep'].artifacts[0].metadata"
    assert task.trigger_policy.condition == (
        rf"'it\'s' in {metadata} && "
        rf"""({metadata}['it\'s'] == 'it\'s \\ a \"text\"\nof 2 lines: ä')"""
    )


def test_condition_asks_once_for_each_property(compiled):
    """Where one is absent, the condition is false, whatever else it says."""
    examples, finder, _ = finder_and_trainer()
    second = gated(
        finder,
        lambda of: logical_or(of("spread") < 0.1, logical_not(of("spread") < of("num_sweeps"))),
        lambda: second_finder(examples),
    )

    task = compiled([examples, finder, second]).root.dag.tasks["Second"]

    metadata = f"inputs.artifacts['_{FINDER}.sweep'].artifacts[0].metadata"
    assert task.trigger_policy.condition == (
        f"'spread' in {metadata} && 'num_sweeps' in {metadata} && "
        f"(({metadata}['spread'] < 0.1) || !(({metadata}['spread'] < {metadata}['num_sweeps'])))"
    )


def test_condition_on_an_input_and_one_around_it_are_both_asked(compiled):
    """An input that a component has anyway goes by its own name."""
    examples, finder, _ = finder_and_trainer()
    with Cond(finder.outputs["best_hyperparameters"].future()[0].custom_property("n") == 3):
        trainer = gated(
            finder,
            lambda of: of("verdict") != "ok",
            lambda: trained_by(examples, finder),
        )

    task = compiled([examples, finder, trainer]).root.dag.tasks["Trainer"]

    inner = "inputs.artifacts['hyperparameters'].artifacts[0].metadata"
    outer = f"inputs.artifacts['_{FINDER}.sweep'].artifacts[0].metadata"
    assert sorted(task.trigger_policy.condition.split(" && ")) == sorted(
        [
            f"'n' in {inner}",
            f"({inner}['n'] == 3.0)",
            f"'verdict' in {outer}",
            f"!(({outer}['verdict'] == 'ok'))",
        ]
    )


def test_condition_around_an_importer_is_refused(compiled):
    """Kubeflow would not heed it."""
    examples, finder, _ = finder_and_trainer()
    imported = gated(
        finder,
        lambda of: of("verdict") == "ok",
        lambda: Importer(source_uri="s3://bucket/model", artifact_type=Model).with_id("Base"),
    )

    with pytest.raises(
        ValueError, match=r"Importer cannot have a condition.*'Base'.*before the `with Cond"
    ):
        compiled([examples, finder, imported])


def test_code_in_the_image_is_named_by_dotted_path(penguin):
    """Nothing of the machine that compiles is in the file."""
    spec = read(penguin)

    assert parameters(spec, FINDER)["lr_finder_fn"][1] == "penguin.module.model.lr_finder_fn"
    assert parameters(spec, "Trainer")["run_fn"][1] == "penguin.module.model.run_fn"
    assert parameters(spec, "CsvExampleGen")["input_base"][1] == "/pipelines/penguin/data"
    assert str(Path(__file__).parents[2]) not in penguin.read_text()


def test_code_and_data_are_packed_into_a_folder_that_tasks_see(tmp_path):
    """Each task names the wheel of its module, and the wheel is there."""
    root = tmp_path / "root"
    run_kubeflow_local.compile_into(root, IMAGE, tmp_path / "p.yaml")
    spec = read(tmp_path / "p.yaml")

    module, _, wheel = parameters(spec, FINDER)["module_path"][1].partition("@")
    assert f"{module}.py" in zipfile.ZipFile(wheel).namelist()
    assert Path(wheel).is_relative_to(root)
    data = parameters(spec, "CsvExampleGen")["input_base"][1]
    assert [file.name for file in Path(data).iterdir()] == ["penguins.csv"]
    assert Path(data).is_relative_to(root)


@pytest.mark.parametrize("root", ["s3://b/r", "minio://b/r", "gs://b/r", "root", None])
def test_module_file_that_cannot_be_packed_is_refused(compiled, root):
    """The message says how to do without."""
    examples = CsvExampleGen(input_base="/data")
    finder = LearningRateFinder(examples=examples.outputs["examples"], module_file="model.py")

    with pytest.raises(
        ValueError,
        match=rf"(?s)Received: {FINDER} with module_file='model.py', pipeline_root={root!r}"
        r".*code into the image.*dotted path",
    ):
        compiled([examples, finder], pipeline_root=root)


def test_functions_by_dotted_path_need_no_pipeline_root(compiled):
    """Any root is good, as TFX has nothing to write there."""
    spec = compiled(finder_and_trainer(), pipeline_root="minio://bucket/root")

    assert parameters(spec, FINDER)["lr_finder_fn"] == ("STRING", "user.lr_finder_fn")


def test_id_that_kubeflow_cannot_take_is_refused(compiled):
    """Argo allows no underscore; the message proposes another id."""
    examples = CsvExampleGen(input_base="/data").with_id("my_examples")

    with pytest.raises(ValueError, match=r"'my_examples'.*with_id\('my-examples'\)"):
        compiled([examples])


@pytest.mark.parametrize("taken", ["root", "executor", "LearningRateFinder-driver"])
def test_id_of_a_task_that_kubeflow_adds_is_refused(compiled, taken):
    """It would be there twice."""
    examples, finder, _ = finder_and_trainer()
    examples.with_id(taken)

    with pytest.raises(ValueError, match=rf"Kubeflow adds a task `root`.*the name '{taken}'"):
        compiled([examples, finder])


def test_options_that_are_too_long_for_a_command_are_refused(compiled):
    """Linux would refuse to start the task."""

    def with_words(length):
        examples = CsvExampleGen(input_base="/data")
        trainer = Trainer(
            examples=examples.outputs["examples"],
            run_fn="user.run_fn",
            train_args=trainer_pb2.TrainArgs(),
            eval_args=trainer_pb2.EvalArgs(),
            custom_config={"words": "x" * length},
        )
        return [examples, trainer]

    assert compiled(with_words(100_000))
    with pytest.raises(
        ValueError,
        match=r"at most 102400 bytes.*Received: 110\d{3} bytes for 'Trainer', most of them in "
        r"'custom_config'.*as an artifact",
    ):
        compiled(with_words(110_000))


def test_text_that_argo_would_replace_is_refused(compiled):
    """Nobody would notice before the task reads it."""
    with pytest.raises(
        ValueError, match=r"`\{\{workflow\.`.*Received: \['input_base'\] of 'CsvExampleGen'"
    ):
        compiled([CsvExampleGen(input_base="/data/{{workflow.name}}")])


@pytest.mark.parametrize(
    "text",
    [
        *("1e-3", "1E5", "-1e+3", ".5e1", "5.", "0o17", "12", "true", "~"),
        *("0XFF", "0B1", "1_0e3", "2026-1-5", "2026-1-5T1:2:3Z"),
    ],
)
def test_text_that_looks_like_a_number_is_quoted(tmp_path, text):
    """Kubeflow reads YAML 1.2, in which more texts are numbers than for Python's reader."""
    file = tmp_path / "small.yaml"

    compile_pipeline("small", [CsvExampleGen(input_base=text)], IMAGE, file)

    assert f"constant: '{text}'\n" in file.read_text()


@pytest.mark.parametrize("text", ["/data/1e-3", "1e", "e3", "0x", "1-2", "v1.5", "."])
def test_other_text_is_not_quoted(tmp_path, text):
    """People read the file, too."""
    file = tmp_path / "small.yaml"

    compile_pipeline("small", [CsvExampleGen(input_base=text)], IMAGE, file)

    assert f"constant: {text}\n" in file.read_text()


def test_resolver_is_refused(compiled):
    """Kubeflow would refuse the run; the message says what to do without."""
    resolver = Resolver(
        strategy_class=LatestBlessedModelStrategy,
        model=Channel(type=Model),
        model_blessing=Channel(type=ModelBlessing),
    ).with_id("latest-model")

    with pytest.raises(
        ValueError, match=r"Resolver cannot run on Kubeflow.*'latest-model'.*Importer"
    ):
        compiled([*finder_and_trainer(), resolver])


def test_union_of_outputs_is_refused(compiled):
    """TFX's own error names neither the component nor the input."""
    examples = [CsvExampleGen(input_base="/data").with_id(name) for name in ("Old", "New")]
    finder = LearningRateFinder(
        examples=union([one.outputs["examples"] for one in examples]),
        lr_finder_fn="user.lr_finder_fn",
    )

    with pytest.raises(
        ValueError, match=r"union of several for \['examples'\] of 'LearningRateFinder'.*Gen"
    ):
        compiled([*examples, finder])


def test_query_for_an_output_of_no_component_is_refused(compiled):
    """It would be a task that waits, too."""
    examples = artifact_query(Examples, producer_component_id="Gen", output_key="examples")
    finder = LearningRateFinder(examples=examples, lr_finder_fn="user.lr_finder_fn")

    with pytest.raises(ValueError, match=r"'examples' of 'LearningRateFinder' from \['Gen'\], not"):
        compiled([finder])


def test_input_of_a_component_that_is_not_in_the_pipeline_is_refused(compiled):
    """TFX only warns, and writes a task that waits for one that does not exist."""
    _, *others = finder_and_trainer()

    with (
        pytest.warns(UserWarning, match="Did you forget to add it"),
        pytest.raises(
            ValueError,
            match=r"'examples' of 'LearningRateFinder' from \['CsvExampleGen'\], not among them\. "
            r"Add it to the pipeline's components\.",
        ),
    ):
        compiled(others)


def test_condition_on_a_component_that_is_not_in_the_pipeline_is_refused(compiled):
    """It is an input as any other."""
    examples, finder, _ = finder_and_trainer()
    with Cond(finder.outputs["sweep"].future()[0].custom_property("verdict") == "ok"):
        second = LearningRateFinder(
            examples=examples.outputs["examples"], lr_finder_fn="user.lr_finder_fn"
        ).with_id("Second")

    with (
        pytest.warns(UserWarning, match="Did you forget to add it"),
        pytest.raises(
            ValueError, match=r"a condition of 'Second' from \['LearningRateFinder'\], not among"
        ),
    ):
        compiled([examples, second])


def test_option_that_another_component_puts_out_is_refused(compiled):
    """TFX names a task in the file that does not exist."""
    examples, finder, _ = finder_and_trainer()
    rate = finder.outputs["learning_rate"].future()[0].value
    second = LearningRateFinder(
        examples=examples.outputs["examples"], lr_finder_fn="user.lr_finder_fn"
    ).with_id("Second")
    second.exec_properties["max_learning_rate"] = rate

    with pytest.raises(ValueError, match=r"\['max_learning_rate'\] of 'Second'.*as an input"):
        compiled([examples, finder, second])


@pytest.mark.parametrize("place", ["{SPAN}", "{SPAN:2}", "{VERSION}", "{YYYY}"])
def test_files_by_span_version_or_date_are_refused(compiled, place):
    """Kubeflow never runs the driver that would find them."""
    pattern = f"{place}/*.csv"
    splits = example_gen_pb2.Input(
        splits=[example_gen_pb2.Input.Split(name="all", pattern=pattern)]
    )
    examples = CsvExampleGen(input_base="/data", input_config=splits)

    with pytest.raises(
        ValueError, match=rf"Received: \['{place}'\] in `input_config` of 'CsvExampleGen'"
    ):
        compiled([examples])


def test_condition_on_a_value_is_refused(compiled):
    """Only properties of artifacts are known where Kubeflow decides."""
    examples, finder, _ = finder_and_trainer()
    with Cond(finder.outputs["learning_rate"].future()[0].value < 1.0):
        second = LearningRateFinder(
            examples=examples.outputs["examples"], lr_finder_fn="user.lr_finder_fn"
        ).with_id("Second")

    with pytest.raises(
        ValueError, match=r"must be on custom properties.*'Second'.*custom_property\('verdict'\)"
    ):
        compiled([examples, finder, second])
