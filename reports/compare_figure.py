"""The curves of several runs in one figure."""

from collections.abc import Sequence

import plotly.graph_objects as go

from depthprobe.reports.figures import NOTHING_ABOVE, Figure, frame, safe
from depthprobe.reports.measured import DepthCurve
from depthprobe.reports.numbers import axis_title
from depthprobe.reports.palette import DASHES, SEEDS, seed_colour, wash

HEIGHT = 440


def draw_comparison(curves: Sequence[tuple[str, DepthCurve]]) -> Figure:
    """One line with its band per run; a star where it recommends."""
    figure = go.Figure()
    for rank, (label, curve) in enumerate(curves):
        colour, dash = seed_colour(rank), DASHES[rank // len(SEEDS) % len(DASHES)]
        _add_band(figure, curve, label, colour)
        figure.add_scatter(
            x=[one.depth for one in curve.candidates],
            y=[one.score.value for one in curve.candidates],
            name=safe(label),
            legendgroup=label,
            mode="lines+markers",
            line={"color": colour, "width": 2.5, "dash": dash},
            marker={
                "symbol": ["star" if one.depth == curve.recommended else "circle" for one in curve.candidates],
                "size": [15 if one.depth == curve.recommended else 7 for one in curve.candidates],
            },
            hovertemplate=f"{safe(label)}, %{{x}} {curve.axis.counted}: %{{y:.3f}}<extra></extra>",
        )
    frame(figure, HEIGHT, hovermode="closest", margin=NOTHING_ABOVE)
    first = curves[0][1]
    figure.update_xaxes(title_text=first.axis.title)
    figure.update_yaxes(title_text=axis_title(first.units), tickformat=".3~f" if first.units.fraction else ".4~g")
    label = f"Line chart of {first.units.metric} against {first.axis.noun} for {len(curves)} runs."
    return Figure(figure, label, HEIGHT)


def _add_band(figure: go.Figure, curve: DepthCurve, label: str, colour: str) -> None:
    depths = [one.depth for one in curve.candidates]
    figure.add_scatter(
        x=[*depths, *reversed(depths)],
        y=[one.score.high for one in curve.candidates] + [one.score.low for one in reversed(curve.candidates)],
        fill="toself",
        fillcolor=wash(colour, 0.12),
        line={"width": 0},
        mode="lines",
        hoverinfo="skip",
        showlegend=False,
        legendgroup=label,
    )
