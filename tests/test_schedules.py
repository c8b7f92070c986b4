"""Schedules as data: exact ends, monotone ramps, holds at rest, stairs that do what their holds say."""

import json
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from depthprobe.errors import ConfigError
from depthprobe.schedules import Hold, Ramp, Schedule, StairLengths, staggered, stairs, together, window_length

examples = settings(max_examples=80, deadline=None, derandomize=True)


def gates(count):
    return [f"g{index}" for index in range(count)]


@st.composite
def schedules(draw):
    count, overlap = draw(st.integers(1, 8)), draw(st.integers(1, 5))
    names = gates(count)
    kind = draw(st.sampled_from(["together", "staggered", "stairs"]))
    if kind == "together":
        return together(names, draw(st.integers(1, 60)), start=draw(st.integers(0, 9)), steps=draw(st.integers(0, 99)))
    if kind == "staggered":
        own = draw(st.dictionaries(st.sampled_from(names), st.integers(1, 40), max_size=3))
        return staggered(
            names, draw(st.integers(1, 90)), overlap=overlap, start=draw(st.integers(0, 9)), lengths=own,
            steps=draw(st.none() | st.integers(1, 99)),
        )  # fmt: skip
    return draw(all_stairs())


@st.composite
def all_stairs(draw):
    count = draw(st.integers(1, 8))
    opened = [0, *sorted(draw(st.sets(st.integers(1, count), min_size=1)))]
    lengths = StairLengths(
        first=draw(st.integers(0, 9)), up=draw(st.integers(1, 12)), up_hold=draw(st.integers(0, 5)),
        down=draw(st.integers(1, 12)), down_hold=draw(st.integers(0, 5)), overlap=draw(st.integers(1, 4)),
    )  # fmt: skip
    closing = draw(st.none() | st.permutations(gates(count)[: opened[-1]]))
    return stairs(gates(count), opened, lengths, closing=closing)


@examples
@given(schedule=schedules())
def test_ratios_are_continuous_monotone_within_ramps_and_exact_at_the_ends(schedule):
    for gate in schedule.gates:
        line = [schedule.ratio(gate, step) for step in range(schedule.steps + 3)]
        assert all(0.0 <= ratio <= 1.0 for ratio in line)
        ramps = [ramp for ramp in schedule.ramps if ramp.gate == gate]
        for ramp in ramps:
            assert line[ramp.start] == ramp.begin
            assert line[ramp.start + ramp.length] == ramp.end
            part = line[ramp.start : ramp.start + ramp.length + 1]
            assert part == sorted(part, reverse=ramp.end < ramp.begin)
            middle = ramp.begin + (ramp.end - ramp.begin) / ramp.length
            assert line[ramp.start + 1] == pytest.approx(middle)
        resting = set(range(schedule.steps)) - {s for r in ramps for s in range(r.start, r.start + r.length)}
        assert all(line[step] == line[step + 1] for step in resting)
    assert schedule.ratios(3) == {gate: schedule.ratio(gate, 3) for gate in schedule.gates}


@examples
@given(schedule=schedules())
def test_points_agree_with_ratios_and_area(schedule):
    for gate in schedule.gates:
        points = schedule.points(gate)
        steps = [step for step, _ in points]
        assert steps == sorted(steps)
        assert (steps[0], steps[-1]) == (0, schedule.steps)
        assert all(schedule.ratio(gate, step) == ratio for step, ratio in points)
        for (left, low), (right, high) in pairwise(points):
            for step in range(left, right):
                share = (step - left) / (right - left)
                assert schedule.ratio(gate, step) == pytest.approx(low + share * (high - low))
        area = sum((schedule.ratio(gate, s) + schedule.ratio(gate, s + 1)) / 2 for s in range(schedule.steps))
        assert schedule.mean_ratio(gate) == pytest.approx(area / schedule.steps)


@examples
@given(schedule=schedules())
def test_json_round_trip(schedule):
    assert Schedule.from_json(json.loads(json.dumps(schedule.to_json()))) == schedule


