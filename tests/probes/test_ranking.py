"""What units are worth before any training, on networks in which that is known."""

import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from depthprobe.config import ShrinkConfig, TrainConfig
from depthprobe.errors import ConfigError
from depthprobe.inputs import as_dataset, split_dataset
from depthprobe.probes.ranking import MEASURED, rank_units
from depthprobe.probes.shrink_plan import choose_units, plan_shrink
from depthprobe.training.batches import Batches
from depthprobe.training.learner import predict, refresh_batch_norm
from depthprobe.training.metrics import PYTHON, Metric

CPU = torch.device("cpu")


class Adds(nn.Module):
    """A residual block that adds `weight` (F, F) times its input: x = relu(x) - relu(-x)."""

    def __init__(self, weight):
        super().__init__()
        eye = torch.eye(len(weight))
        self.up = nn.Linear(len(weight), 2 * len(weight), bias=False)
        self.down = nn.Linear(2 * len(weight), len(weight), bias=False)
        self.up.weight.data.copy_(torch.cat((eye, -eye)))
        self.down.weight.data.copy_(torch.cat((weight, -weight), 1))

    def forward(self, x):
        return x + self.down(F.relu(self.up(x)))


def adds(features, entry, scale):
    weight = torch.zeros(features, features)
    weight[entry] = scale
    return Adds(weight)


def head(weights):
    layer = nn.Linear(len(weights), 1, bias=False)
    layer.weight.data.copy_(torch.tensor([weights]))
    return layer


@pytest.fixture
def split():
    x = torch.randn(1000, 8, generator=torch.Generator().manual_seed(0))
    return split_dataset(as_dataset({"train": (x, x[:, :1])}), split_seed=0)


def batches(split, augment=False):
    return Batches(split.train, 64, 0, augment, CPU)


def distance(network, split):
    """Minus the squared distance to what the whole network says."""
    whole = predict(network, split.valid.x, CPU)
    return Metric(name="near", spec=PYTHON, function=lambda output, _: -(output - whole).square().flatten(1).mean(1))


def rank(network, split, metric=None, augment=False):
    names = [unit.name for unit in choose_units(network, split.train.x[:2], ShrinkConfig())]
    return rank_units(network, names, split, batches(split, augment), metric or distance(network, split), CPU)


def test_units_are_ordered_by_what_bypassing_them_costs_not_by_how_much_they_change(split):
    """Each block writes one input into a place of its own, the more the less the head makes of it."""
    written, read = (3.0, 1.0, 0.5, 0.2), (0.0, 0.1, 1.0, 10.0)
    blocks = [adds(8, (4 + place, place), scale) for place, scale in enumerate(written)]
    network = nn.Sequential(*(blocks[place] for place in (2, 0, 3, 1)), head([0.0] * 4 + list(read)))
    rows, whole = rank(network, split)
    assert whole == pytest.approx(0.0, abs=1e-9)
    assert [row.unit for row in rows] == ["1", "3", "0", "2"]
    pairs = enumerate(zip(written, read, strict=True))
    costs = [float((one * other * split.valid.x[:, place]).square().mean()) for place, (one, other) in pairs]
    assert [row.loss for row in rows] == pytest.approx(costs, rel=1e-4, abs=1e-9)
    assert [row.value for row in rows] == pytest.approx([-cost for cost in costs], rel=1e-4, abs=1e-9)
    influences = [row.influence for row in rows]
    assert influences == sorted(influences, reverse=True)
    assert {(row.params, row.macs) for row in rows} == {(3 * 256 + 8, 3 * 256 + 8)}


