"""What every answer's table and notes say of its candidates."""

from types import SimpleNamespace

import pytest

from depthprobe.analysis.units import Units
from depthprobe.analysis.within import count_control
from depthprobe.probes.conclusion import mark_pareto, say_checkpoint, say_resamples
from depthprobe.probes.holds import UNTOUCHED


def row(value, params, macs, latency):
    return {"value": value, "params": params, "macs": macs, "latency_ms": latency}


def test_what_another_candidate_beats_in_everything_that_is_counted_is_not_on_the_front():
    rows = [
        row(0.80, 100, 1000, 0.1),
        row(0.95, 200, 2000, 0.3),
        row(0.94, 300, 3000, 0.2),  # beaten: the faster clock of one run is no reason
        row(0.95, 200, 2500, 0.1),  # as good, as small, more work
        row(0.95, 150, 2500, 0.4),  # more work for fewer parameters
        row(0.96, 400, 4000, 0.4),
        row(0.96, 400, 4000, 0.5),  # the same network measured slower
    ]
    before = [dict(one) for one in rows]
    assert mark_pareto(rows) is None
    assert [one.pop("pareto") for one in rows] == [True, True, False, False, True, True, True]
    assert rows == before


@pytest.mark.parametrize(
    ("recommended", "shares", "said"),
    [
        (4, {3: 0.84, 4: 0.16}, "84 % of resamples name 3: as good by their estimates"),
        (4, {3: 0.16, 4: 0.84}, None),
        (4, {4: 0.3, 5: 0.7}, None),  # more than is advised is no offer
        (4, {2: 0.3, 3: 0.4, 4: 0.3}, None),
        (None, {3: 1.0}, None),
        (4, None, None),
    ],
)
def test_it_is_said_when_most_resamples_name_less(recommended, shares, said):
    notes = say_resamples(SimpleNamespace(recommended=recommended, resamples=shares), str)
    assert bool(notes) == bool(said)
    assert not said or notes[0].startswith(said)


def test_what_the_checkpoint_itself_has_is_said_where_something_else_counts():
    records = [{"kind": "arm"}, {"kind": "measurement", "walk": "as it is", "value": 0.96}]
    units = Units(metric="accuracy", fraction=True, tolerance=0.01)
    assert say_checkpoint("trained on", records, units) == "; the checkpoint itself has 0.960"
    assert say_checkpoint(UNTOUCHED, records, units) == ""
    assert say_checkpoint("trained on", records[:1], units) == ""


@pytest.mark.parametrize(
    ("limits", "control", "counted"),
    [({"keep_accuracy": 0.98}, 0.985, True), ({"keep_accuracy": 0.98}, 0.9, False), ({"max_params": 5}, 0.985, False)],
)
def test_under_an_accuracy_to_keep_the_present_network_counts_as_its_control(limits, control, counted):
    """In the row that the sentence, the table and the page are made from; an interval ends where the metric does."""
    estimate = SimpleNamespace(value=control, low=0.97, high=1.01)
    decision = SimpleNamespace(current=3, depths=(2, 3), control=estimate)
    rows = [{"depth": 2, "value": 0.93}, {"depth": 3, "value": 0.97, "low": 0.96, "high": 0.98, "params": 7}]
    found, counts = count_control(decision, rows, limits, (0.0, 1.0))
    assert counts == counted
    changed = {"value": control, "low": 0.97, "high": 1.0} if counted else {}
    assert found == [rows[0], {**rows[1], **changed}]
    assert rows[1]["value"] == 0.97
