"""The report in Debian's Chromium: in both themes, on a phone and on paper, without network."""

import base64
import dataclasses
import io
import itertools
import re
import shutil

import numpy as np
import pytest
from matplotlib.image import imread
from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.support.wait import WebDriverWait

from tfx_lr_finder import Curve, StopReason, Suggestion, Verdict
from tfx_lr_finder.core.evidence import Evidence
from tfx_lr_finder.core.proof import JudgedOn, Proof
from tfx_lr_finder.views.plot import plot
from tfx_lr_finder.views.report import report

pytestmark = pytest.mark.needs("chromium", "chromedriver", packages="chromium chromium-driver")

MARKUP = "</script><script>window.obeyed = true</script><b>model</b>"
RATES = np.geomspace(1e-5, 1.0, 101)
DESKTOP, PHONE = (1200, 900), (390, 844)
RED, SECOND, MINIMUM = (214, 39, 40), (22, 150, 126), (148, 103, 215)

# All elements, also those of Bokeh's shadow trees.
ALL = """
const all = (root) => [...root.querySelectorAll("*")].flatMap(
  (element) => [element, ...(element.shadowRoot ? all(element.shadowRoot) : [])]);
"""
TOOLTIP = f"""{ALL}
return all(document).filter((element) => element.matches(".bk-Tooltip"))
  .map((element) => element.shadowRoot.querySelector("table")?.innerText).join();
"""
TOUCH = f"""{ALL}
return all(document).filter((element) => element.matches(".bk-events"))
  .map((element) => getComputedStyle(element).touchAction);
"""


def sweep(seed):
    """Returns a curve that falls and rises, and stops after 81 of 101 steps."""
    noise = np.random.default_rng(seed).normal(0, 0.02, 81)
    losses = 1.5 + (np.log10(RATES[:81]) + 2) ** 2 / 4 + noise
    return Curve(
        RATES[:81], losses, 0.5, StopReason.DIVERGED, 101, seed, batch_size=16, model=MARKUP
    )


EVIDENCE = dataclasses.replace(
    Evidence.of(Suggestion(3e-3, "valley", Verdict.OK, 0.1), [sweep(0), sweep(1)]),
    proofs=(Proof(3e-3, 0.5, 1.5, 1.4, (), 120, 0, JudgedOn.VALIDATION_DATA),),
    versions={"tfx-lr-finder": "0.1.0", "tfx": "1.16.0", "apache-beam": "2.62.0"},
    seconds=28.4,
    ended=1.8e9,
    origin={
        "Pipeline": "penguin",
        "Component": "LearningRateFinder",
        "Code": "model",
        "Examples": "/pipelines/penguin/Transform/transformed_examples/4",
        "Training splits": "train",
    },
)


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    """The report as a file."""
    path = tmp_path_factory.mktemp("report") / "report.html"
    path.write_text(report(EVIDENCE, plot(EVIDENCE)), "utf-8")
    return path.as_uri()


@pytest.fixture(scope="module")
def chromium():
    """A browser without a window, which keeps what is written to its console."""
    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium")
    # Root, in a container, can have no sandbox, and little shared memory.
    for argument in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    browser = webdriver.Chrome(options, Service(shutil.which("chromedriver")))
    browser.set_page_load_timeout(120)
    yield browser
    browser.quit()


def show(browser, address, theme="light", size=DESKTOP, media="screen", scripts=True):
    """Loads the report anew; returns when it is drawn."""
    command = browser.execute_cdp_cmd
    width, height = size
    metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": size == PHONE}
    command("Emulation.setDeviceMetricsOverride", metrics)
    command("Emulation.setTouchEmulationEnabled", {"enabled": size == PHONE})
    features = [{"name": "prefers-color-scheme", "value": theme}]
    command("Emulation.setEmulatedMedia", {"media": media, "features": features})
    command("Emulation.setScriptExecutionDisabled", {"value": not scripts})
    browser.get_log("browser")
    browser.get(address)
    if scripts:
        drawn = "return document.querySelector('.drawn') !== null && Bokeh.documents[0].is_idle"
        WebDriverWait(browser, 60).until(lambda b: b.execute_script(drawn))


def pixels(browser):
    """Returns the colours of what is to be seen of the plot, shape `(n, 3)`, from 0 to 255."""
    picture = browser.find_element(By.ID, "plot").screenshot_as_png
    return 255 * imread(io.BytesIO(picture), format="png")[..., :3].reshape(-1, 3)


def count(browser, colour):
    """Returns the number of pixels of the plot that have a colour."""
    return int(np.sum(np.abs(pixels(browser) - colour).max(axis=1) < 8))


def is_shown(browser, selector):
    """Returns whether an element is to be seen."""
    return browser.find_element(By.CSS_SELECTOR, selector).is_displayed()


@pytest.fixture(
    scope="module",
    params=[("light", DESKTOP), ("dark", DESKTOP), ("light", PHONE), ("dark", PHONE)],
    ids=["light", "dark", "light, phone", "dark, phone"],
)
def page(request, chromium, address):
    """The report in either theme, on a desktop and on a phone."""
    show(chromium, address, *request.param)
    return chromium


def test_console_has_no_complaint(page):
    """Neither error nor warning: from the page, from Bokeh, from the browser."""
    assert [entry for entry in page.get_log("browser") if entry["level"] != "INFO"] == []


