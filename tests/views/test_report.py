"""The page of a sweep: valid, self-contained HTML with the verdict, the rules and the facts."""

import base64
import dataclasses
import hashlib
import json
import math
import re
import subprocess
import sys
from html.parser import HTMLParser

import numpy as np
import pytest
from bokeh.core.serialization import Deserializer
from bokeh.models import HoverTool, Line

from tfx_lr_finder import Curve, StopReason, Suggestion, Verdict
from tfx_lr_finder.core.evidence import Evidence, Publication
from tfx_lr_finder.core.proof import JudgedOn, Proof
from tfx_lr_finder.core.trials.halving import Trial
from tfx_lr_finder.views.report import report

VOID = {"meta", "img", "link", "br", "hr", "input"}


DEFAULT = {"published": Publication(1e-3, Verdict.FLAT, is_default=True), "read": None}
"""What the evidence of a default rate holds."""


def page_of(*curves, suggestion=None, **evidence):
    """Returns the page of sweeps."""
    found = Evidence.of(suggestion or SUGGESTION, curves)
    return report(dataclasses.replace(found, **evidence), PICTURE)


class Page(HTMLParser):
    """Reads a page; fails where an element is not closed in order."""

    def __init__(self, text):
        """Parses the whole text."""
        super().__init__()
        self.open, self.elements, self.rows, self.texts = [], [], {}, []
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
        self.elements.append((tag, attrs))
        if tag not in VOID:
            self.open.append(tag)
        if tag == "tr":
            self._cells = []
        if tag in ("td", "th"):
            self._cells.append("")

    def handle_endtag(self, tag):
        """Closes the innermost element, which must be this one."""
        assert self.open.pop() == tag
        if tag == "tr":
            self.rows[self._cells[0]] = self._cells[1:]

    def handle_data(self, data):
        """Notes a text, and the cell that it is in."""
        if self.open and self.open[-1] in ("td", "th"):
            self._cells[-1] += data
        if self.open and self.open[-1] not in ("style", "script"):
            self.texts.append(data)

    @property
    def tags(self):
        """The names of all elements."""
        return [tag for tag, _ in self.elements]

    @property
    def attributes(self):
        """Element, name and value of all attributes."""
        return [(tag, *attribute) for tag, attributes in self.elements for attribute in attributes]

    @property
    def text(self):
        """All that a reader sees, with single spaces."""
        return " ".join(" ".join(self.texts).split())


def curve(losses, **attributes):
    """Returns a curve of these losses from 1e-4 to 1, not smoothed."""
    defaults = {
        "smoothing": 0.0,
        "stop_reason": StopReason.ALL_STEPS,
        "num_steps": len(losses),
        "batch_size": 16,
        "seed": 7,
    }
    rates = np.geomspace(1e-4, 1.0, len(losses))
    return Curve(rates, losses, **{**defaults, **attributes})


# The lowest loss is at the 31st of 41 rates, a tenth of a decade apart: at 0.1.
VALLEY = curve(np.r_[np.linspace(2.0, 0.5, 31), np.linspace(0.6, 1.5, 10)])
FLAT = curve(np.linspace(1.0, 2.0, 41))
SUGGESTION = Suggestion(0.0123, "valley", Verdict.OK)
PICTURE = b"\x89PNG\r\n\x1a\n of the sweep"


@pytest.fixture(scope="module")
def text():
    """The page of an ordinary sweep."""
    return page_of(VALLEY)


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


def test_page_names_nothing_elsewhere(page, text):
    """No style sheet, script, frame or address of another place; see also the browser's test."""
    sources = [value for _, name, value in page.attributes if name in ("src", "href", "srcset")]

    assert [source.partition(",")[0] for source in sources] == ["data:", "data:image/png;base64"]
    assert not {"iframe", "object", "embed"} & set(page.tags)
    readable = re.sub(r"[A-Za-z0-9+/=]{200,}", "", text)
    assert not re.search(r"https?:|//|@import|url\(|\son\w+=", readable)


def test_page_is_well_under_a_megabyte(text):
    """With Bokeh's script, which has more than one itself."""
    assert 300_000 < len(text) < 700_000


def test_picture_in_the_page_is_the_one_that_was_handed_over(page):
    """It is not drawn again."""
    (source,) = [value for _, name, value in page.attributes if name == "src"]

    assert base64.b64decode(source.partition(",")[2], validate=True) == PICTURE


def test_plot_and_picture_have_words_for_those_who_do_not_see_them(page):
    """Both have an alternative text."""
    words = [value for _, name, value in page.attributes if name in ("alt", "aria-label")]

    assert words.count("Loss over learning rate") == 2


