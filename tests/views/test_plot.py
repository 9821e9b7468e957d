"""The picture of a sweep: a PNG in which the red line stands at the rate."""

import dataclasses
import hashlib
import io
import struct
import subprocess
import sys
import warnings

import numpy as np
import pytest
from matplotlib.image import imread

from tfx_lr_finder import Curve, StopReason, Suggestion, Verdict
from tfx_lr_finder.core.evidence import Evidence
from tfx_lr_finder.core.trials.halving import Trial
from tfx_lr_finder.views.plot import plot

RED = np.array([214, 39, 40]) / 255
BLUE, GREEN = np.array([47, 134, 209]) / 255, np.array([22, 150, 126]) / 255  # sweeps 1 and 2
ORANGE = np.array([224, 123, 57]) / 255
NUM_POINTS = 60


def curve(losses, **attributes):
    """Returns a curve with these losses, from 1e-5 to 1, not smoothed."""
    losses = np.asarray(losses, dtype=float)
    defaults = {
        "smoothing": 0.0,
        "stop_reason": StopReason.ALL_STEPS,
        "num_steps": losses.size,
        "batch_size": 8,
        "seed": 0,
    }
    rates = np.geomspace(1e-5, 1.0, losses.size) if losses.size > 1 else [1e-5]
    return Curve(rates, losses, **{**defaults, **attributes})


def picture_of(*curves, rate=1e-2, rule="valley", verdict=Verdict.OK):
    """Returns the picture of sweeps with a rate that was found."""
    return plot(Evidence.of(Suggestion(rate, rule, verdict), curves))


def valley(**attributes):
    """Returns a curve that falls and rises, a parabola over the logarithm of the rate."""
    return curve(np.linspace(-3, 2, NUM_POINTS) ** 2, **attributes)


@pytest.fixture(scope="module")
def picture():
    """The picture of the valley with its rate of 0.01."""
    return picture_of(valley())


@pytest.mark.parametrize(
    ("offset", "scale"),
    [(0, 1), (0, 1e-9), (0, -1e5), (12345.6, 1e-3), (-0.5, 1e-5), (0, 1e30)],
)
def test_labels_lie_within_the_picture(offset, scale):
    """Whatever the numbers at the axis: nothing is cut off at an edge."""
    losses = offset + scale * np.linspace(-3, 2, NUM_POINTS) ** 2

    image = pixels(picture_of(curve(losses)))

    for edge in (image[:2], image[-2:], image[:, :2], image[:, -2:]):
        assert np.all(edge == 1)


def pixels(picture):
    """Returns the colours of a PNG, shape `(height, width, 3)`, from 0 to 1."""
    return imread(io.BytesIO(picture), format="png")[..., :3]


def red_column(picture):
    """Returns the middle of the columns that are red over most of the axes' height."""
    red = np.abs(pixels(picture) - RED).max(axis=2) < 0.02
    height = red.sum(axis=0)
    return np.flatnonzero(height > 0.5 * height.max()).mean()


def count(colours, colour):
    """Returns the number of pixels that have a colour."""
    return np.sum(np.abs(colours - colour).max(axis=2) < 0.02)


def shaded_columns(picture):
    """Returns the columns within the axes that are light grey: lines of the grid are, too."""
    shade = 0.15 * np.array([128, 128, 128]) / 255 + 0.85
    grey = np.abs(pixels(picture)[:, 110:1185] - shade).max(axis=2) < 0.01
    return 110 + np.flatnonzero(grey.sum(axis=0) > 300)


def chunks(picture):
    """Returns the names of a PNG's chunks."""
    names, position = [], 8
    while position < len(picture):
        length, name = struct.unpack(">I4s", picture[position : position + 8])
        names.append(name.decode())
        position += 12 + length
    return names


def falling(**attributes):
    """Returns a curve that `descent` can read: it falls from 2 to 1, and rises again."""
    place = np.linspace(-1, 1, NUM_POINTS)
    return curve(1 + np.abs(place).clip(0, 0.8) / 0.8, **attributes)


def test_what_the_default_rule_reads_is_drawn_with_its_landmark():
    """In grey: a line along the curve, and a diamond on it, left of the lowest loss."""
    grey = np.array([128, 128, 128]) / 255
    other = picture_of(falling(), rule="valley")
    drawn = picture_of(falling(), rule="descent")

    is_grey = [np.abs(pixels(p)[:480] - grey).max(axis=2) < 0.02 for p in (other, drawn)]
    assert is_grey[1].sum() > 5 * is_grey[0].sum()
    added = is_grey[1].sum(axis=0) - is_grey[0].sum(axis=0)
    assert added.max() > 12
    assert 450 < added.argmax() < 640


