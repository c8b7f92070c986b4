"""What the curve is held against: control, tolerance, current and recommended depth."""

import plotly.graph_objects as go

from depthprobe.reports.measured import DepthCurve
from depthprobe.reports.numbers import fraction, size
from depthprobe.reports.palette import GOOD, INK, MUTED, ORANGE, wash

SIDE = 0.2  # share of the axis that is near an edge
NEAR = 0.45  # share of the axis within which two names would meet on a phone


def span(curve: DepthCurve) -> tuple[float, float]:
    """Both ends of the depth axis, which has room for what was measured on the way."""
    depths = drawn_depths(curve)
    first, last = depths[0], depths[-1]
    margin = max(0.35, 0.05 * (last - first))
    return first - margin, last + margin


def drawn_depths(curve: DepthCurve) -> list[int]:
    """Depths of the candidates, and of what was measured on the way, ascending."""
    return sorted({candidate.depth for candidate in curve.candidates} | {depth for depth, _ in drawn_way(curve)})


def drawn_way(curve: DepthCurve) -> list[tuple[int, float]]:
    """What was measured on the way, as far as it does not press flat what counts: that is in the tables."""
    low, high = ends(curve)
    return [(depth, value) for depth, value in curve.up if value >= low - 1.2 * (high - low)]


def ends(curve: DepthCurve) -> tuple[float, float]:
    """Least and greatest value of all that counts; failed seeds may fall outside."""
    values = [end for c in curve.candidates for end in (c.score.low, c.score.high)]
    values += [curve.control.low, curve.control.high, curve.floor]
    values += [value for walk in curve.walks if not walk.failed for _, value in walk.down]
    return min(values), max(values)


def add_control(figure: go.Figure, curve: DepthCurve) -> None:
    """Control with its interval, and the line of the tolerance, over the whole width."""
    left, right = span(curve)
    control, units = curve.control, curve.units
    figure.add_scatter(
        x=[left, right, right, left],
        y=[control.low, control.low, control.high, control.high],
        fill="toself",
        fillcolor=wash(ORANGE, 0.1),
        line={"width": 0},
        mode="lines",
        hoverinfo="skip",
        showlegend=False,
        legendgroup="control",
    )
    figure.add_scatter(
        x=[left, (left + right) / 2, right],
        y=[control.value] * 3,
        name=f"control: {curve.axis.name(curve.current)}, trained as long",
        mode="lines",
        line={"color": ORANGE, "width": 2, "dash": "dash"},
        hovertemplate=f"control {fraction(control.value, units)}<br>{fraction(control.low, units)} to "
        f"{fraction(control.high, units)}"
        "<extra></extra>",
        legendgroup="control",
    )
    figure.add_scatter(
        x=[left, (left + right) / 2, right],
        y=[curve.floor] * 3,
        name=f"best minus tolerance ({size(curve.tolerance, units)})",
        mode="lines",
        line={"color": MUTED, "width": 1.5, "dash": "dot"},
        hovertemplate=f"best minus tolerance {fraction(curve.floor, units)}<extra></extra>",
    )


def add_depths(figure: go.Figure, curve: DepthCurve) -> None:
    """Vertical marks, named above the plot."""
    marks = {curve.current: ("current", INK)}
    advised = curve.best_guess if curve.recommended is None else curve.recommended
    word = "best guess" if curve.recommended is None else "recommended"
    if advised == curve.current:
        marks[advised] = (f"current, {word}", GOOD)
    else:
        marks[advised] = (word, MUTED if curve.recommended is None else GOOD)
    near = abs(advised - curve.current) < NEAR * (span(curve)[1] - span(curve)[0])
    left, right = span(curve)
    for depth, (text, colour) in marks.items():
        place = (depth - left) / (right - left)  # near an edge the name stands on the inner side: a phone is narrow
        figure.add_shape(
            type="line", x0=depth, x1=depth, y0=0, y1=1, yref="paper", layer="below",
            line={"color": colour, "width": 1.5, "dash": "dot" if text == "current" else "solid"},
        )  # fmt: skip
        figure.add_annotation(
            x=depth, y=1, yref="paper", yanchor="bottom", showarrow=False,
            xanchor="left" if place < SIDE else "right" if place > 1 - SIDE else "center", text=f"{text}: {depth}",
            yshift=15 if near and text == word else 0, font={"size": 12, "color": colour},
        )  # fmt: skip
