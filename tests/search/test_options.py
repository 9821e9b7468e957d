"""The options of a sweep: what is refused, what is accepted, and that they are said alike."""

import dataclasses
import inspect
import re

import pytest

from tfx_lr_finder import LearningRateFinder, range_test
from tfx_lr_finder.component import LearningRateFinderSpec
from tfx_lr_finder.search.options import OPTION_TYPES, SweepOptions, checked

DEFAULTS = {
    "min_learning_rate": 1e-6,
    "max_learning_rate": 10.0,
    "num_steps": 200,
    "smoothing": 0.98,
    "divergence_factor": 4.0,
    "rule": "descent",
    "num_sweeps": 1,
    "search_budget": 0.1,
    "trial_steps": 0,
    "proof_steps": 120,
    "seed": 0,
    "learning_rate_name": "learning_rate",
    "on_failure": "raise",
    "default_learning_rate": None,
}
TYPES = {
    "min_learning_rate": float,
    "max_learning_rate": float,
    "num_steps": int,
    "smoothing": float,
    "divergence_factor": float,
    "rule": str,
    "num_sweeps": int,
    "search_budget": float,
    "trial_steps": int,
    "seed": int,
    "learning_rate_name": str,
    "on_failure": str,
    "default_learning_rate": float,
}
NAN = float("nan")
INFINITY = float("inf")

OUT_OF_RANGE = [
    ("min_learning_rate", 0.0, "be greater than 0 and finite"),
    ("min_learning_rate", -1e-3, "be greater than 0 and finite"),
    ("min_learning_rate", NAN, "be greater than 0 and finite"),
    ("max_learning_rate", 0, "be greater than 0 and finite"),
    ("max_learning_rate", INFINITY, "be greater than 0 and finite"),
    ("max_learning_rate", NAN, "be greater than 0 and finite"),
    ("default_learning_rate", 0.0, "be greater than 0 and finite"),
    ("default_learning_rate", INFINITY, "be greater than 0 and finite"),
    ("num_steps", 1, "be from 2 to 10,000: more steps show nothing more"),
    ("num_steps", 10_001, "be from 2 to 10,000: more steps show nothing more"),
    ("num_steps", -1, "be from 2 to 10,000: more steps show nothing more"),
    ("smoothing", 1.0, "be in [0, 1)"),
    ("smoothing", -0.1, "be in [0, 1)"),
    ("smoothing", NAN, "be in [0, 1)"),
    ("divergence_factor", 1.0, "be greater than 1"),
    ("divergence_factor", INFINITY, "be finite, as JSON has no infinity"),
    ("divergence_factor", NAN, "be greater than 1"),
    ("num_sweeps", 0, "be from 1 to 100"),
    ("num_sweeps", 101, "be from 1 to 100"),
    ("search_budget", -0.1, "be in [0, 1)"),
    ("search_budget", 1, "be in [0, 1)"),
    ("search_budget", NAN, "be in [0, 1)"),
    ("trial_steps", -1, "be from 0 to 100,000"),
    ("trial_steps", 100_001, "be from 0 to 100,000"),
    ("seed", -1, "be from 0 to 2**31 - 1"),
    ("seed", 2**31, "be from 0 to 2**31 - 1"),
    ("learning_rate_name", "", "not be empty"),
    ("on_failure", "ignore", "be one of ('raise', 'default')"),
    ("on_failure", "", "be one of ('raise', 'default')"),
]
WRONG_TYPE = [
    (name, value)
    for name, kind in TYPES.items()
    for value in {
        float: ("1e-3", True, [0.1], 1 + 0j),
        int: ("100", True, False, 100.0),
        str: (1, True, b"raise"),
    }[kind]
]
NOT_NONE = [name for name in TYPES if name != "default_learning_rate"]


def documented_arguments(docstring, section):
    """Returns the text of every argument in a Google-style docstring, by its name."""
    (body,) = re.findall(rf"^{section}:\n((?:    .*\n|\n)+)", inspect.cleandoc(docstring), re.M)
    entries = re.findall(r"^    (\w+): (.*(?:\n {8}.*)*)", body, re.M)
    return {name: re.sub(r"\s+", " ", text) for name, text in entries}


def test_defaults_are_those_that_are_documented():
    """1e-6 to 10 in 200 steps, smoothed by 0.98, stopped at four times the best loss."""
    assert dataclasses.asdict(SweepOptions()) == DEFAULTS


