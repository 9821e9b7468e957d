"""What goes wrong in real executions: a clear error, and nothing left over.

Arguments that are refused when the component is built, before there is an execution, are in
tests/doors/test_component.py and tests/search/test_options.py.
"""

import dataclasses
import gzip
import json
import math
import resource
import tempfile
from pathlib import Path

import pytest
import tensorflow as tf
from ml_metadata.proto.metadata_store_pb2 import Execution
from tf_examples import write_examples
from tfx.dsl.components.common.importer import Importer
from tfx.orchestration.local.local_dag_runner import LocalDagRunner
from tfx.orchestration.metadata import Metadata, sqlite_metadata_connection_config
from tfx.orchestration.pipeline import Pipeline
from tfx.orchestration.portable.mlmd import execution_lib
from tfx.proto import trainer_pb2
from tfx.types import standard_artifacts
from tfx.types.channel import Channel

from tfx_lr_finder import LearningRateFinder, NoLearningRateError
from tfx_lr_finder.executor import Executor

MISTAKES = Path(__file__).parents[1] / "data" / "mistakes"
FINDER = "LearningRateFinder"
SLOPE = 2.0


@dataclasses.dataclass(frozen=True)
class Mistake:
    """One thing that is wrong, and the error that says so.

    Attributes:
        error: Type of the error.
        message: Pattern that its message matches.
        user_code: Name of the function in `mistakes`, or text of a module.
        examples: Name of the maker of the examples.
        hyperparameters: Files of the upstream hyperparameters, by name; none if None.
        arguments: More arguments of the component.
        beam_pipeline_args: Arguments of Beam.
    """

    error: type
    message: str
    user_code: str = "right"
    examples: str = "good_examples"
    hyperparameters: dict | None = None
    arguments: dict = dataclasses.field(default_factory=dict)
    beam_pipeline_args: tuple = ()


def write_splits(folder, rows, splits=("train", "eval")):
    """Writes rows of features as files of tf.Example, the same for each split."""
    for split in splits:
        write_examples(folder / f"Split-{split}" / "data_tfrecord-00000-of-00001.gz", rows)


def rows(x=lambda i: (-1.0) ** i, count=64):
    """Returns rows of `y = 2 x`."""
    return [{"x": x(i), "y": SLOPE * (-1.0) ** i} for i in range(count)]


def good_examples(folder):
    """Examples without fault."""
    write_splits(folder, rows())


def no_examples(folder):
    """Files without a single example."""
    write_splits(folder, [])


def no_training_split(folder):
    """An eval split alone, whatever the artifact says."""
    write_splits(folder, rows(), splits=("eval",))


def features_not_a_number(folder):
    """NaN among the features."""
    write_splits(folder, rows(x=lambda i: math.nan if i == 3 else 1.0))


def features_infinite(folder):
    """An infinite feature."""
    write_splits(folder, rows(x=lambda i: math.inf if i == 3 else 1.0))


def features_missing(folder):
    """Examples without the label."""
    write_splits(folder, [{"x": 1.0}] * 64)


def truncated(folder):
    """A file that ends in the middle of an example."""
    good_examples(folder)
    for file in folder.rglob("*.gz"):
        with gzip.open(file) as stream:
            content = stream.read()
        file.write_bytes(gzip.compress(content[:-20]))


def truncated_archive(folder):
    """A file that was not written to its end."""
    good_examples(folder)
    for file in folder.rglob("*.gz"):
        file.write_bytes(file.read_bytes()[:-40])


def garbage(folder):
    """Files that are no TFRecords."""
    good_examples(folder)
    for file in folder.rglob("*.gz"):
        file.write_bytes(gzip.compress(b"x,y\n1,2\n" * 64))


def not_compressed(folder):
    """Files that are named as if they were compressed."""
    good_examples(folder)
    for file in folder.rglob("*.gz"):
        with gzip.open(file) as stream:
            file.write_bytes(stream.read())


def folder_for_file(folder):
    """A folder where a file should be: it cannot be read."""
    good_examples(folder)
    for file in folder.rglob("*.gz"):
        file.unlink()
        file.mkdir()


HYPERPARAMETERS = {"best.txt": json.dumps({"space": [], "values": {"units": 4}})}

