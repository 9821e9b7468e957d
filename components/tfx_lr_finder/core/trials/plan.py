"""Plans the trainings of a search, for the training to come and within a share of its steps."""

import dataclasses

MOST_TRIALS = 6
"""At most this many rates are tried in the first round of trials."""
NUM_FINALISTS = 2
"""The best trials of the first round go on, in the second round."""
MIN_TRIAL_STEPS = 50
"""Trials of fewer steps than this are left out: they choose a worse rate than a rule does."""
MAX_TRIAL_STEPS = 100_000
"""Trials of more steps than this would tell nothing more."""


@dataclasses.dataclass(frozen=True)
class Plan:
    """The trainings of a search.

    Attributes:
        num_sweeps: Number of sweeps.
        sweep_steps: Number of steps of each sweep.
        trial_steps: Number of steps of each trial in the first round; 0 for no trials.
        proof_steps: Number of steps of the proof. A rate at which the model does not learn needs
            more proofs.
        train_steps: Number of steps of the training to come; None if not known.
    """

    num_sweeps: int
    sweep_steps: int
    trial_steps: int
    proof_steps: int
    train_steps: int | None = None

    @property
    def most_trial_steps(self) -> int:
        """The number of steps of all trials together, which is never exceeded."""
        return self.trial_steps * (MOST_TRIALS + NUM_FINALISTS)

    @property
    def most_steps(self) -> int:
        """The number of steps of all trainings, if the model learns in the first proof."""
        sweeps = self.num_sweeps * self.sweep_steps
        return sweeps + self.most_trial_steps + self.proof_steps

    def final_steps(self, num_trials: int) -> int:
        """Returns the number of steps of a finalist: it takes what the first round has left."""
        left = self.most_trial_steps - num_trials * self.trial_steps
        return self.trial_steps + left // NUM_FINALISTS

    def __str__(self) -> str:
        """Returns the plan in words."""
        sweeps = f"{count(self.num_sweeps, 'sweep')} of {self.sweep_steps} steps"
        trials = (
            f", up to {MOST_TRIALS} trials of {self.trial_steps} steps, of which the best "
            f"{NUM_FINALISTS} go on"
        )
        return (
            f"{sweeps}{trials if self.trial_steps else ''}, and a proof of {self.proof_steps} "
            f"steps: at most {self.most_steps} steps{share(self.most_steps, self.train_steps)}"
        )


def count(number: int, noun: str) -> str:
    """Returns a number and a noun, in the plural unless the number is 1."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def share(num_steps: int, train_steps: int | None) -> str:
    """Returns in words which share of the training to come some steps are; '' if not known."""
    return (
        f", {100 * num_steps / train_steps:.2g}% of the training's {train_steps}"
        if train_steps
        else ""
    )


def planned(
    train_steps: int | None,
    *,
    search_budget: float,
    num_sweeps: int,
    sweep_steps: int,
    trial_steps: int,
    proof_steps: int,
) -> Plan:
    """Returns the plan of a search.

    The budget pays for the proof, for every sweep but the first, and for trials. There are trials
    if what is left for each has at least 50 steps. Their number of steps is

        (search_budget * train_steps - proof_steps - (num_sweeps - 1) * sweep_steps) / 8

    since at most six rates are tried, and the best two go on for as many steps again. It is at
    most 100,000.

    Args:
        train_steps: Number of steps of the training to come; None if not known, which leaves
            nothing for trials.
        search_budget: The share of these steps that the search may cost, beside one sweep.
        num_sweeps: Number of sweeps.
        sweep_steps: Number of steps of each sweep.
        trial_steps: Number of steps of each trial, whatever the budget; 0 to plan it.
        proof_steps: Number of steps of the proof, if the training to come is not shorter.
    """
    if not trial_steps:
        others = proof_steps + (num_sweeps - 1) * sweep_steps
        left = search_budget * (train_steps or 0) - others
        trial_steps = max(0, int(left)) // (MOST_TRIALS + NUM_FINALISTS)
        trial_steps = min(trial_steps, MAX_TRIAL_STEPS)
        trial_steps = trial_steps if trial_steps >= MIN_TRIAL_STEPS else 0
    return Plan(num_sweeps, sweep_steps, trial_steps, proof_steps, train_steps)
