"""The interactive plot of the report, drawn by Bokeh's script in the browser.

The module writes Bokeh's JSON itself, because importing Bokeh's Python models takes half a second.
"""

import dataclasses
import importlib.metadata
import itertools
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from tfx_lr_finder.core.curve import Curve
from tfx_lr_finder.core.evidence import Evidence
from tfx_lr_finder.core.suggestion import Suggestion
from tfx_lr_finder.views.tooltip import listed, table
from tfx_lr_finder.views.view import (
    GREY,
    INTERVAL_OPACITY,
    LANDMARK_LABEL,
    LOSS_AXIS,
    RATE_AXIS,
    READ_LABEL,
    RED,
    TRIAL_COLOR,
    TRIAL_LABEL,
    color,
    constant_label,
    constant_loss,
    courses,
    landmark_point,
    learning_rate_range,
    loss_range,
    losses_by_name,
    smoothed_label,
    sweep_names,
    trial_points,
    unreached_label,
    unreached_range,
)

_FAINT = "99"
"""Alpha channel to append to a CSS colour `#rrggbb`: 60% opaque."""

_DIAMOND = {"type": "value", "value": "diamond"}

_Model = dict[str, Any]
"""A Bokeh object as its script reads it. Attributes that are left out have Bokeh's defaults."""


@dataclasses.dataclass(frozen=True)
class Part:
    """A group of lines in the plot that is switched on and off together.

    Attributes:
        label: Text beside the switch, and name of the renderers that it switches.
        color: CSS colour of the lines.
        line: Style of the lines: `solid`, `dashed` or `dotted`.
        shown: Whether the part is visible when the page opens.
    """

    label: str
    color: str
    line: str = "solid"
    shown: bool = True


