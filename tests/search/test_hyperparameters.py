"""Hyperparameters: the learning rate is replaced, and nothing else is touched."""

import copy
import json
import re

import keras_tuner
import pytest

from tfx_lr_finder.search.hyperparameters import (
    hyperparameter_names,
    parse_config,
    with_learning_rate,
)

RATE = 0.0123


def tuned():
    """Returns what a Tuner writes: every kind of hyperparameter, a conditional one, a rate."""
    hyperparameters = keras_tuner.HyperParameters()
    hyperparameters.Int("units", 8, 64, step=8, default=24)
    hyperparameters.Float("dropout", 0.0, 0.5, step=0.1, default=0.2)
    hyperparameters.Boolean("batch_norm", default=True)
    hyperparameters.Fixed("layers", 3)
    hyperparameters.Choice("optimizer", ["adam", "sgd"], default="sgd")
    with hyperparameters.conditional_scope("optimizer", ["sgd"]):
        hyperparameters.Float("momentum", 0.0, 0.99, default=0.9)
    with hyperparameters.conditional_scope("optimizer", ["adam"]):
        hyperparameters.Float("beta", 0.5, 0.99, default=0.95)
    hyperparameters.Float("learning_rate", 1e-5, 1e-1, sampling="log", default=1e-3)
    return json.loads(json.dumps(hyperparameters.get_config()))


def tuned_rate(kind):
    """Returns a Tuner's configuration whose learning rate is of a kind, or not there."""
    hyperparameters = keras_tuner.HyperParameters()
    hyperparameters.Int("units", 8, 64, default=24)
    if kind == "float":
        hyperparameters.Float("learning_rate", 1e-5, 1e-3, default=1e-4)
    if kind == "choice":
        hyperparameters.Choice("learning_rate", [1e-4, 1e-3], default=1e-3)
    if kind == "fixed":
        hyperparameters.Fixed("learning_rate", 1e-3)
    if kind == "value only":
        hyperparameters.values["learning_rate"] = 1e-3
    if kind == "integer":
        hyperparameters.Int("learning_rate", 1, 10, default=1)
    if kind == "integer value only":
        hyperparameters.values["learning_rate"] = 1
    return json.loads(json.dumps(hyperparameters.get_config()))


def replaced(config, name="learning_rate"):
    """Returns the configuration with the rate, as the Trainer's module would read it from JSON."""
    return json.loads(json.dumps(with_learning_rate(config, name, RATE, 1e-6, 10.0)))


def test_configuration_without_upstream_has_the_rate_alone():
    """Where there is no Tuner the rate is the only hyperparameter."""
    assert replaced(None)["values"] == {"learning_rate": RATE}


def test_keras_tuner_reads_the_configuration_without_upstream():
    """The format is that of `HyperParameters.get_config()`."""
    hyperparameters = keras_tuner.HyperParameters.from_config(replaced(None))

    assert hyperparameters.get("learning_rate") == RATE


def test_new_entry_has_the_range_of_the_sweep():
    """A space entry that is added is a logarithmic Float between the ends of the sweep."""
    (entry,) = keras_tuner.HyperParameters.from_config(replaced(None)).space

    assert isinstance(entry, keras_tuner.engine.hyperparameters.Float)
    assert (entry.name, entry.min_value, entry.max_value) == ("learning_rate", 1e-6, 10.0)
    assert (entry.default, entry.sampling, entry.step) == (RATE, "log", None)


KINDS = ["float", "choice", "fixed", "value only", "integer", "integer value only", "absent"]


@pytest.mark.parametrize("kind", KINDS)
def test_module_reads_the_rate_whatever_upstream_called_it(kind):
    """`get`, `values` and the declaration in the user's module all give the published rate."""
    hyperparameters = keras_tuner.HyperParameters.from_config(replaced(tuned_rate(kind)))

    assert hyperparameters.get("learning_rate") == RATE
    assert hyperparameters.values["learning_rate"] == RATE
    assert hyperparameters.Float("learning_rate", 1e-5, 1e-1) == RATE


def test_other_values_are_unchanged():
    """Every value but the rate comes through, of the conditional ones those that are active."""
    assert replaced(tuned())["values"] == {
        "units": 24,
        "dropout": 0.2,
        "batch_norm": True,
        "layers": 3,
        "optimizer": "sgd",
        "momentum": 0.9,
        "learning_rate": RATE,
    }


def test_space_is_unchanged_where_it_has_the_rate():
    """Entries of every kind, with their conditions, come through in their order."""
    assert replaced(tuned())["space"] == tuned()["space"]


