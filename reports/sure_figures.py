"""How sure: what the resamples name, and the gains beside zero and the tolerance."""

import plotly.graph_objects as go

from depthprobe.reports.figures import Figure, frame
from depthprobe.reports.measured import Certainty
from depthprobe.reports.numbers import gain_title, points, size
from depthprobe.reports.palette import BLUE, INK, MUTED, wash

HEIGHT = 300


def draw_shares(certainty: Certainty) -> Figure:
    """One bar per candidate: the share of resamples that names it; those in the 95 % range are dark."""
    low, high = certainty.range95 or (0, 0)
    names = [str(depth) for depth, _ in certainty.shares]
    figure = go.Figure(
        go.Bar(
            x=names,
            y=[100 * share for _, share in certainty.shares],
            text=[_percent(share) for _, share in certainty.shares],
            textposition="outside",
            cliponaxis=False,
            marker={"color": [BLUE if low <= depth <= high else wash(BLUE, 0.3) for depth, _ in certainty.shares]},
            hovertemplate=f"%{{x}} {certainty.axis.counted}: %{{y:.1f}} % of resamples<extra></extra>",
        )
    )
    frame(figure, HEIGHT, bargap=0.35, showlegend=False)
    top = 100 * max(share for _, share in certainty.shares)
    figure.update_xaxes(title_text=certainty.axis.short, type="category")
    figure.update_yaxes(title_text="resamples that name it (%)", range=(0, 1.15 * top), rangemode="tozero")
    said = ", ".join(f"{certainty.axis.name(depth)} {_percent(share)}" for depth, share in certainty.shares if share)
    return Figure(figure, f"Bar chart of the {certainty.axis.noun} that resamples name: {said}.", HEIGHT)


def draw_gains(certainty: Certainty) -> Figure:
    """Each gain with its interval, in points; zero, tolerance and resolution as lines."""
    names = [label.replace("over the ", "over the<br>") for label, _ in certainty.gains]
    gains = [gain for _, gain in certainty.gains]
    units, scale = certainty.units, 100 if certainty.units.fraction else 1
    figure = go.Figure(
        go.Scatter(
            x=[scale * gain.value for gain in gains],
            y=names,
            mode="markers",
            marker={"size": 11, "color": BLUE},
            error_x={
                "array": [scale * (gain.high - gain.value) for gain in gains],
                "arrayminus": [scale * (gain.value - gain.low) for gain in gains],
                "color": BLUE,
                "thickness": 3,
                "width": 7,
            },
            customdata=[[points(gain.low, units), points(gain.high, units)] for gain in gains],
            hovertemplate=("%{x:+.1f} points" if units.fraction else f"%{{x:+.{units.decimals}f}}") + "<br>"
            "%{customdata[0]} to %{customdata[1]}<extra></extra>",
        )
    )
    frame(figure, HEIGHT, showlegend=False)
    _add_line(figure, 0, "no gain", INK, "solid", 0)
    _add_line(figure, scale * certainty.tolerance, "tolerance", MUTED, "dot", 0)
    if certainty.resolution > 0:
        _add_line(figure, scale * certainty.resolution, "resolved", MUTED, "dash", 1)
    figure.update_xaxes(title_text=gain_title(units), showgrid=True)
    figure.update_yaxes(range=(len(gains) - 0.4, -0.6), showgrid=False, ticks="")
    said = "; ".join(
        f"{label} {points(g.value, units)} ({points(g.low, units)} to {points(g.high, units)})"
        for label, g in certainty.gains
    )
    return Figure(
        figure,
        f"Gains{' in points' if units.fraction else ''}: {said}; tolerance {size(certainty.tolerance, units)}.",
        HEIGHT,
    )


def _add_line(figure: go.Figure, value: float, text: str, colour: str, dash: str, lift: int) -> None:
    figure.add_shape(
        type="line", x0=value, x1=value, y0=0, y1=1, yref="paper", layer="below",
        line={"color": colour, "width": 1.3, "dash": dash},
    )  # fmt: skip
    figure.add_annotation(
        x=value, y=1, yref="paper", yanchor="bottom", yshift=15 * lift, showarrow=False, text=text,
        xanchor="right" if value == 0 else "left", font={"size": 11, "color": colour},
    )  # fmt: skip


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %" if share >= 0.01 or share == 0 else "< 1 %"
