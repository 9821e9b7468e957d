"""README and documentation: every block of code runs, and what they list is what there is."""

import contextlib
import dataclasses
import importlib
import inspect
import io
import itertools
import re
import shlex
import shutil
import subprocess
import sys
import traceback
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
import yaml
from click.testing import CliRunner
from tfx.components import CsvExampleGen, SchemaGen, StatisticsGen, Trainer, Transform
from tfx.components.trainer.fn_args_utils import FnArgs
from tfx.proto import trainer_pb2

import tfx_lr_finder
from tfx_lr_finder import Evidence, LearningRateFinder, LrFinderFnResult, Verdict, suggest
from tfx_lr_finder.command_line import main
from tfx_lr_finder.core.rules import RULES
from tfx_lr_finder.search.hyperparameters import with_learning_rate
from tfx_lr_finder.search.options import SweepOptions
from tfx_lr_finder.training.fit.captured_fit import first_fit
from tfx_lr_finder.training.range_test import range_test

PROJECT = Path(__file__).parents[2]
DOCUMENTATION = PROJECT / "docs"
PAGES = sorted(DOCUMENTATION.glob("*.md"))
BLOCK = re.compile(r"^```(\w*)[^\n]*\n(.*?)^```$", re.MULTILINE | re.DOTALL)
OTHERS = [PROJECT / name for name in ("README.md", "CONTRIBUTING.md", "container/README.md")]
NOT_CODE = ("text", "dockerfile")
INSTALL = ["pip", "install", "uv", "&&", "uv", "pip", "install"]
COMMANDS = (
    [*INSTALL, "."],
    [*INSTALL, ".[tfx116]"],
    ["tensorboard", "--logdir", "pipeline"],
)
LISTED = re.findall(r"(?m)^::: ([\w.]+)\.(\w+)$", (DOCUMENTATION / "api.md").read_text())
PUBLIC = [getattr(importlib.import_module(module), name) for module, name in LISTED]
WITH_EXAMPLE = [public for public in PUBLIC if "Example:" in inspect.getdoc(public)]


FEATURES = np.random.default_rng(0).normal(size=(256, 4)).astype(np.float32)


def build_model(fn_args):
    """Returns a small model, as a reader's module has one."""
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(8), keras.layers.Dense(1)])
    model.compile("adam", "mse")
    return model


def batches(fn_args, files):
    """Returns the batches of a regression."""
    features = tf.random.stateless_normal((256, 4), seed=(0, 0))
    targets = tf.reduce_sum(features, axis=1, keepdims=True)
    return tf.data.Dataset.from_tensor_slices((features, targets)).batch(16)


@pytest.fixture
def fn_args(tmp_path):
    """What Trainer hands to a module, with a base model and the rate that was found."""
    build_model(None).save(tmp_path / "model.keras")
    return FnArgs(
        train_files=["train"],
        eval_files=["eval"],
        train_steps=20,
        eval_steps=None,
        serving_model_dir=str(tmp_path),
        base_model=str(tmp_path),
        hyperparameters=with_learning_rate(None, "learning_rate", 1e-3, 1e-6, 10.0),
    )


@pytest.fixture
def names(fn_args):
    """What a page's code may use without saying where it comes from."""
    keras.utils.set_random_seed(0)
    examples = CsvExampleGen(input_base="data")
    return {
        "CsvExampleGen": CsvExampleGen,
        "LearningRateFinder": LearningRateFinder,
        "LrFinderFnResult": LrFinderFnResult,
        "SchemaGen": SchemaGen,
        "StatisticsGen": StatisticsGen,
        "Trainer": Trainer,
        "Transform": Transform,
        "trainer_pb2": trainer_pb2,
        "keras": keras,
        "tf": tf,
        "fn_args": fn_args,
        "build_model": build_model,
        "batches": batches,
        "_model": build_model,
        "_batches": batches,
        "model": build_model(None),
        "dataset": batches(None, None),
        "x": FEATURES,
        "y": FEATURES.sum(axis=1),
        "data": {
            "examples": examples.outputs["examples"],
            "module_file": "model.py",
            "train_args": trainer_pb2.TrainArgs(num_steps=200),
            "eval_args": trainer_pb2.EvalArgs(),
        },
    }


