"""What a network costs: latencies are measured in turns, on networks that are left as they were."""

import time

import pytest
import torch
from torch import nn

from depthprobe.graph import costs
from depthprobe.probes import latencies


class Sleeps(nn.Module):
    """Takes so many milliseconds; notes who was called, and in which mode."""

    calls: list[tuple[int, bool]]

    def __init__(self, milliseconds: int, calls: list[tuple[int, bool]]) -> None:
        super().__init__()
        self.milliseconds, self.calls = milliseconds, calls
        self.weight = nn.Parameter(torch.zeros(4))

    def forward(self, x):
        self.calls.append((self.milliseconds, self.training))
        time.sleep(self.milliseconds / 1000)
        return x


def test_networks_take_turns_in_eval_mode_and_are_left_as_they_were(monkeypatch):
    monkeypatch.setattr(costs, "LEAST_SECONDS", 0.0)
    calls = []
    slow, fast = Sleeps(8, calls), Sleeps(2, calls)
    times = costs.measure_latencies_ms([slow, fast], torch.zeros(2, 4))
    assert calls == [(8, False), (2, False)] * (costs.WARM + costs.LEAST_ROUNDS)
    assert times[0] >= 8
    assert times[1] >= 2
    assert slow.training
    assert costs.measure_latencies_ms([], torch.zeros(2, 4)) == []


def test_quick_networks_are_measured_for_a_while():
    calls = []
    costs.measure_latency_ms(Sleeps(0, calls), torch.zeros(2, 4))
    assert len(calls) > 10 * costs.LEAST_ROUNDS


@pytest.mark.parametrize(("most", "sizes"), [(15, [1, 1, 1]), (16, [2, 1]), (10**6, [3])])
def test_as_many_at_a_time_as_memory_allows(monkeypatch, most, sizes):
    monkeypatch.setattr(latencies, "MOST_BYTES", most)
    assert [len(some) for some in latencies.batched(Sleeps(0, []) for _ in range(3))] == sizes
