"""Runs the trainings of a search as elements of a Beam collection.

Workers receive the search as JSON text, since the user's module cannot be pickled. They return
their results as files.
"""

import json
import os
import threading
import traceback
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Literal

import apache_beam as beam
from tfx.dsl.io import fileio

from tfx_lr_finder.core.confirmation import Trial
from tfx_lr_finder.core.curve import Curve
from tfx_lr_finder.core.stored_json import plain, restored
from tfx_lr_finder.search.files import write_file
from tfx_lr_finder.search.request import Search
from tfx_lr_finder.training.ending import check_not_asked_to_end
from tfx_lr_finder.training.model.cluster import is_alone

Kind = Literal["sweeps", "trials"]
RESULTS: dict[Kind, Any] = {"sweeps": Curve, "trials": Trial}
"""What the methods `Search.sweeps` and `Search.trials` yield."""

_ONE_AT_A_TIME = threading.Lock()
"""Held by a worker's thread for a whole bundle, since all threads share one random state.

Holding it during the trainings is not enough: Beam draws Python's random numbers for each element.
"""

SECONDS_TO_END = 20
"""How long an error in the main thread waits for a training in another thread to end."""


def run(
    search: Search,
    kind: Kind,
    elements: Sequence[Any],
    make_pipeline: Callable[[], beam.Pipeline],
    folder: str,
) -> list[Any]:
    """Runs the sweeps or trials of a search on Beam's workers, and returns the results in order.

    A single element is not worth a pipeline: it runs in this process. If several processes train
    together, all elements run in this process, since every process must run the same training.

    Args:
        search: The search.
        kind: Name of the method of `Search` that runs the elements.
        elements: Seeds of sweeps, or learning rates of trials.
        make_pipeline: Returns a new Beam pipeline.
        folder: The folder for the workers' results; it is deleted at the end.

    Raises:
        RuntimeError: If an element fails on a worker, or leaves no result. An element that runs in
            this process raises its own error instead.
    """
    if len(elements) == 1 or not is_alone():
        return [*getattr(search, kind)(elements)]
    try:
        with make_pipeline() as pipeline:
            _ = (
                pipeline
                | "Elements" >> beam.Create(list(enumerate(elements)))
                | "Spread" >> beam.Reshuffle()
                | "Train" >> beam.ParDo(_Train(search.to_json(), kind, folder))
            )
        return _results(kind, folder, len(elements))
    except BaseException:
        # A signal does not wait for the threads, which still train, and write to the folder.
        if _ONE_AT_A_TIME.acquire(timeout=SECONDS_TO_END):
            _ONE_AT_A_TIME.release()
        raise
    finally:
        if fileio.exists(folder):
            fileio.rmtree(folder)


def _results(kind: Kind, folder: str, count: int) -> list[Any]:
    files = [os.path.join(folder, f"{i}.json") for i in range(count)]
    contents = [_read(file) for file in files if fileio.exists(file)]
    for content in contents:
        if "error" in content:
            raise RuntimeError(f"One of {count} {kind} failed on its worker:\n{content['error']}")
    if len(contents) < count:
        raise RuntimeError(
            f"Workers must leave the results of {count} {kind} in {folder}. "
            f"Received: {len(contents)}. "
            "Check that every Beam worker can write to the pipeline root, or take fewer machines."
        )
    return [restored(RESULTS[kind], content["result"]) for content in contents]


def _read(file: str) -> Any:
    with fileio.open(file, "rb") as stream:
        return json.loads(stream.read())


def _described(error: Exception) -> str:
    """Returns an error's traceback and its notes, which Python 3.10 does not print."""
    text = "".join(traceback.format_exception(error))
    notes = [note for note in getattr(error, "__notes__", ()) if note not in text]
    return "\n".join([text.rstrip("\n"), *notes])


class _Train(beam.DoFn):
    """Runs the elements of a bundle one after another, so that they share one graph."""

    def __init__(self, search: str, kind: Kind, folder: str) -> None:
        self._search = search
        self._kind = kind
        self._folder = folder
        self._holds_lock = False

    def start_bundle(self) -> None:
        """Waits until no other bundle runs in this process, and starts a list of elements."""
        _ONE_AT_A_TIME.acquire()
        self._holds_lock = True
        self._elements: list[tuple[int, Any]] = []

    def process(self, element: tuple[int, Any]) -> Iterable[None]:
        """Adds an element and its number to the list."""
        self._elements.append(element)
        return ()

    def finish_bundle(self) -> None:
        """Runs the elements. Writes a file with the result of each, or with the first error."""
        try:
            if self._elements:  # a bundle may be empty
                self._train()
        finally:
            self.teardown()

    def teardown(self) -> None:
        """Releases the lock for the next bundle. Beam calls this also after it gave up a bundle."""
        if self._holds_lock:
            self._holds_lock = False
            _ONE_AT_A_TIME.release()

    def _train(self) -> None:
        numbers = [number for number, _ in self._elements]
        try:
            check_not_asked_to_end()
            search = Search.from_json(self._search)
            for result in getattr(search, self._kind)([e for _, e in self._elements]):
                self._write(numbers.pop(0), {"result": plain(result)})
        except Exception as error:
            # If it were raised, Beam would show only its text, amid much else.
            self._write(numbers[0], {"error": _described(error)})

    def _write(self, number: int, content: dict[str, Any]) -> None:
        text = json.dumps(content, allow_nan=False)
        write_file(os.path.join(self._folder, f"{number}.json"), text.encode())
