"""The training itself: accuracy and the ratio of every gate, against the step."""

from collections.abc import Sequence
from typing import Any

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from depthprobe.counting import number_of
from depthprobe.reports.course_tables import gate_names, name_of
from depthprobe.reports.figures import Figure, frame, safe
from depthprobe.reports.loss_figures import ENTRY, dash_of
from depthprobe.reports.measured import Course, GateMap, Line
from depthprobe.reports.numbers import axis_title, listed
from depthprobe.reports.palette import BLUE, EMPTY, FAINT, MUTED, PAPER, seed_colour

ABOVE, BELOW = 300, 60  # height of the accuracy row; of everything that is no row


def draw_course(course: Course) -> Figure:
    """Above: the metric of every training. Below: a map of ratios for every closing order."""
    rows = [ABOVE, *(max(70, min(420, 16 * len(gates.ratios))) for gates in course.gates)]
    height = sum(rows) + 40 * len(rows) + BELOW + 40 + ENTRY * len(course.lines)
    figure = make_subplots(
        rows=len(rows), cols=1, shared_xaxes=True, row_heights=rows, vertical_spacing=36 / height,
        subplot_titles=["", *(_map_title(gates) for gates in course.gates)],
    )  # fmt: skip
    frame(figure, height, hovermode="closest", legend={"y": 1, "yanchor": "bottom"})
    figure.update_annotations(font={"size": 12, "color": MUTED}, x=0, xanchor="left")
    ranks = {seed: rank for rank, seed in enumerate(dict.fromkeys(line.seed for line in course.lines))}
    for line in course.lines:
        _add_line(figure, line, seed_colour(ranks[line.seed]))
    if course.marks:
        _add_marks(figure, course, ranks)
    for row, gates in enumerate(course.gates, start=2):
        _add_map(figure, gates, [safe(name) for name in gate_names(course, gates)], row)
    figure.update_yaxes(title_text=axis_title(course.units), **_heights(course), row=1, col=1)
    last = max((line.steps[-1] for line in course.lines), default=1)
    figure.update_xaxes(range=(0, 1.01 * last))
    figure.update_xaxes(title_text="step (updates)", tickformat=",d", row=len(rows), col=1)
    ramped = number_of(len(course.gates[0].ratios), "gate") if course.gates else ""
    maps = f", with heat maps of the ratio of {ramped} below" if ramped else ""
    seeds = number_of(len(ranks), "seed")
    label = f"Line chart of validation {course.units.metric} against the training step for {seeds}{maps}."
    return Figure(figure, label, height)


def _heights(course: Course) -> dict[str, Any]:
    """Fractions from 0 to 1; of other metrics what was measured cooled, and the lines as far as that allows."""
    if course.units.fraction:
        return {"range": (0, 1.02), "tickformat": ".1f"}
    values = [mark.value for mark in course.marks] or [value for line in course.lines for value in line.values]
    low, high = min(values), max(values)
    margin = (high - low) or abs(high) or 1.0
    return {"range": (low - margin, high + 0.2 * margin)}


def _map_title(gates: GateMap) -> str:
    which = f"seed{'' if len(gates.seeds) == 1 else 's'} {listed(gates.seeds)}"
    return f"ratio p of each gate, {which}"


def _add_line(figure: go.Figure, line: Line, colour: str) -> None:
    figure.add_scatter(
        x=line.steps,
        y=line.values,
        name=name_of(line),
        mode="lines",
        line={"color": colour, "width": 1.8, "dash": dash_of(line)},
        legendgroup=f"seed {line.seed}",
        hovertemplate=f"seed {line.seed}, {line.arm}<br>step %{{x:,}}: %{{y:.3f}}<extra></extra>",
        row=1,
        col=1,
    )


def _add_marks(figure: go.Figure, course: Course, ranks: dict[int, int]) -> None:
    """Diamonds: the cooled branches; thin lines through all rows: the ends of the holds."""
    figure.add_scatter(
        x=[mark.step for mark in course.marks],
        y=[mark.value for mark in course.marks],
        customdata=[[mark.seed, course.axis.name(mark.depth), mark.walk] for mark in course.marks],
        name="measured, cooled",
        mode="markers",
        marker={
            "symbol": "diamond",
            "size": 7,
            "color": [seed_colour(ranks.get(mark.seed, 0)) for mark in course.marks],
            "line": {"width": 1, "color": PAPER},
        },
        hovertemplate="seed %{customdata[0]}, %{customdata[1]}, %{customdata[2]}<br>cooled: %{y:.3f}<extra></extra>",
        row=1,
        col=1,
    )
    for step in sorted({mark.step for mark in course.marks if mark.hold}):
        figure.add_shape(
            type="line", x0=step, x1=step, xref="x", y0=0, y1=1, yref="paper", layer="below",
            line={"color": FAINT, "width": 1},
        )  # fmt: skip


def _add_map(figure: go.Figure, gates: GateMap, names: Sequence[str], row: int) -> None:
    figure.add_heatmap(
        x=gates.steps,
        y=names,
        z=gates.ratios,
        zmin=0,
        zmax=1,
        colorscale=[[0, EMPTY], [1, BLUE]],
        ygap=2,
        showscale=False,
        hovertemplate="%{y}, step %{x:,}: p = %{z:.2f}<extra></extra>",
        row=row,
        col=1,
    )
    figure.update_yaxes(
        type="category", autorange="reversed", showgrid=False, tickfont={"size": 11}, ticks="", row=row, col=1
    )
