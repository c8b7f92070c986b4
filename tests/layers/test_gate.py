"""A gate mixes exactly what its ratio says, and computes nothing that its ratio skips."""

import copy
import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from depthprobe.layers import Gate, GateChain, Resize
from depthprobe.layers.dropin import skipped
from depthprobe.layers.share import MIN_NORM_SAMPLES

examples = settings(max_examples=60, deadline=None, derandomize=True)
ratios = st.one_of(st.sampled_from([0.0, 1.0]), st.floats(0.0, 1.0))


def conv_unit(channels=4, *after, **settings):
    torch.manual_seed(1)
    return nn.Sequential(nn.Conv2d(channels, channels, 3, padding=1, **settings), *after, nn.Tanh())


def record(module, kept=None):
    """Shapes of the inputs that `module` is called with."""
    kept = [] if kept is None else kept
    module.register_forward_hook(lambda _, args, __: kept.append(tuple(args[0].shape)))
    return kept


def grads(out, inputs):
    weight = torch.linspace(-1.0, 1.0, out.numel(), dtype=out.dtype).view_as(out)
    return torch.autograd.grad((out * weight).sum(), inputs, allow_unused=True)


def close(a, b):
    """Equal, or equal up to the order of sums: a convolution of part of a batch may choose another kernel."""
    if a is None or b is None:
        return (a is None or not a.any()) and (b is None or not b.any())
    return torch.allclose(a, b, rtol=1e-10, atol=1e-12)


@examples
@given(batch=st.integers(1, 17), p=ratios)
def test_prefix_samples_equal_the_per_sample_reference(batch, p):
    unit = conv_unit().double()
    gate = Gate(unit, ratio=p)
    x = torch.randn(batch, 4, 5, 5, dtype=torch.float64, requires_grad=True)
    k = {0.0: batch, 1.0: 0}.get(p, skipped(p, batch))
    rows = [x[i : i + 1] if i < k else unit(x[i : i + 1]) for i in range(batch)]
    inputs = [x, *unit.parameters()]
    got, expected = gate(x), torch.cat(rows)
    assert close(got, expected)
    if k < batch:
        assert all(close(a, b) for a, b in zip(grads(got, inputs), grads(expected, inputs), strict=True))


@examples
@given(
    batch=st.integers(1, 20),
    ps=st.lists(ratios, min_size=1, max_size=6),
    kinds=st.lists(st.sampled_from(["prefix", "blend", "resize", "norm", "channel"]), min_size=6, max_size=6),
    order=st.sampled_from(["up", "down", "any"]),
)
def test_chain_equals_its_gates_one_by_one(batch, ps, kinds, order):
    ps = {"up": sorted(ps), "down": sorted(ps, reverse=True), "any": ps}[order]
    torch.manual_seed(0)
    gates = []
    for p, kind in zip(ps, kinds, strict=False):
        norm = [nn.BatchNorm1d(3)] if kind == "norm" else []
        unit = nn.Sequential(nn.Linear(3, 3), *norm, nn.Tanh()).double()
        mode = "blend" if kind == "blend" else "prefix"
        granularity = "channel" if kind == "channel" else "sample"
        bypass = Resize((3,)) if kind == "resize" else None
        gates.append(Gate(unit, bypass=bypass, ratio=p, mode=mode, granularity=granularity))
    chain = GateChain(gates)
    single = copy.deepcopy(chain)
    x = torch.randn(batch, 3, dtype=torch.float64, requires_grad=True)
    y = x.detach().clone().requires_grad_()
    if batch == 1 and "norm" in kinds:
        chain.eval(), single.eval()
    out, expected = chain(x), y
    for gate in single:
        expected = gate(expected)
    assert close(out, expected)
    if out.grad_fn is not None:
        mine, theirs = grads(out, [x, *chain.parameters()]), grads(expected, [y, *single.parameters()])
        assert all(close(a, b) for a, b in zip(mine, theirs, strict=True))
    assert all(torch.allclose(a, b) for a, b in zip(chain.buffers(), single.buffers(), strict=True))


def test_chain_of_nested_prefixes_never_runs_a_sample_twice_or_too_many():
    gates = [Gate(nn.Linear(3, 3), ratio=p) for p in (1.0, 0.75, 0.5, 0.25, 0.0)]
    seen = [record(gate.inside) for gate in gates]
    GateChain(gates)(torch.randn(8, 3))
    assert [[shape[0] for shape in shapes] for shapes in seen] == [[8], [6], [4], [2], []]


