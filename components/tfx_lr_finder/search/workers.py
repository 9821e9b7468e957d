"""Runs the trainings of a search as elements of a Beam collection.

Workers receive the search as JSON text, since the user's module cannot be pickled. They return
their results as files.
"""

import atexit
import functools
import json
import os
import threading
import traceback
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Literal

import apache_beam as beam
from apache_beam.options.pipeline_options import DirectOptions
from apache_beam.runners.direct.direct_runner import BundleBasedDirectRunner, DirectRunner
from apache_beam.runners.portability.fn_api_runner import FnApiRunner
from tfx.dsl.io import fileio

from tfx_lr_finder.core.curve import Curve
from tfx_lr_finder.core.stored_json import plain, restored
from tfx_lr_finder.core.trials.halving import Trial
from tfx_lr_finder.search.files import write_file
from tfx_lr_finder.search.request import Search, TrialTask
from tfx_lr_finder.search.termination import lost_worker_raises
from tfx_lr_finder.training.ending import check_not_asked_to_end, end_trainings
from tfx_lr_finder.training.model.cluster import is_alone

Kind = Literal["sweeps", "trials"]
RESULTS: dict[Kind, Any] = {"sweeps": Curve, "trials": Trial}
"""What the methods `Search.sweeps` and `Search.trials` yield."""

_IN_PROCESS = (DirectRunner, BundleBasedDirectRunner, FnApiRunner)

_ONE_AT_A_TIME = threading.Lock()
"""Held by a worker's thread for a whole bundle, since all threads share one random state.

Holding it during the trainings is not enough: Beam draws Python's random numbers for each element.
"""

_GIVEN_UP = threading.Event()
"""Set when a search has failed: a bundle that begins later must not train while Python shuts down.
"""

SECONDS_TO_END = 20
"""How long an error in the main thread waits for a training in another thread to end."""


@atexit.register
def _await_trainings() -> None:
    """Ends trainings in other threads before Python shuts down, where they would abort the process.

    An error does not wait for them forever, and a busy machine may need longer. A thread in the
    user's own code may never look: so neither does the end of the process.
    """
    _GIVEN_UP.set()
    end_trainings()
    if _ONE_AT_A_TIME.acquire(timeout=60):
        _ONE_AT_A_TIME.release()


class Workers:
    """Beam's workers, and the folder in which they leave what they found."""

    def __init__(
        self, search: Search, make_pipeline: Callable[[], beam.Pipeline], folder: str
    ) -> None:
        """Stores the arguments.

        Args:
            search: The search.
            make_pipeline: Returns a new Beam pipeline.
            folder: The folder for results and states; it is deleted at the end of the context.
        """
        self._search = search
        self._make_pipeline = make_pipeline
        self._folder = folder
        self._num_runs = 0
        self._states: dict[float, str] = {}

    def __enter__(self) -> "Workers":
        """Begins the use of the folder."""
        _GIVEN_UP.clear()
        return self

    def __exit__(self, *error: object) -> None:
        """Deletes the folder."""
        if any(error):
            _GIVEN_UP.set()
            # A signal does not wait for the threads, which still train, and write to the folder.
            if _ONE_AT_A_TIME.acquire(timeout=SECONDS_TO_END):
                _ONE_AT_A_TIME.release()
        if fileio.exists(self._folder):
            fileio.rmtree(self._folder)

    @functools.cached_property
    def are_needed(self) -> bool:
        """Whether the pipeline has other workers than a single one in this process.

        That one would load the user's code and trace the graph again, for nothing. Processes that
        train together must all run the same trainings, so they hand none to workers.
        """
        if not is_alone():
            return False
        pipeline = self._make_pipeline()
        number = pipeline.options.view_as(DirectOptions).direct_num_workers
        return number != 1 or not isinstance(pipeline.runner, _IN_PROCESS)

    def sweeps(self, seeds: Sequence[int]) -> list[Curve]:
        """Runs one sweep for each seed, and returns the curves in order.

        Raises:
            RuntimeError: If a sweep fails on a worker, or leaves no result.
        """
        return self._run("sweeps", seeds)

    def trials(self, learning_rates: Sequence[float], num_steps: int) -> list[Trial]:
        """Trains up to a number of steps at each rate, and returns the trials in order.

        Raises:
            RuntimeError: If a trial fails on a worker, or leaves no result.
        """
        tasks = []
        for rate in learning_rates:
            file = os.path.join(self._folder, "states", f"{rate!r}-{num_steps}")
            tasks.append(TrialTask(rate, num_steps, self._states.get(rate, ""), file))
        trials: list[Trial] = self._run("trials", tasks)
        for task in tasks:
            self._states.setdefault(task.learning_rate, task.end_file)
        return trials

    def _run(self, kind: Kind, elements: Sequence[Any]) -> list[Any]:
        folder = os.path.join(self._folder, str(self._num_runs))
        self._num_runs += 1
        try:
            with lost_worker_raises(), self._make_pipeline() as pipeline:
                _ = (
                    pipeline
                    | "Elements" >> beam.Create(list(enumerate(elements)))
                    | "Spread" >> beam.Reshuffle()
                    | "Train" >> beam.ParDo(_Train(self._search.to_json(), kind, folder))
                )
        except Exception as error:
            raise RuntimeError(
                f"Beam must run {len(elements)} {kind} to their end. Received: "
                f"{type(error).__name__}: {error} Errors of your code arrive with their traceback, "
                "so Beam cannot be reached, or it has lost a worker. Most often a worker is killed "
                "because its memory is used up: look at the end of the worker's own log, and give "
                "it more memory, or take fewer workers for each machine."
            ) from error
        return _results(kind, folder, len(elements))


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
            if self._elements and not _GIVEN_UP.is_set():  # a bundle may be empty
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
