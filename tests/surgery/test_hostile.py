"""Hostile models: each works, or the message names the place; none gives a silently different network."""

import copy

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import depthprobe as dp
from depthprobe.errors import DepthprobeError
from depthprobe.graph.purity import same_output, tensors_of

ROWS = torch.randn(16, 6)


class Block(nn.Module):
    """A residual block of two linear layers: what the hostile things are done to."""

    def __init__(self, width=6):
        super().__init__()
        self.up, self.down = nn.Linear(width, 2 * width), nn.Linear(2 * width, width)

    def forward(self, x):
        return x + self.down(F.relu(self.up(x)))


class Hostile(nn.Module):
    """Blocks and a head; every model below does one thing to them."""

    def __init__(self, *blocks):
        super().__init__()
        self.blocks, self.head = nn.ModuleList(blocks or [Block(), Block(), Block()]), nn.Linear(6, 2)

    def forward(self, x):
        for block in self.blocks:
            x = block(x)
        return self.head(x)


class Branching(Hostile):
    """Control flow on values."""

    def forward(self, x):
        for block in self.blocks:
            x = block(x) if x.mean() < 1e3 else block(-x)
        return self.head(x)


class InPlace(Hostile):
    """Operations in place on what blocks return, and on what they get."""

    def forward(self, x):
        x = x * 1.0
        for block in self.blocks:
            x = block(x)
            x += 0.5
            x.clamp_(-5.0, 5.0)
        return self.head(x)


class NotATensor(Hostile):
    """Comes out as an object that no one knows."""

    class Answer:
        def __init__(self, logits):
            self.logits = logits

    def forward(self, x):
        return NotATensor.Answer(super().forward(x))


class WithLambda(Hostile):
    """A lambda and a partial inside, which no pickle takes."""

    def __init__(self):
        super().__init__()
        self.scale = lambda x: 0.5 * x

    def forward(self, x):
        return self.scale(super().forward(x))


class CalledTwice(Hostile):
    """One block is called twice, with another in between."""

    def forward(self, x):
        a, b, _ = self.blocks
        return self.head(a(b(a(x))))


class TiedBlocks(Hostile):
    """Weights tied across units."""

    def __init__(self):
        super().__init__()
        self.blocks[2].up.weight = self.blocks[0].up.weight


class Counting(Hostile):
    """A forward that counts its calls in a plain attribute, and lets the count out."""

    calls = 0

    def forward(self, x):
        self.calls += 1
        return super().forward(x) * self.calls