def test_rate_is_title_and_heading(page):
    """Three digits, as in a tab of the browser and at the top of the page."""
    assert "Learning rate 0.0123 Learning rate 0.0123 Verdict" in page.text


def test_verdict_is_said_in_words(page):
    """Its name, what it means and what to do next."""
    assert "Verdict: ok. The model learns at this rate" in page.text
    assert "Train with it." in page.text


def test_options_in_the_words_of_a_verdict_are_code():
    """`num_steps` without its backticks."""
    text = page_of(VALLEY, suggestion=Suggestion(0.0123, "valley", Verdict.EDGE))

    assert "Verdict: edge of range." in Page(text).text
    assert "Raise <code>max_learning_rate</code>." in text


PROOF = Proof(0.0123, 0.5, 90.0, 1.0, (300.2,), 120, 0, JudgedOn.VALIDATION_DATA)


def test_proofs_and_what_they_had_to_get_below_are_on_the_page():
    """Each training with its steps and its loss, and the advice beside the verdict."""
    failed = dataclasses.replace(PROOF, learning_rate=0.05, loss=math.inf)
    page = Page(page_of(VALLEY, proofs=(failed, PROOF)))

    assert page.rows["0.05"] == ["120", "not finite"]
    assert page.rows["0.0123"] == ["120", "0.5"]
    bound = "90 at the start; best constant output 1; on validation data"
    assert page.rows["Loss to get below"] == [bound]
    assert "best constant output, 300.2: start the bias of the output layer there" in page.text
    assert "as 0.05, at which it did not learn; put to the proof by 2 trainings." in page.text


@pytest.mark.parametrize(("factor", "is_said"), [(1.0, False), (1000.0, True)])
def test_rules_that_contradict_each_other_are_told(factor, is_said):
    """Where their rates lie more than a decade apart."""
    losses = np.interp(np.arange(100), [0, 20, 60, 99], [2.0, 2.0, 1.0, 4.0])
    late = np.interp(np.arange(100), [0, 20, 22, 80, 99], [2.0, 2.0, 1.5, 1.0, 4.0])
    curve = dataclasses.replace(
        VALLEY,
        learning_rates=np.geomspace(0.11, 1, 100) if factor == 1 else np.geomspace(1e-6, 10, 100),
        losses=losses if factor == 1 else late,
        validation_losses=None,
        num_steps=100,
    )
    rates = [
        answer.learning_rate
        for answer in Evidence.of(SUGGESTION, [curve]).answers.values()
        if isinstance(answer, Suggestion)
    ]
    text = Page(page_of(curve)).text

    assert (max(rates) > 10 * min(rates)) is is_said
    assert ("The rules differ by more than a decade" in text) is is_said


@pytest.mark.parametrize(
    ("curves", "evidence", "origin"),
    [
        ([VALLEY], {}, "Read off 1 sweep by the rule valley."),
        ([VALLEY, VALLEY], {}, "Read off 2 sweeps by the rule valley."),
        (
            [VALLEY],
            {
                "read": Suggestion(0.00316, "valley", Verdict.OK),
                "trials": (Trial(0.01, 0.5, 50), Trial(0.03, 0.4, 50)),
            },
            "by the rule valley as 0.00316, then settled by 2 trials.",
        ),
        (
            [FLAT],
            DEFAULT,
            "The default rate was published: no rate could be read off 1 sweep.",
        ),
    ],
    ids=["one sweep", "several sweeps", "tried", "default"],
)
def test_page_says_where_the_rate_comes_from(curves, evidence, origin):
    """From sweeps, from trainings after them, or from the user."""
    assert origin in Page(page_of(*curves, **evidence)).text


def test_every_rule_is_listed(page):
    """What the other rules say of the same curve is seen beside the rule that was asked."""
    assert {"descent", "minimum", "slide", "steepest", "valley"} <= set(page.rows)


def test_rule_is_listed_with_its_answer(page):
    """`minimum` is a tenth of the rate of the lowest loss: of 0.1."""
    assert page.rows["minimum"] == ["0.01", "ok"]


def test_rule_is_listed_with_what_it_answers(page):
    """A reader need not know the names."""
    assert "minimum a tenth of the rate at which the smoothed loss is lowest 0.01 ok" in page.text


def test_other_rules_can_be_switched_on(page):
    """A box for each, not ticked; those of the losses and of the rate found are."""
    boxes = [dict(attributes) for tag, attributes in page.elements if tag == "input"]

    assert {"minimum 0.01", "learning rate 0.0123"} <= {box["value"] for box in boxes}
    assert [box["value"] for box in boxes if "checked" in box] == [
        "batch loss",
        "smoothed loss",
        "learning rate 0.0123",
    ]