@pytest.mark.parametrize(
    ("name", "value", "rule"), OUT_OF_RANGE, ids=[f"{n}={v!r}" for n, v, _ in OUT_OF_RANGE]
)
def test_value_out_of_range_is_refused(name, value, rule):
    """The message names the argument, its rule, what was received and what to choose."""
    received = float(value) if TYPES[name] is float else value
    message = f"Argument `{name}` must {rule}. Received: {name}={received!r}. Choose for example "

    with pytest.raises(ValueError, match=f"^{re.escape(message)}"):
        SweepOptions(**{name: value})


def test_fewer_than_seven_steps_a_decade_are_refused():
    """The message says how many the range needs; a narrower range needs fewer, but ten."""
    rule = (
        "Argument `num_steps` must be at least 10, and 7 for each decade of the range: "
        "fewer steps show no course. Received: "
    )
    narrow = {"min_learning_rate": 0.1, "max_learning_rate": 1}

    message = rule + "num_steps=49 for 7 decades. Choose at least 50, for example 200."
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        SweepOptions(num_steps=49)
    message = rule + "num_steps=200 for 311 decades. Choose at least 2178, for example 2178."
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        SweepOptions(min_learning_rate=1e-310)
    message = rule + "num_steps=9 for 1 decades. Choose at least 10, for example 200."
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        SweepOptions(num_steps=9, **narrow)
    with pytest.raises(ValueError, match=r"must be at least 10,.* num_steps=9\. Choose"):
        checked({"num_steps": 9})  # the range is known only when the pipeline runs

    assert SweepOptions(num_steps=10, **narrow).num_steps == 10


def test_range_too_narrow_for_its_steps_is_refused():
    """Its rates would be equal: that is known before the pipeline runs."""
    with pytest.raises(ValueError, match=r"must be further apart, for 200 rates.*Received: "):
        SweepOptions(min_learning_rate=1e-3, max_learning_rate=1e-3 * (1 + 1e-15))


@pytest.mark.parametrize(
    ("name", "value"), WRONG_TYPE, ids=[f"{name}={value!r}" for name, value in WRONG_TYPE]
)
def test_value_of_wrong_type_is_refused(name, value):
    """A bool is no number, a number is no name, and text is never converted."""
    message = (
        f"Argument `{name}` must be of type {TYPES[name].__name__}. "
        f"Received: {name}={value!r} of type {type(value).__name__}."
    )

    with pytest.raises(TypeError, match=f"^{re.escape(message)}"):
        SweepOptions(**{name: value})


@pytest.mark.parametrize("name", NOT_NONE)
def test_none_is_refused_except_for_the_default_rate(name):
    """None is not taken for the default: whoever passes it has made a mistake."""
    with pytest.raises(TypeError, match=rf"`{name}` .* Received: {name}=None of type NoneType"):
        SweepOptions(**{name: None})


def test_unknown_rule_is_refused_with_the_known_ones():
    """The message lists every rule there is."""
    with pytest.raises(
        ValueError, match=r"descent, minimum, slide, steepest, valley.*rule='magic'"
    ):
        SweepOptions(rule="magic")


@pytest.mark.parametrize("name", [name for name, kind in TYPES.items() if kind is float])
def test_integer_is_accepted_where_a_float_is_meant(name):
    """10 and 10.0 are the same rate; the option is a float afterwards."""
    value = 0 if name in ("smoothing", "search_budget") else 2
    others = {"on_failure": "default"} if name == "default_learning_rate" else {}

    option = getattr(SweepOptions(**{name: value}, **others), name)

    assert option == value
    assert type(option) is float


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("smoothing", 0.0),
        ("num_steps", 50),
        ("proof_steps", 10),
        ("seed", 2**31 - 1),
        ("divergence_factor", 1.0000001),
        ("rule", "valley"),
        ("rule", "steepest"),
        ("rule", "minimum"),
        ("rule", "slide"),
        ("learning_rate_name", "optimizer/rate"),
    ],
    ids=str,
)
def test_value_at_the_end_of_its_range_is_accepted(name, value):
    """The ends that belong to a range are in it."""
    assert getattr(SweepOptions(**{name: value}), name) == value


@pytest.mark.parametrize(("least", "greatest"), [(1.0, 0.1), (0.1, 0.1), (20, 10.0)], ids=str)
def test_empty_range_is_refused(least, greatest):
    """The last rate must be greater than the first."""
    message = (
        "`max_learning_rate` must be greater than `min_learning_rate`. Received: "
        f"min_learning_rate={float(least)}, max_learning_rate={float(greatest)}. Swap them"
    )

    with pytest.raises(ValueError, match=re.escape(message)):
        SweepOptions(min_learning_rate=least, max_learning_rate=greatest)