class Remembering(Hostile):
    """A forward that keeps its activations in a list."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def forward(self, x):
        self.seen = [x.detach()]
        return super().forward(x)


class Hidden(Hostile):
    """The blocks that run are kept in a plain list: what is swapped in is never reached."""

    def __init__(self):
        super().__init__()
        self.kept = list(self.blocks)

    def forward(self, x):
        for block in self.kept:
            x = block(x) if x.sum() < 1e6 else x
        return self.head(x)


class BoundMethod(Hostile):
    """A bound method of a block, taken once and called for ever."""

    def __init__(self):
        super().__init__()
        self.step = self.blocks[0].forward

    def forward(self, x):
        return self.head(self.step(x) if x.sum() < 1e6 else x)


class SampleMixing(Hostile):
    """A block whose samples look at each other."""

    class Centred(Block):
        def forward(self, x):
            return x + self.down(F.relu(self.up(x - x.mean(0, keepdim=True))))

    def __init__(self):
        super().__init__(*[SampleMixing.Centred() for _ in range(3)])


class Random(Hostile):
    """Noise in eval mode, too."""

    def forward(self, x):
        return super().forward(x + 0.1 * torch.randn_like(x))


class Checkpointed(Hostile):
    """Gradient checkpointing around every block."""

    def forward(self, x):
        for block in self.blocks:
            x = torch.utils.checkpoint.checkpoint(block, x, use_reentrant=False)
        return self.head(x)


class OldNorms(Hostile):
    """Hook-based weight normalisation, whose computed weights torch refuses to copy."""

    def __init__(self):
        super().__init__()
        for block in self.blocks:
            nn.utils.spectral_norm(block.up)

    def forward(self, x):
        return super().forward(x)


class Parametrized(Hostile):
    """Parametrized weights inside the blocks."""

    def __init__(self):
        super().__init__()
        for block in self.blocks:
            nn.utils.parametrizations.weight_norm(block.up)


class Hooked(Hostile):
    """A hook that changes what a block returns."""

    def __init__(self):
        super().__init__()
        self.blocks[1].register_forward_hook(lambda _, args, out: out * 2.0)


class Frozen(Hostile):
    """Two of three blocks are frozen, one norm is in eval mode."""

    def __init__(self):
        super().__init__()
        self.blocks[0].requires_grad_(False)
        self.blocks[1].requires_grad_(False)


class Skipping(Hostile):
    """Layers left out at random while training."""

    def forward(self, x):
        for block in self.blocks:
            if not self.training or torch.rand(()) < 0.7:
                x = block(x)
        return self.head(x)


class LooksInside(Hostile):
    """Reads attributes of its blocks from outside."""

    def forward(self, x):
        for block in self.blocks:
            x = block(x) * (block.up.in_features / 6 if x.sum() < 1e6 else 1)
        return self.head(x)


class Overwriting(Hostile):
    """A block that overwrites its input, whose input others read later."""

    class Eager(Block):
        def forward(self, x):
            return x.mul_(0.5) + self.down(torch.tanh(self.up(x)))

    def __init__(self):
        super().__init__(*[Overwriting.Eager() for _ in range(2)])

    def forward(self, x):
        x = x * 1.0
        for block in self.blocks:
            x = block(x)
        return self.head(x)


WORKS = [
    Hostile, Branching, InPlace, WithLambda, CalledTwice, Remembering, SampleMixing, Random, Checkpointed, OldNorms,
    Parametrized, Hooked, Frozen, Skipping, LooksInside, Overwriting, NotATensor,
]  # fmt: skip
REFUSED = {
    TiedBlocks: ["blocks.0", "shares its weight with blocks.2.up"],
    Counting: ["Counting", "same output for the same input"],
    Hidden: ["blocks.0_copy1", "never reached", "a list"],
    BoundMethod: ["blocks.0.up_copy1", "never reached", "a bound method"],
}


def run(model, x, seed=0):
    torch.manual_seed(seed)
    return model(x.clone())


@pytest.mark.parametrize("tracer", ["auto", "modules"])
@pytest.mark.parametrize("kind", WORKS)
def test_hostile_models_that_work(kind, tracer):
    torch.manual_seed(0)
    model = kind().eval()
    pristine = copy.deepcopy(model) if kind is not OldNorms else model
    growable = [u for u in dp.units(model, ROWS, tracer) if u.growable]
    assert growable
    for unit in growable:
        edited = dp.apply(model, [dp.Duplicate(unit=unit.name), dp.Gate(unit=unit.name)], ROWS, tracer).eval()
        with torch.no_grad():
            assert same_output(run(edited, ROWS), run(pristine, ROWS))
            for ratio in (0.0, 1.0):
                edited.set_ratio(ratio)
                assert same_output(run(edited, ROWS), run(dp.settle(edited), ROWS))
        edited.set_ratio(0.5)
        sum(leaf.sum() for _, leaf in tensors_of(run(edited.train(), ROWS))).backward()
        copies = list(edited.gates[f"{unit.name}_copy1"].inside.parameters())
        assert all(p.requires_grad for p in copies)
        assert kind is Skipping or all(p.grad is not None for p in copies)


@pytest.mark.parametrize("kind", REFUSED)
def test_hostile_models_that_are_refused_say_where(kind):
    with pytest.raises(DepthprobeError) as caught:
        dp.apply(kind(), [dp.Duplicate(unit="blocks.0.up" if kind is BoundMethod else "blocks.0")], ROWS)
    assert all(word in str(caught.value) for word in REFUSED[kind]), str(caught.value)
    assert len(str(caught.value).splitlines()) <= 6


def test_samples_that_look_at_each_other_are_not_split():
    model = SampleMixing()
    edited = dp.apply(model, [dp.Duplicate(unit="blocks.0", ratio=0.5)], ROWS).train()
    gate = edited.gates["blocks.0_copy1"]
    seen = []
    gate.inside.register_forward_pre_hook(lambda _, args: seen.append(len(args[0])))
    run(edited, ROWS)
    assert gate.coupled
    assert seen == [len(ROWS)]


def test_a_block_that_overwrites_its_input_leaves_the_bypass_alone():
    model = Overwriting().eval()
    edited = dp.apply(model, [dp.Gate(unit="blocks.0", ratio=0.5, mode="blend")], ROWS).eval()
    x = ROWS.clone()
    expected = model.head(model.blocks[1](torch.lerp(x, model.blocks[0](x.clone()), 0.5)))
    assert torch.allclose(run(edited, ROWS), expected)


def test_a_model_neither_tracer_can_follow_is_refused_once_with_both_reasons():
    class Both(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(6, 6)

        def forward(self, x):
            if x.sum() > 0:
                x = -x
            return self.layer(x)

    with pytest.raises(DepthprobeError) as caught:
        dp.units(Both(), ROWS)
    words = ["torch.fx cannot follow Both.forward", "test_hostile.py:", "control flow", "no module that is a unit"]
    assert all(word in str(caught.value) for word in words), str(caught.value)
