"""The pure parts of the speed benchmark: what is made of times, and the table."""

import time

import pytest
from speed import report
from speed.phases import timed
from speed.report import Result, at_least, at_most
from speed.timing import Spread, interleaved, ratio, ratios, spread


def test_spread_is_the_median_with_its_quartiles():
    """Of five values: the second, the third and the fourth, in any order."""
    assert spread([5.0, 1.0, 4.0, 2.0, 3.0]) == Spread(2.0, 3.0, 4.0)
    assert spread([5.0, 1.0, 4.0, 2.0, 3.0]).scaled(10) == Spread(20.0, 30.0, 40.0)


def test_ratio_is_taken_round_by_round():
    """A machine that is three times slower in one round does not change it."""
    times = {"ours": [2.0, 6.0, 2.0], "theirs": [1.0, 3.0, 1.0]}

    assert ratios(times, "ours", "theirs") == [2.0, 2.0, 2.0]
    assert ratio(times, "ours", "theirs") == Spread(2.0, 2.0, 2.0)


def test_ratio_of_unequal_rounds_is_refused():
    """Each time needs its partner."""
    with pytest.raises(ValueError, match="shorter"):
        ratio({"ours": [1.0, 2.0], "theirs": [1.0]}, "ours", "theirs")


def test_every_contender_has_every_place_in_a_round():
    """Three contenders in three rounds: each is first, second and third once."""
    order = []
    contenders = {name: lambda name=name: order.append(name) for name in "abc"}

    times = interleaved(contenders, 3)

    assert "".join(order) == "abcbcacab"
    assert {name: len(values) for name, values in times.items()} == {"a": 3, "b": 3, "c": 3}


def test_time_of_a_contender_is_the_wall_time():
    """Sleeping counts."""
    times = interleaved({"sleeps": lambda: time.sleep(0.02)}, 2)

    assert min(times["sleeps"]) >= 0.02


class Clockwork:
    """Something with a method to be timed."""

    def turn(self, seconds):
        """Takes its time."""
        time.sleep(seconds)
        return seconds


def test_phases_add_up():
    """Two calls are one phase."""
    with timed({"turning": (Clockwork, "turn")}) as seconds:
        assert [Clockwork().turn(0.02), Clockwork().turn(0.01)] == [0.02, 0.01]

    assert seconds["turning"] >= 0.03


def test_timing_of_phases_is_taken_off_after_an_error():
    """The class has its own method again; what was spent before the error counts."""
    own = Clockwork.turn
    phases = {}

    def fails():
        with timed({"turning": (Clockwork, "turn")}) as seconds:
            phases["seconds"] = seconds
            Clockwork().turn(0.01)
            Clockwork().turn("a")

    with pytest.raises(TypeError, match="integer"):
        fails()

    assert phases["seconds"]["turning"] >= 0.01
    assert Clockwork.turn is own


@pytest.mark.parametrize(
    ("target", "value", "verdict"),
    [
        (at_most(1.05), 1.05, "pass"),
        (at_most(1.05), 1.06, "**miss**"),
        (at_least(3), 3.0, "pass"),
        (at_least(3), 2.99, "**miss**"),
        (at_most(1.05), float("nan"), "**miss**"),
        (None, 7.0, ""),
        (at_most(1.05), None, ""),
    ],
    ids=["at_most", "above", "at_least", "below", "nan", "no_target", "not_measured"],
)
def test_verdict_compares_the_value_with_its_target(target, value, verdict):
    """The bound itself is still a pass; what is not a number is none."""
    assert Result("x", value, "x", target=target).verdict == verdict


def test_table_shows_value_quartiles_target_and_verdict():
    """Quartiles only where there are several measurements."""
    results = [
        Result.of("sweep / limit", Spread(1.0, 1.12345, 1.2), "x", at_most(1.05)),
        Result("Tuner", 1234.5, "s"),
        Result("rate", 0.01, ""),
        Result("container", None, "s"),
    ]

    assert report.table(results).splitlines()[2:] == [
        "| sweep / limit | 1.12 x | 1 to 1.2 | at most 1.05 | **miss** |",
        "| Tuner | 1234 s |  |  |  |",
        "| rate | 0.01 |  |  |  |",
        "| container | not measured |  |  |  |",
    ]


def test_report_has_every_part_that_was_measured(tmp_path):
    """One measured later joins the others, one measured again replaces itself; targets lead."""
    report.write_part(tmp_path, 2, [Result("old", 1.0, "s")])
    report.write_part(tmp_path, 2, [Result("new", 2.0, "s", 1.5, 2.5, at_most(3.0))])
    report.write_part(tmp_path, 1, [Result("first", 3.0, "ms/step")])

    text = report.write_report(tmp_path)

    assert text == (tmp_path / "report.md").read_text()
    assert text.index("## 1. ") < text.index("| first |") < text.index("## 2. ")
    assert "| new | 2 s | 1.5 to 2.5 | at most 3 | pass |" in text
    assert text.startswith("## Targets\n")
    assert text.index("| 2. new | 2 s | 1.5 to 2.5 | at most 3 | pass |") < text.index("## 1. ")
    assert "1. first" not in text
    assert "old" not in text
    assert "TensorFlow 2." in text
