"""The picture of curves that a notebook shows."""

from pathlib import Path

import numpy as np
import pytest
from IPython.core.formatters import DisplayFormatter

from tfx_lr_finder import Evidence, NoLearningRateError, Suggestion, Verdict, plot_curve, suggest
from tfx_lr_finder.views.plot import plot


@pytest.fixture(scope="module")
def curve(make_curve):
    """A curve that falls and rises again."""
    rates = 10 ** np.linspace(-6, 1, 100)
    noise = np.random.default_rng(0).normal(0, 0.005, rates.size)
    return make_curve(1.5 - 1 / (1 + 3e-3 / rates) + (rates / 0.3) ** 2 + noise, rates)


def test_picture_is_that_of_the_component(curve):
    """The same PNG as in a sweep artifact, with the default rule's suggestion."""
    assert plot_curve(curve) == plot(Evidence.of(suggest(curve), [curve]))


def test_picture_shows_the_given_suggestion(curve):
    """Another rule, another picture."""
    assert plot_curve(curve, suggest(curve, "minimum")) != plot_curve(curve)


def test_picture_shows_every_curve(curve):
    """Of several sweeps all are drawn, with the suggestion of them all."""
    curves = [curve, curve]

    assert plot_curve(curves) == plot(Evidence.of(suggest(curves), curves))


def test_notebook_shows_the_picture(curve):
    """IPython's own formatter takes it for a PNG."""
    shown, _ = DisplayFormatter().format(plot_curve(curve), include=["image/png"])

    assert shown == {"image/png": bytes(plot_curve(curve))}


def test_picture_can_be_written_to_a_file(curve, tmp_path):
    """It is the bytes of the file."""
    file = Path(tmp_path, "curve.png")

    file.write_bytes(plot_curve(curve))

    assert file.read_bytes().startswith(b"\x89PNG\r\n\x1a\n")


def test_curve_without_a_rate_has_no_suggestion(make_curve):
    """The reason is the rule's; with a suggestion of one's own there is a picture."""
    flat = make_curve(np.ones(100))

    with pytest.raises(NoLearningRateError, match=r"No learning rate can be suggested \(flat\)"):
        plot_curve(flat)
    assert plot_curve(flat, Suggestion(1e-3, "own", Verdict.FLAT))
