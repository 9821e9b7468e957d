"""Trainings of one model, at any rates: sweeps, trials and proofs."""

import contextlib
import gc
import math
from collections.abc import Iterator
from typing import Any

import numpy as np
from absl import logging

from tfx_lr_finder.core.curve import Curve
from tfx_lr_finder.core.proof import JudgedOn, Proof, last_steps
from tfx_lr_finder.core.smoothing import Array
from tfx_lr_finder.core.trials.halving import Trial
from tfx_lr_finder.training.graph import Graph, no_finite_loss, traced
from tfx_lr_finder.training.judge.constant import BestConstant, NoConstantError
from tfx_lr_finder.training.judge.validation import ValidationBatches
from tfx_lr_finder.training.lr_finder_fn_result import Make
from tfx_lr_finder.training.model.learning_rate import optimizer_schedule
from tfx_lr_finder.training.model.optimizer_tree import accumulation_steps
from tfx_lr_finder.training.model.random_state import kept_random_state
from tfx_lr_finder.training.model.variables import changed_by_inference, kept_variables
from tfx_lr_finder.training.subject import Subject, facts_of
from tfx_lr_finder.training.subjects import Subjects
from tfx_lr_finder.training.trial import State, run_trial


class Trainings(contextlib.AbstractContextManager["Trainings"]):
    """Trainings of a model from its initial state, at any rates, in one graph where possible.

    The graph is traced once. The initial values of a later model are copied to the variables of the
    first model. The later model is then dropped, except for the one that trials and proofs with one
    seed share. A model gets a graph of its own if

    - its variables, optimizer or batches have another form;
    - it is not built yet, or has a layer that can adapt to data;
    - it differs in anything but values, for example in an activation or a loss;
    - it changes variables that Keras does not list, for example those of a second optimizer.

    Each training depends on its seed and start alone, not on earlier trainings.
    """

    def __init__(self, make: Make, most_steps: int, graph_seed: int) -> None:
        """Stores the arguments; nothing is created yet.

        Args:
            make: Returns for a seed the compiled model, the batches, the validation data or None,
                and the number of steps that the model will be trained for or None.
            most_steps: The greatest number of steps of a sweep or proof. The best constant output
                is fitted on no more batches than these.
            graph_seed: Seed of TensorFlow's own random operations, which keep the seed with which
                their graph was traced.
        """
        self._subjects = Subjects(make)
        self._most_steps = most_steps
        self._graph_seed = graph_seed
        self._open = contextlib.ExitStack()
        self._objects = contextlib.ExitStack()
        self._graph: Graph | None = None
        self._constants: dict[int, BestConstant | None] = {}

    def __enter__(self) -> "Trainings":
        """Begins the trainings."""
        self._objects.enter_context(_earlier_objects_uncollected())
        return self

    def __exit__(self, *error: object) -> None:
        """Restores the first model and the random state."""
        self._open.close()
        self._objects.close()
        self._subjects.release()

    def sweep(
        self,
        seed: int,
        rates: Array,
        smoothing: float,
        divergence_factor: float,
        proof_seed: int | None = None,
    ) -> Curve:
        """Runs a range test on a model and data made for a seed, and returns its curve.

        With the seed of the proofs that will follow, sweep and proofs share a graph also if there
        are no validation data.

        Raises:
            ValueError: As for `range_test`.
        """
        subject = self._subjects.swept(seed, rates.size, proof_seed)
        is_validated = subject.judged_on is JudgedOn.VALIDATION_DATA
        # Before the graph puts a variable in the place of the optimizer's schedule.
        optimizer, train_steps = subject.model.optimizer, subject.train_steps
        schedule = subject.schedule or optimizer_schedule(optimizer, train_steps)
        graph = self._graph_for(subject, seed, rates)
        record = graph.run(
            subject,
            seed,
            rates,
            smoothing,
            divergence_factor,
            "Learning-rate sweep",
            validated=np.full(rates.size, is_validated),
        )
        if not record.losses.size:
            raise no_finite_loss(rates[0], graph.loop)
        return Curve(
            learning_rates=rates[: record.losses.size],
            losses=record.losses,
            validation_losses=record.validation_losses,
            stop_reason=record.stop_reason,
            smoothing=smoothing,
            num_steps=rates.size,
            seed=seed,
            constant_loss=self._constant_loss(
                graph, seed, subject.validation if is_validated else None
            ),
            **vars(facts_of(subject, record.batch_size, schedule)),
        )

    def proof(self, seed: int, learning_rate: float, num_steps: int) -> Proof:
        """Trains briefly at a constant rate, and returns the result.

        The training is judged by the validation data or, if there are none, by held-out examples.
        Its first step has the rate 0, and shows the loss at the start.

        Raises:
            ValueError: As for `range_test`.
        """
        subject = self._subjects.judged(seed, num_steps + 1)
        rates = np.array([0.0, *[learning_rate] * num_steps])
        # A validation loss may cost as much as two steps: only those that the proof reads.
        validated = np.ones(rates.size, bool)
        validated[1 : -last_steps(num_steps)] = False
        graph = self._graph_for(subject, seed, rates)
        final_loss: float | None = None

        def judge() -> None:
            nonlocal final_loss
            final_loss = graph.final_loss(subject)

        description = f"Proof at {learning_rate:.3g}"
        record = graph.run(
            subject, seed, rates, 0.0, math.inf, description, judge, validated=validated
        )
        constant_loss = self._constant_loss(graph, seed, subject.validation)
        constant = self._constant(graph.subject.model, seed)
        return Proof.of(
            learning_rate,
            record.steady_losses,
            final_loss,
            num_steps=num_steps,
            seed=seed,
            constant_loss=constant_loss,
            constant=() if constant is None else constant.numbers,
            judged_on=subject.judged_on,
        )

    def trial(
        self, seed: int, learning_rate: float, num_steps: int, start: State | None = None
    ) -> tuple[Trial, State | None]:
        """Trains up to a number of steps at a constant rate; see `run_trial`.

        Raises:
            ValueError: As for `range_test`.
        """
        done = start.num_steps if start else 0
        subject = self._subjects.judged(seed, num_steps - done, first_step=done)
        rates = np.full(num_steps - done, learning_rate)
        graph = self._graph_for(subject, seed, rates)
        return run_trial(graph, subject, seed, learning_rate, num_steps, start)

    def _constant(self, model: Any, seed: int) -> BestConstant | None:
        """Returns the best constant output for a seed's data; None if it cannot be computed."""
        if seed not in self._constants:
            # No more batches than a training reads.
            num_batches = self._most_steps * accumulation_steps(model.optimizer)
            try:
                batches = self._subjects.unread_dataset(seed).take(num_batches)
                with kept_random_state(seed):
                    self._constants[seed] = BestConstant(model, batches)
            except NoConstantError as error:
                self._constants[seed] = None
                logging.info("The loss of the best constant output is not known: %s", error)
        return self._constants[seed]

    def _constant_loss(
        self, graph: Graph, seed: int, validation: ValidationBatches | None
    ) -> float | None:
        """Returns the loss of the best constant output on the data that a training is judged by."""
        model = graph.subject.model
        with kept_variables(changed_by_inference(model)):
            constant = self._constant(model, seed)
            if constant is None:
                return None
            if validation is None:
                loss = constant.fitted_loss
            else:
                loss = constant.loss(model, validation.batches)
        return graph.loop.workers_mean(loss)

    def _graph_for(self, subject: Subject, seed: int, rates: Array) -> Graph:
        """Returns a graph that can train a subject: the last one if possible, or a new one."""
        if self._graph is None or not self._graph.takes(subject):
            self._graph = None
            self._open.close()
            graph = traced(subject, rates, self._graph_seed, seed)
            self._graph = self._open.enter_context(graph)
        return self._graph


@contextlib.contextmanager
def _earlier_objects_uncollected() -> Iterator[None]:
    """Excludes all existing objects from garbage collections until exit.

    With the objects of TensorFlow and TFX, a collection takes half a second, longer than a short
    training.
    """
    if gc.get_freeze_count():  # `unfreeze` would undo the `freeze` of other code
        yield
        return
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()