def test_conditional_scopes_still_hold():
    """What is active in the user's module is what upstream made active."""
    hyperparameters = keras_tuner.HyperParameters.from_config(replaced(tuned()))

    with hyperparameters.conditional_scope("optimizer", ["sgd"]):
        momentum = hyperparameters.Float("momentum", 0.0, 0.99)
    with hyperparameters.conditional_scope("optimizer", ["adam"]):
        beta = hyperparameters.Float("beta", 0.5, 0.99)

    assert (momentum, beta) == (0.9, None)
    with pytest.raises(ValueError, match="beta is currently inactive"):
        hyperparameters.get("beta")


def test_space_gets_one_entry_where_it_has_no_rate():
    """The new entry comes last; those before it are unchanged."""
    upstream = tuned_rate("absent")

    space = replaced(upstream)["space"]

    assert space[:-1] == upstream["space"]
    assert space[-1]["config"]["name"] == "learning_rate"


def test_rate_of_another_name_is_replaced():
    """The rate's name is a parameter; a rate of the usual name is then like any other value."""
    upstream = tuned()
    upstream["values"]["optimizer_rate"] = 0.5

    values = replaced(upstream, "optimizer_rate")["values"]

    assert values == {**upstream["values"], "optimizer_rate": RATE}
    assert values["learning_rate"] == 1e-3


def test_rate_in_a_conditional_scope_is_replaced_there():
    """A name with its scope is a name like any other; the entry keeps its conditions."""
    hyperparameters = keras_tuner.HyperParameters()
    hyperparameters.Choice("optimizer", ["adam", "sgd"], default="sgd")
    with hyperparameters.conditional_scope("optimizer", ["sgd"]):
        hyperparameters.Float("optimizer/sgd/learning_rate", 1e-3, 1.0, default=0.1)
    upstream = json.loads(json.dumps(hyperparameters.get_config()))

    config = replaced(upstream, "optimizer/sgd/learning_rate")

    assert config["space"] == upstream["space"]
    read = keras_tuner.HyperParameters.from_config(config)
    with read.conditional_scope("optimizer", ["sgd"]):
        assert read.Float("optimizer/sgd/learning_rate", 1e-3, 1.0) == RATE


def test_names_are_those_of_values_and_space():
    """An entry may be inactive, and then has no value; one without a name has none to tell."""
    config = {"space": [{"config": {"name": "units"}}, {"config": {}}], "values": {"rate": 0.1}}

    assert hyperparameter_names(config) == {"rate", "units"}


def test_unknown_keys_are_kept():
    """What another version of keras_tuner adds beside space and values comes through."""
    upstream = {**tuned(), "version": 2}

    assert replaced(upstream)["version"] == 2


def test_upstream_configuration_is_not_changed():
    """The configuration that was read is the one that the user's code was given."""
    upstream = tuned_rate("absent")
    before = copy.deepcopy(upstream)

    replaced(upstream)

    assert upstream == before


def test_parsed_configuration_is_the_configuration():
    """A Tuner's configuration passes as it is."""
    config = tuned()

    assert parse_config(json.dumps(config), "file") == config


@pytest.mark.parametrize("text", ["", "rate: 1", '{"values": {"clip": Infinity}}'], ids=str)
def test_configuration_that_is_not_json_is_refused(text):
    """The message shows what was received, and where; JSON knows no infinity."""
    with pytest.raises(
        ValueError, match=rf"must be JSON\. Received: {re.escape(repr(text))} in file"
    ):
        parse_config(text, "file")


@pytest.mark.parametrize(
    "config",
    [
        None,
        [],
        "learning_rate",
        1e-3,
        {},
        {"learning_rate": 1e-3},
        {"values": {"learning_rate": 1e-3}},
        {"space": []},
        {"space": {}, "values": {}},
        {"space": [], "values": [1e-3]},
        {"space": [], "values": None},
    ],
    ids=str,
)
def test_configuration_of_another_form_is_refused(config):
    """The message shows the form that is wanted and what was received."""
    text = json.dumps(config)
    message = rf'"space": \[.*\], "values": .* Received: {re.escape(repr(text))} in file\. Write'

    with pytest.raises(ValueError, match=message):
        parse_config(text, "file")


def test_refusal_shows_the_beginning_of_a_long_configuration():
    """A wrong file of any size makes a message that can be read."""
    with pytest.raises(ValueError, match=r"Received: '.{200}' in file\. Write") as raised:
        parse_config(json.dumps(["x" * 100_000]), "file")

    assert len(str(raised.value)) < 500


@pytest.mark.parametrize(
    "entry", [1, "learning_rate", None, {"config": None}, {"config": "rate"}], ids=str
)
def test_space_entry_of_another_form_is_refused(entry):
    """A space that keras_tuner could not read is refused before the sweep, not after it."""
    with pytest.raises(ValueError, match="Upstream hyperparameters must have the form"):
        parse_config(json.dumps({"space": [entry], "values": {}}), "file")
