"""What every answer's table says of its candidates."""

from depthprobe.probes.conclusion import mark_pareto


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