def test_validation_loss_can_be_switched_off():
    """A box of its own, ticked, with a dotted line; under the mouse its values."""
    text = page_of(dataclasses.replace(VALLEY, validation_losses=VALLEY.losses + 7))
    boxes = [dict(attributes) for tag, attributes in Page(text).elements if tag == "input"]

    assert "validation loss" in [box["value"] for box in boxes if "checked" in box]
    assert "border-top-style: dotted" in text
    assert f"validation {VALLEY.losses[0] + 7:.4g})" in text


@pytest.fixture(scope="module")
def flat_page():
    """The page of a sweep whose loss never fell, with a default rate."""
    return Page(page_of(FLAT, **DEFAULT))


@pytest.mark.parametrize("rule", ["minimum", "steepest", "valley"])
def test_rule_without_an_answer_is_listed_with_the_reason(flat_page, rule):
    """A curve that only rises has no such rate; the page says `flat`."""
    assert flat_page.rows[rule] == ["none", "flat"]


def test_trials_are_listed_with_their_losses():
    """Each rate with its steps and the loss at the end, or that it was not finite."""
    trials = (Trial(0.004, 0.41, 50), Trial(0.0125, 0.302, 200), Trial(0.04, float("inf"), 50))

    rows = Page(page_of(VALLEY, trials=trials)).rows

    assert (rows["0.004"], rows["0.0125"]) == (["50", "0.41"], ["200", "0.302"])
    assert rows["0.04"] == ["50", "not finite"]


def test_trials_can_be_switched_off():
    """A box for all of them, ticked."""
    text = page_of(VALLEY, trials=(Trial(0.004, 0.41, 50),))
    boxes = [dict(attributes) for tag, attributes in Page(text).elements if tag == "input"]

    assert "trial at a constant rate" in [box["value"] for box in boxes if "checked" in box]


@pytest.mark.parametrize(("rule", "is_drawn"), [("descent", True), ("valley", False)])
def test_what_the_default_rule_reads_can_be_switched_off(rule, is_drawn):
    """Its smoothed loss and its landmark have a box each, ticked; other rules read neither."""
    text = page_of(VALLEY, suggestion=dataclasses.replace(SUGGESTION, rule=rule))
    boxes = [dict(of) for tag, of in Page(text).elements if tag == "input"]

    ticked = {box["value"] for box in boxes if "checked" in box}
    labels = {"loss as the rule reads it", "landmark of the rule"}
    assert labels & ticked == (labels if is_drawn else set())


def test_page_without_trials_has_no_table_of_them(page):
    """There is nothing to see."""
    assert "Trials" not in page.text


def test_facts_of_the_sweep_are_listed():
    """Everything that the rate rests on."""
    stopped = curve(
        np.linspace(2.0, 1.0, 41),
        stop_reason=StopReason.DIVERGED,
        num_steps=51,
        train_steps=400,
        model="net",
        optimizer="Adam",
        num_replicas=2,
        gradient_accumulation_steps=4,
    )
    versions = {"tfx": "1.16.0", "keras": "3.12.0"}

    origin = {"Pipeline": "penguin", "Training splits": "train"}
    about = {"versions": versions, "seconds": 12.34, "ended": 1.8e9, "origin": origin}
    rows = Page(page_of(stopped, **about)).rows

    facts = {name: cells[0] for name, cells in rows.items()}
    assert (
        facts.items()
        >= {
            "Date": "2027-01-15 08:00 UTC",
            "Pipeline": "penguin",
            "Training splits": "train",
            "Model": "net",
            "Optimizer": "Adam",
            "Learning rates": "0.0001 to 10",
            "Steps done": "41 of 51",
            "Ended because": "the loss diverged",
            "Batch size": "16",
            "Replicas": "2",
            "Batches a step": "4",
            "Training to come": "400 steps",
            "Smoothing": "0",
            "Seed": "7",
            "Duration": "12.3 s",
            "Versions": "tfx 1.16.0, keras 3.12.0",
        }.items()
    )


def test_facts_of_every_sweep_are_listed():
    """Steps and seeds of each, the spread of all, each reason once."""
    second = curve(VALLEY.losses, seed=8)
    found = Suggestion(0.0123, "valley", Verdict.OK, spread=0.1234)

    rows = Page(page_of(VALLEY, second, suggestion=found)).rows

    assert rows["Steps done"] == ["41 of 41, 41 of 41"]
    assert rows["Ended because"] == ["every step was done"]
    assert rows["Seed"] == ["7, 8"]
    assert rows["Spread"] == ["0.12 decades"]


