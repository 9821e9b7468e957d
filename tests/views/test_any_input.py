"""Whatever the curve, the hyperparameters or the stored text: an answer, or an error in words."""

import contextlib
import json
import math
import os

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tfx_lr_finder import Curve, Evidence, NoLearningRateError, StopReason, Suggestion, suggest
from tfx_lr_finder.core.evidence import Publication
from tfx_lr_finder.core.rules import RULES
from tfx_lr_finder.core.verdict import Verdict
from tfx_lr_finder.search.hyperparameters import parse_config, with_learning_rate
from tfx_lr_finder.views.plot import plot
from tfx_lr_finder.views.report import report
from tfx_lr_finder.views.tensorboard import tensorboard_files

# Repeatable, so that a run that fails tells of the change before it.
NUM_EXAMPLES = 200 if os.environ.get("CI") == "true" else 50
often = settings(max_examples=NUM_EXAMPLES, deadline=None, derandomize=True)
seldom = settings(often, max_examples=10, suppress_health_check=list(HealthCheck))

finite = st.floats(allow_nan=False, allow_infinity=False)
float32 = st.floats(allow_nan=False, allow_infinity=False, width=32)
ordinary = st.floats(-10, 10)
repeated = st.sampled_from([0.0, 1.0, -1.0, 2.5, 1e30])


@st.composite
def curves(draw, *kinds):
    """Draws a curve as a sweep may end with: losses of these kinds over any range."""
    values = draw(st.lists(draw(st.sampled_from(kinds)), min_size=1, max_size=60))
    lowest, decades = draw(st.floats(-12, 6)), draw(st.floats(0.01, 15))
    num_steps = max(2, len(values) + draw(st.sampled_from([0, 1, 100])))
    rates = np.geomspace(10**lowest, 10 ** (lowest + decades), num_steps)[: len(values)]
    return Curve(
        learning_rates=rates,
        losses=values,
        smoothing=draw(st.sampled_from([0.0, 0.5, 0.98, 1 - 1e-12])),
        stop_reason=draw(st.sampled_from(StopReason)),
        num_steps=num_steps,
        batch_size=draw(st.integers(0, 2**31)),
        seed=draw(st.integers(0, 2**31 - 1)),
        is_plain_sgd=draw(st.booleans()),
        train_steps=draw(st.none() | st.integers(1, 10**9)),
        model=draw(st.text()),
        optimizer=draw(st.text()),
    )


def found_by(curves, rule):
    """Returns the suggestion, or None where there is none."""
    try:
        return suggest(curves, rule)
    except NoLearningRateError as error:
        refusal = error
    assert not refusal.verdict.has_rate
    assert "nan" not in str(refusal)
    return None


@pytest.mark.filterwarnings("error")
@often
@given(st.lists(curves(float32, ordinary, repeated), min_size=1, max_size=3))
def test_rate_is_within_the_range_of_the_curves_or_there_is_none(sweeps):
    """By every rule: a number, never NaN, never outside of what was swept, and no warning."""
    check_rates(sweeps)


@pytest.mark.filterwarnings("ignore:(overflow|invalid value) encountered:RuntimeWarning")
@often
@given(st.lists(curves(finite), min_size=1, max_size=3))
def test_losses_near_the_greatest_number_do_no_harm(sweeps):
    """Differences of them are infinite; a rate is in the range all the same."""
    check_rates(sweeps)


def check_rates(sweeps):
    """Checks what every rule reads off some curves."""
    least = min(sweep.learning_rates[0] for sweep in sweeps)
    greatest = max(sweep.learning_rates[-1] for sweep in sweeps)
    for rule in RULES:
        suggestion = found_by(sweeps, rule)
        if suggestion is not None:
            # The median of several goes through logarithms.
            assert least * (1 - 1e-12) <= suggestion.learning_rate <= greatest * (1 + 1e-12)
            assert suggestion.spread is None or math.isfinite(suggestion.spread)


