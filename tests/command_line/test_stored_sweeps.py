"""Stored sweeps: what is not one is refused when it is read, in words; the rest is read quickly."""

import json
import math
import time

import numpy as np
import pytest
from click.testing import CliRunner

from tfx_lr_finder import Curve, Verdict, range_test, suggest
from tfx_lr_finder.command_line import main
from tfx_lr_finder.core.evidence import Evidence, Publication
from tfx_lr_finder.core.proof import JudgedOn, Proof
from tfx_lr_finder.core.rules import RULES
from tfx_lr_finder.core.smoothing import local_linear
from tfx_lr_finder.core.trials.halving import Trial
from tfx_lr_finder.search.options import SweepOptions

RATES = 10 ** np.linspace(-6, 1, 200)
FALLING = 1.5 - 1 / (1 + (3e-3 / RATES) ** 1.5) + (RATES / 0.3) ** 2


@pytest.fixture(scope="module")
def text(make_curve):
    """What a sweep stores."""
    curve = make_curve(FALLING, RATES, train_steps=1000, validation_losses=FALLING)
    trials = tuple(Trial(rate, 0.5, 7) for rate in (1e-3, 1e-2, 1e-1))
    proof = Proof(1e-2, 0.5, 1.5, 1.0, (0.5,), 120, 0, JudgedOn.VALIDATION_DATA)
    read = suggest(curve)
    evidence = Evidence(
        Publication(1e-2, Verdict.OK, interval=(5e-3, 2e-2)),
        read,
        (curve,),
        trials=trials,
        proofs=(proof,),
        versions={"tfx": "1"},
        seconds=1.5,
    )
    return evidence.to_json()


@pytest.fixture
def stored(text):
    """What a sweep stores, as JSON reads it."""
    return json.loads(text)


def with_value(stored, path, value):
    """Returns the JSON of a stored sweep in which one value is another one."""
    *above, last = path
    place = stored
    for key in above:
        place = place[key]
    place[last] = value
    return json.dumps(stored)


PATHS = {
    "published rate": ["published", "learning_rate"],
    "end of the interval": ["published", "interval", 0],
    "rate that was read": ["read", "learning_rate"],
    "spread": ["read", "spread"],
    "first rate": ["curves", 0, "learning_rates", 0],
    "last rate": ["curves", 0, "learning_rates", -1],
    "loss": ["curves", 0, "losses", 7],
    "validation loss": ["curves", 0, "validation_losses", 7],
    "steps": ["curves", 0, "num_steps"],
    "batch size": ["curves", 0, "batch_size"],
    "smoothing": ["curves", 0, "smoothing"],
    "length of the training": ["curves", 0, "train_steps"],
    "replicas": ["curves", 0, "num_replicas"],
    "accumulation": ["curves", 0, "gradient_accumulation_steps"],
    "trial's rate": ["trials", 0, "learning_rate"],
    "trial's loss": ["trials", 0, "loss"],
    "steps of a trial": ["trials", 0, "num_steps"],
    "proof's rate": ["proofs", 0, "learning_rate"],
    "proof's loss": ["proofs", 0, "loss"],
    "proof's first loss": ["proofs", 0, "start_loss"],
    "constant's loss": ["proofs", 0, "constant_loss"],
    "constant": ["proofs", 0, "constant", 0],
    "steps of the proof": ["proofs", 0, "num_steps"],
    "seconds": ["seconds"],
}
LOSSES = {
    *("loss", "validation loss", "trial's loss", "proof's loss", "proof's first loss"),
    *("constant's loss", "constant"),
}


@pytest.mark.parametrize("value", [math.inf, -math.inf, math.nan], ids=str)
@pytest.mark.parametrize("path", PATHS.values(), ids=PATHS)
def test_number_that_is_not_finite_is_refused(stored, path, value):
    """It is not even JSON."""
    with pytest.raises(ValueError, match=r"^Not the JSON of an evidence: .* is not JSON Received:"):
        Evidence.from_json(with_value(stored, path, value))


@pytest.mark.parametrize("path", PATHS.values(), ids=PATHS)
def test_number_beyond_all_floats_is_refused(stored, path):
    """Python's own reader makes infinity of it, without a word."""
    text = with_value(stored, path, "BEYOND").replace('"BEYOND"', "1e400")

    with pytest.raises(ValueError, match="1e400 is beyond the numbers that a float can hold"):
        Evidence.from_json(text)


