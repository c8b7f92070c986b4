"""The registered operators: opcheck and gradcheck over shapes, types, strides and boundaries; the compiler."""

import itertools

import pytest
import torch
from torch import nn

import depthprobe.ops as ops
from depthprobe.layers import DropIn, Resize

OPS = torch.ops.depthprobe
TYPES = (torch.float32, torch.float64, torch.float16, torch.bfloat16)
SHAPES = ((4, 6), (3, 4, 5), (2, 6, 3, 5), (2, 3, 2, 3, 2), (0, 3, 2), (1, 1, 1, 1), (3, 0, 4, 4))
ONE = torch.tensor(3)


def laid_out(x, layout):
    """The same values in another place in memory: transposed strides, a step, an odd offset, channels_last."""
    if layout == "channels_last" and x.ndim in (4, 5):
        return x.contiguous(memory_format={4: torch.channels_last, 5: torch.channels_last_3d}[x.ndim])
    if layout == "transposed":
        return x.transpose(0, -1).contiguous().transpose(0, -1)
    if layout == "stepped":
        wide = x.new_zeros((*x.shape[:-1], 2 * x.shape[-1]))
        wide[..., ::2] = x
        return wide[..., ::2]
    if layout == "offset":
        return torch.cat((x.new_zeros(1), x.flatten()))[1:].view(x.shape)
    return x


LAYOUTS = ("dense", "channels_last", "transposed", "stepped", "offset")


def draw(shape, dtype=torch.float64, layout="dense", grad=False):
    x = laid_out(torch.randn(shape, dtype=torch.float64).to(dtype), layout)
    return x.detach().requires_grad_(grad)


