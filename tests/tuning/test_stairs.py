"""Every proposal takes the same updates, and a grow run reads the same stairs back from its settings."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from depthprobe.config import GrowConfig
from depthprobe.errors import ConfigError
from depthprobe.probes.plan import share_of, stair_lengths
from depthprobe.schedules import StairLengths, stairs
from depthprobe.tuning.stairs import Budget, budget_of, climb, fit_stairs, settings_of, shares_of

shares = st.fixed_dictionaries({name: st.floats(0.0, 0.9) for name in ("start", "hold", "cool")})
opened = st.lists(st.integers(1, 40), min_size=1, max_size=8, unique=True).map(lambda found: (0, *sorted(found)))
LENGTHS = StairLengths(first=1, up=1, up_hold=1, down=1, down_hold=1)


@settings(max_examples=300, deadline=None)
@given(
    shares, opened, st.integers(150, 5000), st.integers(1, 8), st.sampled_from(["staggered", "together"]),
    st.sampled_from(["forward", "reverse"]),
)  # fmt: skip
def test_every_proposal_takes_the_whole_budget(found, gates, updates, overlap, schedule, opening):
    budget = Budget(updates=updates, steps=max(20, round(updates / 1.1)), opened=gates)
    values = {**found, "overlap": overlap, "schedule": schedule, "opening": opening}
    asked = settings_of(values, budget, LENGTHS, 5)["grow"]
    config = GrowConfig(**asked)
    lengths, cool = stair_lengths(config, budget.steps, gates), share_of(config.cool_share, budget.steps)
    names = [f"g{i}" for i in range(gates[-1])]
    up = climb(stairs(names, gates, lengths))
    assert up.steps + cool == updates
    assert all(up.ratio(name, up.steps) == 1.0 for name in names)
    assert [hold.opened for hold in up.holds] == list(gates)
    assert min(lengths.first, lengths.up, lengths.up_hold, cool) >= 1


@settings(max_examples=50, deadline=None)
@given(opened, st.integers(100, 3000))
def test_the_default_maps_to_itself(gates, steps):
    config = GrowConfig()
    lengths, cool = stair_lengths(config, steps, gates), share_of(config.cool_share, steps)
    budget = budget_of(stairs([f"g{i}" for i in range(gates[-1])], gates, lengths), cool, steps, gates)
    fitted, cooled = fit_stairs(shares_of(lengths, cool, budget), budget, lengths)
    assert (fitted, cooled) == (lengths, cool)


def test_too_few_updates_are_refused():
    with pytest.raises(ConfigError, match="too few updates"):
        fit_stairs({"start": 0.1, "hold": 0.1, "cool": 0.1}, Budget(updates=10, steps=30, opened=(0, 40)), LENGTHS)


def test_together_opens_all_gates_of_a_stair_at_once_and_reverse_the_last_first():
    names = ["a", "b", "c", "d"]
    lengths = StairLengths(first=2, up=6, up_hold=2, down=3, down_hold=2, together=True)
    up = climb(stairs(names, (0, 1, 4), lengths))
    assert [(r.gate, r.start, r.length) for r in up.ramps] == [("a", 2, 6), ("b", 10, 6), ("c", 10, 6), ("d", 10, 6)]
    reverse = StairLengths(first=2, up=6, up_hold=2, down=3, down_hold=2, overlap=1, opening="reverse")
    order = [ramp.gate for ramp in sorted(climb(stairs(names, (0, 1, 4), reverse)).ramps, key=lambda ramp: ramp.start)]
    assert order == ["a", "d", "c", "b"]
