"""Long series become short without losing their ends, peaks and dips; a page of a large run stays small."""

import json
import re
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from depthprobe.reports import render
from depthprobe.reports.thinning import MOST_POINTS, evenly, extremes

NUMBERS = st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=400)


@given(NUMBERS, st.integers(4, 60))
def test_extremes_keep_ends_peaks_and_dips(values, most):
    kept = extremes(values, most)
    assert len(kept) <= max(most, 4)
    assert kept == sorted(set(kept))
    assert {0, len(values) - 1} <= set(kept)
    shown = [values[index] for index in kept]
    assert (min(shown), max(shown)) == (min(values), max(values))


@given(NUMBERS)
def test_short_series_are_left_as_they_are(values):
    assert extremes(values, len(values)) == list(range(len(values)))


@given(st.integers(1, 5000), st.integers(2, 300))
def test_evenly_has_both_ends(count, most):
    kept = evenly(count, most)
    assert (kept[0], kept[-1]) == (0, count - 1)
    assert len(kept) <= most


@pytest.mark.parametrize("records", [60_000, pytest.param(200_000, marks=pytest.mark.slow)])
def test_a_large_run_makes_a_page_under_six_megabytes(tmp_path, monkeypatch, records):
    """8 seeds and 40 units; the spike of one training is still in it."""
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2] / "benchmarks"))
    from big_run import big_run

    run = big_run(tmp_path / "run", records=records)
    path = run / "records.jsonl"
    lines = path.read_text().splitlines(keepends=True)
    assert len(lines) >= records
    middle = json.loads(lines[1001])
    lines[1001] = json.dumps({**middle, "loss": 77.5}) + "\n"
    path.write_text("".join(lines))
    page = render([run])
    assert len(page.encode()) < 6_000_000
    for text in re.findall(r'id="run-1-\w+-data">(.*?)</script>', page):
        for trace in json.loads(text)["data"]:
            assert len(trace["x"]) <= MOST_POINTS
            assert len(trace.get("z", [])) <= 40
    assert "77.5" in page
    sys.modules.pop("big_run")
