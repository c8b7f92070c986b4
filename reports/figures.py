"""What all figures share: frame, axes, and their text for the page."""

import json
import math
from dataclasses import dataclass
from typing import Any

import plotly.graph_objects as go

from depthprobe.reports.palette import FAINT, INK, MUTED

FONT = 'system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif'
CLEAR = "rgba(0,0,0,0)"
NOTHING_ABOVE = {"l": 62, "r": 16, "t": 14, "b": 48}  # margins of a figure without words above it


@dataclass(frozen=True)
class Figure:
    """A drawn figure. label: what it shows, for those who do not see it; height: in CSS pixels."""

    drawing: go.Figure
    label: str
    height: int

    def to_json(self) -> str:
        """Plotly's JSON, numbers to five digits, safe inside a script element."""
        return script_json(_shortened(json.loads(self.drawing.to_json())))


def log_ticks(low: float, high: float) -> dict[str, Any]:
    """Marks of a logarithmic axis, `low` and `high` positive: 1, 2 and 5 of every decade, 1 only of many decades."""
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    digits = (1, 2, 5) if last - first <= 3 else (1,)
    values = [digit * 10.0**power for power in range(first, last + 1) for digit in digits]
    return {"tickmode": "array", "tickvals": values, "ticktext": [f"{value:g}" for value in values]}


def safe(name: str) -> str:
    """A name as plotly shows it: it reads some tags, so nothing of a user's name is one."""
    return name.replace("<", "(").replace(">", ")")


def _shortened(value: Any) -> Any:
    if isinstance(value, float):
        if not math.isfinite(value):
            return None
        short = float(f"{value:.5g}")
        return int(short) if short.is_integer() and abs(short) < 1e15 else short
    if isinstance(value, dict):
        return {key: _shortened(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_shortened(inner) for inner in value]
    return value


def script_json(document: Any) -> str:
    """JSON that cannot end the script element it stands in, whatever the names in it."""
    text = json.dumps(document, separators=(",", ":"), ensure_ascii=True)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def frame(figure: go.Figure, height: int, **layout: Any) -> go.Figure:
    """The common look: no background, quiet grid, legend below, nothing of plotly's default template."""
    axis = {
        "gridcolor": FAINT,
        "linecolor": MUTED,
        "zeroline": False,
        "ticks": "outside",
        "tickcolor": MUTED,
        "ticklen": 4,
        "automargin": True,
        "title": {"standoff": 10, "font": {"size": 13, "color": MUTED}},
    }
    figure.update_layout(
        template=None,
        height=height,
        font={"family": FONT, "size": 13, "color": INK},
        paper_bgcolor=CLEAR,
        plot_bgcolor=CLEAR,
        margin={"l": 62, "r": 16, "t": 44, "b": 48},
        hoverlabel={"font": {"family": FONT, "size": 13}, "align": "left"},
        modebar={"bgcolor": CLEAR, "color": MUTED, "activecolor": INK},
        legend={
            "orientation": "h",
            "x": 0,
            "xanchor": "left",
            "y": -0.2,
            "yanchor": "top",
            "font": {"size": 12},
        },
    )
    figure.update_xaxes(**axis, showgrid=False, showline=True)
    figure.update_yaxes(**axis)
    return figure.update_layout(**layout)
