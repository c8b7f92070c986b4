"""Runs of layers in Sequentials, without a graph: the answers that a graph gives, and what is refused and why."""

import copy

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

import depthprobe as dp
from depthprobe.errors import GraphError

pytestmark = pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel")
examples = settings(max_examples=25, deadline=None, derandomize=True)
IMAGES = torch.randn(9, 2, 8, 8)


def conv(inner, outer, *, norm=True):
    layers = [nn.Conv2d(inner, outer, 3, padding=1), nn.BatchNorm2d(outer), nn.ReLU(inplace=True)]
    return nn.Sequential(*(layers if norm else layers[::2]))


class Routed(nn.Module):
    """Control flow on values around plain stacks: nested, in a list, and one by itself."""

    def __init__(self):
        super().__init__()
        self.features = nn.Sequential(conv(2, 4), nn.Conv2d(4, 4, 3, padding=1), nn.Tanh(), nn.MaxPool2d(2))
        self.stages = nn.ModuleList([conv(4, 6), conv(6, 6, norm=False)])
        self.head = nn.Sequential(nn.Flatten(), nn.Linear(96, 8), nn.ReLU(), nn.Dropout(0.1), nn.Linear(8, 3))

    def forward(self, x):
        x = self.features(x if x.mean() < 1e3 else -x)
        for stage in self.stages:
            x = stage(x)
        return self.head(x)


NAMES = ["features.0.0", "features.1", "stages.0.0", "stages.1.0", "head.1", "head.4"]


def run(model, x, seed=3):
    torch.manual_seed(seed)
    return model(x.clone())


def apply_seeded(model, edits, x, tracer="auto", seed=5):
    torch.manual_seed(seed)
    return dp.apply(model, edits, x, tracer)


@pytest.fixture
def routed():
    torch.manual_seed(0)
    return Routed()


def facts(model, x, tracer):
    return [(u.name, u.kind, u.in_shape, u.out_shape, u.growable, u.shrinkable, u.narrowable, u.reason, u.roles,
             u.params) for u in dp.units(model, x, tracer)]  # fmt: skip


@examples
@given(data=st.data())
def test_chains_have_the_same_units_with_and_without_a_graph(nets, data):
    net = data.draw(nets)
    assume(isinstance(net.model, nn.Sequential))
    found = facts(net.model, net.example, "modules")
    assert found == facts(net.model, net.example, "fx")
    assert found


@examples
@given(data=st.data(), ratio=st.sampled_from([0.0, 0.5, 1.0]))
def test_edited_chains_compute_the_same_with_and_without_a_graph(nets, recipes, data, ratio):
    net = data.draw(nets)
    assume(isinstance(net.model, nn.Sequential))
    edits = data.draw(recipes(net))
    graph, place = (apply_seeded(net.model, edits, net.example, tracer) for tracer in ("fx", "modules"))
    assert (graph.tracer, place.tracer) == ("fx", "modules")
    assert list(graph.gates) == list(place.gates)
    for edited in (graph, place):
        edited.set_ratio(ratio)
    assert torch.equal(run(graph, net.batch), run(place, net.batch))  # in the model's own mode
    assert torch.equal(run(graph.eval(), net.batch), run(place.eval(), net.batch))
    if ratio in (0.0, 1.0):
        one, two = dp.settle(graph), dp.settle(place)
        assert not [m for m in two.modules() if type(m).__module__.startswith("depthprobe")]
        assert torch.equal(run(one, net.batch), run(two, net.batch))
        assert set(_weights(one)) == set(_weights(two))
        two.load_state_dict(copy.deepcopy(two).state_dict(), strict=True)
    assert list(dp.undo(place).state_dict()) == list(net.model.state_dict())


def _weights(network):
    """Names of what is trained or counted, without the channels that a bypass chose."""
    return [name for name in network.state_dict() if not name.endswith(("_channels", ".choice"))]


def test_units_of_a_model_that_fx_cannot_follow(routed):
    units = {unit.name: unit for unit in dp.units(routed, IMAGES)}
    assert list(units) == NAMES
    assert dp.apply(routed, [], IMAGES).tracer == "modules"
    assert all(unit.growable and unit.shrinkable for unit in list(units.values())[:-1])
    assert units["head.4"].reason == "it is the model's output"
    assert units["features.0.0"].layers == "conv + norm + activation"
    assert units["features.1"].out_shape == (4, 8, 8)
    assert units["head.1"].layers == "linear + activation + dropout"


def test_shut_copies_change_no_bit_and_open_ones_settle(routed):
    reference = copy.deepcopy(routed)
    edits = [dp.Duplicate(unit=name, copies=2) for name in NAMES[:-1]]
    edited = apply_seeded(routed, edits, IMAGES)
    assert torch.equal(run(edited, IMAGES), run(reference, IMAGES))
    assert torch.equal(run(edited.eval(), IMAGES), run(reference.eval(), IMAGES))
    edited.set_ratio(1.0)
    plain = dp.settle(edited)
    assert torch.equal(run(edited, IMAGES), run(plain, IMAGES))
    assert not torch.equal(run(edited, IMAGES), run(reference, IMAGES))
    assert type(plain) is Routed
    assert "features.1_copy2.0.weight" in plain.state_dict()
    assert "stages.0.0_copy1.1.running_mean" in plain.state_dict()


