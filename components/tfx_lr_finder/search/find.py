"""The search for a learning rate: sweeps, trials, proofs, and the rate to publish."""

import contextlib
import dataclasses
import importlib.metadata
import time
from collections.abc import Sequence
from typing import Protocol

import tensorflow as tf
from absl import logging

from tfx_lr_finder.core.curve import Curve, distinct
from tfx_lr_finder.core.errors import NoLearningRateError
from tfx_lr_finder.core.evidence import Evidence, Publication
from tfx_lr_finder.core.proof import LONGER, Proof, Proven, put_to_proof
from tfx_lr_finder.core.publishing.publication import published
from tfx_lr_finder.core.suggestion import Suggestion, suggest
from tfx_lr_finder.core.sweep import exponential_learning_rates
from tfx_lr_finder.core.trials.halving import (
    Run,
    Trial,
    finalists,
    is_cut_off,
    settled,
    sound_range,
    tried,
)
from tfx_lr_finder.core.trials.plan import Plan, planned
from tfx_lr_finder.core.verdict import Verdict
from tfx_lr_finder.search.options import MIN_PROOF_STEPS, SweepOptions
from tfx_lr_finder.training.lr_finder_fn_result import Make
from tfx_lr_finder.training.trainings import Trainings
from tfx_lr_finder.training.trial import State


class Search(Protocol):
    """What is searched with."""

    @property
    def options(self) -> SweepOptions:
        """The options of the search."""

    def trainings(self) -> contextlib.AbstractContextManager[Trainings]:
        """Opens trainings of the user's model."""


class Workers(Protocol):
    """Other processes or machines that train."""

    @property
    def are_needed(self) -> bool:
        """Whether they train, and not this process."""

    def sweeps(self, seeds: Sequence[int]) -> list[Curve]:
        """Runs one sweep for each seed, and returns the curves in order."""

    def trials(self, learning_rates: Sequence[float], num_steps: int) -> list[Trial]:
        """Trains up to a number of steps at each rate, and returns the trials in order."""


def trainings(make: Make, options: SweepOptions) -> Trainings:
    """Returns trainings of a model: sweeps and proofs, and trials of any length."""
    return Trainings(make, most_steps(options), options.seed)


def most_steps(options: SweepOptions) -> int:
    """Returns the greatest number of steps of a sweep or a proof."""
    # A proof has one more step, at the rate 0: it shows the loss at the start.
    return max(options.num_steps, LONGER * options.proof_steps + 1)


def sweep(
    trainings: Trainings, seed: int, options: SweepOptions, proof_seed: int | None = None
) -> Curve:
    """Runs one sweep with the given options, and returns its curve."""
    rates = exponential_learning_rates(
        options.min_learning_rate, options.max_learning_rate, options.num_steps
    )
    return trainings.sweep(seed, rates, options.smoothing, options.divergence_factor, proof_seed)


def find(search: Search, workers: Workers | None = None) -> Evidence:
    """Finds a learning rate: sweeps, reads a rate off the curves, tries rates around it, proves it.

    Args:
        search: The options, and trainings of the user's model.
        workers: Workers for several sweeps and for trials; None (default) if this process trains.

    Raises:
        NoLearningRateError: If no rate can be published, and the options have no default rate.
    """
    options, started = search.options, time.monotonic()
    limits = options.min_learning_rate, options.max_learning_rate
    seeds = range(options.seed, options.seed + options.num_sweeps)
    _log_start(options)
    curves = workers.sweeps(seeds) if len(seeds) > 1 and workers and workers.are_needed else []
    read: Suggestion | None = None
    trials: tuple[Trial, ...] = ()
    proofs: tuple[Proof, ...] = ()
    with search.trainings() as trainings:
        curves = curves or [sweep(trainings, seed, options, options.seed) for seed in seeds]
        _log_sweeps(curves)
        try:
            read = suggest(curves, options.rule)
            rate = read.learning_rate
            plan = _plan(curves[0], options)
            logging.info("The search: %s.", plan)
            if plan.trial_steps:
                run: Run = _Here(trainings, options.seed)
                if workers and workers.are_needed:
                    run = workers.trials
                trials = tried(rate, _logged(run), plan, limits)
                rate = settled(trials, curves[0].schedule, limits)
                del run  # and the states of the finalists
            proven = _proven(rate, trainings, plan, options, sound_range(trials, limits))
            proofs = proven.proofs
            publication = published(read, proven, curves, is_cut_off(trials, limits))
        except NoLearningRateError as error:
            if options.default_learning_rate is None:
                raise
            logging.warning("%s Using default_learning_rate instead.", error)
            rate = options.default_learning_rate
            publication = Publication(rate, error.verdict, is_default=True)
    evidence = Evidence(
        *(publication, read, tuple(curves), trials, proofs, _versions()),
        seconds=time.monotonic() - started,
        ended=time.time(),
    )
    _log_rate(evidence)
    return evidence


