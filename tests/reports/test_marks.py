"""Marks and labels of the figures: nothing runs out of the frame, nothing lies on its neighbour."""

from dataclasses import replace

import pytest

from depthprobe.reports.captions import costs_caption
from depthprobe.reports.cost_figure import draw_costs, pareto_front
from depthprobe.reports.depth_figure import draw_depth
from depthprobe.reports.depth_marks import drawn_depths, drawn_way, span
from depthprobe.reports.reading import read_run
from depthprobe.reports.summary import view_run


@pytest.fixture
def curve(golden):
    """Depths 3 to 7, latency rising with depth, now on the Pareto front."""
    found = view_run(read_run(golden)).curve
    return replace(found, candidates=tuple(replace(one, pareto=True) for one in found.candidates))


def way_of(curve):
    return next(trace for trace in draw_depth(curve).drawing.data if (trace.name or "").startswith("on the way"))


def test_what_was_measured_on_the_way_has_room(curve):
    """Depths that are no candidates are on the axis; values far below all that counts are left to the table."""
    few = replace(curve, candidates=(curve.candidates[2], curve.candidates[4]), up=((4, 0.97), (6, 0.96), (1, 0.1)))
    assert drawn_depths(few) == [4, 5, 6, 7]
    assert drawn_way(few) == [(4, 0.97), (6, 0.96)]
    assert list(way_of(few).x) == [4, 6]
    left, right = span(few)
    assert left < 4 < 7 < right
    assert list(draw_depth(few).drawing.layout.xaxis.tickvals) == [4, 5, 6, 7]


def test_names_of_marks_stay_inside(curve):
    """At an edge a name stands on the inner side of its line."""
    for current, recommended, sides in ((3, 7, ("left", "right")), (3, 5, ("left", "center"))):
        drawn = draw_depth(replace(curve, current=current, recommended=recommended, best_guess=recommended)).drawing
        assert tuple(mark.xanchor for mark in drawn.layout.annotations[:2]) == sides


def test_the_front_is_that_of_the_figure(curve):
    """What is slower and no better is not joined, whatever its parameters."""
    front = pareto_front(curve)
    values = [candidate.score.value for candidate in front]
    assert values == sorted(values)
    slow = replace(curve.candidates[0], latency_ms=9.0)
    assert slow not in pareto_front(replace(curve, candidates=(slow, *curve.candidates[1:])))
    assert "dotted line" in costs_caption(curve, "x")
    assert "dotted line" not in costs_caption(replace(curve, candidates=curve.candidates[:1]), "x")


def test_numbers_of_close_candidates_part(curve):
    first, second, third = curve.candidates[:3]
    near = (first, replace(second, latency_ms=2.0), replace(third, latency_ms=2.01))
    scatter = draw_costs(replace(curve, candidates=near)).drawing.data[-1]
    assert list(scatter.textposition) == ["top right", "top left", "top right"]