@pytest.mark.parametrize("name", NAMES[:-1])
def test_runs_left_out_settle_to_fewer_parameters(routed, name):
    routed.eval()
    edited = apply_seeded(routed, [dp.Gate(unit=name)], IMAGES)
    assert torch.equal(run(edited, IMAGES), run(routed, IMAGES))
    edited.set_ratio(0.0)
    plain = dp.settle(edited)
    removed = dp.settle(apply_seeded(routed, [dp.Remove(unit=name)], IMAGES))
    assert torch.equal(run(edited, IMAGES), run(plain, IMAGES))
    assert torch.isfinite(run(plain, IMAGES)).all()
    counts = [sum(p.numel() for p in net.parameters()) for net in (plain, removed, routed)]
    assert counts[0] == counts[1] < counts[2]


def test_half_open_networks_train_every_live_parameter(routed):
    edits = [edit for name in NAMES[:-1] for edit in (dp.Duplicate(unit=name), dp.Gate(unit=name))]
    edited = apply_seeded(routed, edits, IMAGES).train()
    edited.set_ratio(0.5)
    run(edited, IMAGES).square().mean().backward()
    assert all(p.grad is not None for p in edited.parameters())
    assert all(p.grad is None for p in routed.parameters())


def test_copies_of_an_edited_network_stand_alone(routed):
    edited = apply_seeded(routed, [dp.Duplicate(unit="stages.0.0", ratio=1.0), dp.Gate(unit="head.1")], IMAGES).eval()
    other = copy.deepcopy(edited)
    other.load_state_dict(edited.state_dict(), strict=True)
    assert torch.equal(run(other, IMAGES), run(edited, IMAGES))
    for parameter in other.parameters():
        parameter.data.zero_()
    assert not torch.equal(run(other, IMAGES), run(edited, IMAGES))
    for network in (edited.double(), dp.settle(edited), dp.undo(edited)):
        assert {p.dtype for p in network.parameters()} == {torch.float64}
    other.set_ratio(0.0)
    assert torch.equal(run(dp.settle(other), IMAGES), run(other, IMAGES))