@pytest.mark.parametrize("p", [0.05, 0.25, 0.5, 0.9])
@pytest.mark.parametrize(
    ("make", "shape"),
    [
        (lambda: nn.Sequential(nn.Linear(6, 6), nn.PReLU(6), nn.Dropout(0.0)), (7, 6)),
        (lambda: conv_unit(6, nn.LeakyReLU()), (3, 6, 5, 5)),
        (lambda: conv_unit(6, padding_mode="circular", bias=False), (3, 6, 5, 5)),
        (lambda: nn.Sequential(nn.Conv1d(6, 6, 3, padding=1), nn.BatchNorm1d(6), nn.GELU()), (4, 6, 9)),
        (lambda: conv_unit(6, nn.BatchNorm2d(6)), (4, 6, 5, 5)),
        (lambda: conv_unit(6, nn.BatchNorm2d(6, affine=False, track_running_stats=False)), (4, 6, 5, 5)),
        (lambda: conv_unit(6, nn.BatchNorm2d(6, momentum=None)), (4, 6, 5, 5)),
    ],
)
@pytest.mark.parametrize("training", [True, False])
def test_channel_granularity_equals_computing_all_and_slicing(make, shape, p, training):
    torch.manual_seed(0)
    unit = make().double().train(training)
    whole = copy.deepcopy(unit)
    gate = Gate(unit, granularity="channel", ratio=p).train(training)
    x = torch.randn(shape, dtype=torch.float64, requires_grad=True)
    k = skipped(p, 6)
    before = {name: value.clone() for name, value in unit.named_buffers()}
    got, expected = gate(x), torch.cat((x[:, :k], whole(x)[:, k:]), 1)
    assert close(got, expected)
    if k == 6:
        assert got is x
        return
    mine = grads(got, [x, *unit.parameters()])
    theirs = grads(expected, [x, *whole.parameters()])
    assert all(close(a, b) for a, b in zip(mine, theirs, strict=True))
    for name, value in unit.named_buffers():
        if value.ndim:
            assert torch.equal(value[:k], before[name][:k]), f"hidden channels moved in {name}"
            assert torch.allclose(value[k:], whole.get_buffer(name)[k:])


@pytest.mark.parametrize("training", [True, False])
def test_watching_a_unit_does_not_change_what_is_mixed(training):
    x = torch.randn(4, 4, 5, 5)
    gate = Gate(conv_unit(), granularity="channel", ratio=0.5).train(training)
    quiet = gate(x)
    seen = [record(gate.inside), record(gate.inside[0])]
    assert torch.allclose(gate(x), quiet)
    assert all(seen)


def test_linear_over_tokens_blends_because_its_channels_come_last():
    unit = nn.Sequential(nn.Linear(6, 6), nn.Tanh())
    x = torch.randn(2, 5, 6)
    gate = Gate(unit, granularity="channel", ratio=0.5)
    assert torch.allclose(gate(x), 0.5 * unit(x) + 0.5 * x)


def test_pooling_a_linear_layer_couples_its_channels():
    unit = nn.Sequential(nn.Linear(6, 12), nn.MaxPool1d(2), nn.Tanh())
    x = torch.randn(4, 6)
    gate = Gate(unit, granularity="channel", ratio=0.5)
    assert torch.allclose(gate(x), 0.5 * unit(x) + 0.5 * x)


@pytest.mark.parametrize("after", [nn.GroupNorm(2, 4), nn.Softmax(1)])
def test_channels_that_depend_on_each_other_are_blended(after):
    unit, x = conv_unit(4, after), torch.randn(3, 4, 5, 5)
    gate = Gate(unit, granularity="channel", ratio=0.25)
    assert torch.allclose(gate(x), torch.lerp(x, unit(x), 0.25))


@pytest.mark.parametrize("mode", ["prefix", "bernoulli", "blend"])
@pytest.mark.parametrize("granularity", ["sample", "channel", "activation"])
@pytest.mark.parametrize("training", [True, False])
def test_ends_are_exact(mode, granularity, training):
    gate = Gate(conv_unit(4, nn.BatchNorm2d(4)), mode=mode, granularity=granularity).train(training)
    twin = copy.deepcopy(gate.inside)
    seen = record(gate.inside)
    x = torch.randn(9, 4, 5, 5)
    assert gate(x) is x
    assert seen == []
    gate.ratio = 1.0
    assert torch.equal(gate(x), twin(x))
    assert seen == [(9, 4, 5, 5)]
    assert all(torch.equal(a, b) for a, b in zip(gate.inside.buffers(), twin.buffers(), strict=True))


def flops(gate, x):
    with FlopCounterMode(display=False) as counter:
        out = gate(x)
        out.sum().backward() if out.requires_grad else None
    return counter.get_total_flops()


@pytest.mark.parametrize("granularity", ["sample", "channel"])
@pytest.mark.parametrize("make", [lambda: conv_unit(8), lambda: nn.Sequential(nn.Linear(8, 8), nn.ReLU())])
def test_forward_and_backward_cost_the_ratio(granularity, make):
    unit = make()
    x = torch.randn(8, 8, 4, 4) if isinstance(unit[0], nn.Conv2d) else torch.randn(8, 8)
    gate = Gate(unit, granularity=granularity, ratio=1.0)
    full = flops(gate, x)
    assert full > 0
    for p in (0.0, 0.125, 0.25, 0.5, 0.875):
        gate.ratio = p
        assert flops(gate, x) == pytest.approx(p * full)
    gate.eval()
    gate.ratio = 0.25  # at evaluation the same unit is split by channels
    assert flops(gate, x) == pytest.approx(0.25 * full)


