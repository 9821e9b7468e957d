"""The benchmark's scores, peers' rules and candidates on curves with known answers."""

import dataclasses
import re

import keras
import numpy as np
import pytest
from quality import peers, problems
from quality.candidates import FORMS, ClassConstants, Constants, budget_factor, landmark, rate_at
from quality.data import load
from quality.drawn import BODIES, KINDS, Network, draw
from quality.further import FURTHER, Group
from quality.further_table import further_table
from quality.labels import LABELS
from quality.long import regret
from quality.long_tasks import LONG_TASKS
from quality.measurement import Measurement
from quality.models import build
from quality.networks import composed
from quality.oracle import LOG_RATES, Oracle
from quality.roster import Contender
from quality.score import MAX_REGRET, Outcomes, bootstrap, evaluate, paired, score
from quality.tasks import COMBINATIONS, SUBSET, Combination, Half

from tfx_lr_finder.core.curve import Curve

RATES = np.geomspace(1e-7, 10, 100)
U = np.log10(RATES)


def logistic_fall(middle: float, width: float = 0.3) -> np.ndarray:
    """A fall from 2 to 1, the steepest at `middle`, then a blow-up from rate 1 on."""
    return 1 + 1 / (1 + np.exp((U - middle) / width)) + 1e3 * np.maximum(U, 0) ** 2


@pytest.fixture
def oracle() -> Oracle:
    """Losses `exp(|u + 2|)`: the best rate is 0.01, and a decade away costs a factor e."""
    losses = np.exp(np.abs(LOG_RATES + 2))
    return Oracle(np.tile(losses[np.newaxis, :, np.newaxis], (3, 1, 5)), (1, 2, 3, 4, 5), 5.0)


class TestScore:
    """Regret, usefulness and their summaries."""

    def test_regret_is_the_log_ratio_to_the_best_loss(self, oracle):
        """Half a decade away costs 0.5, between the oracle's rates as well as on them."""
        rates = 10.0 ** np.array([-2, -1.5, -2.3, -1.77])
        np.testing.assert_allclose(evaluate(oracle, rates).regrets, [0, 0.5, 0.3, 0.23], atol=1e-9)

    def test_regret_is_at_most_a_factor_of_ten(self, oracle):
        """Beyond the oracle's ends the loss is that of the end, and regret is clipped."""
        np.testing.assert_allclose(evaluate(oracle, [1e-9, 1e3]).regrets, [MAX_REGRET, MAX_REGRET])

    def test_no_suggestion_is_the_worst(self, oracle):
        """A missing rate has the greatest regret and is useless."""
        outcomes = evaluate(oracle, [np.nan])
        assert outcomes.regrets[0] == MAX_REGRET
        assert outcomes.is_useless[0]

    def test_useless_is_not_below_the_constant_predictor(self, oracle):
        """The loss reaches 5 at log(5) = 1.61 decades from the best rate."""
        assert evaluate(oracle, 10.0 ** np.array([-0.5, -0.3])).is_useless.tolist() == [False, True]

    def test_blown_up_trainings_have_a_finite_regret(self, oracle):
        """An infinite loss counts as the greatest regret, and a line is drawn to it."""
        losses = oracle.losses.copy()
        losses[:, LOG_RATES > -1.9] = np.inf
        blown_up = Oracle(losses, oracle.budgets, oracle.constant_loss)
        regrets = evaluate(blown_up, 10.0 ** np.array([-2.0, -1.9, -1.8])).regrets
        np.testing.assert_allclose(regrets, [0, MAX_REGRET / 2, MAX_REGRET], atol=1e-9)

    def test_a_combination_counts_once_whatever_its_seeds(self):
        """Means are over combinations, not over suggestions."""
        one = Outcomes(np.array([-2.0]), np.array([0.0]), np.array([False]))
        many = Outcomes(np.array([-2.0, -1.0, 0.0]), np.full(3, 0.2), np.full(3, True))
        result = score([one, many])
        assert result.mean_regret == pytest.approx(0.1)
        assert (result.within_10, result.within_25, result.useless) == (0.5, 1.0, 0.5)
        assert result.spread == pytest.approx(1.0)

    def test_pairs_differ_by_their_means(self):
        """A rule that is always worse by 0.1 is so in every resample."""
        good = [Outcomes(np.zeros(2), np.array([r, r]), np.zeros(2, bool)) for r in (0.0, 1.0)]
        bad = [Outcomes(o.log_rates, o.regrets + 0.1, o.is_useless) for o in good]
        difference, interval = paired(bad, good)
        assert difference == pytest.approx(0.1)
        assert interval == pytest.approx((0.1, 0.1))

    def test_bootstrap_interval_holds_the_mean(self):
        """Of 0 and 1 in equal parts, 100 values have a standard error of 0.05."""
        low, high = bootstrap(np.tile([0.0, 1.0], 50))
        assert (low, high) == pytest.approx((0.5 - 0.082, 0.5 + 0.082), abs=0.02)


