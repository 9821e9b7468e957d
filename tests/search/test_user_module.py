"""The user's code: the arguments that it is given, how it is found, what it may return."""

import json
import sys
import traceback
from pathlib import Path

import attr
import pytest
from tfx.components.trainer.executor import GenericExecutor
from tfx.components.trainer.fn_args_utils import FnArgs
from tfx.components.util import udf_utils
from tfx.proto import trainer_pb2
from tfx.types import standard_artifacts
from tfx.types.channel import Channel

from tfx_lr_finder import LearningRateFinder, LrFinderFnResult
from tfx_lr_finder.search.marked_output import marked_output
from tfx_lr_finder.search.user_module import call, load, make_fn_args

HYPERPARAMETERS = {"space": [], "values": {"units": 8, "learning_rate": 1e-3}}
FOLDERS = {"working_dir", "serving_model_dir", "eval_model_dir", "model_run_dir"}


def artifact(kind, folder, **properties):
    """Returns an artifact of a kind in a folder."""
    result = kind()
    result.uri = str(folder)
    for name, value in properties.items():
        setattr(result, name, value)
    return result


@pytest.fixture
def inputs(tmp_path):
    """Every input that a Trainer may have; the files that it looks for are there."""
    (tmp_path / "schema").mkdir()
    (tmp_path / "schema" / "schema.pbtxt").touch()
    for split in ("train", "extra", "eval"):
        (tmp_path / "examples" / f"Split-{split}").mkdir(parents=True)
        (tmp_path / "examples" / f"Split-{split}" / "data.gz").touch()
    (tmp_path / "hyperparameters").mkdir()
    (tmp_path / "hyperparameters" / "best.txt").write_text(json.dumps(HYPERPARAMETERS))
    kinds = {
        "schema": standard_artifacts.Schema,
        "transform_graph": standard_artifacts.TransformGraph,
        "base_model": standard_artifacts.Model,
        "hyperparameters": standard_artifacts.HyperParameters,
    }
    examples = artifact(
        standard_artifacts.Examples, tmp_path / "examples", split_names='["train","extra","eval"]'
    )
    others = {name: [artifact(kind, tmp_path / name)] for name, kind in kinds.items()}
    return {"examples": [examples], **others}


def exec_properties(**arguments):
    """Returns what TFX records of a finder with these arguments."""
    finder = LearningRateFinder(
        examples=Channel(type=standard_artifacts.Examples),
        **{"lr_finder_fn": "package.function", **arguments},
    )
    return {k: v for k, v in finder.spec.exec_properties.items() if v is not None}


def trainer_fn_args(inputs, properties, folder):
    """Returns what the stock Trainer hands to its module."""
    outputs = {
        "model": [artifact(standard_artifacts.Model, folder / "model")],
        "model_run": [artifact(standard_artifacts.ModelRun, folder / "model_run")],
    }
    return GenericExecutor()._GetFnArgs(inputs, outputs, properties)


def values(fn_args):
    """Returns what does not depend on where outputs go."""
    return {
        field.name: getattr(fn_args, field.name)
        for field in attr.fields(FnArgs)
        if field.name not in {*FOLDERS, "data_accessor"}
    }


FULL = {
    "train_args": trainer_pb2.TrainArgs(splits=["train", "extra"], num_steps=70),
    "eval_args": trainer_pb2.EvalArgs(splits=["eval"], num_steps=5),
    "custom_config": {"units": 8},
}


@pytest.mark.parametrize("arguments", [FULL, {}], ids=["all arguments", "defaults"])
@pytest.mark.parametrize("raw", [False, True], ids=["transformed", "raw"])
def test_arguments_are_those_of_the_trainer(inputs, tmp_path, arguments, raw):
    """The same module serves both: every field has the value that the stock Trainer gives it."""
    given = {"examples": inputs["examples"]} if raw else inputs
    properties = exec_properties(**arguments)
    hyperparameters = None if raw else HYPERPARAMETERS

    ours = make_fn_args(given, properties, hyperparameters, str(tmp_path / "work"))

    assert values(ours) == values(trainer_fn_args(given, properties, tmp_path))


