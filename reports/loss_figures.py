"""Losses: of every training against the step, and of the range test against the rate."""

import math
from collections.abc import Sequence
from typing import Any

import plotly.graph_objects as go

from depthprobe.counting import number_of
from depthprobe.reports.course_tables import name_of
from depthprobe.reports.figures import Figure, frame, log_ticks
from depthprobe.reports.holding import RateTest
from depthprobe.reports.measured import Course, Line
from depthprobe.reports.palette import BLUE, DASHES, GOOD, GREEN, ORANGE, PINK, seed_colour

HEIGHT = 340
ENTRY = 9  # height that a line's entry in the legend takes, several standing beside one another
OF_KIND = {"control": "dash", "at ": "dashdot", "verify": "dot"}  # by how a training's name begins


def draw_losses(course: Course) -> Figure:
    """Training loss of every arm; on a logarithmic axis where all are positive."""
    figure = go.Figure()
    ranks = {seed: rank for rank, seed in enumerate(dict.fromkeys(line.seed for line in course.lines))}
    lines = [line for line in course.lines if line.losses]
    for line in lines:
        figure.add_scatter(
            x=line.loss_steps,
            y=line.losses,
            name=name_of(line),
            mode="lines",
            line={"color": seed_colour(ranks[line.seed]), "width": 1.5, "dash": dash_of(line)},
            legendgroup=f"seed {line.seed}",
            hovertemplate=f"{name_of(line)}<br>step %{{x:,}}: %{{y:.3g}}<extra></extra>",
        )
    height = HEIGHT + ENTRY * len(lines)
    frame(figure, height, hovermode="closest", legend={"y": 1, "yanchor": "bottom"})
    axis = _loss_axis([loss for line in lines for loss in line.losses])
    figure.update_xaxes(title_text="step (updates)", tickformat=",d")
    figure.update_yaxes(title_text="training loss", **axis)
    seeds = number_of(len(ranks), "seed")
    label = f"Line chart of the training loss against the step for {seeds}, every training of the probe."
    return Figure(figure, label, height)


def dash_of(line: Line) -> str:
    """How a training is drawn: the walk solid, controls dashed, trainings from scratch dotted, others in between."""
    kind = next((kind for kind in OF_KIND if line.arm.startswith(kind)), "")
    return OF_KIND.get(kind, "solid")


def draw_range(test: RateTest) -> Figure:
    """Loss against the rising rate, one line per sweep, and the rate that was chosen."""
    figure = go.Figure()
    for rank, (rates, losses) in enumerate(test.sweeps):
        figure.add_scatter(
            x=rates,
            y=losses,
            name=f"sweep {rank + 1}",
            mode="lines",
            line={"color": (BLUE, PINK, ORANGE)[rank % 3], "width": 1.6, "dash": DASHES[rank % 3]},
            hovertemplate="rate %{x:.2g}: loss %{y:.3g}<extra></extra>",
        )
    frame(figure, HEIGHT, hovermode="closest")
    chosen = ""
    if test.chosen is not None:
        figure.add_vline(x=test.chosen, line={"color": GREEN, "width": 2})
        figure.add_annotation(
            x=math.log10(test.chosen), y=1, yref="paper", yanchor="bottom", showarrow=False,
            text=f"chosen: {test.chosen:.2g}", font={"size": 12, "color": GOOD},
        )  # fmt: skip
        chosen = f"; {test.chosen:.2g} was chosen"
    swept = [rate for rates, _ in test.sweeps for rate in rates]
    figure.update_xaxes(title_text="learning rate", type="log", showgrid=True, **log_ticks(min(swept), max(swept)))
    figure.update_yaxes(
        title_text="training loss", **_loss_axis([loss for _, losses in test.sweeps for loss in losses])
    )
    sweeps = number_of(len(test.sweeps), "sweep")
    label = f"Line chart of the training loss while the learning rate rises, {sweeps}{chosen}."
    return Figure(figure, label, HEIGHT)


def _loss_axis(losses: Sequence[float]) -> dict[str, Any]:
    """A logarithmic axis where all losses are positive: they fall by decades, and blow up by as many."""
    return {"type": "log", **log_ticks(min(losses), max(losses))} if min(losses) > 0 else {}
