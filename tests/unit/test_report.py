"""The page of a sweep: valid, self-contained HTML with the verdict, the rules and the facts."""

import base64
import re
from html.parser import HTMLParser

import numpy as np
import pytest

from tfx_lr_finder import Curve, StopReason, Suggestion, Verdict
from tfx_lr_finder.plot import plot
from tfx_lr_finder.report import report

VOID = {"meta", "img", "link", "br", "hr", "input"}


def reported(curve, suggestion):
    """Returns the page with the picture of the same sweep."""
    return report(curve, suggestion, plot(curve, suggestion))


class Page(HTMLParser):
    """Reads a page; fails where an element is not closed in order."""

    def __init__(self, text):
        """Parses the whole text."""
        super().__init__()
        self.open, self.tags, self.attributes, self.rows, self.texts = [], [], [], {}, []
        self.declaration = None
        self._cells = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_decl(self, decl):
        """Notes the document type."""
        self.declaration = decl

    def handle_starttag(self, tag, attrs):
        """Notes an element and its attributes."""
        self.tags.append(tag)
        self.attributes += [(tag, *attribute) for attribute in attrs]
        if tag not in VOID:
            self.open.append(tag)
        if tag == "tr":
            self._cells = []

    def handle_endtag(self, tag):
        """Closes the innermost element, which must be this one."""
        assert self.open.pop() == tag
        if tag == "tr":
            self.rows[self._cells[0]] = self._cells[1]

    def handle_data(self, data):
        """Notes a text, and the cell that it is in."""
        if self.open and self.open[-1] in ("td", "th"):
            self._cells.append(data)
        if self.open and self.open[-1] != "style":
            self.texts.append(data)

    @property
    def text(self):
        """All that a reader sees, with single spaces."""
        return " ".join(" ".join(self.texts).split())


def curve(losses, stop_reason=StopReason.ALL_STEPS, num_steps=None):
    """Returns a curve of these losses from 1e-4 to 1, not smoothed."""
    return Curve(
        learning_rates=np.geomspace(1e-4, 1.0, len(losses)),
        losses=losses,
        smoothing=0.0,
        stop_reason=stop_reason,
        num_steps=num_steps or len(losses),
        batch_size=16,
        seed=7,
    )


# The lowest loss is at the 31st of 41 rates, a tenth of a decade apart: at 0.1.
VALLEY = curve(np.r_[np.linspace(2.0, 0.5, 31), np.linspace(0.6, 1.5, 10)])
FLAT = curve(np.linspace(1.0, 2.0, 41))
SUGGESTION = Suggestion(0.0123, "valley", Verdict.OK)


@pytest.fixture(scope="module")
def text():
    """The page of an ordinary sweep."""
    return reported(VALLEY, SUGGESTION)


@pytest.fixture(scope="module")
def page(text):
    """The same page, parsed."""
    return Page(text)


def test_page_is_an_html_document(page):
    """A document type, a head with a title, a body; every element closed in order."""
    assert page.declaration == "DOCTYPE html"
    assert page.tags[:2] == ["html", "head"]
    assert [page.tags.count(tag) for tag in ("html", "head", "title", "body", "h1")] == [1] * 5
    assert ("meta", "charset", "utf-8") in page.attributes
    assert ("html", "lang", "en") in page.attributes


def test_page_needs_nothing_from_elsewhere(page, text):
    """No script, no link, no style sheet, no address: the picture is part of the page."""
    sources = [value for _, name, value in page.attributes if name in ("src", "href", "srcset")]

    assert [source.partition(",")[0] for source in sources] == ["data:image/png;base64"]
    assert not {"script", "link", "iframe", "object", "embed"} & set(page.tags)
    markup = re.sub(r"base64,[^\"]+", "", text)
    assert not re.search(r"https?:|//|@import|url\(|\son\w+=", markup)


def test_picture_in_the_page_is_the_plot(page):
    """The same bytes as the PNG beside it."""
    (source,) = [value for _, name, value in page.attributes if name == "src"]

    assert base64.b64decode(source.partition(",")[2], validate=True) == plot(VALLEY, SUGGESTION)


def test_picture_has_words_for_those_who_do_not_see_it(page):
    """The image has an alternative text."""
    assert [value for _, name, value in page.attributes if name == "alt"] == [
        "Loss over learning rate"
    ]


def test_rate_is_title_and_heading(page):
    """Three digits, as in a tab of the browser and at the top of the page."""
    assert page.texts.count("Learning rate 0.0123") == 2


def test_verdict_is_said_in_words(page):
    """Its name, what it means and what to do next."""
    assert "ok : The loss falls clearly" in page.text
    assert "Train with it." in page.text


def test_every_rule_is_listed(page):
    """What the other rules say of the same curve is seen beside the rule that was asked."""
    assert {"descent", "minimum", "slide", "steepest", "valley"} <= set(page.rows)


def test_rule_is_listed_with_its_answer(page):
    """`minimum` is a tenth of the rate of the lowest loss: of 0.1."""
    assert page.rows["minimum"] == "0.01"


@pytest.fixture(scope="module")
def flat_page():
    """The page of a sweep whose loss never fell, with a default rate."""
    return Page(reported(FLAT, Suggestion(1e-3, "default", Verdict.FLAT)))


@pytest.mark.parametrize("rule", ["minimum", "steepest", "valley"])
def test_rule_without_an_answer_is_listed_with_the_reason(flat_page, rule):
    """A curve that only rises has no such rate; the page says `flat` instead of a number."""
    assert flat_page.rows[rule] == "flat"


def test_default_rate_is_not_said_to_be_found(flat_page):
    """The page names the default as such, with the verdict and its remedy."""
    assert flat_page.rows["rule"] == "default"
    assert "flat : The loss never fell." in flat_page.text


def test_facts_of_the_sweep_are_listed():
    """Range, steps, why it stopped, batch size, smoothing and seed."""
    stopped = curve(np.linspace(2.0, 1.0, 41), StopReason.DIVERGED, num_steps=200)

    rows = Page(reported(stopped, SUGGESTION)).rows

    assert rows["range of learning rates"] == "0.0001 to 1"
    assert rows["steps done"] == "41 of 200"
    assert rows["stopped because"] == "diverged"
    assert (rows["batch size"], rows["smoothing"], rows["seed"]) == ("16", "0", "7")


def test_rule_that_was_asked_is_a_fact(page):
    """The page says which of the rules the rate is from."""
    assert page.rows["rule"] == "valley"


def test_text_is_escaped():
    """A name that looks like markup is shown, not obeyed."""
    name = "<script>alert(1)</script> & \"quotes\" 'single'"

    text = reported(VALLEY, Suggestion(0.0123, name, Verdict.OK))

    assert Page(text).rows["rule"] == name
    assert "<script" not in text


def test_same_curve_is_the_same_page(text):
    """Byte for byte: no date, no machine, no path."""
    assert reported(VALLEY, SUGGESTION) == text


def test_page_of_a_single_point_says_too_few():
    """A sweep that ended at once has a page too, where a default rate was asked for."""
    one = Curve([1e-4], [2.0], 0.98, StopReason.NON_FINITE, 100, 16, 0)

    rows = Page(reported(one, Suggestion(1e-3, "default", Verdict.DIVERGED_AT_START))).rows

    assert rows["steps done"] == "1 of 100"
    assert rows["slide"] == "too_few_points"