def test_fields_that_trainer_fills_are_filled(inputs, tmp_path):
    """No field is None where all inputs and arguments are given."""
    fn_args = make_fn_args(inputs, exec_properties(**FULL), HYPERPARAMETERS, str(tmp_path))

    missing = [f.name for f in attr.fields(FnArgs) if getattr(fn_args, f.name) is None]

    assert missing == []


def test_splits_and_steps_are_those_of_the_arguments(inputs, tmp_path):
    """File patterns of every training split, and the Trainer's numbers of steps."""
    fn_args = make_fn_args(inputs, exec_properties(**FULL), None, str(tmp_path))

    examples = tmp_path / "examples"
    assert fn_args.train_files == [f"{examples}/Split-train/*", f"{examples}/Split-extra/*"]
    assert fn_args.eval_files == [f"{examples}/Split-eval/*"]
    assert (fn_args.train_steps, fn_args.eval_steps) == (70, 5)
    assert fn_args.custom_config == {"units": 8}


@pytest.mark.parametrize("name", sorted(FOLDERS))
def test_output_folders_lie_in_the_working_folder(inputs, tmp_path, name):
    """Whatever a module writes there is gone after the sweep."""
    work = tmp_path / "work"

    fn_args = make_fn_args(inputs, exec_properties(), None, str(work))

    assert Path(getattr(fn_args, name)).is_relative_to(work)


def test_split_without_files_is_refused(inputs, tmp_path):
    """Before the user's code is called; the message says where files were looked for."""
    (tmp_path / "examples" / "Split-train" / "data.gz").unlink()

    with pytest.raises(ValueError, match=r"must have files .*Split-train/\*\. Check `train_args"):
        make_fn_args(inputs, exec_properties(), None, str(tmp_path / "work"))


def test_output_folders_have_the_trainers_names(inputs, tmp_path):
    """A module that looks at the end of its paths finds what it expects."""
    trainer = trainer_fn_args(inputs, exec_properties(), tmp_path)

    ours = make_fn_args(inputs, exec_properties(), None, str(tmp_path / "work"))

    for name in FOLDERS - {"working_dir"}:
        assert Path(getattr(ours, name)).name == Path(getattr(trainer, name)).name


def test_folder_of_the_run_is_there(inputs, tmp_path):
    """TFX makes it for the Trainer; that of the model is the module's to make."""
    fn_args = make_fn_args(inputs, exec_properties(), None, str(tmp_path / "work"))

    assert list(Path(fn_args.model_run_dir).iterdir()) == []
    assert not Path(fn_args.serving_model_dir).exists()


def test_data_accessor_has_the_trainers_factories(inputs, tmp_path):
    """`fn_args.data_accessor.tf_dataset_factory(...)` works in the finder as in the Trainer."""
    accessor = make_fn_args(inputs, exec_properties(), None, str(tmp_path)).data_accessor

    assert callable(accessor.tf_dataset_factory)
    assert callable(accessor.record_batch_factory)


@pytest.fixture
def module_file(tmp_path):
    """Writes a user's module and returns its path."""

    def write(text):
        path = tmp_path / "user_code.py"
        path.write_text(text)
        return str(path)

    return write


def test_function_is_loaded_from_a_file(module_file):
    """The module's `lr_finder_fn`."""
    path = module_file("def lr_finder_fn(fn_args):\n    return fn_args * 2\n")

    assert load({"module_file": path})(21) == 42


@pytest.fixture
def packed(module_file, tmp_path):
    """Packs a user's module, as TFX does for a pipeline, and returns the parameters."""

    def pack(text):
        file, root = module_file(text), str(tmp_path / "root")
        return {"module_path": udf_utils.package_user_module_file("Finder", file, root)[1]}

    return pack


def test_packed_module_is_loaded_without_pip(packed, tmp_path, monkeypatch):
    """No Python is started; a module beside it can be imported, and Python's path is as before."""
    (tmp_path / "module_beside.py").write_text("FACTOR = 2\n")
    properties = packed(
        "import module_beside\n\n\n"
        "def lr_finder_fn(fn_args):\n    return fn_args * module_beside.FACTOR\n"
    )
    path = list(sys.path)
    monkeypatch.setattr(sys, "executable", "/no/python")

    assert load(properties)(21) == 42
    assert sys.path == path