@pytest.fixture
def folder(tmp_path, monkeypatch, make_curve):
    """The current folder, with the files that the pages name."""
    monkeypatch.chdir(tmp_path)
    for name in ("transformed_examples/4/Split-train", "transform_graph/4"):
        Path("pipeline/Transform", name).mkdir(parents=True)
    losses = [2.0] * 60 + [2.0 - 0.02 * i for i in range(80)] + [3.0 + i for i in range(10)]
    curve = make_curve(losses)
    for name in ("pipeline/LearningRateFinder/sweep/6", "found/sweep"):
        Path(name).mkdir(parents=True)
        Path(name, "sweep.json").write_text(Evidence.of(suggest(curve), [curve]).to_json())
    for name in ("model.py", "pipeline/metadata.db"):
        Path(name).write_text("")


def blocks(page):
    """Returns the language, the first line's number, and the text of each block of a page."""
    text = page.read_text()
    found = [(m[1], text[: m.start(2)].count("\n") + 1, m[2]) for m in BLOCK.finditer(text)]
    assert len(found) * 2 == len(re.findall("^ *```", text, re.MULTILINE)), f"{page}: a stray fence"
    return found


def run_page(page, names):
    """Runs the code of a page from top to bottom; an error has the page's file and line."""
    for language, line, text in blocks(page):
        if language == "python":
            run_python(text, page, line, names)
        elif language == "sh":
            for command in re.sub(r"\\\n\s*", "", text).splitlines():
                check_command(command)
        elif language == "yaml":
            yaml.safe_load(text)
        else:
            assert language in NOT_CODE, f"{page}:{line - 1}: unknown language {language!r}"


def run_python(text, page, line, names):
    """Runs a block, and the functions for the component that it defines."""
    before = {name: names.get(name) for name in ("lr_finder_fn", "run_fn")}
    exec(compile("\n" * (line - 1) + text, str(page), "exec"), names)
    for name, function in before.items():
        if names.get(name) is function:
            continue
        if name == "run_fn":
            result = first_fit(lambda: names["run_fn"](names["fn_args"]))
        else:
            result = names[name](names["fn_args"])
            assert isinstance(result, LrFinderFnResult)
        assert len(range_test(result.model, result.dataset, num_steps=10)) == 10


def makefile():
    """Returns the text of the Makefile."""
    return (PROJECT / "Makefile").read_text()


def check_command(command):
    """Checks a line of the shell: that what it calls is there and takes the arguments."""
    is_variable = re.compile(r"\w+=").match
    words = [*itertools.dropwhile(is_variable, shlex.split(command, comments=True))]
    if not words:
        return
    program, *arguments = words
    if program == "make":
        targets = re.findall(r"^([\w-]+):", makefile(), re.MULTILINE)
        wanted = {word for word in arguments if not is_variable(word)}
        assert wanted <= set(targets), f"no such target: {command}"
    elif program.endswith("tfx-lr-finder"):
        check_command_line(arguments)
    elif program.endswith("python") and arguments[0] == "-m":
        check_module(*arguments[1:])
    else:
        assert words in COMMANDS, f"unknown command: {command}"


def check_command_line(arguments):
    """Runs a command on a stored sweep; of the others the arguments are understood."""
    name, *others = arguments
    if name in ("sweep", "show", "compile", "submit"):
        main.commands[name].make_context(name, others)
    else:
        result = CliRunner().invoke(main, arguments)
        assert result.exit_code == 0, result.output


