"""A gate around BatchNorm keeps its share of the batch, in however many parts the batch is computed."""

import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from depthprobe.layers import Gate
from depthprobe.layers.part import Part, taking
from depthprobe.layers.share import MIN_NORM_SAMPLES, gather, share_of

examples = settings(max_examples=150, deadline=None, derandomize=True)


def entering(batch, of, apart, ratio):
    """Samples that enter the unit, by part."""
    gate = Gate(nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2)), ratio=ratio)
    found = []
    for index in range(of):
        part = Part(index, of, batch, apart)
        with taking(part):
            found.append(part.size - gate.skip(part.size))
    return found


@examples
@given(
    batch=st.integers(16, 96),
    accumulate=st.integers(1, 16),
    processes=st.sampled_from([1, 2, 3]),
    synchronised=st.booleans(),
    ratio=st.floats(0.0, 1.0),
)
def test_the_share_of_the_batch_is_that_of_the_ratio(batch, accumulate, processes, synchronised, ratio):
    of = accumulate * processes
    if of > batch:
        return
    beside = processes if synchronised else 1
    found = entering(batch, of, of // beside, ratio)
    assert abs(sum(found) - ratio * batch) <= max(MIN_NORM_SAMPLES, beside) / 2 + 0.5
    sizes = [Part(index, of, batch, of // beside).size for index in range(of)]
    for begin in range(0, of, beside):
        together, whole = found[begin : begin + beside], sizes[begin : begin + beside]
        assert sum(together) == 0 or sum(together) >= min(MIN_NORM_SAMPLES, sum(whole))
        assert sum(together) == 0 or all(together), "a process without a sample hangs in SyncBatchNorm"


@pytest.mark.parametrize("accumulate", [1, 2, 4, 8, 16])
def test_a_ramp_does_not_jump_when_the_batch_is_accumulated(accumulate):
    shares = [sum(entering(64, accumulate, accumulate, step / 64)) / 64 for step in range(65)]
    assert shares[0] == 0.0
    assert shares[-1] == 1.0
    rises = [after - before for before, after in itertools.pairwise(shares)]
    assert min(rises) >= 0.0
    assert max(rises) <= MIN_NORM_SAMPLES / 64


@examples
@given(wanted=st.integers(0, 99), sizes=st.lists(st.integers(7, 9), min_size=1, max_size=9), least=st.integers(1, 9))
def test_gathered_samples_fill_the_last_groups(wanted, sizes, least):
    sizes = sorted(sizes, reverse=True)
    enter = gather(wanted, sizes, least)
    groups = sum(count > 0 for count in enter)
    assert all(count == 0 for count in enter[: len(sizes) - groups])
    assert all(min(least, size) <= count <= size for count, size in list(zip(enter, sizes, strict=True))[-groups:]) or (
        groups == 0
    )


def test_statistics_weigh_by_what_each_part_gave():
    """Two parts of 8: at half of the way one enters as a whole, and its statistics count in full."""
    norm = nn.BatchNorm1d(3, momentum=0.2)
    gate, x = Gate(nn.Sequential(norm), ratio=0.5), torch.randn(16, 3)
    for index in range(2):
        part = Part(index, 2, 16, 2)
        with taking(part):
            gate(x[part.select])
    assert share_of(Part(1, 2, 16, 2), 8).weight == 1.0
    assert torch.allclose(norm.running_mean, 0.2 * x[1::2].mean(0))
