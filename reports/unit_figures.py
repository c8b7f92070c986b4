"""Unit by unit: what is missed without each, and how wide each is and should be."""

from collections.abc import Sequence

import plotly.graph_objects as go

from depthprobe.reports.figures import NOTHING_ABOVE, Figure, frame, safe
from depthprobe.reports.measured import DepthCurve
from depthprobe.reports.numbers import gain_title, gained
from depthprobe.reports.palette import BLUE, GREEN, MUTED, ORANGE, wash
from depthprobe.reports.view import Ranking, Widths

ROW, FRAME = 22, 120  # height of one bar, and of everything else


def draw_ranking(ranking: Sequence[Ranking], curve: DepthCurve) -> Figure:
    """One bar per unit: what the network loses without it alone; removed ones in green."""
    rows = [row for row in ranking if row.loss is not None]
    scale = 100 if curve.units.fraction else 1
    figure = go.Figure(
        go.Bar(
            y=[safe(row.unit) for row in rows],
            x=[scale * (row.loss or 0.0) for row in rows],
            orientation="h",
            marker={"color": [GREEN if row.removed else wash(BLUE, 0.75) for row in rows]},
            hovertemplate="%{y}: %{x:.3g} lost<extra></extra>",
        )
    )
    height = FRAME + ROW * len(rows)
    frame(figure, height, bargap=0.3, showlegend=False, margin=NOTHING_ABOVE)
    title = gain_title(curve.units).replace("gain", "lost without it")
    figure.update_xaxes(title_text=title, showgrid=True, zeroline=True, zerolinecolor=MUTED)
    figure.update_yaxes(type="category", autorange="reversed", showgrid=False, ticks="")
    said = ", ".join(f"{row.unit} {gained(-(row.loss or 0.0), curve.units)}" for row in rows)
    return Figure(figure, f"Bar chart of what is lost without each unit alone: {said}.", height)


def draw_widths(widths: Widths) -> Figure:
    """Three bars per unit: channels now, advised, and enough alone."""
    names = [safe(row.unit) for row in widths.units]
    figure = go.Figure()
    advised = [row.advised if row.advised is not None else None for row in widths.units]
    for name, values, colour in (
        ("now", [row.current for row in widths.units], wash(MUTED, 0.45)),
        ("advised (measured together)", advised, GREEN),
        ("enough alone, without training", [row.enough for row in widths.units], wash(ORANGE, 0.6)),
    ):
        figure.add_bar(
            x=names, y=values, name=name, marker={"color": colour},
            hovertemplate=f"%{{x}}, {name}: %{{y}} channels<extra></extra>",
        )  # fmt: skip
    frame(figure, 360, barmode="group", bargap=0.25, bargroupgap=0.05, margin=NOTHING_ABOVE)
    figure.update_xaxes(title_text="unit, in order of the data flow", type="category")
    figure.update_yaxes(title_text="channels", rangemode="tozero")
    said = ", ".join(f"{row.unit} {row.current} to {row.advised or 'undecided'}" for row in widths.units)
    return Figure(figure, f"Bar chart of the channels of every unit, now and advised: {said}.", 360)