MISTAKES_BY_NAME = {
    # The user's module.
    "syntax error": Mistake(
        SyntaxError,
        r"was never closed \(syntax_error\.py, line 1\)|invalid syntax",
        "def run_fn(fn_args:\n",
    ),
    "import error": Mistake(
        ImportError,
        r"Could not import requested module path 'import_error'",
        "import no_such_module\n",
    ),
    "error at import": Mistake(ZeroDivisionError, "division by zero", "1 / 0\n"),
    "no function": Mistake(
        ValueError,
        "must be the Trainer's `run_fn.*Received: .*no_function@.*where there is none",
        "def train(fn_args): pass\n",
    ),
    "no such function": Mistake(
        ValueError,
        r"Received: 'mistakes\.no_such_function', where there is none\. Give",
        "no_such_function",
    ),
    "pair": Mistake(
        TypeError, r"must return an LrFinderFnResult\. Received: .* of type tuple\. Return", "pair"
    ),
    "nothing": Mistake(
        TypeError,
        r"must return an LrFinderFnResult\. Received: None of type NoneType\. Return",
        "nothing",
    ),
    "raises": Mistake(LookupError, "the user's own message", "raises"),
    "run_fn without fit": Mistake(
        ValueError,
        "must train by the `fit` .*ended without a call of it.*`lr_finder_fn",
        "run_without_fit",
    ),
    "run_fn with its own loop": Mistake(
        ValueError,
        "must train by the `fit` .*in a loop of its own.*`lr_finder_fn",
        "run_with_own_loop",
    ),
    "run_fn raises": Mistake(LookupError, "the user's own message", "run_raises"),
    # The model.
    "not compiled": Mistake(
        ValueError, r"must be compiled.*'sequential.*' without an optimizer\. Call", "not_compiled"
    ),
    "not a model": Mistake(
        ValueError, r"`model` must be a Keras model\. Received: <function model", "not_a_model"
    ),
    "no trainable weights": Mistake(
        ValueError, "must have trainable weights.*'linear' with 2 weights.*Set `trainable", "frozen"
    ),
    "loss is NaN": Mistake(
        ValueError,
        r"must be finite\. Received: .*learning_rate=1e-06.*Look for NaN in",
        "loss_is_nan",
    ),
    "loss is constant": Mistake(
        NoLearningRateError,
        r"\(flat\)\. The loss never fell\. Check labels.*60 of 60 steps",
        "loss_is_constant",
    ),
    "loss is infinite": Mistake(ValueError, r"must be finite\. Received: ", "loss_is_infinite"),
    "loss is no scalar": Mistake(
        ValueError, r"must be a scalar\. Received: shape \(None, 1\)\. Reduce", "loss_is_no_scalar"
    ),
    "step without loss": Mistake(
        ValueError,
        r"must return a dict with the key 'loss'\. Received: \['accuracy'\]",
        "step_without_loss",
    ),
    # The data set.
    "empty data set": Mistake(
        ValueError,
        "must yield .*Received: a data set that is empty.*Check the split",
        "empty_data",
    ),
    "generator ends": Mistake(
        ValueError,
        "must yield .*used up after one pass.*pass a new one for each pass",
        "generator_ends",
    ),
    "generator raises": Mistake(
        ValueError, "(?s)LookupError: the generator's own message", "generator_raises"
    ),
    "list of batches": Mistake(
        ValueError, "(?s)must be a tf.data.Dataset of batches .*of type list", "list_of_batches"
    ),
    "without labels": Mistake(
        ValueError,
        "(?s)Received: .*float32.*Yield batches as `model.fit` takes them",
        "without_labels",
    ),
    "other features": Mistake(
        ValueError,
        "(?s)Received: .*float32.*Yield batches as `model.fit` takes them",
        "other_features",
    ),
    "text features": Mistake(
        ValueError,
        "(?s)Received: .*string.*Yield batches as `model.fit` takes them",
        "text_features",
    ),
    "labels out of range": Mistake(
        ValueError, "(?s)valid range of|must be finite", "labels_out_of_range"
    ),
    "labels known": Mistake(
        NoLearningRateError, r"\(flat\)\. The loss never fell\. Check labels", "labels_known"
    ),
    "on a worker": Mistake(
        RuntimeError,
        r"(?s)One of 2 sweeps failed on its worker.*mistakes\.py",
        "raises",
        arguments={"num_sweeps": 2},
        beam_pipeline_args=("--direct_running_mode=multi_threading", "--direct_num_workers=2"),
    ),
    "validation data NaN": Mistake(
        ValueError,
        "must be finite.*infinite loss of the validation data.*Look for NaN",
        "validation_is_nan",
    ),
    # The examples.
    "no examples": Mistake(
        ValueError,
        "must yield .*Received: a data set that is empty.*Check the split",
        examples="no_examples",
    ),
    "no training split": Mistake(
        ValueError,
        r"must have files for each split.*Split-train/\*\. Check `train_args",
        examples="no_training_split",
    ),
    "unknown split": Mistake(
        ValueError,
        r"Split does not exist over all example artifacts: no_such",
        arguments={"train_args": trainer_pb2.TrainArgs(splits=["no_such"])},
    ),
    "features NaN": Mistake(
        ValueError,
        r"must be finite\. Received: .*learning_rate=1e-06.*Look for NaN in",
        examples="features_not_a_number",
    ),
    "features infinite": Mistake(
        ValueError,
        r"must be finite\. Received: .*learning_rate=1e-06.*Look for NaN in",
        examples="features_infinite",
    ),
    "features missing": Mistake(
        ValueError, "(?s)Received: .*Feature: y .*is required", examples="features_missing"
    ),
    "truncated": Mistake(
        ValueError, "(?s)Received: .*corrupted record|truncated record", examples="truncated"
    ),
    "truncated archive": Mistake(
        ValueError, "(?s)Received: .*(corrupted|truncated|inflate)", examples="truncated_archive"
    ),
    "garbage": Mistake(ValueError, "(?s)Received: .*corrupted record", examples="garbage"),
    "not compressed": Mistake(ValueError, "(?s)Received: .*inflate", examples="not_compressed"),
    "folder for a file": Mistake(
        ValueError, "(?s)Received: .*directory", examples="folder_for_file"
    ),
    # The upstream hyperparameters.
    "hyperparameters no JSON": Mistake(
        ValueError, r"must be JSON\. Received: 'rate: 1'", hyperparameters={"best.txt": "rate: 1"}
    ),
    "hyperparameters empty": Mistake(
        ValueError, r"must be JSON\. Received: ''", hyperparameters={"best.txt": ""}
    ),
    "hyperparameters of another form": Mistake(
        ValueError, "must have the form", hyperparameters={"best.txt": '{"learning_rate": 0.1}'}
    ),
    "hyperparameters infinite": Mistake(
        ValueError,
        "must be JSON.*Infinity",
        hyperparameters={"best.txt": '{"space": [], "values": {"clip": Infinity}}'},
    ),
    "hyperparameters in two files": Mistake(
        ValueError,
        "exactly one file.*Received: 2 files in .*Hand over",
        hyperparameters={**HYPERPARAMETERS, "other.txt": "{}"},
    ),
    "hyperparameters in no file": Mistake(
        ValueError, "exactly one file.*Received: 0 files in .*Hand over", hyperparameters={}
    ),
    # The range.
    "diverges at the start": Mistake(
        NoLearningRateError,
        r"\(diverged_at_start\).*Lower `min_learning_rate`",
        arguments={"min_learning_rate": 1e3, "max_learning_rate": 1e6},
    ),
}


