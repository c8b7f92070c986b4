"""Accuracy against depth: the figure that carries the answer."""

import plotly.graph_objects as go

from depthprobe.reports.figures import Figure, frame
from depthprobe.reports.numbers import fraction, layers, size
from depthprobe.reports.palette import BLUE, GREEN, INK, MUTED, ORANGE, wash
from depthprobe.reports.view import DepthCurve

HEIGHT = 470


def draw_depth(curve: DepthCurve) -> Figure:
    """Walk down with its intervals, way up, seeds, control, tolerance, current and recommended depth."""
    figure = go.Figure()
    _add_control(figure, curve)
    _add_up(figure, curve)
    _add_seeds(figure, curve)
    _add_estimate(figure, curve)
    _add_depths(figure, curve)
    depths = [candidate.depth for candidate in curve.candidates]
    frame(figure, HEIGHT, hovermode="closest")
    ticks = {"tickmode": "array", "tickvals": depths}
    figure.update_xaxes(title_text="depth (weight layers, head included)", range=_span(curve), **ticks)
    figure.update_yaxes(title_text="validation accuracy (fraction)", range=_heights(curve), tickformat=".2f")
    values = ", ".join(f"{layers(c.depth)} {fraction(c.accuracy.value)}" for c in curve.candidates)
    return Figure(figure, f"Line chart of validation accuracy against depth: {values}.", HEIGHT)


def _span(curve: DepthCurve) -> tuple[float, float]:
    first, last = curve.candidates[0].depth, curve.candidates[-1].depth
    margin = max(0.35, 0.05 * (last - first))
    return first - margin, last + margin


def _heights(curve: DepthCurve) -> tuple[float, float]:
    """All that counts, and the way up as far as it does not press that flat; failed seeds may fall outside."""
    values = [end for c in curve.candidates for end in (c.accuracy.low, c.accuracy.high)]
    values += [curve.control.low, curve.control.high, curve.floor]
    values += [value for walk in curve.walks if not walk.failed for _, value in walk.down]
    least = min(values) - 1.2 * (max(values) - min(values))
    values += [max(value, least) for _, value in curve.up]
    low, high = min(values), max(values)
    margin = 0.07 * (high - low or 0.1)
    return low - margin, high + margin


def _add_control(figure: go.Figure, curve: DepthCurve) -> None:
    left, right = _span(curve)
    control = curve.control
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
        name=f"control: {layers(curve.current)}, trained as long",
        mode="lines",
        line={"color": ORANGE, "width": 2, "dash": "dash"},
        hovertemplate=f"control {fraction(control.value)}<br>{fraction(control.low)} to {fraction(control.high)}"
        "<extra></extra>",
        legendgroup="control",
    )
    figure.add_scatter(
        x=[left, (left + right) / 2, right],
        y=[curve.floor] * 3,
        name=f"best minus tolerance ({size(curve.tolerance)})",
        mode="lines",
        line={"color": MUTED, "width": 1.5, "dash": "dot"},
        hovertemplate=f"best minus tolerance {fraction(curve.floor)}<extra></extra>",
    )


def _add_up(figure: go.Figure, curve: DepthCurve) -> None:
    figure.add_scatter(
        x=[depth for depth, _ in curve.up],
        y=[value for _, value in curve.up],
        name="way up (trained less, not used)",
        mode="lines+markers",
        line={"color": wash(BLUE, 0.4), "width": 1.5},
        marker={"symbol": "triangle-up", "size": 8, "color": wash(BLUE, 0.45)},
        hovertemplate="way up, %{x} layers: %{y:.3f}<extra></extra>",
    )


def _add_seeds(figure: go.Figure, curve: DepthCurve) -> None:
    named: set[str] = set()
    for rank, walk in enumerate(curve.walks):
        shift = 0.012 * (_span(curve)[1] - _span(curve)[0]) * (rank - (len(curve.walks) - 1) / 2)
        name = "failed seed, not counted" if walk.failed else "one seed, way down"
        symbol, colour = ("x-thin", ORANGE) if walk.failed else ("circle-open", MUTED)
        figure.add_scatter(
            x=[depth + max(-0.18, min(0.18, shift)) for depth, _ in walk.down],
            y=[value for _, value in walk.down],
            customdata=[depth for depth, _ in walk.down],
            name=name,
            legendgroup=name,
            showlegend=name not in named,
            mode="markers",
            marker={"symbol": symbol, "size": 6, "color": colour, "line": {"width": 1.2, "color": colour}},
            hovertemplate=f"seed {walk.seed}, %{{customdata}} layers: %{{y:.3f}}<extra></extra>",
        )
        named.add(name)


def _add_estimate(figure: go.Figure, curve: DepthCurve) -> None:
    depths = [candidate.depth for candidate in curve.candidates]
    estimates = [candidate.accuracy for candidate in curve.candidates]
    figure.add_scatter(
        x=[*depths, *reversed(depths)],
        y=[e.high for e in estimates] + [e.low for e in reversed(estimates)],
        fill="toself",
        fillcolor=wash(BLUE, 0.16),
        line={"width": 0},
        mode="lines",
        hoverinfo="skip",
        showlegend=False,
        legendgroup="estimate",
    )
    figure.add_scatter(
        x=depths,
        y=[e.value for e in estimates],
        customdata=[[fraction(e.low), fraction(e.high)] for e in estimates],
        name=f"estimate: cooled walk down, {100 * curve.confidence:g} % interval",
        mode="lines+markers",
        line={"color": BLUE, "width": 3},
        marker={"size": 9, "color": BLUE},
        legendrank=1,
        hovertemplate="<b>%{x} layers: %{y:.3f}</b><br>%{customdata[0]} to %{customdata[1]}<extra></extra>",
        legendgroup="estimate",
    )
    if curve.fitted:
        figure.add_scatter(
            x=depths,
            y=list(curve.fitted),
            name="fitted curve (decides)",
            mode="lines",
            line={"color": GREEN, "width": 2, "dash": "dashdot", "shape": "spline"},
            hovertemplate="fitted, %{x} layers: %{y:.3f}<extra></extra>",
        )


def _add_depths(figure: go.Figure, curve: DepthCurve) -> None:
    """Vertical marks, named above the plot."""
    marks = {curve.current: ("current", INK)}
    advised = curve.best_guess if curve.recommended is None else curve.recommended
    word = "best guess" if curve.recommended is None else "recommended"
    if advised == curve.current:
        marks[advised] = (f"current, {word}", GREEN)
    else:
        marks[advised] = (word, MUTED if curve.recommended is None else GREEN)
    near = abs(advised - curve.current) < 0.25 * (_span(curve)[1] - _span(curve)[0])
    for depth, (text, colour) in marks.items():
        figure.add_shape(
            type="line", x0=depth, x1=depth, y0=0, y1=1, yref="paper", layer="below",
            line={"color": colour, "width": 1.5, "dash": "dot" if text == "current" else "solid"},
        )  # fmt: skip
        figure.add_annotation(
            x=depth, y=1, yref="paper", yanchor="bottom", showarrow=False, text=f"{text}: {depth}",
            yshift=15 if near and text == word else 0, font={"size": 12, "color": colour},
        )  # fmt: skip
