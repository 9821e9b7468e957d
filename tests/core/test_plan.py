"""Plans of a search: what it may cost, and what it then consists of."""

import pytest

from tfx_lr_finder.core.trials.plan import MIN_TRIAL_STEPS, Plan, planned, share


def plan(train_steps, **options):
    """Returns the plan with the defaults of the component."""
    defaults = {"search_budget": 0.1, "num_sweeps": 1, "sweep_steps": 200}
    return planned(train_steps, **{**defaults, "trial_steps": 0, "proof_steps": 120, **options})


@pytest.mark.parametrize("train_steps", [20_000, 44_000, 1_000_003])
@pytest.mark.parametrize("num_sweeps", [1, 3])
@pytest.mark.parametrize("search_budget", [0.05, 0.1, 0.3])
def test_search_costs_no_more_than_its_share_beside_one_sweep(
    train_steps, num_sweeps, search_budget
):
    """However many trials there are in the first round."""
    made = plan(train_steps, num_sweeps=num_sweeps, search_budget=search_budget)

    assert made.most_steps - 200 <= search_budget * train_steps
    for num_trials in range(2, 7):
        finalists = 2 * (made.final_steps(num_trials) - made.trial_steps)
        assert num_trials * made.trial_steps + finalists <= made.most_trial_steps


def test_trials_are_an_equal_part_of_what_the_proof_leaves():
    """(0.1 * 10,000 - 120) / 8; with three sweeps, two of them have to be paid for."""
    assert plan(10_000).trial_steps == 110
    assert plan(10_000, num_sweeps=3).trial_steps == 60


def test_finalists_take_what_the_first_round_has_left():
    """Three trials of 100 steps leave 500 for two finalists; six leave 200."""
    made = Plan(1, 200, 100, 120)

    assert made.final_steps(3) == 350
    assert made.final_steps(6) == 200


@pytest.mark.parametrize(
    ("train_steps", "options"),
    [
        (None, {}),
        (200, {}),
        (5_100, {}),
        (10_000, {"search_budget": 0.0}),
        (10_000, {"num_sweeps": 4}),
    ],
    ids=["unknown", "short", "too short", "no budget", "many sweeps"],
)
def test_short_training_gets_no_trials(train_steps, options):
    """Trials of fewer than 50 steps would be worse than none."""
    assert plan(train_steps, **options).trial_steps == 0


def test_least_training_with_trials():
    """120 + 8 * 50 steps are a tenth of it."""
    assert plan(5_199).trial_steps == 0
    assert plan(5_200).trial_steps == MIN_TRIAL_STEPS


def test_trials_that_were_asked_for_are_not_planned():
    """Whatever the training to come, and also if nothing is known of it."""
    assert plan(None, trial_steps=5).trial_steps == 5
    assert plan(200, trial_steps=5, search_budget=0.0).trial_steps == 5


def test_plan_is_said_in_words():
    """Each training with its steps, and the share of the training to come."""
    assert str(plan(10_000)) == (
        "1 sweep of 200 steps, up to 6 trials of 110 steps, of which the best 2 go on, and a proof "
        "of 120 steps: at most 1200 steps, 12% of the training's 10000"
    )
    assert str(plan(None, num_sweeps=2)) == (
        "2 sweeps of 200 steps, and a proof of 120 steps: at most 520 steps"
    )


def test_share_is_said_where_it_is_known():
    """In percent, with two digits."""
    assert share(1200, 10_000) == ", 12% of the training's 10000"
    assert share(520, None) == ""