def test_interval_is_listed_where_there_is_one(page):
    """0.45 decades around the rate, the width of its rule; a default rate has none."""
    assert page.rows["Expected rate"] == ["0.00436 to 0.0347 in 9 of 10 repetitions"]
    assert "Expected rate" not in Page(page_of(FLAT, **DEFAULT)).rows


def test_what_is_not_known_is_not_listed(page):
    """A model without a name, a spread of a single sweep; the budget's absence is said."""
    assert not {"Model", "Optimizer", "Versions", "Spread"} & set(page.rows)
    assert page.rows["Training to come"] == ["not known"]


def test_what_is_as_usual_is_not_listed(page):
    """One replica, and one batch for each step."""
    assert not {"Replicas", "Batches a step"} & set(page.rows)


@pytest.mark.parametrize("place", ["model", "optimizer", "rule", "version"])
def test_text_is_escaped(place):
    """A name that looks like markup is shown, not obeyed, wherever it comes from."""
    name = "</script><script>alert(1)</script> & \"quotes\" 'single' {{ 7 * 7 }}"
    names = {"model": "", "optimizer": "", "rule": "valley", "version": "1", place: name}
    sweep = curve(VALLEY.losses, model=names["model"], optimizer=names["optimizer"])
    found = Suggestion(0.0123, names["rule"], Verdict.OK)

    text = page_of(sweep, suggestion=found, versions={"a": names["version"]})

    assert name in Page(text).text
    assert text.count("<script") == text.count("</script>") == 1


def test_same_evidence_is_the_same_page(text):
    """Byte for byte: no date, no machine, no path, no count of earlier pages."""
    assert page_of(VALLEY) == text


def test_same_evidence_is_the_same_page_in_another_process(text):
    """Nothing depends on the order of a set, which changes between processes.

    Nor does the page need Bokeh's Python, which takes half a second to import.
    """
    code = (
        "import hashlib, pickle, sys\n"
        "from tfx_lr_finder.core.evidence import Evidence\n"
        "from tfx_lr_finder.views.report import report\n"
        "text = report(Evidence.from_json(sys.argv[1]), bytes.fromhex(sys.argv[2]))\n"
        "assert not any(name.startswith('bokeh') for name in sys.modules), 'half a second'\n"
        "print(hashlib.sha256(text.encode()).hexdigest())\n"
    )
    evidence = Evidence.of(SUGGESTION, [VALLEY]).to_json()

    other = subprocess.run(
        [sys.executable, "-c", code, evidence, PICTURE.hex()],
        capture_output=True,
        text=True,
        check=True,
    )

    assert other.stdout.strip() == hashlib.sha256(text.encode()).hexdigest()


STOPPED = curve(VALLEY.losses[:30], stop_reason=StopReason.DIVERGED, num_steps=41)
VALIDATED = dataclasses.replace(VALLEY, validation_losses=VALLEY.losses + 7)
POINT = curve([2.0], stop_reason=StopReason.NON_FINITE, num_steps=41)


@pytest.mark.parametrize(
    ("curves", "lines"),
    [([VALLEY], 2), ([STOPPED], 2), ([VALIDATED, STOPPED, VALLEY], 7), ([POINT], 2)],
    ids=["one sweep", "stopped", "several", "a point"],
)
def test_plot_is_in_the_words_of_bokeh(curves, lines, caplog):
    """Bokeh's own models read it; an attribute or a value unknown to them would be told."""
    (described,) = re.findall(r"embed_item\((\{.*\})\);", page_of(*curves))
    (plot,) = Deserializer().deserialize(json.loads(described)["doc"]["roots"])

    assert caplog.records == []
    named = [renderer for renderer in plot.renderers if renderer.name]
    (hover,) = plot.select({"type": HoverTool})
    assert sum(isinstance(renderer.glyph, Line) for renderer in named) == lines
    assert set(hover.renderers) == set(plot.renderers) - set(named)
    assert {grid.axis for grid in plot.center} == {*plot.below, *plot.left}
    np.testing.assert_allclose(named[0].data_source.data["y"], curves[0].losses, rtol=1e-6)


def test_page_of_a_single_point_says_why():
    """A sweep that ended at once has a page too, where a default rate was asked for."""
    one = Curve([1e-4], [2.0], 0.98, StopReason.NON_FINITE, 100, 0, batch_size=16)

    rows = Page(page_of(one, **DEFAULT)).rows

    assert rows["Steps done"] == ["1 of 100"]
    assert rows["slide"] == ["none", "diverged_at_start"]