def boundaries(count):
    return sorted({-1, 0, 1, count // 2, count - 1, count, count + 1})


def prefix_inputs(shape, k, dim, dtype=torch.float64, layout="dense", grad=False):
    k = min(max(k, 0), shape[dim])
    return draw(shape, dtype, layout).narrow(dim, k, shape[dim] - k).detach().requires_grad_(grad), draw(
        shape, dtype, layout, grad
    )


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_prefix_at_every_boundary_type_and_stride(shape, layout):
    for dtype, dim in itertools.product(TYPES, range(min(3, len(shape)))):
        for k in boundaries(shape[dim]):
            new, old = prefix_inputs(shape, k, dim, dtype, layout)
            out = OPS.dropin_prefix(new, old, k, dim)
            here = min(max(k, 0), shape[dim])
            assert out.shape == old.shape
            assert out.dtype == dtype
            assert torch.equal(out.narrow(dim, 0, here), old.narrow(dim, 0, here))
            assert torch.equal(out.narrow(dim, here, shape[dim] - here), new)
            assert out.untyped_storage().data_ptr() != old.untyped_storage().data_ptr() or out.numel() == 0


@pytest.mark.parametrize("shape", [(4, 6), (2, 6, 3, 5), (0, 3, 2)])
@pytest.mark.parametrize(("dim", "layout"), [(0, "dense"), (1, "channels_last"), (1, "stepped"), (-1, "offset")])
def test_prefix_passes_opcheck_and_gradcheck(shape, dim, layout):
    for k in (-1, 0, 1, shape[dim] + 1):
        new, old = prefix_inputs(shape, k, dim, torch.float64, layout, grad=True)
        if k >= 1:
            torch.library.opcheck(OPS.dropin_prefix.default, (new, old, k, dim))
            torch.library.opcheck(OPS.dropin_prefix_backward.default, (old, k, dim))
        assert torch.autograd.gradcheck(lambda a, b, k=k: OPS.dropin_prefix(a, b, k, dim), (new, old))
    assert torch.autograd.gradgradcheck(lambda a, b: OPS.dropin_prefix(a, b, shape[dim] + 1, dim), (new, old))


def bernoulli_arguments(ratio, entries, scale):
    return 7, ONE, ops.threshold_of(ratio), entries, *ops.path_scales(ratio, scale)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("entries", [0, 1, 2])
def test_bernoulli_is_the_explicit_mask_in_every_type_and_stride(shape, layout, entries):
    for dtype, ratio, scale in itertools.product(TYPES, (0.0, 1e-6, 0.3, 1.0), (None, 1.5)):
        new, old = draw(shape, dtype, layout), draw(shape, dtype)
        arguments = bernoulli_arguments(ratio, entries, scale)
        mask = ops.draw_mask(shape, 7, 3, arguments[2], entries)
        expected = ops.dropin_masked(new, old, mask, *arguments[4:])
        out = OPS.dropin_bernoulli(new, old, *arguments)
        assert torch.equal(out, expected)
        assert out.dtype == dtype
        back = OPS.dropin_bernoulli_backward(new, *arguments)
        zero = torch.zeros_like(new)
        assert torch.equal(back[0], ops.dropin_masked(new, zero, mask, arguments[4]))
        assert torch.equal(back[1], ops.dropin_masked(zero, new, mask, 1.0, arguments[5]))


@pytest.mark.parametrize("shape", [(4, 6), (2, 6, 3, 5), (0, 3, 2)])
@pytest.mark.parametrize(("entries", "layout"), [(0, "channels_last"), (1, "dense"), (2, "stepped")])
@pytest.mark.parametrize(("ratio", "scale"), [(0.0, None), (0.4, None), (0.4, 2.0), (1.0, 2.0)])
def test_bernoulli_passes_opcheck_and_gradcheck(shape, entries, layout, ratio, scale):
    new, old = draw(shape, layout=layout, grad=True), draw(shape, layout=layout, grad=True)
    arguments = bernoulli_arguments(ratio, entries, scale)
    torch.library.opcheck(OPS.dropin_bernoulli.default, (new, old, *arguments))
    torch.library.opcheck(OPS.dropin_bernoulli_backward.default, (new, *arguments))
    assert torch.autograd.gradcheck(lambda a, b: OPS.dropin_bernoulli(a, b, *arguments), (new, old))
    assert torch.autograd.gradgradcheck(lambda a, b: OPS.dropin_bernoulli(a, b, *arguments), (new, old))


MAPS = (
    ((2, 3), (), 5), ((2, 6), (), 4), ((2, 3, 7), (4,), 3), ((2, 3, 4), (9,), 5), ((2, 3, 6, 6), (3, 3), 5),
    ((2, 3, 4, 5), (9, 8), 3), ((2, 4, 6, 3), (4, 7), 2), ((2, 2, 5, 5), (5, 5), 2), ((0, 3, 4, 4), (2, 2), 3),
    ((1, 2, 1, 1), (3, 2), 4), ((2, 2, 3, 4, 3), (2, 6, 3), 3),
)  # fmt: skip


def choice_of(channels):
    return torch.randint(2**31, (channels,), generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize(("shape", "size", "channels"), MAPS)
@pytest.mark.parametrize("layout", ["dense", "channels_last", "stepped", "offset"])
def test_resize_passes_opcheck_and_its_backward_is_the_true_adjoint(shape, size, channels, layout):
    x, choice = draw(shape, layout=layout, grad=True), choice_of(channels)
    torch.library.opcheck(OPS.resize.default, (x, size, channels, choice))
    out = OPS.resize(x, size, channels, choice)
    assert torch.equal(out, ops.resize(x.detach(), size, channels, choice))
    y = torch.randn_like(out)
    adjoint = OPS.resize_backward(y, shape, choice)
    torch.testing.assert_close((out * y).sum(), (x * adjoint).sum())  # <Ax, y> = <x, A'y>
    torch.library.opcheck(OPS.resize_backward.default, (y.requires_grad_(), shape, choice))
    assert torch.autograd.gradcheck(lambda a: OPS.resize(a, size, channels, choice), (x,))
    assert torch.autograd.gradgradcheck(lambda a: OPS.resize(a, size, channels, choice), (x,))


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize(("shape", "size", "channels"), MAPS)
def test_resize_in_every_type(shape, size, channels, dtype):
    x, choice = draw(shape, dtype), choice_of(channels)
    out = OPS.resize(x, size, channels, choice)
    exact = OPS.resize(x.double(), size, channels, choice)
    tolerance = {torch.float64: 1e-12, torch.float32: 1e-5, torch.float16: 4e-3, torch.bfloat16: 3e-2}[dtype]
    assert out.dtype == dtype
    torch.testing.assert_close(out.double(), exact, rtol=tolerance, atol=tolerance)
    back, exact = (OPS.resize_backward(y, shape, choice) for y in (out, out.double()))
    torch.testing.assert_close(back.double(), exact, rtol=4 * tolerance, atol=4 * tolerance)


@pytest.mark.parametrize("dim", [0, 1])
@pytest.mark.parametrize(("shape", "size", "channels"), MAPS)
def test_prefix_of_a_resized_bypass_resizes_only_what_is_used(shape, size, channels, dim):
    total = [shape[0], channels, *size]
    choice = choice_of(channels)
    for k in sorted({0, 1, total[dim] - 1, total[dim]} & set(range(total[dim] + 1))):
        part = [n - k if d == dim else n for d, n in enumerate(total)]
        new, old = draw(part, grad=True), draw(shape, grad=True)
        if k == 1:
            torch.library.opcheck(OPS.dropin_prefix_resized.default, (new, old, k, dim, size, choice))
        whole = ops.dropin_prefix(new, ops.resize(old, size, channels, choice), k, dim)
        fused = OPS.dropin_prefix_resized(new, old, k, dim, size, choice)
        torch.testing.assert_close(fused, whole)
        torch.testing.assert_close(ops.dropin_prefix_resized(new, old, k, dim, size, choice), whole)

        def run(a, b, k=k):
            return OPS.dropin_prefix_resized(a, b, k, dim, size, choice)

        assert torch.autograd.gradcheck(run, (new, old))


@pytest.mark.parametrize("entries", [0, 1, 2])
@pytest.mark.parametrize("threshold", [0, 300, 65536])
def test_the_draw_of_compiled_code_passes_opcheck(entries, threshold):
    arguments = ((3, 4, 5), 7, ONE, threshold, entries)
    torch.library.opcheck(OPS.dropin_draw.default, arguments)
    assert torch.equal(OPS.dropin_draw(*arguments), ops.draw_mask((3, 4, 5), 7, 3, threshold, entries))


def test_channels_last_is_kept():
    x = draw((2, 3, 4, 5), layout="channels_last")
    last = {"memory_format": torch.channels_last}
    assert OPS.dropin_prefix(x[:, 1:], x, 1, 1).is_contiguous(**last)
    assert OPS.dropin_bernoulli(x, x, *bernoulli_arguments(0.5, 0, None)).is_contiguous(**last)
    assert OPS.resize(x, (8, 8), 5, choice_of(5)).is_contiguous(**last)
    assert all(g.is_contiguous(**last) for g in OPS.dropin_bernoulli_backward(x, *bernoulli_arguments(0.5, 0, None)))


@pytest.mark.parametrize("mode", ["prefix", "bernoulli", "blend"])
@pytest.mark.parametrize("granularity", ["sample", "channel", "activation"])
def test_a_unit_with_dropin_compiles_as_one_graph_and_only_once(mode, granularity):
    class Unit(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer, self.mix = nn.Linear(8, 8), DropIn(mode, granularity, 0.5, max_scale=2.0, seed=3)

        def forward(self, x):
            return self.mix(self.layer(x), x)

    torch._dynamo.reset()
    torch._dynamo.utils.counters.clear()
    eager, unit = Unit(), Unit()
    unit.load_state_dict(eager.state_dict())
    compiled = torch.compile(unit, fullgraph=True, backend="aot_eager")
    for _ in range(4):  # every call draws anew, from a counter that must not be compiled in
        x = torch.randn(6, 8)
        grads = []
        for net, inner in ((eager, eager), (compiled, unit)):
            given = x.clone().requires_grad_()
            out = net(given)
            (out * torch.arange(8.0)).sum().backward()
            grads.append((out.detach(), given.grad, inner.layer.weight.grad.clone()))
        for a, b in zip(*grads, strict=True):
            torch.testing.assert_close(a, b)
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] == 1
    assert unit.mix.get_extra_state() == eager.mix.get_extra_state()
    assert torch.equal(unit(x), eager(x))  # uncompiled calls go on counting


def test_a_unit_with_a_resized_bypass_compiles_as_one_graph():
    torch._dynamo.reset()
    fit = Resize((6, 4, 4))

    def join(new, x):
        return fit.prefix(new, x, 2, 0)

    new = torch.randn(3, 6, 4, 4)
    compiled = torch.compile(join, fullgraph=True, backend="aot_eager")
    for grow in (0, 1, 2):  # sizes that vary make a graph of symbols
        x = torch.randn(5, 3, 8 + grow, 8 + 2 * grow)
        torch.testing.assert_close(compiled(new, x), join(new, x))


@pytest.mark.parametrize("mode", ["prefix", "bernoulli", "blend"])
def test_autocast_mixes_the_types_of_the_two_paths(mode):
    unit, mix = nn.Linear(8, 8), DropIn(mode, "channel", 0.5)
    x = torch.randn(4, 8, requires_grad=True)
    with torch.autocast("cpu", torch.bfloat16):
        out = mix(unit(x), x)
    out.float().sum().backward()
    assert out.shape == x.shape
    assert x.grad.dtype == torch.float32