@examples
@given(count=st.integers(1, 12), length=st.integers(1, 400), overlap=st.integers(1, 6), start=st.integers(0, 20))
def test_staggered_opens_in_order_within_its_length(count, length, overlap, start):
    schedule = staggered(gates(count), length, overlap=overlap, start=start)
    begins = [ramp.start for ramp in schedule.ramps]
    assert [ramp.gate for ramp in schedule.ramps] == gates(count)
    assert begins == sorted(begins)
    assert begins[0] == start
    assert schedule.steps == start + length or length < count
    assert all(schedule.ratio(gate, schedule.steps) == 1.0 for gate in schedule.gates)
    assert all(schedule.ratio(gate, start) == 0.0 for gate in schedule.gates)
    for step in range(start, schedule.steps, max(1, length // 40)):
        ratios = [schedule.ratio(gate, step) for gate in schedule.gates]
        assert ratios == sorted(ratios, reverse=True)  # nested prefixes, from the input
        assert sum(0.0 < ratio < 1.0 for ratio in ratios) <= min(overlap, count) + 1  # starts round to whole steps


def test_staggered_keeps_exactly_three_gates_ramping():
    schedule = staggered(gates(8), 300)
    ramping = [sum(0.0 < r < 1.0 for r in schedule.ratios(step).values()) for step in range(60, 240)]
    assert set(ramping) == {2, 3}


def test_per_gate_lengths_leave_the_starts_alone():
    plain, own = staggered(gates(4), 60), staggered(gates(4), 60, lengths={"g1": 5, "g3": 200})
    assert [ramp.start for ramp in plain.ramps] == [ramp.start for ramp in own.ramps]
    assert [ramp.length for ramp in own.ramps if ramp.gate in ("g1", "g3")] == [5, 200]
    assert own.steps == own.ramps[3].start + 200
    assert own.ratio("g3", own.steps) == 1.0


def test_together_is_the_papers_ramp():
    schedule = together(gates(3), 10, start=5, steps=30)
    assert schedule.steps == 30
    assert [schedule.ratios(step)["g1"] for step in (0, 5, 6, 10, 15, 30)] == [0.0, 0.0, 0.1, 0.5, 1.0, 1.0]
    assert len(set(schedule.ratios(7).values())) == 1
    assert together(gates(3), 10, steps=4).steps == 10  # never cut short


@examples
@given(schedule=all_stairs())
def test_holds_are_at_rest_with_the_gates_they_say(schedule):
    assert [hold.walk for hold in schedule.holds] == sorted((hold.walk for hold in schedule.holds), reverse=True)
    up = [hold.opened for hold in schedule.holds if hold.walk == "up"]
    down = [hold.opened for hold in schedule.holds if hold.walk == "down"]
    assert up == sorted(up)
    assert down == up[-2::-1]
    for hold in schedule.holds:
        states = {tuple(schedule.ratios(step).values()) for step in range(hold.start, hold.end + 1)}
        assert len(states) == 1
        (ratios,) = states
        assert sorted(ratios) == [0.0] * (len(ratios) - hold.opened) + [1.0] * hold.opened
        if hold.walk == "up":
            assert ratios[: hold.opened] == (1.0,) * hold.opened  # from the input
    assert schedule.holds[-1].end == schedule.steps
    assert not any(schedule.ratios(schedule.steps).values())


def test_stairs_close_in_the_order_asked_for():
    lengths = StairLengths(first=2, up=3, up_hold=2, down=3, down_hold=2)
    schedule = stairs(gates(3), [0, 1, 3], lengths, closing=["g0", "g2", "g1"])
    two_left = next(hold for hold in schedule.holds if hold.walk == "down" and hold.opened == 1)
    assert schedule.ratios(two_left.end) == {"g0": 0.0, "g1": 1.0, "g2": 0.0}


@pytest.mark.parametrize(("count", "ramp", "overlap"), [(1, 10, 3), (4, 10, 1), (6, 12, 3), (2, 9, 3)])
def test_window_length_gives_each_gate_its_ramp(count, ramp, overlap):
    schedule = staggered(gates(count), window_length(count, ramp, overlap), overlap=overlap)
    assert all(abs(r.length - ramp) <= 1 for r in schedule.ramps)


def test_describe_tells_ramps_and_holds_in_order():
    lengths = StairLengths(first=2, up=3, up_hold=2, down=3, down_hold=2)
    assert stairs(gates(1), [0, 1], lengths).describe().splitlines() == [
        "hold (up, 0 open) in steps 0-2",
        "g0: 0 -> 1 in steps 2-5",
        "hold (up, 1 open) in steps 5-7",
        "g0: 1 -> 0 in steps 7-10",
        "hold (down, 0 open) in steps 10-12",
    ]


def test_gates_may_start_open():
    schedule = Schedule(
        gates=("a",), ramps=(Ramp(gate="a", start=3, length=2, begin=1.0, end=0.0),), steps=9, initial=1.0
    )
    assert [schedule.ratio("a", step) for step in (0, 3, 4, 5, 9)] == [1.0, 1.0, 0.5, 0.0, 0.0]
    assert Hold(start=3, length=4, opened=1, walk="up").end == 7


LENGTHS = StairLengths(first=1, up=1, up_hold=1, down=1, down_hold=1)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: staggered(gates(2), 5, lengths={"g7": 3}), "unknown gate(.|\n)*g7"),
        (lambda: staggered(gates(2), 5, overlap=0), "overlap out of range(.|\n)*0"),
        (lambda: staggered(gates(2), 5, lengths={"g1": 0}), "malformed ramp(.|\n)*g1"),
        (lambda: together(gates(2), 0), "malformed ramp"),
        (lambda: Schedule(gates=("a",), ramps=(Ramp(gate="b", start=0, length=1),), steps=5), "ramp(.|\n)*'b'"),
        (lambda: Schedule(gates=("a",), ramps=(Ramp(gate="a", start=-1, length=1),), steps=5), "malformed ramp"),
        (lambda: Schedule(gates=("a",), ramps=(Ramp(gate="a", start=3, length=9),), steps=5), "malformed ramp"),
        (
            lambda: Schedule(gates=("a",), ramps=tuple(Ramp(gate="a", start=s, length=3) for s in (0, 2)), steps=9),
            "malformed ramp(.|\n)*start=2",
        ),
        (lambda: stairs(gates(3), [1, 2], LENGTHS), r"cannot be climbed(.|\n)*\[1, 2\]"),
        (lambda: stairs(gates(3), [0, 2, 1], LENGTHS), r"cannot be climbed"),
        (lambda: stairs(gates(3), [0, 4], LENGTHS), r"cannot be climbed(.|\n)*at most 3"),
        (lambda: stairs(gates(3), [], LENGTHS), "cannot be climbed"),
        (lambda: stairs(gates(3), [0, 2], LENGTHS, closing=["g2", "g0"]), "closing order(.|\n)*g0, g1"),
    ],
)  # fmt: skip
def test_schedules_that_make_no_sense_are_refused(make, words):
    with pytest.raises(ConfigError, match=words):
        make()
