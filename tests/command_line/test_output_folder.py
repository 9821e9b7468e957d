"""An earlier result stays as it was until a new one is whole."""

import subprocess
import sys
import time
from pathlib import Path

import pytest

from tfx_lr_finder.command_line.output_folder import replaced_at_the_end

NAMES = ("best_hyperparameters", "learning_rate", "sweep")
MARK = "sweep/sweep.json"


def write(folder, text):
    """Writes a result whose files all have this text."""
    for name in ("best_hyperparameters/best.txt", "learning_rate/value", MARK, "sweep/tb/events"):
        file = Path(folder, name)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)


def written_and_failed(output, error):
    """Writes a whole result, and fails."""
    with replaced_at_the_end(str(output), NAMES, MARK) as folder:
        write(folder, "new")
        raise error


def everything(folder):
    """Returns every path below a folder, with the text of the files and the goals of the links."""
    return {
        str(path.relative_to(folder)): str(path.readlink())
        if path.is_symlink()
        else path.read_text()
        if path.is_file()
        else None
        for path in sorted(Path(folder).rglob("*"))
    }


@pytest.fixture
def output(tmp_path):
    """A folder with an earlier result, and with somebody's own files."""
    write(tmp_path / "found", "earlier")
    (tmp_path / "found" / "mine.txt").write_text("mine")
    (tmp_path / "found" / "sweep" / "only_then.txt").write_text("earlier")
    return tmp_path / "found"


def test_new_result_takes_the_place_of_the_earlier_one(output):
    """As a whole: nothing of the earlier one is left, and nothing else is touched."""
    with replaced_at_the_end(str(output), NAMES, MARK) as folder:
        assert everything(output)[MARK] == "earlier"
        write(folder, "new")

    assert {text for text in everything(output).values() if text} == {"new", "mine"}
    assert "sweep/only_then.txt" not in everything(output)


@pytest.mark.parametrize("error", [OSError, KeyboardInterrupt, SystemExit])
def test_earlier_result_stays_after_an_error(output, error):
    """Also one that comes when nearly everything is written."""
    before = everything(output)

    with pytest.raises(error, match="no space left"):
        written_and_failed(output, error("no space left"))

    assert everything(output) == before


def test_earlier_result_stays_where_the_new_one_cannot_be_put(output):
    """What was moved by then is moved back."""
    before = everything(output)

    def replaced_half():
        with replaced_at_the_end(str(output), NAMES, MARK) as folder:
            write(folder, "new")
            in_the_way = Path(folder).parent / "aside" / "2"  # of the second that is set aside
            (in_the_way / "file").mkdir(parents=True)

    with pytest.raises(OSError, match="not empty"):
        replaced_half()

    assert everything(output) == before


@pytest.mark.parametrize("depth", ["found", "a/b/found"])
def test_no_folder_is_left_of_a_failure(tmp_path, depth):
    """Not even the one that was to hold the results."""
    with pytest.raises(LookupError, match="mine"):
        written_and_failed(tmp_path / depth, LookupError("mine"))

    assert list(tmp_path.iterdir()) == []


def test_files_of_others_stay(tmp_path):
    """In folders of the same names that are no result's."""
    (tmp_path / "sweep" / "tb").mkdir(parents=True)
    (tmp_path / "sweep" / "mine.txt").write_text("mine")
    (tmp_path / "sweep" / "tb" / "mine.txt").write_text("mine")

    with replaced_at_the_end(str(tmp_path), NAMES, MARK) as folder:
        write(folder, "new")

    found = everything(tmp_path)
    assert (found["sweep/mine.txt"], found["sweep/tb/mine.txt"]) == ("mine", "mine")
    assert (found[MARK], found["sweep/tb/events"]) == ("new", "new")


def test_links_are_replaced_and_not_followed(output, tmp_path):
    """What an earlier result's link leads to is somebody else's, and may lie on another disk."""
    (tmp_path / "other_disk").mkdir()
    (output / "sweep").rename(tmp_path / "other_disk" / "sweep")
    (output / "sweep").symlink_to(tmp_path / "other_disk" / "sweep")
    before = everything(tmp_path / "other_disk")

    with replaced_at_the_end(str(output), NAMES, MARK) as folder:
        write(folder, "new")

    assert everything(tmp_path / "other_disk") == before
    assert not (output / "sweep").is_symlink()
    assert everything(output)[MARK] == "new"


def test_output_may_be_a_link(output, tmp_path):
    """To a folder on another disk, for example."""
    (tmp_path / "link").symlink_to(output)

    with replaced_at_the_end(str(tmp_path / "link"), NAMES, MARK) as folder:
        write(folder, "new")

    assert (tmp_path / "link").is_symlink()
    assert everything(output)[MARK] == "new"


def test_file_in_the_place_of_a_folder_is_refused_at_once(tmp_path):
    """Before anything is done; it stays."""
    (tmp_path / "sweep").write_text("mine")

    with (
        pytest.raises(FileExistsError, match=r"\[Errno 17\] File exists: '.*/sweep'"),
        replaced_at_the_end(str(tmp_path), NAMES, MARK),
    ):
        raise AssertionError("it was not refused")

    assert everything(tmp_path) == {"sweep": "mine"}


def test_killed_process_leaves_the_earlier_result(output):
    """What it had begun is removed by the next one."""
    before = everything(output)
    script = f"""
import os, signal
from tfx_lr_finder.command_line.output_folder import replaced_at_the_end
with replaced_at_the_end({str(output)!r}, {NAMES}, {MARK!r}) as folder:
    open(folder + "/begun", "w").close()
    os.kill(os.getpid(), signal.SIGKILL)
"""
    killed = subprocess.run([sys.executable, "-c", script])
    left = everything(output)

    with replaced_at_the_end(str(output), NAMES, MARK) as folder:
        begun = list(output.rglob("begun"))
        write(folder, "new")

    assert killed.returncode == -9
    assert {name: left[name] for name in before} == before
    assert begun == []
    assert {text for text in everything(output).values() if text} == {"new", "mine"}


def test_result_is_replaced_within_moments(output):
    """Whoever reads it meanwhile has either: what takes long is done before."""
    with replaced_at_the_end(str(output), NAMES, MARK) as folder:
        write(folder, "new")
        (Path(folder) / "sweep" / "large").write_bytes(bytes(50_000_000))
        written = time.monotonic()

    assert time.monotonic() - written < 1