def test_least_rate_above_the_default_greatest_is_refused():
    """One end alone is checked against the default of the other."""
    with pytest.raises(ValueError, match=r"min_learning_rate=11\.0, max_learning_rate=10\.0"):
        SweepOptions(min_learning_rate=11)


@pytest.mark.parametrize(
    "options",
    [{"on_failure": "default"}, {"default_learning_rate": 1e-3}],
    ids=["default without a rate", "rate without default"],
)
def test_default_rate_without_its_use_is_refused(options):
    """`default_learning_rate` and `on_failure="default"` come together or not at all."""
    with pytest.raises(ValueError, match=r"must be given exactly if .* Give both, or neither"):
        SweepOptions(**options)


def test_default_rate_is_accepted_with_its_use():
    """Both given is the alternative to raising."""
    options = SweepOptions(on_failure="default", default_learning_rate=1e-3)

    assert (options.on_failure, options.default_learning_rate) == ("default", 1e-3)


def test_options_are_frozen():
    """What was checked cannot be changed afterwards."""
    with pytest.raises(dataclasses.FrozenInstanceError, match="seed"):
        SweepOptions().seed = 1


def test_checked_applies_the_rules_that_it_can():
    """A part of the options is checked by itself, and nothing is added to it."""
    assert checked({"min_learning_rate": 100, "seed": 3}) == {"min_learning_rate": 100.0, "seed": 3}


def test_checked_does_not_change_what_it_is_given():
    """Integers become floats in the result alone."""
    given = {"max_learning_rate": 10}

    checked(given)

    assert type(given["max_learning_rate"]) is int


@pytest.mark.parametrize(("name", "kind"), TYPES.items(), ids=list(TYPES))
def test_option_type_is_one_that_kubeflow_keeps(name, kind):
    """Every option is a float, an int or a str."""
    assert OPTION_TYPES[name] is kind


@pytest.mark.parametrize("name", TYPES)
def test_option_default_is_the_component_argument_default(name):
    """The component's signature has the options' defaults."""
    parameter = inspect.signature(LearningRateFinder.__init__).parameters[name]

    assert parameter.default == DEFAULTS[name]


@pytest.mark.parametrize(("name", "kind"), TYPES.items(), ids=list(TYPES))
def test_option_is_an_execution_parameter(name, kind):
    """Each is recorded with the execution, so that another value is not served from the cache."""
    parameter = LearningRateFinderSpec.PARAMETERS[name]

    assert parameter.type is kind
    assert parameter.optional is (DEFAULTS[name] is None)


def test_component_arguments_are_inputs_and_parameters():
    """Spec and signature have the same names; only `module_path` is TFX's own."""
    arguments = set(inspect.signature(LearningRateFinder.__init__).parameters) - {"self"}
    spec = {*LearningRateFinderSpec.INPUTS, *LearningRateFinderSpec.PARAMETERS}

    assert spec - arguments == {"module_path"}
    assert arguments - spec == set()


def test_documented_arguments_are_the_signature():
    """The docstring has every argument, in the signature's order, and no other."""
    arguments = list(inspect.signature(LearningRateFinder.__init__).parameters)

    documented = documented_arguments(LearningRateFinder.__init__.__doc__, "Args")

    assert list(documented) == arguments[1:]


def test_documented_defaults_are_the_defaults():
    """Every default that the docstring states is the one that holds."""
    documented = documented_arguments(LearningRateFinder.__init__.__doc__, "Args")
    stated = {
        name: re.search(r"default `?([\w.+-]*\w)|`(\w+)` \(default\)", documented[name])
        for name in DEFAULTS
        if name != "default_learning_rate"
    }

    assert {name: match and (match[1] or match[2]) for name, match in stated.items()} == {
        "min_learning_rate": "1e-6",
        "max_learning_rate": "10",
        "num_steps": "200",
        "smoothing": "0.98",
        "divergence_factor": "4",
        "rule": "descent",
        "num_sweeps": "1",
        "search_budget": "0.1",
        "trial_steps": "0",
        "proof_steps": "120",
        "seed": "0",
        "learning_rate_name": "learning_rate",
        "on_failure": "raise",
    }


def test_documented_attributes_are_the_options():
    """The options' own docstring has each of them, in order."""
    assert list(documented_arguments(SweepOptions.__doc__, "Attributes")) == list(DEFAULTS)


def test_defaults_are_those_of_the_range_test():
    """A sweep in a notebook is the sweep of the component."""
    defaults = {
        name: parameter.default
        for name, parameter in inspect.signature(range_test).parameters.items()
        if name in OPTION_TYPES
    }

    assert len(defaults) == 6
    assert {name: getattr(SweepOptions(), name) for name in defaults} == defaults