def check_module(name, *arguments):
    """Checks that a pipeline's module has the options that are shown."""
    with contextlib.redirect_stdout(io.StringIO()) as output, pytest.raises(SystemExit):
        importlib.import_module(name).main(["--help"])
    described = output.getvalue()
    for option in filter(re.compile("--").match, arguments):
        assert option in described, f"no such option of {name}: {option}"


@pytest.mark.parametrize("page", [*OTHERS, *PAGES], ids=lambda page: str(page.relative_to(PROJECT)))
@pytest.mark.usefixtures("folder")
def test_code_of_a_page_runs(page, names):
    """Python as it is; of the shell, commands and arguments are those that there are."""
    run_page(page, names)


@pytest.mark.parametrize("public", WITH_EXAMPLE, ids=lambda public: public.__name__)
@pytest.mark.usefixtures("folder")
def test_example_in_a_docstring_runs(public, names):
    """With the package's names, the pipeline's components, a model and its data."""
    examples = names["data"]["examples"]
    schema = SchemaGen(StatisticsGen(examples).outputs["statistics"]).outputs["schema"]
    transform = Transform(examples=examples, schema=schema, module_file="model.py")
    names |= {other.__name__: other for other in PUBLIC}
    names |= {"transform": transform, "Path": Path}
    _, _, example = inspect.getdoc(public).partition("Example:\n")
    (code,) = re.findall(r"^    ```\n(.*?)^    ```$", example, re.MULTILINE | re.DOTALL)

    run_python(inspect.cleandoc(code), Path(inspect.getsourcefile(public)), 1, names)


def test_every_example_is_in_a_docstring_that_is_tested():
    """No other module has one."""
    folder = PROJECT / "components" / "tfx_lr_finder"
    sources = "".join(path.read_text() for path in folder.rglob("*.py"))

    assert len(WITH_EXAMPLE) > 3
    assert sources.count(" Example:\n") == len(WITH_EXAMPLE)
    assert ">>>" not in sources


