"""Which modules are units as a whole, which only hold units, and which are nothing but layers in a row."""

import torch
from torch import nn
from torch.nn import functional as F

import depthprobe as dp
from depthprobe.graph.blocks import find_blocks
from depthprobe.graph.trace import trace

ROWS = torch.randn(4, 6)


class Block(nn.Module):
    def __init__(self, inner=6, outer=6):
        super().__init__()
        self.up, self.down, self.skips = nn.Linear(inner, 12), nn.Linear(12, outer), inner == outer

    def forward(self, x):
        out = self.down(F.relu(self.up(x)))
        return x + out if self.skips else out


class Stage(nn.Module):
    """Blocks in a list: a holder, also where there is one only."""

    def __init__(self, count):
        super().__init__()
        self.list = nn.ModuleList(Block() for _ in range(count))

    def forward(self, x):
        for block in self.list:
            x = block(x)
        return x


class Branches(nn.Module):
    """Blocks side by side on one input: one unit."""

    def __init__(self):
        super().__init__()
        self.sides = nn.ModuleList(Block() for _ in range(3))

    def forward(self, x):
        return sum(side(x) for side in self.sides)


class Dense(nn.Module):
    """Members that take a list: one unit."""

    class Layer(Block):
        def forward(self, features):
            return super().forward(torch.cat(features, 1)[:, :6])

    def __init__(self):
        super().__init__()
        self.layers = nn.ModuleList(Dense.Layer() for _ in range(2))

    def forward(self, x):
        features = [x]
        for layer in self.layers:
            features.append(layer(features))
        return torch.cat(features, 1)[:, :6]


class Plain(nn.Module):
    """Nothing but one layer after another, in a class of its own."""

    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Linear(6, 6), nn.Linear(6, 6)

    def forward(self, x):
        return F.relu(self.b(F.relu(self.a(x).view(x.size(0), -1))))


class Crossed(nn.Module):
    """Two members of one class, with something between them: one unit."""

    def __init__(self):
        super().__init__()
        self.first, self.second = Block(), Block()

    def forward(self, x):
        return x + self.second(F.layer_norm(x + self.first(x), (6,)))


def names(*parts):
    model = nn.Sequential(*parts, nn.Linear(6, 2))
    return [block.name for block in find_blocks(model, ((ROWS,), {})).found]


def test_stages_hold_units():
    assert names(Stage(2), Stage(1)) == ["0.list.0", "0.list.1", "1.list.0"]
    assert names(nn.Sequential(nn.Sequential(Block(), Block()))) == ["0.0.0", "0.0.1"]


def test_what_cannot_be_split_is_one_unit():
    assert names(Branches()) == ["0"]
    assert names(Dense()) == ["0"]
    assert names(Crossed(), Crossed()) == ["0", "1"]


def test_layers_in_a_row_are_no_block():
    assert names(Plain()) == []
    assert [u.name for u in dp.units(nn.Sequential(Plain(), nn.Linear(6, 2)), ROWS)] == ["0.a", "0.b", "1"]


def test_a_block_that_changes_the_shape_is_copied_after_one_that_keeps_it():
    keeps, changes, alone = dp.units(nn.Sequential(Block(8, 8), Block(8, 6), Block(6, 4)), torch.randn(2, 8))
    assert keeps.growable
    assert not changes.growable
    assert "no other Block keeps (6,)" in changes.reason
    assert "the model's output" in alone.reason
    _, down, after = dp.units(nn.Sequential(Block(8, 8), Block(8, 6), Block(6, 6), nn.Linear(6, 2)), torch.randn(2, 8))[
        :3
    ]
    assert down.growable
    assert after.growable


def test_the_clock_and_the_wiring_are_recorded():
    found = find_blocks(nn.Sequential(Stage(2), nn.Linear(6, 2)), ((ROWS,), {})).found
    assert found[0].begun < found[0].ended < found[1].begun
    assert all(block.plain and block.kind == "residual" and not block.spoils for block in found)
    assert [block.last for block in found] == [False, False]


def test_traced_says_which_tracer_and_why():
    class Odd(Stage):
        def forward(self, x):
            return super().forward(x if x.sum() < 1e9 else -x)

    traced = trace(Odd(2), ROWS)
    assert traced.tracer == "modules"
    assert "torch.fx cannot follow Odd.forward" in traced.why
    assert list(traced.blocks) == ["list.0", "list.1"]
    assert trace(Stage(2), ROWS).tracer == "fx"