def test_in_a_very_deep_network_only_what_changes_little_is_bypassed(split):
    deep = MEASURED + 4
    scales = torch.linspace(0.02, 0.8, deep)[torch.randperm(deep, generator=torch.Generator().manual_seed(3))]
    stem = nn.Linear(8, deep)
    blocks = [adds(deep, (place, place), float(scale)) for place, scale in enumerate(scales)]
    network = nn.Sequential(stem, nn.ReLU(), *blocks, head([1.0] * deep))
    rows, _ = rank(network, split)
    found = {row.unit: row for row in rows}
    x = torch.relu(stem(split.valid.x[:256]))
    known = {}
    with torch.no_grad():
        for place, block in enumerate(blocks):
            known[f"{2 + place}"] = 1 - float(F.cosine_similarity(x, block(x)).mean())
            x = block(x)
    assert {name: found[name].influence for name in known} == pytest.approx(known, abs=1e-6)
    assert (rows[-1].unit, rows[-1].influence) == ("0", None)  # the shape changes there
    by_influence = sorted(known, key=known.get)
    assert {row.unit for row in rows if row.value is not None} == set(by_influence[:MEASURED])
    assert [row.unit for row in rows[MEASURED:-1]] == by_influence[MEASURED:]
    losses = [row.loss for row in rows[:MEASURED]]
    assert losses == sorted(losses)
    assert losses[0] < losses[-1]


@pytest.fixture
def normed(split):
    """A block that makes everything six times as large, which BatchNorm undoes, and one that the head reads."""
    norm = nn.BatchNorm1d(8)
    network = nn.Sequential(Adds(5 * torch.eye(8)), adds(8, (1, 0), 0.5), norm, head([0.0, 1.0] + [0.0] * 6))
    refresh_batch_norm(network, (batches(split).at(step)[0] for step in range(40)))
    return network.eval()


def test_batch_norm_is_estimated_anew_for_every_bypass(normed, split):
    before = {name: value.clone() for name, value in normed.state_dict().items()}
    rows, whole = rank(normed, split)
    assert [row.unit for row in rows] == ["0", "1"]
    assert whole == pytest.approx(0.0, abs=1e-4)
    assert rows[0].loss == pytest.approx(0.0, abs=1e-3)
    assert rows[1].loss > 0.05
    assert all(torch.equal(before[name], value) for name, value in normed.state_dict().items())


def test_batch_norm_is_estimated_on_batches_as_the_training_sees_them(normed, split):
    """Augmented where it augments, as everywhere else: the ranking is of the networks that will be measured."""
    metric = Metric(name="size", spec=PYTHON, function=lambda output, _: output.square().flatten(1).mean(1))
    _, plain = rank(normed, split, metric)
    _, wider = rank(normed, split, metric, augment=lambda x: 3 * x)
    assert plain == pytest.approx(9 * wider, rel=0.01)


def plan(split, **settings):
    torch.manual_seed(0)
    layers = [layer for _ in range(4) for layer in (nn.Linear(8, 8), nn.ReLU())]
    network = nn.Sequential(*layers, nn.Linear(8, 1))
    config = ShrinkConfig(overlap=1, **settings)
    return plan_shrink(network, split.train.x[:2], rank(network, split)[0], config, TrainConfig(steps=200), 800)


def test_a_unit_leaves_in_the_time_that_was_given_to_it(split):
    common = plan(split)
    slow = common.order[1]
    own = plan(split, lengths={slow: 50})
    lengths = {ramp.gate: ramp.length for ramp in own.schedule(0).ramps}
    assert lengths == {**{ramp.gate: ramp.length for ramp in common.schedule(0).ramps}, slow: 50}
    longer = 50 - round(0.03 * 200)
    assert [own.reached(count) - common.reached(count) for count in own.opened] == [longer, longer, longer, 0, 0]
    ramp = next(ramp for ramp in own.schedule(0).ramps if ramp.gate == slow)
    after = next(hold for hold in own.schedule(0).holds if hold.opened == own.opened[-1] - 2)
    assert after.start == ramp.start + 50
    assert math.isclose(own.schedule(0).ratio(slow, ramp.start + 25), 0.5)


def test_a_length_of_a_unit_that_does_not_leave_is_refused(split):
    with pytest.raises(ConfigError, match="a length for '9', which is no unit that leaves"):
        plan(split, lengths={"9": 50})