class TestPeers:
    """The published rules, on curves whose answer is known by hand."""

    @pytest.mark.parametrize("rule", [peers.article_minimum, peers.fastai_minimum])
    def test_minimum_is_a_tenth_of_the_least_loss(self, rule):
        """A kink in the losses moves the smoothed minimum to where it crosses the average."""
        losses = np.where(U < -2, 2.0, 1.0)
        losses[U >= 0] = 3.0
        smoothed = peers._average(losses, 1)
        assert rule(RATES, losses) == pytest.approx(RATES[np.argmin(smoothed)] / 10)

    def test_fastai_valley_is_half_way_through_the_fall(self):
        """On a line that always falls, the subsequence is the whole window, 10 to 94."""
        losses = np.linspace(100.0, 1.0, 100)
        # 85 points: start = 84 - 85 = -1, a third of 85 is 28, half of that third is 14.
        assert peers.fastai_valley(RATES, losses) == pytest.approx(RATES[10 - 1 + 28 + 14])

    def test_fastai_has_no_answer_after_an_early_stop(self):
        """Its window is taken from the steps asked for, and may be empty."""
        losses = np.where(np.arange(100) < 8, 1.0, 1e6)
        assert peers.fastai_valley(RATES, losses) is None

    def test_fastai_slide_stops_before_a_rise(self):
        """A flat curve has no slope to leave: the answer is 15 points before the last."""
        assert peers.fastai_slide(RATES, np.ones(100)) == pytest.approx(RATES[94 - 15])

    def test_steepest_rules_find_a_step(self):
        """A step down is the steepest fall of the smoothed loss, up to one point."""
        losses = np.where(np.arange(100) < 50, 2.0, 1.0)
        near = pytest.approx(U[50], abs=2 * (U[1] - U[0]))
        for rule in (peers.article_steepest, peers.fastai_steep, peers.lightning_before_2_5_3):
            assert np.log10(rule(RATES, losses)) == near

    def test_lightning_since_2_5_3_prefers_small_rates(self):
        """Against the rate itself, a small fall at a small rate beats a great one later."""
        losses = np.where(np.arange(100) < 40, 2.0, 1.9)
        losses[60:] = 1.0
        assert peers.lightning_since_2_5_3(RATES, losses) < 1e-3
        assert peers.lightning_before_2_5_3(RATES, losses) == pytest.approx(RATES[60], rel=0.3)

    def test_torch_lr_finder_takes_the_first_nan(self):
        """Its argmin does not skip NaN: the answer is the point before the blow-up."""
        losses = np.where(np.arange(100) < 70, 1.0, np.nan)
        assert peers.torch_lr_finder(RATES, losses) == pytest.approx(RATES[69])