def test_a_half_open_copy_sees_half_the_batch_and_a_shut_one_nothing(routed):
    edited = apply_seeded(routed, [dp.Duplicate(unit="stages.1.0", ratio=0.5)], IMAGES).train()
    seen = []
    edited.gates["stages.1.0_copy1"].inside.register_forward_pre_hook(lambda _, args: seen.append(len(args[0])))
    run(edited, IMAGES)
    edited.set_ratio(0.0)
    run(edited, IMAGES)
    assert seen == [len(IMAGES) // 2]


def test_recipes_replay_and_grown_networks_grow_again(routed):
    edits = [dp.Duplicate(unit="features.1", copies=2), dp.Remove(unit="features.1_copy1"), dp.Gate(unit="stages.1.0")]
    nets = []
    for recipe in (edits, dp.recipe_from_json(dp.recipe_to_json(edits))):
        edited = apply_seeded(routed, recipe, IMAGES)
        edited.set_ratio(1.0)
        nets.append(dp.settle(edited).eval())
    assert list(nets[0].state_dict()) == list(nets[1].state_dict())
    assert torch.equal(run(nets[0], IMAGES), run(nets[1], IMAGES))
    again = {unit.name: unit for unit in dp.units(nets[0], IMAGES)}
    assert again["features.1_copy2.0"].growable
    grown = apply_seeded(nets[0], [dp.Duplicate(unit="features.1", ratio=1.0)], IMAGES)
    assert list(grown.gates) == ["features.1_copy1"]
    assert dp.settle(grown)(IMAGES).shape == (9, 3)


@pytest.mark.parametrize("norm", [True, False])
def test_identity_copies_change_nothing(norm):
    torch.manual_seed(0)
    model = nn.Sequential(conv(2, 4, norm=norm), nn.Flatten(), nn.Linear(256, 3)).eval()
    edits = [dp.Duplicate(unit="0.0", copies=2, init="identity", ratio=1.0)]
    edited = dp.apply(model, edits, IMAGES, tracer="modules")
    assert torch.allclose(run(edited, IMAGES), run(model, IMAGES), atol=1e-4)


class Stacks(nn.Module):
    """A stack that is sound, one that subclasses use in `rest`, a lone layer and a head."""

    def __init__(self, width=6):
        super().__init__()
        self.sound = nn.Sequential(nn.Linear(width, width), nn.Tanh())
        self.stack = nn.Sequential(nn.Linear(6, 6), nn.ReLU(), nn.Linear(6, 6), nn.ReLU())
        self.lone, self.head = nn.Linear(6, 6), nn.Linear(6, 2)

    def forward(self, x):
        return self.rest(self.sound(x))


class Lone(Stacks):
    def rest(self, x):
        return self.head(F.relu(self.lone(self.stack(x))))


class Twice(Stacks):
    def rest(self, x):
        return self.head(self.stack(self.stack(x)))


class Member(Stacks):
    def rest(self, x):
        return self.head(self.stack(x) + self.stack[0](x))


class Apart(Stacks):
    def rest(self, x):
        for layer in self.stack:
            x = layer(x)
        return self.head(x)


class Answers(Stacks):
    def rest(self, x):
        return self.stack(x), self.head(x)


class Flat(Stacks):
    def rest(self, x):
        return self.head(self.stack(x.reshape(-1, 3, 6).transpose(0, 1)).transpose(0, 1).reshape(-1, 18)[:, :6])


REFUSED = [
    (Twice, (4, 6), "stack.0", "shared: called 2 times in forward"),
    (Member, (4, 6), "stack.0", "shared: called 2 times in forward"),
    (Answers, (4, 6), "stack.2", "it is the model's output"),
    (Flat, (4, 18), "stack.0", "its first dimension is not the batch"),
]


@pytest.mark.parametrize(("kind", "shape", "name", "reason"), REFUSED)
def test_what_cannot_be_parted_says_why(kind, shape, name, reason):
    units = {unit.name: unit for unit in dp.units(kind(shape[1]), torch.randn(*shape), "modules")}
    assert units["sound.0"].growable
    assert not units[name].growable
    assert not units[name].shrinkable
    assert reason in units[name].reason


@pytest.mark.parametrize(("kind", "name"), [(Lone, "lone"), (Apart, "stack.2")])
def test_what_forward_calls_one_by_one_is_a_unit_too(kind, name):
    units = {unit.name: unit for unit in dp.units(kind(), torch.randn(4, 6), "modules")}
    assert units[name].growable
    assert units[name].layers == "linear + activation"


def test_a_model_of_nothing_but_its_output_is_refused_with_the_reason():
    class Alone(Stacks):
        def forward(self, x):
            return self.head(x)

    with pytest.raises(GraphError, match="no block or run of layers") as caught:
        dp.units(Alone(), torch.randn(4, 6), "modules")
    assert "head: it is the model's output" in str(caught.value)


def test_tied_weights_are_refused(routed):
    routed.stages[1][0].weight = nn.Parameter(torch.randn(6, 6, 3, 3))
    routed.extra = nn.Conv2d(6, 6, 3)
    routed.extra.weight = routed.stages[1][0].weight
    units = {unit.name: unit for unit in dp.units(routed, IMAGES)}
    assert units["stages.1.0"].reason == "shares its weight with extra"


def test_one_activation_module_may_serve_many_layers():
    torch.manual_seed(0)
    shared = nn.ReLU(inplace=True)
    model = nn.Sequential(nn.Linear(6, 6), shared, nn.Linear(6, 5), shared, nn.Linear(5, 2)).eval()
    x = torch.randn(4, 6)
    assert facts(model, x, "modules") == facts(model, x, "fx")
    edited = dp.apply(model, [dp.Duplicate(unit="0"), dp.Gate(unit="2", ratio=0.0)], x, "modules")
    assert [unit.out_shape for unit in dp.units(model, x, "modules")] == [(6,), (5,), (2,)]
    assert torch.equal(edited(x), dp.settle(edited)(x))


def test_what_is_overwritten_later_is_not_the_input_of_a_bypass():
    class Adds(nn.Module):
        def __init__(self):
            super().__init__()
            self.stem, self.stack = nn.Linear(6, 6), nn.Sequential(nn.Linear(6, 6), nn.ReLU())
            self.head = nn.Linear(6, 2)

        def forward(self, x):
            x = self.stem(x)
            y = self.stack(x)
            y += 1.0
            return self.head(y * x)

    torch.manual_seed(0)
    model, x = Adds().eval(), torch.randn(4, 6)
    edited = dp.apply(model, [dp.Gate(unit="stack.0", ratio=0.0)], x, "modules")
    with torch.no_grad():
        stem = model.stem(x)
        expected = model.head((stem + 1.0) * stem)
        assert torch.equal(edited(x), expected)
        assert torch.equal(dp.settle(edited)(x), expected)


def test_models_are_left_as_found(routed):
    state = {name: value.clone() for name, value in routed.state_dict().items()}
    modules = [(id(m), m.training, len(m._forward_hooks), list(m._modules)) for m in routed.modules()]
    random_state = torch.get_rng_state()
    dp.units(routed, IMAGES)
    assert torch.equal(random_state, torch.get_rng_state())
    edited = apply_seeded(routed, [dp.Duplicate(unit="features.1", ratio=1.0), dp.Remove(unit="stages.1.0")], IMAGES)
    for parameter in edited.train().parameters():
        parameter.data.add_(1.0)
    run(edited, IMAGES)
    assert modules == [(id(m), m.training, len(m._forward_hooks), list(m._modules)) for m in routed.modules()]
    assert all(torch.equal(value, state[name]) for name, value in routed.state_dict().items())
    back = dp.undo(edited)
    assert type(back) is Routed
    assert list(back.state_dict()) == list(state)