@pytest.mark.parametrize("path", [p for n, p in PATHS.items() if n not in LOSSES])
def test_number_that_must_not_be_negative_is_refused(stored, path):
    """Rates, counts and durations."""
    with pytest.raises(ValueError, match=r"(?s)^Not the JSON of an evidence: .*-1"):
        Evidence.from_json(with_value(stored, path, -1))


@pytest.mark.parametrize("value", ["many", [], [[1.0]], {"a": 1}, True], ids=str)
@pytest.mark.parametrize("path", PATHS.values(), ids=PATHS)
def test_value_of_another_type_is_refused(stored, path, value):
    """With the place, what it must be and what it is."""
    with pytest.raises(ValueError, match=r"^Not the JSON of an evidence: .* must .* Received: "):
        Evidence.from_json(with_value(stored, path, value))


OTHER_FORMS = {
    "no curves": (["curves"], []),
    "curves that are none": (["curves"], [7]),
    "curves by name": (["curves"], {"a": 1}),
    "empty curve": (["curves", 0, "losses"], []),
    "no rates": (["curves", 0, "learning_rates"], []),
    "more rates than losses": (["curves", 0, "losses"], [1.0]),
    "equal rates": (["curves", 0, "learning_rates"], [1e-3] * 200),
    "rates that are hardly apart": (
        ["curves", 0, "learning_rates"],
        [float(rate) for rate in 1e-3 + np.arange(200) * 3e-19],
    ),
    "unknown reason": (["curves", 0, "stop_reason"], "tired"),
    "unknown verdict": (["published", "verdict"], "splendid"),
    "unknown verdict of the curve": (["read", "verdict"], "splendid"),
    "nothing published": (["published"], None),
    "nothing read for a rate that is not the default": (["read"], None),
    "unknown field": (["curves", 0, "taste"], 1),
    "interval with one end": (["published", "interval"], [5e-3]),
    "interval beside the rate": (["published", "interval"], [2e-2, 3e-2]),
    "trials that are none": (["trials"], [7]),
    "trials by name": (["trials"], {"a": 1}),
    "versions in a row": (["versions"], [1]),
    "version that is no text": (["versions"], {"tfx": 1}),
    "optimizer that is no text": (["curves", 0, "optimizer"], ["SGD"]),
    "rule that is no text": (["read", "rule"], ["descent"]),
    "rates without an end": (["curves", 0, "num_steps"], 20_000),
}


@pytest.mark.parametrize(("path", "value"), OTHER_FORMS.values(), ids=OTHER_FORMS)
def test_other_form_is_refused(stored, path, value):
    """In words, whichever command reads it."""
    with pytest.raises(ValueError, match=r"(?s)^Not the JSON of an evidence: .* Read the sweep"):
        Evidence.from_json(with_value(stored, path, value))


def test_interval_beside_the_rate_is_named(stored):
    """With its ends and the rate."""
    text = with_value(stored, ["published", "interval"], [0.02, 0.03])

    with pytest.raises(ValueError, match=r"must be two learning .* \[0\.02, 0\.03\] around 0\.01"):
        Evidence.from_json(text)


def test_sweep_that_was_stored_without_an_interval_has_none(stored):
    """It is read all the same."""
    del stored["published"]["interval"]

    assert Evidence.from_json(json.dumps(stored)).published.interval is None


@pytest.mark.parametrize(
    "path", [["published"], ["read"], ["curves"], ["curves", 0, "losses"], ["proofs", 0, "loss"]]
)
def test_missing_part_is_named(stored, path):
    """Nothing is made up for it."""
    *above, last = path
    place = stored
    for key in above:
        place = place[key]
    del place[last]

    with pytest.raises(ValueError, match=rf"Not the JSON of an evidence: .*{last}"):
        Evidence.from_json(json.dumps(stored))


@pytest.mark.parametrize("text", ["[" * 100_000, '{"a":' * 100_000, "[" * 50 + "]" * 50])
def test_deep_nesting_is_refused(text):
    """As JSON that is none."""
    with pytest.raises(ValueError, match=r"more than 32 lists and objects are nested"):
        Evidence.from_json(text)


