"""Points that a budget allows, and those that nothing beats."""

import pytest

from depthprobe.analysis.budgets import accelerates_at, choose_within, compare_speed, pareto, say_speed
from depthprobe.errors import ConfigError


def row(depth, value):
    return {"depth": depth, "value": value, "params": 100 * depth, "macs": 1000 * depth, "latency_ms": 0.1 * depth}


ROWS = [row(1, 0.80), row(2, 0.95), row(3, 0.94), row(4, 0.96)]


def test_only_what_nothing_beats_is_on_the_front():
    assert pareto(ROWS) == [True, True, False, True]
    assert pareto([row(1, 0.5), row(1, 0.5)]) == [True, True]


@pytest.mark.parametrize(
    ("limits", "depth"),
    [
        ({"max_params": 300}, 2),
        ({"max_macs": 1999}, 1),
        ({"max_latency_ms": 0.41}, 4),
        ({"keep_accuracy": 0.9}, 2),
        ({"keep_accuracy": 0.955}, 4),
        ({"max_params": 300, "keep_accuracy": 0.94}, 2),
    ],
)
def test_a_budget_chooses_the_best_it_allows(limits, depth):
    assert ROWS[choose_within(ROWS, limits, 0.0)]["depth"] == depth


def test_a_budget_that_nothing_meets_names_the_closest():
    with pytest.raises(ConfigError, match="1 layer, 100 parameters"):
        choose_within(ROWS, {"max_params": 50}, 0.0)
    with pytest.raises(ConfigError, match=r"value 0\.950"):
        choose_within(ROWS, {"max_params": 300, "keep_accuracy": 0.99}, 0.0)


def test_where_the_loss_accelerates():
    assert accelerates_at([1, 2, 3, 4], [0.5, 0.9, 0.95, 0.96], 0.01) == 2
    assert accelerates_at([1, 2, 3], [0.9, 0.901, 0.902], 0.01) is None
    assert accelerates_at([1, 4], [0.1, 0.9], 0.01) is None


def test_speed_that_falls_short_of_the_macs_is_said():
    slow = compare_speed(row(4, 0.9), {**row(2, 0.9), "latency_ms": 0.39})
    assert not slow["as_promised"]
    assert "less than they promise" in say_speed(slow)
    assert compare_speed(row(4, 0.9), row(2, 0.9))["as_promised"]
    assert compare_speed(ROWS[0], ROWS[0]) is None


def test_a_budget_is_not_a_reason_for_noise():
    """Among what fits the smallest that is as good as the best, not the luckiest."""
    assert ROWS[choose_within(ROWS, {"max_params": 1_000_000}, 0.012)]["depth"] == 2
