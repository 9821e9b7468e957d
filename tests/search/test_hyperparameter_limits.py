"""Upstream hyperparameters that could not be written again are refused before the search."""

import json

import keras_tuner
import pytest

from tfx_lr_finder.core.stored_json import MAX_DEPTH, parse
from tfx_lr_finder.search.hyperparameters import parse_config, with_any_rate, with_learning_rate

EMPTY = {"space": [], "values": {}}


@pytest.mark.parametrize("number", ["1e400", "-1e400", "1e309", "NaN", "Infinity", "-Infinity"])
@pytest.mark.parametrize(
    "text",
    [
        '{"space": [], "values": {"clip": %s}}',
        '{"space": [{"config": {"name": "a", "max_value": %s}}], "values": {}}',
        '{"space": [], "values": {}, "version": [[%s]]}',
    ],
    ids=["value", "space", "beside"],
)
def test_number_that_is_not_finite_is_refused(text, number):
    """Wherever it stands: after the search it could not be written."""
    with pytest.raises(ValueError, match=r"must be JSON\. Received: .* in file, .*(is not|beyond)"):
        parse_config(text % number, "file")


@pytest.mark.parametrize("name", [["a"], {"a": 1}, 7, None, True, 1.5], ids=str)
def test_name_that_is_no_text_is_refused(name):
    """As the form of a configuration that is wrong."""
    config = {"space": [{"class_name": "Fixed", "config": {"name": name}}], "values": {}}

    with pytest.raises(ValueError, match=r"with a text for each name\. Received: .* in file\."):
        parse_config(json.dumps(config), "file")


@pytest.mark.parametrize("depth", [MAX_DEPTH + 1, 500, 100_000])
@pytest.mark.parametrize(("left", "right"), [("[", "]"), ('{"a": ', "}")])
def test_deep_nesting_is_refused(left, right, depth):
    """What Python can read and not write, as well as what it cannot read."""
    inside = left * depth + "1" + right * depth

    with pytest.raises(ValueError, match=r"must be JSON\..*more than 32 lists and objects are"):
        parse_config(f'{{"space": [], "values": {{"a": {inside}}}}}', "file")


def test_nesting_of_any_tuner_is_not_deep():
    """Conditions in conditions: far from the limit."""
    hyperparameters = keras_tuner.HyperParameters()
    hyperparameters.Int("a", 1, 2, default=1)
    with hyperparameters.conditional_scope("a", [1]):
        hyperparameters.Int("b", 1, 2, default=1)
        with hyperparameters.conditional_scope("b", [1]):
            hyperparameters.Choice("c", [1, 2])
    config = json.loads(json.dumps(hyperparameters.get_config()))

    assert parse_config(json.dumps(config), "file") == config


@pytest.mark.parametrize("text", ["1e308", "-0.0", "5e-324", "123456789012345678901234567890"])
def test_number_that_can_be_held_is_read(text):
    """At the ends of what there is."""
    assert json.dumps(parse(text)) == json.dumps(json.loads(text))


def test_code_is_given_a_rate_where_there_is_none():
    """The middle of the range, in the form that the Trainer is given."""
    config = with_any_rate(None, "learning_rate", 1e-6, 10.0)

    rate = config["values"]["learning_rate"]
    assert rate == pytest.approx(10**-2.5)
    assert config == with_learning_rate(None, "learning_rate", rate, 1e-6, 10.0)
    assert keras_tuner.HyperParameters.from_config(config).get("learning_rate") == rate


def test_upstream_rate_is_given_as_it_is():
    """A Tuner's own, or one of another name."""
    upstream = {"space": [], "values": {"rate": 0.5, "units": 3}}

    assert with_any_rate(upstream, "rate", 1e-6, 10.0) is upstream
    assert with_any_rate(upstream, "learning_rate", 0.01, 1.0)["values"] == {
        **upstream["values"],
        "learning_rate": pytest.approx(0.1),
    }


@pytest.mark.parametrize(("low", "high"), [(1e-300, 1e-290), (1e290, 1e300)])
def test_middle_of_an_extreme_range_lies_in_it(low, high):
    """The product of its ends would be 0, or infinite."""
    assert low < with_any_rate(EMPTY, "r", low, high)["values"]["r"] < high