# Of a name in a script that the picture's font, or Matplotlib, does not draw.
@pytest.mark.filterwarnings("ignore:Glyph:UserWarning")
@pytest.mark.filterwarnings("ignore:Matplotlib currently does not support:UserWarning")
@seldom
@given(st.lists(curves(float32, ordinary), min_size=1, max_size=2))
def test_every_suggestion_can_be_kept_and_shown(sweeps):
    """Its JSON is plain and read back; plot, page and events can be made."""
    default = Publication(1e-3, Verdict.FLAT, is_default=True)
    read = found_by(sweeps, "descent")
    published = Publication(read.learning_rate, read.verdict) if read else default
    evidence = Evidence(published, read, tuple(sweeps), versions={"tfx": "1"}, seconds=1.0)

    text = evidence.to_json()
    picture = plot(evidence)

    assert Evidence.from_json(text).curves == evidence.curves
    assert picture.startswith(b"\x89PNG")
    assert report(evidence, picture).startswith("<!DOCTYPE html>")
    assert tensorboard_files(evidence, picture)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | finite | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=10,
)
names = st.sampled_from(["learning_rate", "optimizer/learning_rate", "units"]) | st.text(min_size=1)
entries = st.fixed_dictionaries(
    {
        "class_name": st.sampled_from(["Float", "Int", "Choice", "Fixed", "Boolean"]),
        "config": st.fixed_dictionaries(
            {},
            optional={
                "name": names,
                "default": json_values,
                "conditions": json_values,
                "values": json_values,
            },
        ),
    }
)
configs = st.fixed_dictionaries(
    {"space": st.lists(entries, max_size=4), "values": st.dictionaries(names, json_values)},
    optional={"unknown": json_values},
)
rates = st.floats(1e-12, 1e6)


@often
@given(configs, names, rates)
def test_only_the_rate_is_replaced_in_hyperparameters_of_any_kind(config, name, rate):
    """What is read back is the upstream configuration in all but the rate and its entry."""
    text = json.dumps(config)
    read = parse_config(text, "best.txt")

    written = json.loads(
        json.dumps(with_learning_rate(read, name, rate, rate / 2, rate * 2), allow_nan=False)
    )

    assert written["values"].pop(name) == rate
    assert written["values"] == {k: v for k, v in config["values"].items() if k != name}
    added = written["space"][len(config["space"]) :]
    assert written["space"][: len(config["space"])] == config["space"]
    known = any(entry["config"].get("name") == name for entry in config["space"])
    assert [entry["config"]["name"] for entry in added] == ([] if known else [name])
    assert written.get("unknown") == config.get("unknown")


@often
@given(st.text() | json_values.map(json.dumps) | configs.map(json.dumps))
def test_text_of_any_kind_is_a_configuration_or_refused(text):
    """The refusal says what is needed, what came, and what to do."""
    try:
        config = parse_config(text, "best.txt")
    except ValueError as error:
        refusal = str(error)
    else:
        assert isinstance(config["values"], dict)
        return
    assert "Upstream hyperparameters must" in refusal
    assert "Write them as a Tuner does." in refusal


def mutated(text):
    """Returns a strategy for stored JSON with one of its values replaced."""
    content = json.loads(text)

    def with_value(drawn):
        name, value = drawn
        return json.dumps({**content, name: value})

    return st.tuples(st.sampled_from(sorted(content)), json_values).map(with_value)


CURVE = Curve([1e-3, 1e-2], [2.0, 1.0], 0.0, StopReason.ALL_STEPS, 2, 0, batch_size=32)
EVIDENCE = Evidence.of(Suggestion(1e-3, "valley", Verdict.OK), [CURVE])


@often
@given(st.text() | json_values.map(json.dumps) | mutated(CURVE.to_json()))
def test_text_of_any_kind_is_a_curve_or_refused(text):
    """Never an error of another type, or a curve that cannot be written again."""
    with contextlib.suppress(ValueError):
        curve = Curve.from_json(text)
        assert Curve.from_json(curve.to_json()) == curve


@often
@given(st.text() | json_values.map(json.dumps) | mutated(EVIDENCE.to_json()))
def test_text_of_any_kind_is_an_evidence_or_refused(text):
    """Never an error of another type."""
    with contextlib.suppress(ValueError):
        Evidence.from_json(text)