@pytest.mark.parametrize("granularity", ["sample", "channel"])
def test_sleeping_unit_gets_no_gradient_and_does_not_decay(granularity):
    gate = Gate(conv_unit(4, nn.BatchNorm2d(4)), granularity=granularity, ratio=0.0)
    before = copy.deepcopy(gate.inside.state_dict())
    optimizer = torch.optim.SGD(gate.parameters(), lr=0.5, momentum=0.9, weight_decay=0.1)
    x = torch.randn(16, 4, 5, 5, requires_grad=True)
    gate(x).sum().backward()
    optimizer.step()
    assert all(p.grad is None for p in gate.parameters())
    assert all(torch.equal(value, before[name]) for name, value in gate.inside.state_dict().items())


@examples
@given(batch=st.integers(16, 64), p=st.floats(0.0, 1.0))
def test_batch_norm_sees_eight_samples_or_none(batch, p):
    gate = Gate(nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3), nn.ReLU()), ratio=p)
    seen = record(gate.inside)
    gate(torch.randn(batch, 3))
    count = seen[0][0] if seen else 0
    assert count == 0 or count >= MIN_NORM_SAMPLES
    assert abs(count - p * batch) <= MIN_NORM_SAMPLES / 2 + 1e-9


@pytest.mark.parametrize("spatial", [False, True])
@pytest.mark.parametrize("batch", [2, 4, 8, 15])
def test_a_batch_too_small_to_be_divided_for_batch_norm_is_mixed_whole(batch, spatial):
    torch.manual_seed(0)
    unit = nn.Sequential(nn.Linear(8, 8), nn.BatchNorm1d(8 if not spatial else 5), nn.Tanh())
    gate, x = Gate(unit), torch.randn(batch, 5, 8) if spatial else torch.randn(batch, 8)
    moved = []
    for step in range(9):
        gate.ratio = step / 8
        moved.append(float((gate(x) - x).detach().abs().sum()))
    assert moved[0] == 0.0
    rises = [(after - before) / moved[-1] for before, after in itertools.pairwise(moved)]
    assert max(rises) < 0.5, "the output jumps over more than half of its way"


@pytest.mark.parametrize("chained", [False, True])
def test_running_statistics_weigh_by_the_share_seen(chained):
    norm = nn.BatchNorm1d(3, momentum=0.2)
    gate = Gate(nn.Sequential(norm), ratio=0.25)
    x = torch.randn(32, 3)
    (GateChain([gate]) if chained else gate)(x)
    seen, weight = x[24:], 0.2 * 0.25
    assert torch.allclose(norm.running_mean, weight * seen.mean(0))
    assert torch.allclose(norm.running_var, (1 - weight) + weight * seen.var(0))
    assert norm.momentum == 0.2


def test_momentum_comes_back_when_the_unit_fails():
    norm = nn.BatchNorm1d(3)
    gate = Gate(nn.Sequential(norm, nn.Linear(4, 4)), ratio=0.5)
    with pytest.raises(RuntimeError):
        gate(torch.randn(32, 3))
    assert norm.momentum == 0.1


def test_bypass_fits_the_shape_for_skipped_samples_only():
    unit = nn.Sequential(nn.Conv2d(2, 5, 3, stride=2, padding=1), nn.ReLU())
    gate = Gate(unit, bypass=Resize((5, 4, 4)), ratio=0.5)
    seen, x = [record(unit), record(gate.bypass)], torch.randn(6, 2, 8, 8)
    out = gate(x)
    assert seen == [[(3, 2, 8, 8)], [(3, 2, 8, 8)]]
    assert torch.equal(out[:3], gate.bypass(x[:3]))
    assert torch.allclose(out[3:], unit(x[3:]), atol=1e-6)
    gate.ratio = 1.0
    gate(x)
    assert len(seen[1]) == 2  # an open gate runs no bypass


def test_blend_takes_part_in_autocast():
    for mode in ("prefix", "bernoulli", "blend"):
        gate = Gate(nn.Sequential(nn.Linear(4, 4), nn.LayerNorm(4)), mode=mode, granularity="activation", ratio=0.5)
        for training in (True, False):
            with torch.autocast("cpu", torch.bfloat16):
                assert torch.isfinite(gate.train(training)(torch.randn(3, 4))).all()


@pytest.mark.parametrize("ratio", [-0.1, 1.5, float("nan")])
def test_ratio_out_of_range_is_refused(ratio):
    gate = Gate(nn.Linear(2, 2))
    with pytest.raises(ValueError, match="ratio must lie in"):
        gate.ratio = ratio
    assert gate.ratio == 0.0


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16])
def test_ratio_survives_state_dict_in_any_precision(dtype):
    gate, other = Gate(nn.Linear(2, 2), ratio=0.3).to(dtype), Gate(nn.Linear(2, 2)).to(dtype)
    assert "mix.ratio_saved" in dict(gate.named_buffers())
    other.load_state_dict(gate.state_dict())
    assert other.ratio == 0.3
    assert copy.deepcopy(other).ratio == 0.3
