"""The CUDA kernels against the plain-PyTorch reference: every type, stride and boundary, forward and backward."""

import itertools

import pytest
import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

import depthprobe.ops as ops
from depthprobe.layers.dropin import DropIn
from depthprobe.layers.resize import Resize

OPS = torch.ops.depthprobe
TYPES = (torch.float32, torch.float16, torch.bfloat16, torch.float64)
LAYOUTS = ("dense", "channels_last", "transposed", "stepped", "offset")
SHAPES = (
    (5000,),
    (7, 33),
    (3, 5, 17),
    (4, 16, 9, 9),
    (2, 64, 32, 32),
    (3, 5, 7, 7),
    (2, 4, 3, 5, 6),
    (0, 3, 2),
    (3, 0, 4, 4),
)
TOLERANCE = {torch.float64: 1e-11, torch.float32: 3e-5, torch.float16: 4e-3, torch.bfloat16: 3e-2}


def laid_out(x, layout):
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


def draw(shape, dtype, layout, device, grad=False):
    return laid_out(torch.randn(shape, device=device).to(dtype), layout).detach().requires_grad_(grad)


def keeps_the_layout(out, like):
    last = {4: torch.channels_last, 5: torch.channels_last_3d}.get(like.ndim)
    if last is not None and like.is_contiguous(memory_format=last) and not like.is_contiguous():
        return out.is_contiguous(memory_format=last)
    return out.is_contiguous()


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", TYPES)
def test_prefix_forward_and_backward(gpu, shape, layout, dtype):
    for dim in range(min(3, len(shape))):
        size = shape[dim]
        for k in sorted({-1, 0, 1, size // 2, size - 1, size, size + 1}):
            here = min(max(k, 0), size)
            old = draw(shape, dtype, layout, gpu, grad=True)
            whole = draw(shape, dtype, layout, gpu)
            for new in (whole.narrow(dim, here, size - here), whole.narrow(dim, here, size - here).contiguous()):
                new = new.detach().requires_grad_()
                out = OPS.dropin_prefix(new, old, k, dim)
                assert torch.equal(out, torch.cat((old.narrow(dim, 0, here), new), dim))
                assert keeps_the_layout(out, old)
                grad = draw(shape, dtype, layout, gpu)
                grads = torch.autograd.grad(out, (new, old), grad)
                expected = torch.zeros_like(grad)
                expected.narrow(dim, 0, here).copy_(grad.narrow(dim, 0, here))
                assert torch.equal(grads[0], grad.narrow(dim, here, size - here))
                assert torch.equal(grads[1], expected)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", TYPES)
def test_bernoulli_is_the_explicit_mask_forward_and_backward(gpu, shape, layout, dtype):
    for entries, ratio, scale in itertools.product((0, 1, 2), (0.0, 1e-6, 0.3, 0.9, 1.0), (None, 1.7)):
        entries = min(entries, len(shape))
        threshold, scales = ops.threshold_of(ratio), ops.path_scales(ratio, scale)
        new, old = (draw(shape, dtype, layout, gpu, grad=True) for _ in range(2))
        arguments = (2**40 + 7, torch.tensor(2**33 + 1), threshold, entries, *scales)
        mask = ops.draw_mask(shape, 2**40 + 7, 2**33 + 1, threshold, entries).to(gpu)
        out, expected = OPS.dropin_bernoulli(new, old, *arguments), ops.dropin_masked(new, old, mask, *scales)
        assert torch.equal(out, expected)
        assert keeps_the_layout(out, new)
        grad = draw(shape, dtype, layout, gpu)
        mine, theirs = (torch.autograd.grad(result, (new, old), grad) for result in (out, expected))
        assert torch.equal(mine[0], theirs[0])
        assert torch.equal(mine[1], theirs[1])


def test_what_is_not_taken_does_not_matter(gpu):
    new, old = torch.full((64, 64), float("nan"), device=gpu), torch.ones(64, 64, device=gpu)
    mask = ops.draw_mask((64, 64), 1, 0, 30000).to(gpu)
    out = OPS.dropin_bernoulli(new, old, 1, torch.tensor(0), 30000, 0, 1.0, 1.0)
    assert torch.equal(out.isnan(), mask)


MAPS = (
    ((2, 3), (), 5), ((2, 6), (), 4), ((2, 3, 7), (4,), 3), ((2, 3, 4), (9,), 5), ((5, 3, 6, 6), (3, 3), 5),
    ((2, 3, 4, 5), (9, 8), 3), ((6, 4, 6, 3), (4, 7), 2), ((2, 2, 5, 5), (5, 5), 2), ((0, 3, 4, 4), (2, 2), 3),
    ((1, 2, 1, 1), (3, 2), 4), ((9, 16, 32, 32), (16, 16), 32), ((9, 16, 8, 8), (16, 16), 40),
    ((4, 8, 7, 40), (40, 7), 8),
)  # fmt: skip


@pytest.mark.parametrize(("shape", "size", "channels"), MAPS)
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", TYPES)
def test_resize_and_its_adjoint(gpu, shape, size, channels, layout, dtype):
    x = draw(shape, dtype, layout, gpu)
    choice = torch.randint(2**31, (channels,), device=gpu)
    near = {"rtol": TOLERANCE[dtype], "atol": TOLERANCE[dtype]}
    out = OPS.resize(x, size, channels, choice)
    exact = ops.reference.resize(x.cpu().double(), size, channels, choice.cpu())
    torch.testing.assert_close(out.cpu().double(), exact, **near)
    assert keeps_the_layout(out, x)
    y = torch.randn(out.shape, device=gpu).to(dtype)
    back = OPS.resize_backward(y, shape, choice)
    exact = OPS.resize_backward(y.cpu().double(), shape, choice.cpu())
    torch.testing.assert_close(back.cpu().double(), exact, rtol=8 * near["rtol"], atol=8 * near["atol"])
    if dtype == torch.float64:
        torch.testing.assert_close((out * y).sum(), (x * back).sum())  # <Ax, y> = <x, A'y>


@pytest.mark.parametrize("dim", [0, 1])
@pytest.mark.parametrize(("shape", "size", "channels"), MAPS)
@pytest.mark.parametrize("layout", ["dense", "channels_last"])
def test_prefix_of_a_resized_bypass(gpu, shape, size, channels, dim, layout):
    total, choice = [shape[0], channels, *size], torch.randint(2**31, (channels,), device=gpu)
    for k in sorted({0, 1, total[dim] - 1, total[dim]} & set(range(total[dim] + 1))):
        part = [n - k if d == dim else n for d, n in enumerate(total)]
        new, old = (draw(s, torch.float64, layout, gpu, grad=True) for s in (part, shape))
        mine = OPS.dropin_prefix_resized(new, old, k, dim, size, choice)
        theirs = ops.reference.dropin_prefix_resized(new, old, k, dim, size, choice)
        torch.testing.assert_close(mine, theirs)
        grad = torch.randn_like(theirs)
        unused = {"allow_unused": True, "materialize_grads": True}
        for a, b in zip(*(torch.autograd.grad(out, (new, old), grad, **unused) for out in (mine, theirs)), strict=True):
            torch.testing.assert_close(a, b)


def test_gradcheck_and_opcheck_of_every_operator(gpu):
    new, old = (torch.randn(2, 3, 4, 4, dtype=torch.float64, device=gpu, requires_grad=True) for _ in range(2))
    wide = torch.ones(2, 5, 6, 2, dtype=torch.float64, device=gpu, requires_grad=True)
    part, choice = new[:, 1:].detach().requires_grad_(), torch.randint(2**31, (5,), device=gpu)
    draws, plain = (3, torch.tensor(1), 30000, 0, 1.5, 2.0), old.detach()
    cases = {
        "dropin_prefix": ((part, old, 1, 1), 2),
        "dropin_prefix_backward": ((old, 1, 1), 1),
        "dropin_bernoulli": ((new, old, *draws), 2),
        "dropin_bernoulli_backward": ((new, *draws), 1),
        "resize": ((old, [6, 2], 5, choice), 1),
        "resize_backward": ((wide, plain.shape, choice), 1),
        "dropin_prefix_resized": ((part, old, 1, 1, [4, 4], choice), 2),
    }  # fmt: skip
    for name, (arguments, count) in cases.items():
        operator = getattr(OPS, name)
        torch.library.opcheck(operator.default, arguments)
        assert torch.autograd.gradcheck(lambda *a, f=operator, r=arguments[count:]: f(*a, *r), arguments[:count])


@pytest.mark.parametrize("granularity", ["activation", "channel", "sample"])
def test_a_layer_draws_on_the_gpu_what_it_draws_on_the_cpu(gpu, granularity):
    def run(device):
        layer = DropIn("bernoulli", granularity, 0.4, seed=11)
        shape = (16, 8, 9, 9)
        return torch.stack(
            [layer(torch.ones(shape, device=device), torch.zeros(shape, device=device)).cpu() for _ in range(3)]
        )

    assert torch.equal(run(gpu), run("cpu"))


def test_backward_draws_again_under_checkpointing_and_stores_no_mask(gpu):
    def step(through):
        mix, unit = DropIn("bernoulli", "activation", 0.5, seed=2), nn.Linear(16, 16, bias=False, device=gpu)
        nn.init.constant_(unit.weight, 0.25)
        x = torch.ones(8, 16, device=gpu, requires_grad=True)
        through(lambda v: mix(unit(v), v), x).square().sum().backward()
        return x.grad

    assert torch.equal(step(lambda run, x: run(x)), step(lambda run, x: checkpoint(run, x, use_reentrant=False)))
    saved = []
    new = torch.ones(1024, 1024, device=gpu, requires_grad=True)
    with torch.autograd.graph.saved_tensors_hooks(lambda t: (saved.append(t.numel()), t)[1], lambda t: t):
        ops.dropin_bernoulli(new, new * 2, 0.5, 1, 0)
    assert max(saved) == 1


def test_everything_is_deterministic(gpu):
    x = torch.randn(8, 16, 16, 16, device=gpu)
    choice = torch.randint(2**31, (64,), device=gpu)
    grad = torch.randn(8, 64, 24, 24, device=gpu)
    calls = (
        lambda: OPS.resize_backward(grad, x.shape, choice),
        lambda: OPS.dropin_bernoulli(x, -x, 1, torch.tensor(5), 20000, 0, 1.0, 1.0),
    )  # fmt: skip
    for call in calls:
        first = call()
        assert all(torch.equal(call(), first) for _ in range(5))


def test_another_stream_is_honoured(gpu):
    stream = torch.cuda.Stream()
    x, y = torch.zeros(64 * 2**20, device=gpu), torch.ones(64 * 2**20, device=gpu)
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(4):
            x = x + 1
        out = OPS.dropin_prefix(x[1000:], y, 1000, 0)
    stream.synchronize()
    assert (out[:1000] == 1).all()
    assert (out[1000:] == 4).all()


@pytest.mark.skipif(torch.cuda.is_available() and torch.cuda.mem_get_info()[0] < 30 * 2**30, reason="needs 30 GB free")
def test_more_elements_than_32_bits_count(gpu):
    shape = (2**16 + 1, 2**15 + 8)  # 2.1e9 elements, an odd number of rows
    new, old = torch.ones(shape, dtype=torch.bfloat16, device=gpu), torch.zeros(shape, dtype=torch.bfloat16, device=gpu)
    out = OPS.dropin_prefix(new[70:], old, 70, 0)
    assert not out[:70].any()
    assert out[70:].all()
    out = OPS.dropin_bernoulli(new, old, 1, torch.tensor(0), 32768, 0, 1.0, 1.0)
    assert out[-1000:].float().mean().item() == pytest.approx(0.5, abs=0.001)
    tail = ops.draws.draw_words(shape[1] * 3, 1, 0) < 32768
    assert torch.equal(out[:3].cpu().bool().flatten(), torch.from_numpy(tail))


@pytest.mark.parametrize("mode", ["prefix", "bernoulli", "blend"])
def test_a_compiled_unit_is_one_graph_and_gives_the_same(gpu, mode):
    class Unit(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer, self.mix = nn.Linear(64, 64), DropIn(mode, "channel", 0.5, seed=3)

        def forward(self, x):
            return self.mix(self.layer(x), x)

    torch._dynamo.reset()
    eager, unit = Unit().to(gpu), Unit().to(gpu)
    unit.load_state_dict(eager.state_dict())
    compiled = torch.compile(unit, fullgraph=True)
    for _ in range(3):
        x = torch.randn(32, 64, device=gpu)
        torch.testing.assert_close(compiled(x), eager(x), rtol=1e-3, atol=1e-3)


def test_autocast(gpu):
    unit, mix, fit = nn.Conv2d(4, 8, 3, 2, 1).to(gpu), DropIn("bernoulli", "channel", 0.5), Resize((8, 4, 4)).to(gpu)
    x = torch.randn(6, 4, 8, 8, device=gpu, requires_grad=True)
    with torch.autocast("cuda", torch.bfloat16):
        out = mix(unit(x), fit(x)) + fit.prefix(unit(x)[2:], x, 2, 0)
    out.float().sum().backward()
    assert x.grad.dtype == torch.float32
    assert x.grad.isfinite().all()


def test_wrong_arguments_are_errors_not_crashes(gpu):
    x = torch.ones(4, 6, device=gpu)
    with pytest.raises(RuntimeError, match="new_part must have"):
        OPS.dropin_prefix(x, x, 2, 0)
    with pytest.raises(RuntimeError, match="dim is out of range"):
        OPS.dropin_prefix(x, x, 0, 2)
    with pytest.raises(RuntimeError, match="offset must be one int64 on the CPU"):
        OPS.dropin_bernoulli(x, x, 1, torch.zeros(2, dtype=torch.int64), 5, 0, 1.0, 1.0)
    with pytest.raises(RuntimeError, match="equal shapes"):
        OPS.dropin_bernoulli(x, x[:2], 1, torch.tensor(0), 5, 0, 1.0, 1.0)
    with pytest.raises(RuntimeError, match="choice must be"):
        OPS.resize(x, [], 9, torch.arange(3, device=gpu))