IN_PIPELINES = [
    "no function",  # an imported module, from a wheel that is installed for the time
    "truncated archive",  # open files of the examples
    "loss is NaN",  # a sweep that began
    "on a worker",  # a working folder, beside workers
    "diverges at the start",  # evidence of a rate that is not published
]
"""One mistake for each kind of thing that could be left over."""

TYPES = {
    "examples": standard_artifacts.Examples,
    "hyperparameters": standard_artifacts.HyperParameters,
}
SPLITS = '["train","eval"]'


class Pipelines:
    """Pipelines of an importer and the finder, in one folder with one metadata store."""

    def __init__(self, folder):
        """Makes the store."""
        self.folder = folder
        self.connection = sqlite_metadata_connection_config(str(folder / "metadata.db"))

    def run(self, name, mistake):
        """Runs a pipeline of that name with a mistake."""
        importers = {
            key: Importer(
                source_uri=uri,
                artifact_type=TYPES[key],
                properties={"split_names": SPLITS} if key == "examples" else None,
            ).with_id(key.title())
            for key, uri in self._inputs(mistake).items()
        }
        outputs = {key: importer.outputs["result"] for key, importer in importers.items()}
        LocalDagRunner().run(
            Pipeline(
                pipeline_name=name,
                pipeline_root=str(self.folder / "root" / name),
                components=[*importers.values(), self._finder(name, mistake, outputs)],
                metadata_connection_config=self.connection,
            )
        )

    def execute(self, name, mistake):
        """Runs the finder alone, as the node of such a pipeline does."""
        given = self._inputs(mistake)
        channels = {key: Channel(type=TYPES[key]) for key in given}
        finder = self._finder(name, mistake, channels)
        finder._resolve_pip_dependencies(str(self.folder / "root" / name))
        inputs = {key: [artifact(TYPES[key], uri)] for key, uri in given.items()}
        inputs["examples"][0].split_names = SPLITS
        folder = self.folder / "root" / name / FINDER
        outputs = {
            key: [artifact(channel.type, str(folder / key))]
            for key, channel in finder.outputs.items()
        }
        properties = {k: v for k, v in finder.spec.exec_properties.items() if v is not None}
        context = Executor.Context(beam_pipeline_args=list(mistake.beam_pipeline_args))
        Executor(context).Do(inputs, outputs, properties)

    def _inputs(self, mistake):
        examples = self.folder / "examples" / mistake.examples
        if not examples.exists():
            globals()[mistake.examples](examples)
        if mistake.hyperparameters is None:
            return {"examples": str(examples)}
        upstream = Path(tempfile.mkdtemp(dir=self.folder))
        for file, text in mistake.hyperparameters.items():
            (upstream / file).write_text(text)
        return {"examples": str(examples), "hyperparameters": str(upstream)}

    def _finder(self, name, mistake, inputs):
        code = self._user_code(name, mistake.user_code)
        finder = LearningRateFinder(**inputs, **code, **{"num_steps": 60, **mistake.arguments})
        arguments = list(mistake.beam_pipeline_args)
        return finder.with_beam_pipeline_args(arguments) if arguments else finder

    def _user_code(self, name, code):
        if "\n" in code:
            file = Path(tempfile.mkdtemp(dir=self.folder)) / f"{name.replace('-', '_')}.py"
            file.write_text(code)
            return {"module_file": str(file)}
        return {("run_fn" if code.startswith("run_") else "lr_finder_fn"): f"mistakes.{code}"}

    def latest(self, name):
        """Returns state and outputs of the finder's latest execution in a pipeline."""
        with Metadata(self.connection) as handle:
            node = handle.store.get_context_by_type_and_name("node", f"{name}.{FINDER}")
            executions = handle.store.get_executions_by_context(node.id)
            execution = max(executions, key=lambda execution: execution.id)
            outputs = execution_lib.get_output_artifacts(handle, execution.id)
            state = Execution.State.Name(execution.last_known_state)
            return state, {key: artifact for key, (artifact,) in outputs.items()}

    def files(self, name):
        """Returns every file that the finder of a pipeline left."""
        folder = self.folder / "root" / name / FINDER
        temporary = (self.folder / "temporary").glob("tfx-lr-finder*")
        return [*temporary, *(path for path in folder.rglob("*") if path.is_file())]