def test_packed_module_of_the_same_name_replaces_the_one_before(packed):
    """A notebook's second run has the code as it was edited."""
    before = load(packed("def lr_finder_fn(fn_args):\n    return 'before'\n"))(None)
    after = load(packed("def lr_finder_fn(fn_args):\n    return 'after'\n"))(None)

    assert (before, after) == ("before", "after")


def test_traceback_shows_the_line_of_a_packed_module(packed):
    """Read from the wheel."""
    function = load(packed("def lr_finder_fn(fn_args):\n    raise LookupError('mine')\n"))

    with pytest.raises(LookupError, match="mine") as raised:
        call(function, None)

    assert traceback.extract_tb(raised.value.__traceback__)[-1].line == "raise LookupError('mine')"


def test_function_is_loaded_by_its_dotted_path():
    """Any importable function, of any name."""
    assert load({"lr_finder_fn": "json.dumps"}) is json.dumps


NO_FUNCTION = (
    r"must be the Trainer's `run_fn\(fn_args\)` or a function "
    r"`lr_finder_fn\(fn_args\) -> LrFinderFnResult`, at the top level of its module\. "
    r"Received: '%s', where there is none\. Give the Trainer's own module"
)


def test_module_without_a_function_is_refused(module_file):
    """The message says what is missing, where, and what to write."""
    path = module_file("def trainer_fn(trainer_fn_args, schema):\n    return None\n")

    with pytest.raises(ValueError, match=NO_FUNCTION % path):
        load({"module_file": path})


@pytest.mark.parametrize("name", ["lr_finder_fn", "run_fn"])
def test_dotted_path_without_the_function_is_refused(name):
    """The message has the path that was asked for."""
    with pytest.raises(ValueError, match=NO_FUNCTION % r"json\.no_such_function"):
        load({name: "json.no_such_function"})


def test_error_while_a_named_module_is_imported_is_shown(tmp_path, monkeypatch):
    """TFX's own message has only the module's name; a log or a line shows no more than that."""
    (tmp_path / "incomplete_module.py").write_text("import no_such_package\n")
    monkeypatch.syspath_prepend(tmp_path)

    with pytest.raises(
        ImportError,
        match=r"^Could not import .*'incomplete_module'\. "
        r"ModuleNotFoundError: No module named 'no_such_package'$",
    ):
        load({"run_fn": "incomplete_module.run_fn"})


def test_dotted_function_is_not_looked_for_under_another_name(tmp_path, monkeypatch):
    """A module's `run_fn` does not stand for the function that was named."""
    (tmp_path / "named_module.py").write_text("def run_fn(fn_args):\n    return None\n")
    monkeypatch.syspath_prepend(tmp_path)

    with pytest.raises(ValueError, match=NO_FUNCTION % r"named_module\.lr_finder_fn"):
        load({"lr_finder_fn": "named_module.lr_finder_fn"})


TRAINER_MODULE = """
import keras
import numpy as np

print("loaded")


def run_fn(fn_args):
    units = fn_args.hyperparameters["values"]["units"]
    print("training", end=" ")
    print("begins")
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(units)])
    model.compile("sgd", "mse")
    with open(f"{fn_args.model_run_dir}/notes.txt", "w") as file:
        file.write("written before the fit")
    x = np.ones((6, 1))
    model.fit(x, x, batch_size=fn_args.custom_config["units"] - 6, validation_data=(x[:4], x[:4]))
    model.save(fn_args.serving_model_dir + "/model.keras")
"""


def test_trainers_module_is_run_up_to_its_fit(module_file, inputs, tmp_path, capsys):
    """It is loaded once and gets all of FnArgs; what it writes lies in the working folder.

    What it prints is marked, since it trains nothing.
    """
    work = tmp_path / "work"
    fn_args = make_fn_args(inputs, exec_properties(**FULL), HYPERPARAMETERS, str(work))

    function = load({"module_file": module_file(TRAINER_MODULE)})
    model, dataset, validation_dataset, train_steps, schedule = call(function, fn_args)

    mark = "[LearningRateFinder]"
    assert capsys.readouterr().out == f"{mark} loaded\n{mark} training begins\n"
    assert model.output_shape == (None, 8)
    assert [len(x) for x, _ in dataset] == [2, 2, 2]
    assert [len(x) for x, _ in validation_dataset] == [2, 2]
    assert (train_steps, schedule) == (3, None)
    written = [path for path in work.rglob("*") if path.is_file()]
    assert written == [work / "model_run" / "notes.txt"]