class TestCandidates:
    """The candidates for the default rule."""

    def test_landmark_lies_where_most_of_the_descent_is_done(self):
        """Of a logistic fall, three quarters are done at `middle + width * log(3)`."""
        place = landmark(RATES, logistic_fall(-3.0), 0.75, 1.0)
        assert place.is_descent
        assert place.log_rate == pytest.approx(-3.0 + 0.3 * np.log(3), abs=0.15)

    def test_scale_of_the_loss_does_not_matter(self):
        """A thousand times the loss gives the same rate."""
        losses = logistic_fall(-3.0)
        form = FORMS["descent75"]
        a, b = (
            rate_at(
                landmark(RATES, losses * factor, form.descent, form.weight), 400, Constants(-0.5)
            )
            for factor in (1, 1000)
        )
        assert a == pytest.approx(b)

    def test_plain_sgd_has_constants_of_its_own(self):
        """Momentum and running averages lag; plain SGD does not."""
        constants = ClassConstants(plain=Constants(0.1), lagging=Constants(-0.5))
        assert [constants.of(o).shift for o in ("sgd", "momentum", "adam")] == [0.1, -0.5, -0.5]

    def test_shift_and_budget_move_the_landmark(self):
        """Half a decade down, and half a decade up for a hundredth of the reference budget."""
        place = landmark(RATES, logistic_fall(-3.0), 0.75, 1.0)
        rate = rate_at(place, 4, Constants(-0.5, -0.25))
        assert np.log10(rate) == pytest.approx(place.log_rate)

    def test_without_a_descent_the_edge_decides(self):
        """A step to the cap at 0.01 is 3% up 1.88 deviations before; 1.15 decades below is safe."""
        losses = np.where(U < -2, 1.0, np.nan)
        place = landmark(RATES, losses, 0.75, 0.75)
        assert not place.is_descent
        assert place.log_rate == pytest.approx(-2 - 1.88 * 0.25 - 1.15, abs=0.1)

    def test_short_budgets_ask_for_higher_rates(self):
        """A tenth of 400 steps raises the rate by 0.58 decades; more than 400 change nothing."""
        assert np.log10(budget_factor(40, -0.58)) == pytest.approx(0.58)
        assert budget_factor(4000, -0.58) == 1


class TestDraws:
    """The combinations that chance composes."""

    def test_draws_are_the_same_each_time(self):
        """A measurement can be resumed, and repeated elsewhere."""
        assert draw(7) == draw(7)
        for again, values in zip(problems.drawn(7), problems.drawn(7), strict=True):
            np.testing.assert_array_equal(again, values)

    def test_every_drawn_table_has_enough_examples(self):
        """A batch of each combination fits into its training split."""
        for combination in (c for c in COMBINATIONS if c.is_drawn):
            assert len(load(combination.data).train[0]) >= combination.batch_size

    @pytest.mark.parametrize("kind", BODIES)
    def test_every_body_gives_the_outputs_of_its_data(self, kind):
        """One network of each body on two data sets of its kind; series and tokens are two."""
        for data in map(load, (KINDS[kind][0], KINDS[kind][-1])):
            x = keras.Input(data.train[0].shape[1:], dtype=data.train[0].dtype.name)
            for body in BODIES[kind]:
                network = Network(body, (8, 16), "tanh", "batch", 0.5, "he_normal")
                assert composed(network, x, data.num_outputs).shape == (None, data.num_outputs)

    @pytest.mark.parametrize(
        ("least", "learns"), [(0.5, True), (0.98, False), (2.0, False), (1e-4, False)]
    )
    def test_what_no_rate_trains_says_nothing(self, oracle, least, learns):
        """The best rate must beat the constant predictor, but not end at a loss of 0."""
        losses = oracle.losses / oracle.losses.min() * least * oracle.constant_loss
        assert dataclasses.replace(oracle, losses=losses).learns is learns


def test_halves_hold_the_same_kinds():
    """At least 24 combinations; each half has every optimizer, and the subset has both halves."""
    halves = {half: [c for c in COMBINATIONS if c.half is half] for half in Half}
    assert len(COMBINATIONS) >= 24
    assert len({c.name for c in COMBINATIONS}) == len(COMBINATIONS)
    assert len({len(half) for half in halves.values()}) == 1
    for half in halves.values():
        assert {c.optimizer for c in half} == {"sgd", "momentum", "adam", "adamw", "rmsprop"}
    assert [c.half for c in SUBSET].count(Half.CHOICES) == len(SUBSET) / 2


