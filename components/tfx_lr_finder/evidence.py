"""What is kept of a search for a learning rate: enough to ask again without training."""

import dataclasses
import functools
import json
from collections.abc import Mapping
from typing import Any

from tfx_lr_finder.confirmation import Trial
from tfx_lr_finder.curve import Curve
from tfx_lr_finder.errors import NoLearningRateError
from tfx_lr_finder.rules import RULES
from tfx_lr_finder.suggestion import Suggestion, suggest
from tfx_lr_finder.verdict import Verdict

EVIDENCE_FILE = "sweep.json"
"""The file of a sweep artifact that holds its evidence."""
DEFAULT = "default"
"""In place of a rule, where no rate could be suggested and the default rate is published."""


@dataclasses.dataclass(frozen=True)
class Evidence:
    """The learning rate that was found, and everything that it rests on.

    Attributes:
        suggestion: The rate that was published. Its rule is `default` where no rate could be
            suggested and the default rate was published.
        curves: The curves of the sweeps, at least one.
        trials: The short trainings that confirmed the rate; none if that was not asked for.
        trial_steps: Number of steps of each trial; 0 if there are none.
        versions: Version of each package that took part, by its name.
        seconds: Duration of the search, from the call of the user's code.
    """

    suggestion: Suggestion
    curves: tuple[Curve, ...]
    trials: tuple[Trial, ...] = ()
    trial_steps: int = 0
    versions: Mapping[str, str] = dataclasses.field(default_factory=dict)
    seconds: float = 0.0

    @functools.cached_property
    def answers(self) -> dict[str, Suggestion | Verdict]:
        """What each rule reads off the curves: a suggestion, or the verdict that there is none."""
        return {rule: _answer(self.curves, rule) for rule in sorted(RULES)}

    def to_json(self) -> str:
        """Returns the evidence as JSON, every rule's answer with it; `from_json` reads it."""
        answers = {
            rule: {"learning_rate": None, "verdict": answer.value}
            if isinstance(answer, Verdict)
            else dataclasses.asdict(answer)
            for rule, answer in self.answers.items()
        }
        content = {
            "suggestion": dataclasses.asdict(self.suggestion),
            "answers": answers,
            "curves": [curve.to_dict() for curve in self.curves],
            "trials": [trial.to_dict() for trial in self.trials],
            "trial_steps": self.trial_steps,
            "versions": dict(self.versions),
            "seconds": self.seconds,
        }
        return json.dumps(content, allow_nan=False)

    @classmethod
    def from_json(cls, text: str) -> "Evidence":
        """Returns the evidence that `to_json` wrote.

        Raises:
            ValueError: If `text` is not the JSON of an evidence.
        """
        try:
            return _from_dict(json.loads(text))
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise ValueError(
                f"Not the JSON of an evidence: {type(error).__name__}: {error} "
                f"Received: {text[:200]!r}. Read the sweep.json of a sweep artifact."
            ) from error


def _answer(curves: tuple[Curve, ...], rule: str) -> Suggestion | Verdict:
    try:
        return suggest(curves, rule)
    except NoLearningRateError as error:
        return error.verdict


def _from_dict(content: dict[str, Any]) -> Evidence:
    suggestion = content["suggestion"]
    return Evidence(
        suggestion=Suggestion(**{**suggestion, "verdict": Verdict(suggestion["verdict"])}),
        curves=tuple(Curve.from_dict(curve) for curve in content["curves"]),
        trials=tuple(Trial.from_dict(trial) for trial in content["trials"]),
        trial_steps=content["trial_steps"],
        versions=content["versions"],
        seconds=content["seconds"],
    )
