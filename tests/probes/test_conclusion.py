"""What every answer's table and notes say of its candidates."""

from types import SimpleNamespace

import pytest

from depthprobe.analysis.decision import Estimate
from depthprobe.analysis.units import Units
from depthprobe.analysis.within import count_kept
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
    ("limits", "control", "checkpoint", "counted", "value"),
    [
        ({"keep_accuracy": 0.98}, 0.985, 0.96, "control", 0.985),
        ({"keep_accuracy": 0.98}, 0.9, 0.96, "checkpoint", 0.96),  # not the 0.97 of which no network is kept
        ({"keep_accuracy": 0.98}, 0.9, None, "checkpoint", 0.97),
        ({"max_params": 5}, 0.985, 0.96, None, 0.97),
    ],
)
@pytest.mark.parametrize("alike", [1, 2])
def test_under_an_accuracy_to_keep_the_present_network_counts_as_one_that_exists(
    limits, control, checkpoint, counted, value, alike
):
    """In the rows that the sentence, the table and the page are made from, with its idle units and without; an
    interval ends where the metric does.
    """
    decision = SimpleNamespace(current=4, depths=(2, 3, 4), control=Estimate(value=control, low=0.97, high=1.01))
    present = {"value": 0.97, "low": 0.95, "high": 0.999}
    rows = [{"depth": 2, "value": 0.93}, {"depth": 3, **present}, {"depth": 4, **present}]
    found, counts = count_kept(decision, rows, limits, (0.0, 1.0), checkpoint=checkpoint, alike=alike)
    assert counts == counted
    assert [row["value"] for row in found] == [0.93, value if alike == 2 else 0.97, value]
    assert found[2]["high"] <= 1.0
    assert rows[2]["value"] == 0.97


def test_a_network_that_could_not_be_trained_on_counts_as_its_checkpoint():
    decision = SimpleNamespace(current=3, depths=(3,), control=Estimate(value=0.99, low=0.98, high=1.0))
    rows = [{"depth": 3, "value": 0.97, "low": 0.96, "high": 0.98}]
    found, counts = count_kept(decision, rows, {"keep_accuracy": 0.9}, (0.0, 1.0), checkpoint=0.95, control=False)
    assert (counts, found[0]["value"]) == ("checkpoint", 0.95)
