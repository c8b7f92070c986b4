"""What every candidate costs and is worth: the metric against measured latency, size by parameters."""

import plotly.graph_objects as go

from depthprobe.reports.figures import NOTHING_ABOVE, Figure, frame
from depthprobe.reports.measured import Candidate, DepthCurve
from depthprobe.reports.numbers import axis_title, count, fraction, milliseconds
from depthprobe.reports.palette import BLUE, GREEN, INK, MUTED, wash

HEIGHT = 400
SMALLEST, LARGEST = 10, 34  # diameters of the markers


def draw_costs(curve: DepthCurve) -> Figure:
    """One marker per candidate; those of the Pareto front are joined."""
    figure = go.Figure()
    front = pareto_front(curve)
    if len(front) > 1:
        figure.add_scatter(
            x=[c.latency_ms for c in front], y=[c.score.value for c in front], mode="lines", hoverinfo="skip",
            name="Pareto front", line={"color": MUTED, "width": 1.5, "dash": "dot"},
        )  # fmt: skip
    _add_candidates(figure, curve)
    frame(figure, HEIGHT, hovermode="closest", showlegend=len(front) > 1, margin=NOTHING_ABOVE)
    most = max(candidate.latency_ms for candidate in curve.candidates)
    figure.update_xaxes(title_text="latency (ms per batch)", showgrid=True, range=(0, 1.2 * most))
    figure.update_yaxes(title_text=axis_title(curve.units), tickformat=".3~f" if curve.units.fraction else ".4~g")
    said = ", ".join(
        f"{curve.axis.name(c.depth)} {milliseconds(c.latency_ms)} ms {fraction(c.score.value, curve.units)}"
        for c in curve.candidates
    )
    return Figure(figure, f"Scatter plot of {curve.units.metric} against measured latency: {said}.", HEIGHT)


def pareto_front(curve: DepthCurve) -> list[Candidate]:
    """Those that no other beats in metric, parameters and MACs, nor in metric and latency; the fastest first."""
    kept: list[Candidate] = []
    for candidate in sorted(curve.candidates, key=lambda c: (c.latency_ms, -c.score.value)):
        if candidate.pareto and (not kept or candidate.score.value > kept[-1].score.value):
            kept.append(candidate)
    return kept


def _places(curve: DepthCurve) -> list[str]:
    """Where each number stands: right of its marker, off its interval; left, or below, where a neighbour is close."""
    most = max(candidate.latency_ms for candidate in curve.candidates)
    places = []
    for candidate in curve.candidates:
        beside = [other.latency_ms - candidate.latency_ms for other in curve.candidates if other is not candidate]
        crowded = any(0 <= apart < 0.1 * most for apart in beside)
        follows = any(-0.2 * most < apart < 0 for apart in beside)
        places.append("top right" if not crowded else "bottom left" if follows else "top left")
    return places


def _add_candidates(figure: go.Figure, curve: DepthCurve) -> None:
    candidates = curve.candidates
    most = max(candidate.params for candidate in candidates)
    figure.add_scatter(
        x=[c.latency_ms for c in candidates],
        y=[c.score.value for c in candidates],
        error_y={
            "array": [c.score.high - c.score.value for c in candidates],
            "arrayminus": [c.score.value - c.score.low for c in candidates],
            "color": wash(MUTED, 0.5),
            "thickness": 1.5,
            "width": 3,
        },
        mode="markers+text",
        text=[str(c.depth) for c in candidates],
        textposition=_places(curve),
        customdata=[[curve.axis.name(c.depth), count(c.params)] for c in candidates],
        marker={
            "size": [max(SMALLEST, LARGEST * (c.params / most) ** 0.5) for c in candidates],
            "color": [_colour(curve, c) for c in candidates],
            "line": {"width": 1, "color": INK},
            "opacity": 1,
        },
        showlegend=False,
        hovertemplate="<b>%{customdata[0]}</b>: %{y:.3f}<br>%{x:.3g} ms, %{customdata[1]} parameters<extra></extra>",
    )


def _colour(curve: DepthCurve, candidate: Candidate) -> str:
    if candidate.depth == curve.recommended:
        return GREEN
    return wash(INK, 0.35) if candidate.depth == curve.current else wash(BLUE, 0.6)