def build_site(folder):
    """Runs what `make docs` runs, in a copy of the documentation's sources."""
    (command,) = re.findall(r"(?m)^\t.*\$\(BIN\)/(mkdocs .*?)(?: #.*)?$", makefile())
    program, *arguments = shlex.split(command)
    return subprocess.run(
        [Path(sys.executable).with_name(program), *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
    )


@pytest.fixture(scope="module")
def sources(tmp_path_factory):
    """A copy of what the documentation is built from, with a link that leads nowhere."""
    folder = tmp_path_factory.mktemp("sources")
    shutil.copy(PROJECT / "mkdocs.yml", folder)
    shutil.copytree(DOCUMENTATION, folder / "docs")
    with (folder / "docs" / "index.md").open("a") as page:
        page.write("\n[Nowhere](nowhere.md)\n")
    (folder / "components").symlink_to(PROJECT / "components")
    return folder


@pytest.fixture(scope="module")
def built(sources):
    """The finished build of the documentation."""
    return build_site(sources)


def test_warning_fails_the_build(built):
    """The link is only a warning to MkDocs; it is the only one."""
    assert built.returncode != 0
    assert "'nowhere.md'" in built.stderr
    assert "Aborted with 1 warnings in strict mode" in built.stdout


def test_every_page_is_built(sources, built):
    """With the defaults of the options as values; nothing is loaded from other machines."""
    site = sources / "output" / "docs"
    assert {page.stem for page in PAGES} <= {page.stem for page in site.glob("*.html")}
    assert "SweepOptions." not in (site / "api.html").read_text()
    loaded = r'<(?:script|img|link rel="stylesheet")[^>]* (?:src|href)="https?:[^"]*"'
    assert re.findall(loaded, "".join(p.read_text() for p in site.glob("*.html"))) == []


def test_error_in_a_page_has_its_file_and_line(tmp_path):
    """A failing block is found where it stands."""
    page = tmp_path / "page.md"
    page.write_text("# Page\n\n```python\nx = 1\n```\n\nText.\n\n```python\n\nx / 0\n```\n")

    with pytest.raises(ZeroDivisionError) as raised:
        run_page(page, {})

    message = "".join(traceback.format_exception(raised.value))
    assert f'File "{page}", line 11, in <module>\n    x / 0\n' in message


@pytest.mark.parametrize(
    ("block", "message"),
    [
        ("```sh\nmake nothing\n```", "no such target: make nothing"),
        ("```sh\nrm file\n```", "unknown command: rm file"),
        (
            "```sh\npython -m plain_kfp.pipeline --no-such\n```",
            "no such option of plain_kfp.pipeline",
        ),
        ("```sh\ntfx-lr-finder suggest nothing\n```", "Error"),
        ("```\nx = 1\n```", "unknown language ''"),
        ("```python\nx = 1\n", "a stray fence"),
    ],
)
def test_block_that_cannot_be_checked_is_refused(tmp_path, block, message):
    """Nothing is passed over."""
    page = tmp_path / "page.md"
    page.write_text(f"{block}\n")

    with pytest.raises(AssertionError, match=re.escape(message)):
        run_page(page, {})


def section(page, heading):
    """Returns the text below a heading, up to the next one."""
    _, found, rest = (DOCUMENTATION / page).read_text().partition(f"\n## {heading}\n")
    assert found, f"{page} has no heading {heading!r}"
    return rest.partition("\n## ")[0]


@pytest.mark.parametrize("verdict", Verdict)
def test_every_verdict_has_its_section(verdict):
    """It begins with what the package itself says."""
    assert section("troubleshooting.md", f"`{verdict.value}`").startswith(f"\n{verdict.meaning}\n")


def test_every_error_that_is_explained_is_one_of_the_package():
    """Its message begins as in the source."""
    folder = PROJECT / "components" / "tfx_lr_finder"
    sources = "".join(path.read_text() for path in sorted(folder.rglob("*.py")))
    rows = re.findall(r"^\| (.+?) \|", section("troubleshooting.md", "Errors"), re.MULTILINE)

    assert len(rows) > 2
    for message in rows[1:]:
        assert message.partition(" ...")[0] in sources


@pytest.mark.parametrize("field", dataclasses.fields(SweepOptions), ids=lambda field: field.name)
def test_every_option_is_listed_with_its_default(field):
    """The table of options is that of the package."""
    row = f"| `{field.name}` | `{field.default!r}` |"

    assert row in (DOCUMENTATION / "options.md").read_text()


def test_every_rule_is_listed():
    """The table of rules is that of the package."""
    listed = re.findall(r"^\| `(\w+)` \|", section("how-it-works.md", "The other rules"), re.M)

    assert sorted(listed) == sorted(RULES)


def test_every_command_is_described():
    """Each has a heading of its own or shares one."""
    page = (DOCUMENTATION / "command-line.md").read_text()
    headings = "\n".join(re.findall("^## .*", page, re.MULTILINE))

    assert sorted(re.findall(r"`(\w+)`", headings)) == sorted(main.commands)


def test_every_public_name_is_in_the_api():
    """What `import tfx_lr_finder` gives is documented, and what runs a pipeline; each once."""
    page = (DOCUMENTATION / "api.md").read_text()
    listed = re.findall(r"^::: tfx_lr_finder\.[\w.]+\.(\w+)$", page, re.MULTILINE)

    runners = {"compile_pipeline", "learning_rate_finder", "run_pipeline", "output_to_log"}
    assert sorted(set(listed) - runners) == tfx_lr_finder.__all__
    assert runners < set(listed)
    assert len(listed) == len(set(listed))


def test_every_figure_is_shown():
    """And none is missing: `mkdocs build --strict` sees to that."""
    text = "".join(page.read_text() for page in PAGES)
    drawn = [path.name for path in (DOCUMENTATION / "figures").glob("*.png")]

    assert sorted(re.findall(r"\(figures/([\w.]+)\)", text)) == sorted(drawn)