class TestFurtherCombinations:
    """The combinations that only the tables of their groups show."""

    combinations = tuple(c for group in FURTHER for c in group.combinations)

    def test_each_has_a_directory_of_its_own(self):
        """No two combinations share files, and none needs a folder within its directory."""
        names = [c.name for c in (*COMBINATIONS, *self.combinations)]
        assert len(set(names)) == len(names)
        assert all(re.fullmatch(r"[\w.-]+", name) for name in names)

    def test_optimizers_are_those_of_no_other_combination(self):
        """A row of three for each."""
        group = FURTHER[0]
        optimizers = [group.row(c) for c in group.combinations]
        assert {optimizers.count(name) for name in optimizers} == {3}
        assert not {*optimizers} & {c.optimizer for c in COMBINATIONS}

    def test_fine_tuning_has_few_examples(self):
        """25 to 2,000, and enough for a batch."""
        for combination in (c for c in self.combinations if c.pretrained_on):
            num_examples = len(load(combination.data).train[0])
            assert max(25, combination.batch_size) <= num_examples <= 2000

    def test_fine_tuning_starts_from_the_same_trained_weights(self):
        """With each seed the same body; a head for as many classes as before is kept, too."""
        combination = Combination(
            Half.REPORT, "digits_0_to_5", "logistic", "sgd", 16, pretrained_on="digits_0_to_5"
        )
        data = load("digits_0_to_5")
        models = [build(combination, data, seed) for seed in (1, 2)]
        for first, second in zip(*(model.get_weights() for model in models), strict=True):
            np.testing.assert_array_equal(first, second)
        x, y = data.validation
        assert np.mean(models[0].predict(x, verbose=0).argmax(axis=1) == y) > 0.9

    def test_head_for_other_classes_is_new(self):
        """Six digits before, four afterwards: the last layer differs with the seed."""
        combination = Combination(
            Half.REPORT, "digits_6_to_9", "logistic", "sgd", 16, pretrained_on="digits_0_to_5"
        )
        data = load("digits_6_to_9")
        kernels = [build(combination, data, seed).get_weights()[0] for seed in (1, 2)]
        assert kernels[0].shape == (64, 4)
        assert not np.array_equal(*kernels)

    @pytest.mark.parametrize("name", LABELS)
    def test_labels_are_the_original_ones_scaled_and_moved(self, name):
        """They keep features, and have the mean and the deviation that they should."""
        original, deviation, mean = LABELS[name]
        data = load(name)
        np.testing.assert_array_equal(data.train[0], load(original).train[0])
        assert np.mean(data.train[1]) == pytest.approx(mean, abs=1e-3 * deviation)
        assert np.std(data.train[1]) == pytest.approx(deviation, rel=1e-3)
        assert data.constant_loss == pytest.approx(load(original).constant_loss * deviation**2)

    def test_table_has_regret_distance_and_verdicts_of_each_row(self, oracle):
        """Half a decade above the best rate, 0.01; what does not learn has only verdicts."""
        curve = Curve(
            learning_rates=RATES,
            losses=logistic_fall(-3.0),
            smoothing=0.9,
            stop_reason="all_steps",
            num_steps=RATES.size,
            batch_size=32,
            seed=0,
        )
        oracles = {"lion": oracle, "lamb": dataclasses.replace(oracle, constant_loss=0.5)}
        measurements = [
            Measurement(Combination(Half.REPORT, "iris", "mlp", name, 16), of, {"own_200": [curve]})
            for name, of in oracles.items()
        ]
        group = Group("", (), row=lambda combination: combination.optimizer)
        rule = Contender("too high", "0", lambda m, budget: np.array([10**-1.5]))
        lion, lamb = further_table(group, measurements, [rule]).splitlines()[2:]
        assert lion == "| lion | 1 of 1 | 0.500 / 0% / 0% / 0% / +0.50 | ok 1 |"
        assert lamb == "| lamb | 0 of 1 |  | ok 1 |"


class TestLongTrainings:
    """The benchmark of whole searches."""

    def test_regret_is_read_between_the_rates(self):
        """Losses of 1 and e half a decade apart."""
        losses = [np.e] * 4 + [1.0] + [np.e] * 5

        assert regret(losses, 1e-2) == 0
        assert regret(losses, 10**-1.75) == pytest.approx(0.5)
        assert regret([1e6] * 9 + [1.0], 1e-4) == MAX_REGRET

    @pytest.mark.slow
    @pytest.mark.parametrize("task", LONG_TASKS, ids=lambda task: task.name)
    def test_model_fits_its_data_which_last_for_the_training(self, task):
        """No example is seen twice, but in the shortest data set more often."""
        features, labels = task.data()
        loss = task.loss()(labels[:4], task.build()(features[:4]))

        assert np.isfinite(float(loss))
        assert len(features) > 0.5 * task.num_steps * task.batch_size