def artifact(artifact_type, uri):
    """Returns an artifact of a type in a place."""
    made = artifact_type()
    made.uri = uri
    return made


@pytest.fixture(scope="module")
def pipelines(tmp_path_factory):
    """The pipelines; temporary files go to a folder of their own."""
    folder = tmp_path_factory.mktemp("mistakes")
    (folder / "temporary").mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(MISTAKES))
        patch.setattr(tempfile, "tempdir", str(folder / "temporary"))
        yield Pipelines(folder)


@pytest.mark.parametrize("name", MISTAKES_BY_NAME)
def test_mistake_is_a_clear_error_that_leaves_no_file(pipelines, name):
    """Neither outputs nor temporary files."""
    mistake = MISTAKES_BY_NAME[name]
    execution = name.replace(" ", "-")

    with pytest.raises(mistake.error, match=mistake.message):
        pipelines.execute(execution, mistake)

    assert pipelines.files(execution) == []


@pytest.mark.parametrize("name", IN_PIPELINES)
def test_mistake_in_a_pipeline_leaves_nothing_to_the_next_run(pipelines, name):
    """The metadata say that it failed; a run without the mistake succeeds."""
    mistake = MISTAKES_BY_NAME[name]
    pipeline = name.replace(" ", "-")

    with pytest.raises(mistake.error, match=mistake.message):
        pipelines.run(pipeline, mistake)

    assert pipelines.latest(pipeline) == ("FAILED", {})
    assert pipelines.files(pipeline) == []

    pipelines.run(pipeline, Mistake(ValueError, ""))

    state, outputs = pipelines.latest(pipeline)
    assert state == "COMPLETE"
    assert 1e-6 <= outputs["sweep"].get_float_custom_property("learning_rate") <= 10


def test_full_disk_is_an_error_that_leaves_nothing(tmp_path, pipelines):
    """No file may grow beyond 400 kB, which the report does: the disk is full."""
    full = Pipelines(tmp_path)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, limits[1]))
    try:
        with pytest.raises(Exception, match=r"(?i)too large") as raised:
            full.run("full-disk", Mistake(OSError, ""))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)

    assert isinstance(raised.value, OSError | tf.errors.OpError)
    assert full.latest("full-disk") == ("FAILED", {})
    assert full.files("full-disk") == []

    full.run("full-disk", Mistake(OSError, ""))

    assert full.latest("full-disk")[0] == "COMPLETE"


def test_folder_that_cannot_be_written_is_an_error(tmp_path, pipelines):
    """A file where the outputs' folder should be: nothing can be written."""
    closed = Pipelines(tmp_path)
    (tmp_path / "root").mkdir()
    (tmp_path / "root" / "closed").write_text("in the way")

    with pytest.raises(Exception, match=r"(?i)not a directory"):
        closed.run("closed", Mistake(OSError, ""))
