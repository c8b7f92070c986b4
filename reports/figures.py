"""What all figures share: frame, axes, and their text for the page."""

import json
from dataclasses import dataclass
from typing import Any

import plotly.graph_objects as go

from depthprobe.reports.palette import FAINT, INK, MUTED

FONT = 'system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif'
CLEAR = "rgba(0,0,0,0)"


@dataclass(frozen=True)
class Figure:
    """A drawn figure. label: what it shows, for those who do not see it; height: in CSS pixels."""

    drawing: go.Figure
    label: str
    height: int

    def to_json(self) -> str:
        """Plotly's JSON, safe inside a script element."""
        return script_json(json.loads(self.drawing.to_json()))


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
