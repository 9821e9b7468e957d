"""The stored result of a search: every rule can be applied to it again without training."""

import dataclasses
import functools
import json
import math
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from tfx_lr_finder.core.curve import Curve
from tfx_lr_finder.core.errors import NoLearningRateError
from tfx_lr_finder.core.proof import Proof, advice_on
from tfx_lr_finder.core.publishing.interval import Interval, expected_interval, half_width
from tfx_lr_finder.core.rules import RULES
from tfx_lr_finder.core.stored_json import check_not_negative, parse, plain, restored
from tfx_lr_finder.core.suggestion import Suggestion, suggest
from tfx_lr_finder.core.trials.halving import Trial, steps_of
from tfx_lr_finder.core.verdict import Verdict, advice_on_steps

EVIDENCE_FILE = "sweep.json"
"""The file of a sweep artifact that holds its evidence."""
SWEEP_TYPE = "tfx_lr_finder.LearningRateSweep"
"""The artifact's type in ML Metadata. Kubeflow Pipelines imports it under this very name."""
DEFAULT = "default"
"""Stands where users see the name of a rule, if the default rate was published."""


@dataclasses.dataclass(frozen=True)
class Publication:
    """The rate that a search publishes.

    Attributes:
        learning_rate: The rate, greater than 0.
        verdict: How far the rate can be trusted. Of a default rate: why no other one was found.
        is_default: Whether it is the user's `default_learning_rate`.
        interval: Two rates: 9 of 10 repetitions of the search, each with another seed, find a
            rate from the first to the second one. None for a default rate, and where nothing was
            measured.
    """

    learning_rate: float
    verdict: Verdict
    is_default: bool = False
    interval: Interval | None = None


@dataclasses.dataclass(frozen=True)
class Evidence:
    """The learning rate that was published, with the curves, trials and proofs behind it.

    Attributes:
        published: The rate that was published, and the verdict on it.
        read: What a rule read off the curves. Trials and proofs may have moved the rate since.
            None if the rule could read no rate.
        curves: The curves of the sweeps, at least one.
        trials: The trainings at constant rates that chose a rate around the one that was read, in
            the order in which they ran; empty if the training to come is too short for them.
        proofs: The short trainings that tested whether the model learns at a rate, in the order
            in which they ran; empty if no rate could be read off the curves.
        versions: Version of each package that took part, by package name.
        seconds: Duration of the search in seconds, from the call of the user's code.
        ended: When the search ended, in seconds since 1970 in UTC; 0 if not known.
        origin: Where the rate was found, and of what, by names for human readers: `Pipeline`,
            `Component`, `Code`, `Examples` and others, as far as they are known.
    """

    published: Publication
    read: Suggestion | None
    curves: tuple[Curve, ...]
    trials: tuple[Trial, ...] = ()
    proofs: tuple[Proof, ...] = ()
    versions: Mapping[str, str] = dataclasses.field(default_factory=dict)
    seconds: float = 0.0
    ended: float = 0.0
    origin: Mapping[str, str] = dataclasses.field(default_factory=dict)

    def __post_init__(self) -> None:
        """Checks that a rate which is not the default was read.

        Raises:
            ValueError: If it was not.
        """
        if self.read is None and not self.published.is_default:
            raise ValueError(
                "An evidence must say what a rule read, unless the default rate was published. "
                f"Received: {self.published} and nothing read."
            )

    @classmethod
    def of(cls, suggestion: Suggestion, curves: Sequence[Curve]) -> "Evidence":
        """Returns the evidence for a suggestion from the curves alone.

        It has an interval if one of the package's rules made the suggestion.
        """
        rate = suggestion.learning_rate
        interval = expected_interval(rate, half_width(suggestion), curves)
        published = Publication(rate, suggestion.verdict, interval=interval)
        return cls(published, suggestion, tuple(curves))

    @property
    def rule(self) -> str:
        """Name of the rule that read the rate, or `default` if the default rate was published."""
        return DEFAULT if self.published.is_default or self.read is None else self.read.rule

    @property
    def spread(self) -> float | None:
        """Standard deviation of the sweeps' rates in decades; None if there are not several."""
        return None if self.published.is_default or self.read is None else self.read.spread

    @property
    def advice(self) -> str:
        """Sentences on what would help the model or the sweep; empty if there is no advice."""
        on_start = advice_on(self.proofs[0]) if self.proofs else ""
        on_steps = advice_on_steps(self.curves[0]) if self.read else ""
        return " ".join(filter(None, [on_start, on_steps]))

    @property
    def num_steps(self) -> int:
        """Number of training steps in all sweeps, trials and proofs."""
        proofs = sum(proof.num_steps for proof in self.proofs)
        return sum(map(len, self.curves)) + steps_of(self.trials) + proofs

    @functools.cached_property
    def answers(self) -> dict[str, Suggestion | Verdict]:
        """Each rule's suggestion for the curves, or the verdict that says why there is none."""
        return {rule: _answer(self.curves, rule) for rule in sorted(RULES)}

    def to_json(self) -> str:
        """Returns the evidence as JSON, for `from_json`, together with every rule's answer."""
        answers = {
            rule: {"learning_rate": None, "verdict": answer.value}
            if isinstance(answer, Verdict)
            else plain(answer)
            for rule, answer in self.answers.items()
        }
        return json.dumps({**plain(self), "answers": answers}, allow_nan=False)

    @classmethod
    def from_json(cls, text: str) -> "Evidence":
        """Returns the evidence from the JSON that `to_json` returned.

        Raises:
            ValueError: If `text` is not the JSON of an evidence.
        """
        try:
            return _from_dict(parse(text))
        except ValueError as error:
            raise ValueError(
                f"Not the JSON of an evidence: {error} "
                f"Received: {text[:200]!r}. Read the sweep.json of a sweep artifact."
            ) from error


