"""The trainings of a search as elements of a Beam collection.

Nothing but strings goes to the workers, for the user's module cannot be pickled; results come
back as files.
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
from tfx_lr_finder.search.files import write_file
from tfx_lr_finder.search.request import Search
from tfx_lr_finder.training.model.cluster import is_alone

Kind = Literal["sweeps", "trials"]
RESULTS: dict[Kind, Any] = {"sweeps": Curve, "trials": Trial}
"""What each of the two methods of `Search` yields."""

_ONE_AT_A_TIME = threading.Lock()
"""Held by a worker's thread for a whole bundle: the random state is the whole process's.

Not for the training alone: Beam itself draws from Python's random numbers for each element.
"""


def run(
    search: Search,
    kind: Kind,
    elements: Sequence[Any],
    make_pipeline: Callable[[], beam.Pipeline],
    folder: str,
) -> list[Any]:
    """Returns the result of each element of a search, whatever runner and workers there are.

    A single element is not worth a pipeline: it is done here. So is each one where several
    processes train together, for they have to be at the same one.

    Args:
        search: The search.
        kind: Name of the method of `Search` that does the work.
        elements: What it takes: seeds of sweeps, or the learning rates of trials.
        make_pipeline: Returns a new Beam pipeline.
        folder: Where the workers leave their results; gone at the end.

    Raises:
        RuntimeError: If an element fails on a worker, or leaves no result; the error itself for
            a single element, or in one of several processes.
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
    return [RESULTS[kind].from_dict(content["result"]) for content in contents]


def _read(file: str) -> Any:
    with fileio.open(file, "rb") as stream:
        return json.loads(stream.read())


def _described(error: Exception) -> str:
    """Returns an error's traceback with its notes, which Python 3.10 leaves out."""
    text = "".join(traceback.format_exception(error))
    notes = [note for note in getattr(error, "__notes__", ()) if note not in text]
    return "\n".join([text.rstrip("\n"), *notes])


class _Train(beam.DoFn):
    """Does a bundle's elements one after another, so that they share one graph."""

    def __init__(self, search: str, kind: Kind, folder: str) -> None:
        self._search = search
        self._kind = kind
        self._folder = folder
        self._holds_lock = False

    def start_bundle(self) -> None:
        """Begins a list of elements."""
        _ONE_AT_A_TIME.acquire()
        self._holds_lock = True
        self._elements: list[tuple[int, Any]] = []

    def process(self, element: tuple[int, Any]) -> Iterable[None]:
        """Takes an element and its number."""
        self._elements.append(element)
        return ()

    def finish_bundle(self) -> None:
        """Does the elements; a file for each has its result, or what went wrong."""
        try:
            if self._elements:  # a worker may have none to do
                self._train()
        finally:
            self.teardown()

    def teardown(self) -> None:
        """Lets the next bundle begin; Beam calls it also where it gave up one in its middle."""
        if self._holds_lock:
            self._holds_lock = False
            _ONE_AT_A_TIME.release()

    def _train(self) -> None:
        numbers = [number for number, _ in self._elements]
        try:
            search = Search.from_json(self._search)
            for result in getattr(search, self._kind)([e for _, e in self._elements]):
                self._write(numbers.pop(0), {"result": result.to_dict()})
        except Exception as error:
            # Beam would say no more of it than its text either, between much else.
            self._write(numbers[0], {"error": _described(error)})

    def _write(self, number: int, content: dict[str, Any]) -> None:
        text = json.dumps(content, allow_nan=False)
        write_file(os.path.join(self._folder, f"{number}.json"), text.encode())