@pytest.mark.parametrize("losses", [[1.0], np.ones(NUM_POINTS)], ids=["one point", "flat"])
def test_sweep_without_a_rate_shows_nothing_that_was_read(losses):
    """Beside another sweep, of which a rate was read."""
    drawn = picture_of(falling(), curve(losses, seed=1), rule="descent")

    assert drawn[1:4] == b"PNG"


def test_trials_are_points_at_their_rates_and_losses():
    """One of two is finite: left of the rate found, at half of the height; the legend has one."""
    trials = (Trial(1e-3, 4.5, 50), Trial(1e-1, float("inf"), 50))
    evidence = Evidence.of(Suggestion(1e-2, "valley", Verdict.OK), [valley()])

    without = plot(evidence)
    with_trials = plot(dataclasses.replace(evidence, trials=trials))

    assert count(pixels(without), ORANGE) == 0
    marked = np.abs(pixels(with_trials)[:400] - ORANGE).max(axis=2) < 0.02
    rows, columns = np.nonzero(marked)
    assert rows.size > 50
    assert red_column(with_trials) - columns.max() > 100
    assert rows.min() > 250


def test_interval_is_a_band_around_the_rate():
    """0.45 decades each way, the width of the rule, of the 5.35 decades that the axes show."""
    evidence = Evidence.of(Suggestion(1e-2, "valley", Verdict.OK), [valley()])
    published = dataclasses.replace(evidence.published, interval=None)

    def reddish(picture):
        shade = 0.12 * RED + 0.88
        columns = np.abs(pixels(picture) - shade).max(axis=2) < 0.01
        return np.flatnonzero(columns.sum(axis=0) > 200)

    band = reddish(plot(evidence))

    assert band.max() - band.min() == pytest.approx(0.9 / 5.35 * (1185 - 110), abs=15)
    assert (band.max() + band.min()) / 2 == pytest.approx(red_column(plot(evidence)), abs=3)
    assert reddish(plot(dataclasses.replace(evidence, published=published))).size == 0


def test_plot_is_a_png(picture):
    """The bytes begin with the signature of the format and end with its last chunk."""
    assert picture[:8] == b"\x89PNG\r\n\x1a\n"
    assert chunks(picture)[0] == "IHDR"
    assert chunks(picture)[-1] == "IEND"


def test_plot_has_the_size_of_a_screen(picture):
    """8 by 4.5 inches at 150 dots an inch: 1200 by 675."""
    assert struct.unpack(">II", picture[16:24]) == (1200, 675)


def test_plot_says_nothing_of_the_program_that_made_it(picture):
    """No text chunk: no name, version or date."""
    assert not {"tEXt", "iTXt", "zTXt", "tIME"} & set(chunks(picture))


def test_same_curve_is_the_same_picture_in_another_process(picture):
    """Bit for bit; and nothing needs pyplot, with its display and its state."""
    code = (
        "import hashlib, numpy as np\n"
        "from tfx_lr_finder import Curve, StopReason, Suggestion, Verdict\n"
        "from tfx_lr_finder.core.evidence import Evidence\n"
        "from tfx_lr_finder.views.plot import plot\n"
        "rates, losses = np.geomspace(1e-5, 1.0, 60), np.linspace(-3, 2, 60) ** 2\n"
        "curve = Curve(rates, losses, 0.0, StopReason.ALL_STEPS, 60, 0, batch_size=8)\n"
        "picture = plot(Evidence.of(Suggestion(1e-2, 'valley', Verdict.OK), [curve]))\n"
        "assert 'matplotlib.pyplot' not in __import__('sys').modules, 'pyplot was imported'\n"
        "print(hashlib.sha256(picture).hexdigest())\n"
    )

    other = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert other.stdout.strip() == hashlib.sha256(picture).hexdigest()


@pytest.mark.parametrize(
    "other",
    [{"rule": "steepest"}, {"verdict": Verdict.NOISY}],
    ids=["rule", "verdict"],
)
def test_picture_names_rule_and_verdict(picture, other):
    """Another rule or verdict with the same rate and losses is another picture."""
    assert picture_of(valley(), **other) != picture