def _answer(curves: tuple[Curve, ...], rule: str) -> Suggestion | Verdict:
    try:
        return suggest(curves, rule)
    except NoLearningRateError as error:
        return error.verdict


def _from_dict(content: Any) -> Evidence:
    if isinstance(content, dict):  # the stored answers are for human readers; `answers` recomputes
        content = {name: part for name, part in content.items() if name != "answers"}
    evidence = restored(Evidence, content)
    if not evidence.curves:
        raise ValueError("The curves of an evidence must be at least one. Received: none.")
    for curve in evidence.curves:
        _check_end(curve)
    rates = [evidence.published.learning_rate]
    rates += [trial.learning_rate for trial in evidence.trials]
    rates += [proof.learning_rate for proof in evidence.proofs]
    if evidence.read is not None:
        rates.append(evidence.read.learning_rate)
        check_not_negative("spread", evidence.read.spread)
    if not min(rates) > 0:
        raise ValueError(f"A learning rate must be greater than 0. Received: {min(rates)}.")
    _check_interval(evidence.published)
    check_not_negative("seconds", evidence.seconds)
    check_not_negative("ended", evidence.ended)
    return evidence


def _check_interval(published: Publication) -> None:
    rate, interval = published.learning_rate, published.interval
    if interval is not None and not (len(interval) == 2 and 0 < interval[0] <= rate <= interval[1]):
        raise ValueError(
            "An interval must be two learning rates, with the published one from the first to the "
            f"second. Received: {list(interval)} around {rate}."
        )


def _check_end(curve: Curve) -> None:
    """Refuses a curve whose last planned rate exceeds the largest float: no picture can show it."""
    if curve.log_planned_end > math.log10(sys.float_info.max):
        raise ValueError(
            "The last of a curve's num_steps rates must be finite, as the first ones tell it. "
            f"Received: {len(curve)} of {curve.num_steps} rates, to {curve.learning_rates[-1]}."
        )