def _plan(curve: Curve, options: SweepOptions) -> Plan:
    """Plans trials and a proof no longer than the training to come (but of at least 10 steps)."""
    proof_steps = min(options.proof_steps, curve.train_steps or options.proof_steps)
    return planned(
        curve.train_steps,
        search_budget=options.search_budget,
        num_sweeps=options.num_sweeps,
        sweep_steps=options.num_steps,
        trial_steps=options.trial_steps,
        proof_steps=max(proof_steps, MIN_PROOF_STEPS),
    )


class _Here:
    """Runs trials in this process, in the graph of the sweep."""

    def __init__(self, trainings: Trainings, seed: int) -> None:
        self._trainings = trainings
        self._trials_seed = seed
        self._first_round: list[Trial] = []
        self._states: dict[float, State] = {}

    def __call__(self, rates: Sequence[float], num_steps: int) -> list[Trial]:
        return [self._trial(rate, num_steps) for rate in rates]

    def _trial(self, rate: float, num_steps: int) -> Trial:
        start = self._states.get(rate)
        trial, state = self._trainings.trial(self._trials_seed, rate, num_steps, start)
        if state is not None:
            self._states[rate] = state
            self._first_round.append(trial)
            # A state is as large as model and optimizer, and only the best two will go on.
            for other in self._states.keys() - finalists(self._first_round):
                del self._states[other]
        return trial


def _logged(run: Run) -> Run:
    def logged(rates: Sequence[float], num_steps: int) -> list[Trial]:
        trials = run(rates, num_steps)
        for rate, loss, steps in map(dataclasses.astuple, trials):
            logging.info("Trial at %.3g: loss %.4g after %d steps.", rate, loss, steps)
        return trials

    return logged


def _proven(
    learning_rate: float,
    trainings: Trainings,
    plan: Plan,
    options: SweepOptions,
    rates: tuple[float, float],
) -> Proven:
    """Proves a rate, by longer trainings if need be, but not longer than the user's own."""
    longest = LONGER * options.proof_steps
    most_steps = max(min(longest, plan.train_steps or longest), plan.proof_steps)

    def prove(rate: float, steps: int, seed: int) -> Proof:
        proof = trainings.proof(options.seed + seed, rate, steps)
        _log_proof(proof)
        return proof

    return put_to_proof(learning_rate, prove, plan.proof_steps, most_steps, rates)


def _log_start(options: SweepOptions) -> None:
    logging.info(
        "Learning-rate search: %d sweep(s) of %d steps from %g to %g, rule %s.",
        *(options.num_sweeps, options.num_steps),
        *(options.min_learning_rate, options.max_learning_rate, options.rule),
    )


def _log_sweeps(curves: Sequence[Curve]) -> None:
    for curve in curves:
        logging.info(
            "Sweep, seed %d (%s, %s): %d of %d steps, stopped because %s.",
            *(curve.seed, curve.model, curve.optimizer),
            *(len(curve), curve.num_steps, curve.stop_reason.meaning),
        )
    different = distinct(curves)
    if len(different) < len(curves):
        logging.warning(
            "Sweeps with losses of their own: %d of %d. Only these count. For several different "
            "sweeps, the seed must change the order of the data or the initial weights.",
            *(len(different), len(curves)),
        )


def _log_proof(proof: Proof) -> None:
    base = "not known" if proof.constant_loss is None else f"{proof.constant_loss:.4g}"
    logging.info(
        "Proof at %.3g: in %d steps from a loss of %.4g to %.4g (%s; best constant: %s).",
        *(proof.learning_rate, proof.num_steps, proof.start_loss, proof.loss),
        *(proof.judged_on.value, base),
    )


def _log_rate(evidence: Evidence) -> None:
    published = evidence.published
    # If the rate is the default, an earlier warning has given the reason.
    is_expected = published.verdict is Verdict.OK or published.is_default
    logging.log(
        logging.INFO if is_expected else logging.WARNING,
        "Learning rate %.3g (rule %s, verdict %s), found in %.1f s. %s",
        *(published.learning_rate, evidence.rule, published.verdict.value, evidence.seconds),
        " ".join(filter(None, [published.verdict.meaning, evidence.advice])),
    )


def _versions() -> dict[str, str]:
    names = ("tfx-lr-finder", "tfx", "apache-beam", "keras")
    versions = {name: importlib.metadata.version(name) for name in names}
    return {**versions, "tensorflow": tf.__version__}  # its package has several names