def test_red_line_stands_at_the_rate_on_a_logarithmic_axis():
    """Two decades are twice as far as one, and the greater rate is to the right."""
    columns = [red_column(picture_of(valley(), rate=rate)) for rate in (1e-4, 1e-3, 1e-1)]

    decade, two_decades = np.diff(columns)
    assert decade > 100
    assert two_decades == pytest.approx(2 * decade, abs=2)


@pytest.mark.parametrize(("rate", "is_left"), [(1.02e-5, False), (1.23e-2, False), (0.987, True)])
def test_rate_is_written_beside_its_line_and_within_the_axes(rate, is_left):
    """At the top, where no legend is: right of the line, or left of it if there is no room."""
    picture = picture_of(valley(), rate=rate)

    red = np.abs(pixels(picture) - RED).max(axis=2) < 0.02
    label = np.flatnonzero(red[45:80].any(axis=0)) - red_column(picture)
    assert (label.min() < -30) == is_left
    assert (label.max() > 30) != is_left


def test_raw_loss_lies_behind_the_smoothed_one():
    """A smoothed curve is drawn beside the faint losses: a noisy curve has both colours."""
    noisy = valley().losses + np.where(np.arange(NUM_POINTS) % 2, 0.5, -0.5)
    smooth = Curve(
        valley().learning_rates, noisy, 0.9, StopReason.ALL_STEPS, NUM_POINTS, 0, batch_size=8
    )

    colours = pixels(picture_of(smooth))

    assert count(colours, BLUE) > 500
    assert count(colours, 0.3 * BLUE + 0.7) > 500


def test_validation_loss_is_dotted_and_within_the_axes():
    """In the sweep's colour; a loss far below the others' makes room for itself."""
    validated = valley(validation_losses=valley().losses - 20)

    blue = np.abs(pixels(picture_of(validated)) - BLUE).max(axis=2) < 0.02

    columns = blue[300:, 300:900].any(axis=0)
    assert 0.2 < columns.mean() < 0.95


def test_blow_up_does_not_hide_the_valley():
    """A loss of a million at the end leaves the shape of the fall in the picture as it is."""
    losses = np.linspace(2.0, 1.0, NUM_POINTS)
    losses[-1] = 1e6

    colours = pixels(picture_of(curve(losses)))

    blue = np.abs(colours - BLUE).max(axis=2) < 0.02
    rows = np.flatnonzero(blue[:, 300:900].any(axis=1))
    assert np.ptp(rows) > 100


def test_every_sweep_has_a_colour_of_its_own():
    """The second sweep is green beside the first, which is blue."""
    second = curve(valley().losses + 1, seed=1)

    alone, both = pixels(picture_of(valley())), pixels(picture_of(valley(), second))

    assert count(alone, GREEN) == 0
    assert count(both, GREEN) > 500
    assert count(both, BLUE) > 500


def test_rates_that_no_sweep_reached_are_shaded():
    """Grey from the last of the rates to where the sweep was to go, a third of the range."""
    whole = valley()
    rates, losses = whole.learning_rates[:40], whole.losses[:40]
    stopped = Curve(rates, losses, 0.0, StopReason.DIVERGED, NUM_POINTS, 0, batch_size=8)

    # The rate lies so low that its band leaves the grey area free.
    pictures = [picture_of(curve, rate=1e-3) for curve in (stopped, whole)]
    shaded = np.subtract(*(shaded_columns(picture).size for picture in pictures))

    decade = red_column(picture_of(whole, rate=1e-1)) - red_column(picture_of(whole, rate=1e-2))
    assert shaded == pytest.approx(5 * 20 / 59 * decade, abs=10)


def test_model_and_optimizer_are_named_as_they_are():
    """What looks like a formula to matplotlib is a name: it is shown, and nothing fails."""
    named = valley(model="price_in_$_of_{x", optimizer="Adam")

    assert picture_of(named) != picture_of(valley(optimizer="Adam"))


@pytest.mark.parametrize(
    ("losses", "rate"),
    [
        ([2.0], 1e-5),
        (np.zeros(20), 1e-3),
        (np.full(20, -3.5), 1e-3),
        (np.r_[np.ones(19), 1e30], 1e-3),
        (np.linspace(2.0, 1.0, 20), 1e3),
    ],
    ids=[
        "one point",
        "all zero",
        "constant, negative",
        "blow-up to 1e30",
        "rate above the range",
    ],
)
def test_any_curve_is_drawn_without_warnings(losses, rate):
    """A default rate has a picture too, whatever the sweep was; matplotlib has no complaint."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        picture = picture_of(curve(losses), rate=rate)

    assert 100 < red_column(picture) < 1199
