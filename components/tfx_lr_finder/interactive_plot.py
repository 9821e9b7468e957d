"""The plot of the report, to hover over and to zoom: described with Bokeh, drawn by its script."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
from bokeh.core.types import ID
from bokeh.embed import json_item
from bokeh.models import (
    BoxZoomTool,
    ColumnDataSource,
    CrosshairTool,
    Grid,
    HoverTool,
    Line,
    LinearAxis,
    LogAxis,
    LogScale,
    PanTool,
    Plot,
    Range1d,
    ResetTool,
    Toolbar,
    VSpan,
    VStrip,
    WheelZoomTool,
)
from bokeh.models.glyph import Glyph

from tfx_lr_finder.curve import Array, Curve
from tfx_lr_finder.evidence import Evidence
from tfx_lr_finder.suggestion import Suggestion
from tfx_lr_finder.view import (
    GREY,
    RED,
    color,
    learning_rate_range,
    loss_range,
    losses_by_name,
    stop_reasons,
    sweep_names,
    unreached_range,
)

_FAINT = "99"
"""Behind a colour: 60% of it."""


@dataclasses.dataclass(frozen=True)
class Part:
    """What can be switched on and off in the plot.

    Attributes:
        label: What it is, in words.
        color: Its colour, as in CSS.
        line: Style of its line: `solid`, `dashed` or `dotted`.
        shown: Whether it is on at first.
    """

    label: str
    color: str
    line: str = "solid"
    shown: bool = True


class InteractivePlot:
    """The plot of a search: what the picture shows, and every other rule's rate to switch on.

    Under the mouse or a finger it shows the values of every sweep. Text and axes take their
    colours from the page's style sheet: Bokeh's variables `--bk-...`.

    Attributes:
        parts: What can be switched. The plot's renderers of a part are named after its label.
    """

    def __init__(self, evidence: Evidence) -> None:
        self.parts: list[Part] = []
        self._plot = _empty_plot(evidence)
        self._add_sweeps(evidence.curves)
        self._add_unreached(evidence.curves)
        self._add_rates(evidence)

    def to_dict(self, target: str) -> Any:
        """Returns what `Bokeh.embed.embed_item` draws into the page's element `target`.

        The same evidence gives the same, down to the identities of the plot's objects.
        """
        return _renumbered(json_item(self._plot, ID(target)), {})

    def _add_sweeps(self, curves: Sequence[Curve]) -> None:
        batch = Part("batch loss", f"{color(0)}{_FAINT}")
        validation = Part("validation loss", color(0), "dotted")
        for number, (curve, name) in enumerate(zip(curves, sweep_names(curves), strict=True)):
            smoothed = Part(f"smoothed loss{name and ', ' + name}", color(number))
            thin = Line(line_color=f"{color(number)}{_FAINT}", line_width=1.5)
            thick = Line(line_color=smoothed.color, line_width=3)
            self._add(batch, thin, x=curve.learning_rates, y=curve.losses)
            self._add(smoothed, thick, x=curve.learning_rates, y=curve.smoothed_losses)
            if curve.validation_losses is not None:
                dotted = Line(line_color=color(number), line_width=3, line_dash="dotted")
                self._add(validation, dotted, x=curve.learning_rates, y=curve.validation_losses)
        self._add_hover(curves)

    def _add_unreached(self, curves: Sequence[Curve]) -> None:
        unreached = unreached_range(curves)
        if unreached is not None:
            part = Part(f"not reached: {stop_reasons(curves)}", GREY)
            strip = VStrip(fill_color=GREY, fill_alpha=0.2, line_color=None)
            self._add(part, strip, x0=unreached[:1], x1=unreached[1:])

    def _add_rates(self, evidence: Evidence) -> None:
        found = evidence.suggestion.learning_rate
        self._add(
            Part(f"learning rate {found:.3g}", RED), VSpan(line_color=RED, line_width=3), x=[found]
        )
        for number, (rule, answer) in enumerate(evidence.answers.items(), 1):
            if isinstance(answer, Suggestion) and answer.learning_rate != found:
                rate = answer.learning_rate
                part = Part(f"{rule} {rate:.3g}", color(number), "dashed", shown=False)
                span = VSpan(line_color=part.color, line_dash=part.line, line_width=2)
                self._add(part, span, x=[rate])

    def _add(self, part: Part, glyph: Glyph, **columns: Any) -> None:
        if part not in self.parts:
            self.parts.append(part)
        source = ColumnDataSource({name: np.asarray(column) for name, column in columns.items()})
        self._plot.add_glyph(source, glyph, name=part.label, visible=part.shown)

    def _add_hover(self, curves: Sequence[Curve]) -> None:
        """Shows the values of all sweeps at a rate, beside the mouse, and a line through it."""
        rates = np.unique(np.concatenate([curve.learning_rates for curve in curves]))
        heights = np.full(rates.shape, np.nan)
        columns = {"rate": [f"{rate:.3g}" for rate in rates]}
        tooltips = {"learning rate": "@rate"}
        for number, (curve, name) in enumerate(zip(curves, sweep_names(curves), strict=True)):
            texts = np.full(rates.shape, "-", dtype=object)
            at = np.searchsorted(rates, curve.learning_rates)
            heights[at] = np.clip(curve.smoothed_losses, *loss_range(curves))
            losses = losses_by_name(curve)
            smoothed = losses.pop("smoothed loss")
            texts[at] = [f"{smoothed[i]:.4g} ({_listed(losses, i)})" for i in range(len(curve))]
            columns[f"sweep_{number}"] = texts.tolist()
            tooltips[name or "smoothed loss"] = f"@sweep_{number}"
        source = ColumnDataSource({"x": rates, "y": heights, **columns})
        target = self._plot.add_glyph(source, Line(line_alpha=0))
        self._plot.add_tools(
            HoverTool(renderers=[target], mode="vline", tooltips=_table(tooltips)),
            CrosshairTool(dimensions="height", line_color=GREY),
        )


def _empty_plot(evidence: Evidence) -> Plot:
    left, right = learning_rate_range(evidence)
    bottom, top = loss_range(evidence.curves)
    plot = Plot(
        x_scale=LogScale(),
        x_range=Range1d(start=left, end=right),
        y_range=Range1d(start=bottom, end=top),
        sizing_mode="stretch_both",
        title=None,
        border_fill_color=None,
        outline_line_color=None,
        toolbar_location="above",
        # No gesture is active at first: on a phone, a finger on the plot scrolls the page.
        toolbar=Toolbar(logo=None, active_drag=None, active_scroll=None),
    )
    x_axis = LogAxis(axis_label="learning rate (logarithmic)")
    y_axis = LinearAxis(axis_label="loss (mean over the examples)")
    plot.add_layout(x_axis, "below")
    plot.add_layout(y_axis, "left")
    plot.add_layout(Grid(axis=x_axis))
    plot.add_layout(Grid(axis=y_axis, dimension=1))
    plot.add_tools(PanTool(), BoxZoomTool(), WheelZoomTool(), ResetTool())
    return plot


def _listed(losses: dict[str, Array], index: int) -> str:
    return ", ".join(
        f"{name.removesuffix(' loss')} {line[index]:.4g}" for name, line in losses.items()
    )


def _table(rows: dict[str, str]) -> str:
    """Returns a table in HTML, for text of one's own: nothing is escaped."""
    cells = (f"<tr><th align=left>{name}</th><td>{value}</td></tr>" for name, value in rows.items())
    return f"<table>{''.join(cells)}</table>"


def _renumbered(part: Any, identities: dict[str, str]) -> Any:
    """Returns a plot's description with new identities: Bokeh counts all objects of a process."""
    if isinstance(part, (list, tuple)):
        return [_renumbered(element, identities) for element in part]
    if isinstance(part, dict):
        return {
            key: identities.setdefault(value, f"p{len(identities)}")
            if key in ("id", "root_id")
            else _renumbered(value, identities)
            for key, value in part.items()
        }
    return part