def test_nothing_is_loaded(page):
    """No script, font, picture or icon from anywhere but the page itself."""
    assert page.execute_script("return performance.getEntriesByType('resource')") == []


def test_plot_takes_the_place_of_the_picture(page):
    """One of both is to be seen."""
    assert is_shown(page, "#plot")
    assert not is_shown(page, "figure img")


def test_sweeps_and_rate_are_drawn(page):
    """The red line and the second sweep are there, hundreds of pixels long."""
    assert count(page, RED) > 300
    assert count(page, SECOND) > 300


def test_other_rules_are_not_drawn_at_first(page):
    """They are there to be switched on."""
    assert count(page, MINIMUM) < 20


def test_nothing_is_wider_than_the_screen(page):
    """A reader scrolls in one direction only."""
    width = page.execute_script("return document.scrollingElement.scrollWidth - innerWidth")

    assert width <= 0


@pytest.mark.parametrize(
    ("theme", "paper", "ink"),
    [("light", 255, 0), ("dark", 22, 255)],
    ids=["light", "dark"],
)
def test_text_of_the_plot_has_the_colour_of_the_theme(chromium, address, theme, paper, ink):
    """Most is paper, and something of it is ink: the numbers at the axes."""
    show(chromium, address, theme)

    brightness = pixels(chromium).mean(axis=1)

    assert np.median(brightness) == pytest.approx(paper, abs=8)
    assert np.sum(np.abs(brightness - ink) < 60) > 100


def test_plot_follows_a_change_of_the_theme(chromium, address):
    """A desktop that turns dark in the evening does not leave black text on black."""
    show(chromium, address, "light")
    features = [{"name": "prefers-color-scheme", "value": "dark"}]

    chromium.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})

    bright = lambda b: np.sum(pixels(b).mean(axis=1) > 200) in range(100, 20000)  # noqa: E731
    WebDriverWait(chromium, 20).until(bright)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_hover_shows_the_values_of_every_sweep(chromium, address, theme):
    """The rate under the mouse, and the losses of both sweeps at it, as they are in the curves."""
    show(chromium, address, theme)
    assert chromium.execute_script(TOOLTIP) == ""
    plot, aside = chromium.find_element(By.ID, "plot"), itertools.cycle([0, 1])

    def hover(browser):
        """A hand moves the mouse more than once, and a busy browser may drop a single move."""
        ActionChains(browser).move_to_element_with_offset(plot, next(aside), 0).perform()
        return browser.execute_script(TOOLTIP)

    text = " ".join(WebDriverWait(chromium, 20).until(hover).split())
    rate = float(re.search(r"learning rate ([\d.e-]+)", text)[1])
    at = int(np.argmin(np.abs(np.log(RATES / rate))))
    assert 20 < at < 81
    for number, curve in enumerate(EVIDENCE.curves, 1):
        smoothed, loss = curve.smoothed_losses[at], curve.losses[at]
        assert f"sweep {number} (seed {curve.seed}) {smoothed:.4g} (batch {loss:.4g})" in text


def test_finger_on_the_plot_scrolls_the_page(chromium, address):
    """No gesture of the plot is active at first."""
    show(chromium, address, size=PHONE)

    assert chromium.execute_script(TOUCH) != []
    assert set(chromium.execute_script(TOUCH)) <= {"auto", "pan-x pan-y"}


def test_rules_are_switched_on_and_off(chromium, address):
    """A click on the name of a rule draws its rate; another one takes it away."""
    show(chromium, address)
    (label,) = [
        element
        for element in chromium.find_elements(By.TAG_NAME, "label")
        if element.text.startswith("minimum")
    ]

    label.click()
    WebDriverWait(chromium, 20).until(lambda b: count(b, MINIMUM) > 100)
    label.click()
    WebDriverWait(chromium, 20).until(lambda b: count(b, MINIMUM) < 20)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_paper_is_white_and_has_the_picture(chromium, address, theme):
    """The plot that cannot be hovered over there gives way; the colours are those of day."""
    show(chromium, address, theme, media="print")

    assert is_shown(chromium, "figure img")
    assert not is_shown(chromium, "#plot")
    colours = "const {color, backgroundColor} = getComputedStyle(document.body);"
    assert chromium.execute_script(colours + "return [color, backgroundColor]") == [
        "rgb(28, 30, 33)",
        "rgb(255, 255, 255)",
    ]


def test_report_is_one_sheet_of_paper(chromium, address):
    """Header, picture and tables, in the style for paper."""
    show(chromium, address, media="print")

    printed = base64.b64decode(chromium.execute_cdp_cmd("Page.printToPDF", {})["data"])

    assert printed.startswith(b"%PDF-")
    assert len(re.findall(rb"/Type /Page\b", printed)) == 1


def test_without_scripts_the_picture_is_shown(chromium, address):
    """As in a mail, or in a viewer that runs no scripts."""
    show(chromium, address, scripts=False)

    assert is_shown(chromium, "figure img")
    assert not is_shown(chromium, "#plot")


def test_name_that_is_a_script_is_shown_and_not_run(chromium, address):
    """The model's name is the user's."""
    show(chromium, address)

    assert chromium.execute_script("return window.obeyed") is None
    assert MARKUP in chromium.find_element(By.ID, "facts").text
