"""The search for a learning rate: sweeps, trials, proofs, and the rate to publish."""

import importlib.metadata
import time
from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf
from absl import logging

from tfx_lr_finder.core.confirmation import Trial, candidate_rates, confirmed_rate
from tfx_lr_finder.core.curve import Curve
from tfx_lr_finder.core.errors import NoLearningRateError
from tfx_lr_finder.core.evidence import Evidence, Publication
from tfx_lr_finder.core.proof import LONGER, Proof, Proven, put_to_proof
from tfx_lr_finder.core.suggestion import Suggestion, suggest
from tfx_lr_finder.core.verdict import Verdict
from tfx_lr_finder.search.options import MIN_PROOF_STEPS, SweepOptions
from tfx_lr_finder.search.publication import published
from tfx_lr_finder.search.request import Search, sweep
from tfx_lr_finder.search.workers import Kind
from tfx_lr_finder.training.model.cluster import is_alone
from tfx_lr_finder.training.trainings import Trainings


def find(search: Search, on_workers: Callable[[Kind, Sequence[Any]], list[Any]]) -> Evidence:
    """Finds a learning rate: runs sweeps, reads a rate off their curves, and proves it.

    Args:
        search: The options, and trainings of the user's model.
        on_workers: Runs several sweeps or trials on Beam's workers, and returns their results.

    Raises:
        NoLearningRateError: If no rate can be published, and the options have no default rate.
    """
    options, started = search.options, time.monotonic()
    seeds = range(options.seed, options.seed + options.num_sweeps)
    _log_start(options)
    # A single sweep is not worth a pipeline, and shares its graph with the proofs. Processes that
    # train together must all run the same training, so they do not hand sweeps to workers either.
    shares_graph = len(seeds) == 1 or not is_alone()
    curves = [] if shares_graph else on_workers("sweeps", list(seeds))
    read: Suggestion | None = None
    trials: list[Trial] = []
    proofs: tuple[Proof, ...] = ()
    with search.trainings() as trainings:
        curves = curves or [sweep(trainings, seed, options) for seed in seeds]
        _log_sweeps(curves)
        try:
            read = suggest(curves, options.rule)
            rate = read.learning_rate
            if options.confirmation_steps:
                trials = on_workers("trials", candidate_rates(rate))
                rate = _confirmed(trials, curves[0], options)
            proven = _proven(rate, trainings, curves[0], options)
            proofs = proven.proofs
            publication = published(read, proven, curves)
        except NoLearningRateError as error:
            if options.default_learning_rate is None:
                raise
            logging.warning("%s Using default_learning_rate instead.", error)
            rate = options.default_learning_rate
            publication = Publication(rate, error.verdict, is_default=True)
    evidence = Evidence(
        publication,
        read,
        tuple(curves),
        tuple(trials),
        options.confirmation_steps if trials else 0,
        proofs,
        _versions(),
        time.monotonic() - started,
    )
    _log_rate(evidence)
    return evidence


def _confirmed(trials: Sequence[Trial], curve: Curve, options: SweepOptions) -> float:
    for trial in trials:
        logging.info("Trial at %.3g: validation loss %.4g.", trial.learning_rate, trial.loss)
    steps = options.confirmation_steps, curve.train_steps
    return confirmed_rate(trials, *steps, curve.is_plain_sgd)


def _proven(
    learning_rate: float, trainings: Trainings, curve: Curve, options: SweepOptions
) -> Proven:
    """Proves a rate, in trainings no longer than the user's own (but of at least 10 steps)."""
    num_steps, most_steps = (
        max(min(steps, curve.train_steps or steps), MIN_PROOF_STEPS)
        for steps in (options.proof_steps, LONGER * options.proof_steps)
    )

    def prove(rate: float, steps: int, seed: int) -> Proof:
        proof = trainings.proof(options.seed + seed, rate, steps)
        _log_proof(proof)
        return proof

    rates = options.min_learning_rate, options.max_learning_rate
    return put_to_proof(learning_rate, prove, num_steps, most_steps, rates)


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