class InteractivePlot:
    """The plot of a search: the content of the picture, and the rates of the other rules.

    The other rules' rates are hidden until they are switched on. Hovering or touching shows the
    values of every sweep at a rate. Text and axes take their colours from the page's style sheet,
    through Bokeh's variables `--bk-...`.

    Attributes:
        parts: The parts that can be switched on and off, in the order in which they were added.
    """

    def __init__(self, evidence: Evidence) -> None:
        self.parts: list[Part] = []
        self._identities = itertools.count()
        self._renderers: list[_Model] = []
        self._add_sweeps(evidence.curves)
        self._add_unreached(evidence.curves)
        self._add_constant(evidence.curves)
        self._add_courses(evidence)
        self._add_trials(evidence)
        self._add_rates(evidence)
        self._plot = self._framed(evidence)

    def to_dict(self, target: str) -> dict[str, Any]:
        """Returns the JSON with which `Bokeh.embed.embed_item` draws into the element `target`.

        Keep its order: Bokeh needs an object before the references to it.
        """
        return {
            "target_id": target,
            "root_id": self._plot["id"],
            "doc": {
                "version": importlib.metadata.version("bokeh"),
                "title": "",
                "roots": [self._plot],
            },
        }

    def _model(self, kind: str, /, **attributes: Any) -> _Model:
        identity = f"p{next(self._identities)}"
        return {"type": "object", "name": kind, "id": identity, "attributes": attributes}

    def _add_sweeps(self, curves: Sequence[Curve]) -> None:
        batch = Part("batch loss", f"{color(0)}{_FAINT}")
        validation = Part("validation loss", color(0), "dotted")
        for number, (curve, name) in enumerate(zip(curves, sweep_names(curves), strict=True)):
            hue = color(number)
            smoothed = Part(smoothed_label(name), hue)
            thin = self._model("Line", line_color=f"{hue}{_FAINT}", line_width=1.5)
            thick = self._model("Line", line_color=hue, line_width=3)
            self._add(batch, thin, x=curve.learning_rates, y=curve.losses)
            self._add(smoothed, thick, x=curve.learning_rates, y=curve.smoothed_losses)
            if curve.validation_losses is not None:
                dotted = self._model("Line", line_color=hue, line_width=3, line_dash="dotted")
                self._add(validation, dotted, x=curve.learning_rates, y=curve.validation_losses)

    def _add_unreached(self, curves: Sequence[Curve]) -> None:
        if (unreached := unreached_range(curves)) is not None:
            part = Part(unreached_label(curves), GREY)
            strip = self._model("VStrip", fill_color=GREY, fill_alpha=0.2, line_color=None)
            self._add(part, strip, x0=unreached[:1], x1=unreached[1:])

    def _add_constant(self, curves: Sequence[Curve]) -> None:
        if (constant := constant_loss(curves)) is not None:
            part = Part(constant_label(constant), GREY, "dashed")
            span = self._model("HSpan", line_color=GREY, line_dash=part.line, line_width=2)
            self._add(part, span, y=[constant])

    def _add_courses(self, evidence: Evidence) -> None:
        landmark = Part(LANDMARK_LABEL, GREY, "dotted")
        for course in courses(evidence):
            line = self._model("Line", line_color=GREY, line_width=1.5)
            self._add(Part(READ_LABEL, GREY), line, x=10**course.log_rates, y=course.smoothed)
            self._add_points(landmark, *landmark_point(course), marker=_DIAMOND, size=11)

    def _add_trials(self, evidence: Evidence) -> None:
        rates, losses = trial_points(evidence)
        if rates:
            self._add_points(Part(TRIAL_LABEL, TRIAL_COLOR, "dotted"), rates, losses, size=9)

    def _add_rates(self, evidence: Evidence) -> None:
        found, interval = evidence.published.learning_rate, evidence.published.interval
        part = Part(f"learning rate {found:.3g}", RED)
        self._add(part, self._model("VSpan", line_color=RED, line_width=3), x=[found])
        if interval:
            band = self._model(
                "VStrip", fill_color=RED, fill_alpha=INTERVAL_OPACITY, line_color=None
            )
            self._add(part, band, x0=interval[:1], x1=interval[1:])
        for number, (rule, answer) in enumerate(evidence.answers.items(), 1):
            if isinstance(answer, Suggestion) and answer.learning_rate != found:
                rate = answer.learning_rate
                part = Part(f"{rule} {rate:.3g}", color(number), "dashed", shown=False)
                span = self._model(
                    "VSpan", line_color=part.color, line_dash=part.line, line_width=2
                )
                self._add(part, span, x=[rate])

    def _add_points(self, part: Part, x: list[float], y: list[float], **looks: Any) -> None:
        glyph = self._model("Scatter", fill_color=part.color, line_color=None, **looks)
        self._add(part, glyph, x=x, y=y)

    def _add(self, part: Part, glyph: _Model, **columns: Iterable[float]) -> None:
        if part not in self.parts:
            self.parts.append(part)
        # Rounded to keep the page small: no plot shows a ninth digit.
        numbers = {name: [float(f"{x:.8g}") for x in column] for name, column in columns.items()}
        self._draw(glyph, numbers, name=part.label, visible=part.shown)

    def _draw(self, glyph: _Model, columns: dict[str, list[Any]], **attributes: Any) -> _Model:
        source = self._model("ColumnDataSource", data=columns)
        renderer = self._model("GlyphRenderer", data_source=source, glyph=glyph, **attributes)
        self._renderers.append(renderer)
        return renderer

    def _hover(self, curves: Sequence[Curve]) -> list[_Model]:
        """Returns tools that show the values of all sweeps, and a vertical line, at the mouse.

        The tooltip hangs on one invisible line with a point at every rate of any sweep.
        """
        rates = np.unique(np.concatenate([curve.learning_rates for curve in curves]))
        heights = np.empty_like(rates)
        columns = {"rate": [f"{rate:.3g}" for rate in rates]}
        tooltips = {"learning rate": "@rate"}
        for number, (curve, name) in enumerate(zip(curves, sweep_names(curves), strict=True)):
            texts = np.full(rates.shape, "-", dtype=object)
            at = np.searchsorted(rates, curve.learning_rates)
            heights[at] = np.clip(curve.smoothed_losses, *loss_range(curves))
            losses = losses_by_name(curve)
            smoothed = losses.pop("smoothed loss")
            texts[at] = [f"{smoothed[i]:.4g} ({listed(losses, i)})" for i in range(len(curve))]
            columns[f"sweep_{number}"] = texts.tolist()
            tooltips[name or "smoothed loss"] = f"@sweep_{number}"
        line = self._model("Line", line_alpha=0)
        target = self._draw(line, {"x": rates.tolist(), "y": heights.tolist(), **columns})
        hover = self._model(
            "HoverTool", renderers=[_reference(target)], mode="vline", tooltips=table(tooltips)
        )
        return [hover, self._model("CrosshairTool", dimensions="height", line_color=GREY)]

    def _framed(self, evidence: Evidence) -> _Model:
        """Returns the Bokeh plot with all renderers, axes, grid and tools."""
        left, right = learning_rate_range(evidence)
        bottom, top = loss_range(evidence.curves, trial_points(evidence)[1])
        x_axis = self._model("LogAxis", axis_label=RATE_AXIS)
        y_axis = self._model("LinearAxis", axis_label=LOSS_AXIS)
        names = ("PanTool", "BoxZoomTool", "WheelZoomTool", "ResetTool")
        tools = [*map(self._model, names), *self._hover(evidence.curves)]
        return self._model(
            "Plot",
            x_scale=self._model("LogScale"),
            x_range=self._model("Range1d", start=left, end=right),
            y_range=self._model("Range1d", start=bottom, end=top),
            sizing_mode="stretch_both",
            title=None,
            border_fill_color=None,
            outline_line_color=None,
            below=[x_axis],
            left=[y_axis],
            center=[
                self._model("Grid", axis=_reference(x_axis)),
                self._model("Grid", axis=_reference(y_axis), dimension=1),
            ],
            renderers=self._renderers,
            toolbar_location="above",
            # No gesture is active at first, so that on a phone a finger on the plot can scroll.
            toolbar=self._model(
                "Toolbar", tools=tools, logo=None, active_drag=None, active_scroll=None
            ),
        )


def _reference(model: _Model) -> dict[str, str]:
    return {"id": model["id"]}