def test_curve_that_ends_beyond_all_rates_is_refused(stored):
    """No picture could show the range that was to be swept."""
    with pytest.raises(ValueError, match=r"last of a curve's num_steps rates must be finite"):
        Evidence.from_json(with_value(stored, ["curves", 0, "num_steps"], 10_000))


@pytest.mark.parametrize("scale", [1e300, 1e-308, 5e-324, 1e38])
@pytest.mark.parametrize("command", ["suggest", "plot", "report", "compare"])
def test_extreme_losses_can_be_shown(stored, tmp_path, command, scale):
    """Far beyond what any loss is."""
    losses = [float(loss) for loss in np.clip(FALLING, 0, 1) * scale]
    stored["curves"][0]["losses"] = stored["curves"][0]["validation_losses"] = losses
    file = tmp_path / "sweep.json"
    file.write_text(json.dumps(stored))
    written = [] if command == "suggest" else ["--output", str(tmp_path / "written")]

    result = CliRunner().invoke(main, [command, str(file), *written])

    assert (result.exit_code, result.stderr) == (0, "")


def test_every_stored_sweep_of_one_point_can_be_shown(make_curve, tmp_path):
    """One that blew up in its second step, for which a default was published."""
    curve = make_curve([1.0], [1e-6], num_steps=200, stop_reason="non_finite")
    content = Evidence.of(suggest(make_curve(FALLING, RATES)), [curve]).to_json()
    (tmp_path / "sweep.json").write_text(content)

    for command in ("plot", "report", "compare"):
        given = [command, str(tmp_path), "--output", str(tmp_path / command)]
        assert CliRunner().invoke(main, given).exit_code == 0


@pytest.mark.parametrize("rule", sorted(RULES))
def test_rule_is_read_in_time_that_grows_as_the_curve(make_curve, rule):
    """Ten times the points in less than thirty times the time, where quadratic is a hundred."""

    def seconds(num_points):
        rates = np.geomspace(1e-6, 10, num_points)
        losses = 1.5 - 1 / (1 + (3e-3 / rates) ** 1.5) + (rates / 0.3) ** 2
        curve = make_curve(losses, rates)
        started = time.process_time()
        suggest(curve, rule)
        return time.process_time() - started

    seconds(100)
    assert seconds(10_000) < max(30 * seconds(1000), 1)


def test_smoothing_of_many_points_is_that_of_each():
    """Known answers: a line, and a wave whose wavelength is long beside the kernel."""
    x = np.linspace(-6, 1, 9999)
    line, _ = local_linear(x, 3 - 2 * x, 0.25)
    wave, num_points = local_linear(x, np.sin(x), 0.25)

    np.testing.assert_allclose(line, 3 - 2 * x, rtol=1e-12, atol=1e-12)
    middle = slice(2000, -2000)
    np.testing.assert_allclose(wave[middle], np.sin(x[middle]) * np.exp(-(0.25**2) / 2), atol=1e-4)
    # Of a Gaussian kernel: 2 * sqrt(pi) bandwidths, in points.
    expected = 2 * np.sqrt(np.pi) * 0.25 / (x[1] - x[0])
    np.testing.assert_allclose(num_points[middle], expected, rtol=1e-3)


def test_number_of_steps_has_a_bound():
    """Of the options, of a range test and of a curve that is read."""
    assert SweepOptions(num_steps=10_000).num_steps == 10_000
    with pytest.raises(ValueError, match=r"`num_steps` must be from 2 to 10,000.*num_steps=10001"):
        SweepOptions(num_steps=10_001)
    with pytest.raises(ValueError, match=r"`num_steps` must be from 2 to 10,000.*=10{30}\."):
        range_test(None, None, num_steps=10**30)


def test_curve_of_too_many_points_is_refused_when_it_is_read(stored):
    """In time: 100,000 points took minutes."""
    rates = np.geomspace(1e-6, 10, 100_000).tolist()
    stored["curves"][0].update(
        learning_rates=rates, losses=rates, validation_losses=rates, num_steps=100_000
    )
    started = time.process_time()

    with pytest.raises(ValueError, match=r"at most 10,000 points.*100000"):
        Evidence.from_json(json.dumps(stored))
    assert time.process_time() - started < 5


def test_every_curve_is_read_as_it_was_written(make_curve):
    """Bit for bit."""
    curve = make_curve(FALLING, RATES, validation_losses=FALLING)

    assert Curve.from_json(curve.to_json()) == curve