def test_output_that_user_code_keeps_is_marked_during_the_search_only(capsys):
    """A log's handler, for example, goes on in the Trainer, in the same process."""
    with marked_output():
        kept = sys.stdout
        print("looked at", file=kept)
    print("trained", file=kept)

    assert capsys.readouterr().out == "[LearningRateFinder] looked at\ntrained\n"


def test_lines_that_are_written_at_once_are_marked(capsys):
    """Each of them, as by `print`."""
    with marked_output():
        sys.stdout.writelines(["one\n", "two\n"])

    assert capsys.readouterr().out == "[LearningRateFinder] one\n[LearningRateFinder] two\n"


def test_function_for_this_comes_before_the_trainers(module_file):
    """`lr_finder_fn` is written for nothing else."""
    path = module_file("def run_fn(fn_args):\n    raise LookupError\n\n\nlr_finder_fn = str\n")

    assert load({"module_file": path})(1) == "1"


def test_trainers_function_is_found_by_its_dotted_path(tmp_path, monkeypatch, inputs):
    """Of any name, in an installed package."""
    (tmp_path / "trainer_package.py").write_text(TRAINER_MODULE.replace("run_fn", "train"))
    monkeypatch.syspath_prepend(tmp_path)
    fn_args = make_fn_args(inputs, exec_properties(**FULL), HYPERPARAMETERS, str(tmp_path / "work"))

    result = call(load({"run_fn": "trainer_package.train"}), fn_args)

    assert result.model.output_shape == (None, 8)


def test_error_in_the_trainers_function_is_the_users(module_file):
    """Nothing of ours is put around it."""
    path = module_file("def run_fn(fn_args):\n    raise LookupError('the user\\'s own message')\n")

    with pytest.raises(LookupError, match=r"^the user's own message$") as raised:
        call(load({"module_file": path}), None)

    assert Path(traceback.extract_tb(raised.value.__traceback__)[-1].filename) == Path(path)


def test_trainers_function_that_does_not_fit_is_refused(module_file):
    """The message names the other function."""
    path = module_file("def run_fn(fn_args):\n    return None\n")

    with pytest.raises(ValueError, match=r"`run_fn` must train by .* Add a function `lr_finder_fn"):
        call(load({"module_file": path}), None)


def test_dotted_path_of_no_module_is_an_import_error():
    """TFX's own message names the module."""
    with pytest.raises(ImportError, match="module path 'no_such_package'"):
        load({"lr_finder_fn": "no_such_package.function"})


def test_attribute_error_of_the_module_itself_is_left_alone(module_file):
    """A mistake at the module's top level is not taken for a missing function."""
    path = module_file("import json\njson.no_such_name\n")

    with pytest.raises(AttributeError, match="module 'json' has no attribute 'no_such_name'"):
        load({"module_file": path})


def test_error_of_the_module_itself_is_left_alone(module_file):
    """Any other mistake at the top level arrives as it is."""
    path = module_file("raise LookupError('the user\\'s own message')\n")

    with pytest.raises(LookupError, match="the user's own message"):
        load({"module_file": path})


def test_result_is_returned():
    """Model and data set as the user's function made them, called once."""
    calls = []

    def function(fn_args):
        calls.append(fn_args)
        return LrFinderFnResult(model="model", dataset="dataset")

    result = call(function, "arguments")

    assert (*result, calls) == ("model", "dataset", None, None, None, ["arguments"])


@pytest.mark.parametrize(
    ("result", "received"),
    [
        (None, "None of type NoneType"),
        (("model", "dataset"), r"\('model', 'dataset'\) of type tuple"),
        ("x" * 1000, "x{200} of type str"),
    ],
    ids=["nothing", "pair", "long text"],
)
def test_result_of_another_type_is_refused(result, received):
    """The message says what was returned and what to return."""
    message = (
        rf"must return an LrFinderFnResult\. Received: {received}\. "
        r"Return `LrFinderFnResult\(model=model, dataset=dataset\)`"
    )

    with pytest.raises(TypeError, match=message):
        call(lambda fn_args: result, None)
