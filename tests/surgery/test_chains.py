"""Layers that forward calls one by one, without a graph: control flow, plain attributes, functions between them."""

import copy
import warnings
from functools import cache

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

import depthprobe as dp
from depthprobe.errors import DepthprobeError

pytestmark = pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel")
examples = settings(max_examples=10, deadline=None, derandomize=True)
IMAGES, ROWS = torch.randn(16, 2, 8, 8), torch.randn(16, 6)


class Branching(nn.Module):
    """Control flow on values around another model: torch.fx cannot follow it."""

    def __init__(self, inner):
        super().__init__()
        self.inner = inner

    def forward(self, x):
        return self.inner(x if x.sum() < 1e9 else -x)


class Attributes(nn.Module):
    """Plain attributes; norms before and behind the activation, functions and modules, one activation for many."""

    def __init__(self):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(2, 4, 3, padding=1), nn.BatchNorm2d(4)
        self.conv2, self.bn2 = nn.Conv2d(4, 4, 3, padding=1), nn.BatchNorm2d(4)
        self.conv3, self.act = nn.Conv2d(4, 6, 3, padding=1), nn.Tanh()
        self.convs = nn.ModuleList([nn.Conv2d(6, 6, 3, padding=1), nn.Conv2d(6, 6, 1)])
        self.fc1, self.prelu, self.drop = nn.Linear(24, 8), nn.PReLU(), nn.Dropout(0.1)
        self.fc2, self.relu, self.head = nn.Linear(8, 8), nn.ReLU(inplace=True), nn.Linear(8, 3)

    def forward(self, x):
        if x.mean() > 1e3:
            x = -x
        x = F.relu(F.max_pool2d(self.bn1(self.conv1(x)), 2))
        x = self.bn2(F.gelu(self.conv2(x)))
        x = F.avg_pool2d(self.act(self.conv3(x)), 2)
        for conv in self.convs:
            x = self.relu(conv(x)) + x
        x = self.drop(self.prelu(self.fc1(x.flatten(1))))
        x = F.dropout(self.relu(self.fc2(x)), 0.2, training=self.training)
        return self.head(x)


LAYERS = {
    "conv1": "conv + norm + pooling + activation",
    "conv2": "conv + activation + norm",
    "conv3": "conv + activation",
    "convs.0": "conv + activation",
    "convs.1": "conv + activation",
    "fc1": "linear + activation + dropout",
    "fc2": "linear + activation + dropout",
}


def run(model, x, seed=3):
    torch.manual_seed(seed)
    return model(x.clone())


def apply_seeded(model, edits, x, seed=5):
    torch.manual_seed(seed)
    return dp.apply(model, edits, x)


def facts(unit):
    return unit.kind, unit.roles, unit.growable, unit.shrinkable, unit.narrowable, unit.reason.partition(":")[0]


def ours(network):
    return [m for m in network.modules() if type(m).__module__.startswith("depthprobe")]


@pytest.fixture
def plain():
    torch.manual_seed(0)
    return Attributes()


@examples
@given(data=st.data())
def test_the_units_are_those_of_the_graph(nets, data):
    net = data.draw(nets)
    assume(not any(isinstance(module, nn.Identity) for module in net.model.modules()))  # torch.fx stops at one
    graph = {unit.name: unit for unit in dp.units(net.model, net.batch, "fx")}
    chain = {unit.name.removeprefix("inner."): unit for unit in dp.units(Branching(net.model), net.batch)}
    assert [facts(unit) for unit in chain.values()] == [facts(unit) for unit in graph.values()]
    assert list(chain) == list(graph)


@examples
@given(data=st.data(), granularity=st.sampled_from(["sample", "channel", "activation"]))
def test_edited_chains_keep_their_promises(nets, data, granularity):
    net = data.draw(nets)
    assume(not isinstance(net.model, nn.Sequential))
    model = Branching(net.model)
    reference, mode = copy.deepcopy(model), net.model.training
    model.training = reference.training = mode
    units = dp.units(model, net.batch)
    edits = [dp.Gate(unit=u.name, granularity=granularity, ratio=1.0) for u in units if u.shrinkable]
    edits += [dp.Duplicate(unit=u.name, copies=2, granularity=granularity) for u in units if u.growable]
    assume(edits)
    edited = apply_seeded(model, edits, net.batch)
    replayed = apply_seeded(model, dp.recipe_from_json(dp.recipe_to_json(edits)), net.batch)
    assert edited.tracer == "modules"
    assert list(edited.state_dict()) == list(replayed.state_dict())
    assert all(torch.equal(*pair) for pair in zip(edited.parameters(), replayed.parameters(), strict=True))
    assert torch.equal(run(edited, net.batch), run(reference, net.batch))
    for ratio in (0.0, 1.0):
        edited.set_ratio(ratio)
        settled = dp.settle(edited)
        assert not ours(settled)
        one, two = run(edited, net.batch), run(settled, net.batch)
        # A bypass that turns maps of one size into another sums in another order once it is in plain torch.
        assert torch.equal(one, two) if ratio else torch.allclose(one, two, atol=1e-6)
        assert torch.isfinite(run(settled, net.batch)).all()
    edited.set_ratio(0.5)
    run(edited.train(), net.batch).square().mean().backward()
    assert all(p.grad is not None for p in edited.parameters() if p.requires_grad)
    assert all(p.grad is None for p in model.parameters())
    assert list(dp.undo(edited).state_dict()) == list(reference.state_dict())


def test_units_of_plain_attributes(plain):
    units = {unit.name: unit for unit in dp.units(plain, IMAGES)}
    assert {name: unit.layers for name, unit in units.items() if name != "head"} == LAYERS
    assert all(units[name].growable and units[name].shrinkable and units[name].narrowable for name in LAYERS)
    assert units["head"].reason == "it is the model's output"
    assert units["conv1"].out_shape == (4, 8, 8)  # before forward's own pooling


@pytest.mark.parametrize("training", [True, False])
def test_copies_of_plain_attributes(plain, training):
    plain.train(training)
    reference = copy.deepcopy(plain)
    edited = apply_seeded(plain, [dp.Duplicate(unit=name, copies=2) for name in LAYERS], IMAGES)
    assert torch.equal(run(edited, IMAGES), run(reference, IMAGES))
    edited.set_ratio(1.0)
    settled = dp.settle(edited)
    assert torch.equal(run(edited, IMAGES), run(settled, IMAGES))
    assert type(settled) is Attributes
    assert not ours(settled)
    assert [name for name in settled.state_dict() if name.startswith("convs.1.")] == [
        f"convs.1.{name}" for name in ("unit.weight", "unit.bias", "copy1.1.weight", "copy1.1.bias", "copy2.1.weight",
                                       "copy2.1.bias")
    ]  # fmt: skip


def test_a_function_behind_the_unit_completes_the_copy(plain):
    plain.eval()
    edited = apply_seeded(plain, [dp.Duplicate(unit="conv1", ratio=1.0)], IMAGES).eval()
    copied = dp.settle(edited).bn1.copy1
    with torch.no_grad():
        x = plain.bn1(plain.conv1(IMAGES))
        expected = copied[2](copied[1](F.relu(x)))
    assert [type(layer) for layer in copied] == [nn.ReLU, nn.Conv2d, nn.BatchNorm2d]
    seen = []
    edited.network.bn1.register_forward_hook(lambda _, args, out: seen.append(out))
    run(edited, IMAGES)
    assert torch.equal(seen[0], expected)


@pytest.mark.parametrize("name", LAYERS)
def test_what_is_left_out_settles_to_fewer_parameters(plain, name):
    plain.eval()
    edited = apply_seeded(plain, [dp.Gate(unit=name), dp.Duplicate(unit=name)], IMAGES)
    assert torch.equal(run(edited, IMAGES), run(plain, IMAGES))
    edited.set_ratio(0.0)
    settled = dp.settle(edited)
    removed = dp.settle(apply_seeded(plain, [dp.Remove(unit=name)], IMAGES))
    assert torch.equal(run(edited, IMAGES), run(settled, IMAGES))
    assert torch.isfinite(run(settled, IMAGES)).all()
    assert f"{name}.weight" not in settled.state_dict()
    counts = [sum(p.numel() for p in net.parameters()) for net in (settled, removed, plain)]
    assert counts[0] == counts[1] < counts[2]


def test_samples_that_skip_a_copy_do_not_enter_it(plain):
    edited = apply_seeded(plain, [dp.Duplicate(unit="convs.0", ratio=0.5)], IMAGES).train()
    seen = []
    edited.gates["convs.0_copy1"].inside.register_forward_pre_hook(lambda _, args: seen.append(len(args[0])))
    run(edited, IMAGES)
    edited.set_ratio(0.0)
    run(edited, IMAGES)
    assert seen == [len(IMAGES) // 2]


def test_grown_networks_grow_again(plain):
    plain.eval()
    grown = dp.settle(apply_seeded(plain, [dp.Duplicate(unit=name, ratio=1.0) for name in LAYERS], IMAGES))
    units = {unit.name: unit for unit in dp.units(grown, IMAGES)}
    assert len(units) == 2 * len(LAYERS) + 1
    names = [name for name, unit in units.items() if unit.growable]
    assert len(names) == 2 * len(LAYERS)
    again = apply_seeded(grown, [dp.Duplicate(unit=name) for name in names], IMAGES)
    assert torch.equal(run(again, IMAGES), run(grown, IMAGES))
    again.set_ratio(1.0)
    assert torch.equal(run(again, IMAGES), run(dp.settle(again), IMAGES))


def test_narrowed_chains_run(plain):
    pytest.importorskip("torch_pruning", reason="torch-pruning is not installed (pip install depthprobe[width])")
    edited = dp.apply(plain.eval(), [dp.Narrow(unit="fc2", keep=0.5), dp.Duplicate(unit="fc1")], IMAGES)
    assert dp.settle(edited).fc2.out_features == 4


@pytest.mark.parametrize(
    ("function", "same"), [(F.relu, True), (F.gelu, False), (torch.sigmoid, False), (lambda x: x.relu_(), True)]
)
def test_identity_copies_change_nothing_where_the_activation_may_come_twice(function, same):
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.one, self.head = nn.Linear(6, 6), nn.Linear(6, 2)

        def forward(self, x):
            return self.head(function(self.one(x)) if x.sum() < 1e9 else x)

    model = Net().eval()
    edited = apply_seeded(model, [dp.Duplicate(unit="one", copies=2, init="identity", ratio=1.0)], ROWS)
    assert torch.allclose(run(edited, ROWS), run(model, ROWS), atol=1e-6) == same


class Odd(nn.Module):
    """Two sound layers around an odd one; subclasses say what is odd in `middle`."""

    def __init__(self):
        super().__init__()
        self.first, self.odd, self.last, self.head = (nn.Linear(6, n) for n in (6, 6, 6, 2))
        self.norm, self.drop, self.kept = nn.BatchNorm1d(6), nn.Dropout(0.5), []

    def forward(self, x):
        x = F.relu(self.first(x if x.mean() < 1e9 else -x))
        return self.head(F.relu(self.last(self.middle(x))))


class Named(Odd):
    def middle(self, x):
        return F.relu(self.odd(input=x))


class Again(Odd):
    def middle(self, x):
        return F.relu(self.odd(F.relu(self.odd(x))))


class Aliased(Odd):
    def __init__(self):
        super().__init__()
        self.other = self.odd

    def middle(self, x):
        return F.relu(self.odd(x))


class Doubled(Odd):
    """What the layer returns is used twice, before any activation."""

    def middle(self, x):
        x = self.odd(x)
        return F.relu(x) + x


class DoubledInTraining(Odd):
    """Dropout hands on its very input in eval mode; in train mode the skip goes around it."""

    def middle(self, x):
        x = self.odd(x)
        return torch.tanh(self.drop(x)) + x


class InTraining(Odd):
    def middle(self, x):
        return F.relu(self.odd(x)) if self.training else F.gelu(self.odd(x))


class Elsewhere(Odd):
    """Called in eval mode only."""

    def middle(self, x):
        return x if self.training else F.relu(self.odd(x))


class Loop(Odd):
    """Runs the layer a number of times that depends on the data: twice when the sign turns."""

    def middle(self, x):
        x = F.relu(self.odd(x))
        return F.relu(self.odd(x)) if self.turned else x

    def forward(self, x):
        self.turned = bool(x[0, 0] < 0)
        return super().forward(x)


class Other(Loop):
    """Another activation when the sign turns."""

    def middle(self, x):
        x = self.odd(x)
        return F.relu(x) if self.turned else torch.tanh(x)


class Scripted(Odd):
    """A function that torch.jit compiled reads what the layer returns, too."""

    def middle(self, x):
        x = self.odd(x)
        return F.relu(x) + scripted()(x)


class Written(Odd):
    """The layer's output is overwritten through a view."""

    def middle(self, x):
        x = self.odd(x)
        x[:, :2] += 1.0
        return F.relu(x)


class Weighed(Odd):
    """Forward uses the layer's weight besides calling it."""

    def middle(self, x):
        return F.relu(self.odd(x)) + F.linear(x, self.odd.weight)


class Returned(Odd):
    """What comes out of the layer is an output of the model."""

    def forward(self, x):
        x = F.relu(self.first(x if x.mean() < 1e9 else -x))
        return self.head(F.relu(self.last(self.middle(x)))), self.kept.pop()

    def middle(self, x):
        self.kept.append(self.odd(x))
        return F.relu(self.kept[-1])


class TiedNorm(Odd):
    """One norm behind two layers."""

    def middle(self, x):
        return F.relu(self.norm(self.odd(x))) + self.norm(x)


class NormOfTwo(Loop):
    """The norm serves one layer, and another one when the sign turns."""

    def middle(self, x):
        return F.relu(self.norm(self.odd(x)) if not self.turned else self.norm(self.extra(x)))

    def __init__(self):
        super().__init__()
        self.extra = nn.Linear(6, 6)


class AlwaysDrops(Odd):
    """Functional dropout that does not know its mode."""

    def middle(self, x):
        return F.relu(F.dropout(self.odd(x), 0.5))


def add_one(x: torch.Tensor) -> torch.Tensor:
    return x + 1.0


@cache
def scripted():
    """`add_one` as torch's core runs it: no Python function is called."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        return torch.jit.script(add_one)


_WAYS = "forward goes on in another way"
_BARE = "no activation after it"
REFUSED = [
    (Again, "shared: called 2 times"),
    (Aliased, "reached as odd and as other"),
    (Doubled, _BARE),
    (DoubledInTraining, _WAYS),
    (InTraining, _WAYS),
    (Elsewhere, "does not call it in train mode"),
    (Loop, "shared: called 2 times"),
    (Other, _WAYS),
    (Scripted, _BARE),
    (Written, _BARE),
    (Weighed, "reads its weight besides calling it"),
    (Returned, "it is the model's output"),
    (TiedNorm, _BARE),
    (AlwaysDrops, _BARE),
    (NormOfTwo, _BARE),
]


@pytest.mark.parametrize(("kind", "reason"), sorted(REFUSED, key=lambda case: case[0].__name__))
def test_odd_layers_say_why_they_are_not_copied_and_spoil_no_other(kind, reason):
    torch.manual_seed(0)
    model, x = kind().eval(), ROWS.abs()
    units = {unit.name: unit for unit in dp.units(model, x, "modules")}
    assert not units["odd"].growable
    assert reason in units["odd"].reason
    assert units["first"].growable
    assert units["last"].growable
    edits = [dp.Duplicate(unit=name) for name in ("first", "last")]
    edits += [dp.Gate(unit=unit.name) for unit in units.values() if unit.shrinkable]
    edited = dp.apply(model, edits, x, "modules")
    for rows in (x, -x):
        assert tuples(run(edited, rows)) == tuples(run(model, rows))
    for ratio in (0.0, 1.0):
        edited.set_ratio(ratio)
        assert tuples(run(edited, x)) == tuples(run(dp.settle(edited), x))


def tuples(output):
    """Outputs as plain numbers, whatever their number."""
    return [part.tolist() for part in (output if isinstance(output, tuple) else (output,))]


class InPlace(Odd):
    """In-place activations of every kind, and a skip that reads what they leave behind."""

    def middle(self, x):
        y = self.odd(x)
        F.relu(y, inplace=True)
        y = y + x
        y.relu_()
        return y


class Replacing(Odd):
    """Puts another tensor in the place of a buffer, in train mode."""

    def __init__(self):
        super().__init__()
        self.register_buffer("mean", torch.zeros(6))

    def middle(self, x):
        if self.training:
            self.mean = 0.9 * self.mean + 0.1 * x.detach().mean(0)
        return F.relu(self.odd(x - self.mean))


class Normed(Odd):
    """A hook that computes the weight before every call."""

    def __init__(self):
        super().__init__()
        self.odd = nn.utils.spectral_norm(self.odd)

    def middle(self, x):
        return F.relu(self.odd(x))


class ReadFromOutside(Odd):
    """Reads plain attributes of the layer, not its weight."""

    def middle(self, x):
        return F.relu(self.odd(x[:, : self.odd.in_features]))


class Stateless(Odd):
    """A norm without weights, called twice, and an activation behind a pooling of features."""

    def __init__(self):
        super().__init__()
        self.plain = nn.LayerNorm(6, elementwise_affine=False)

    def middle(self, x):
        return F.leaky_relu(self.plain(self.odd(x)), 0.2) + self.plain(x)


class Looked(Odd):
    """Sizes and types that are read on the way are no readers."""

    def middle(self, x):
        x = self.odd(x)
        return F.relu(x).view(x.size(0), x.shape[1]).to(x.dtype)


class Checkpointed(Odd):
    def middle(self, x):
        return torch.utils.checkpoint.checkpoint(lambda y: F.relu(self.odd(y)), x, use_reentrant=False)


class NoWordsFor(Odd):
    """Keyword arguments all over."""

    def middle(self, x):
        return F.elu(input=self.odd(x), alpha=0.5)


WORKS = [Checkpointed, InPlace, Looked, Named, Normed, NoWordsFor, ReadFromOutside, Replacing, Stateless]


@pytest.mark.parametrize("kind", WORKS)
def test_odd_layers_that_work(kind):
    torch.manual_seed(0)
    model, x = kind().eval(), ROWS
    assert {unit.name for unit in dp.units(model, x) if unit.growable} == {"first", "odd", "last"}
    edited = dp.apply(model, [dp.Duplicate(unit="odd"), dp.Gate(unit="odd"), dp.Duplicate(unit="first")], x)
    with torch.no_grad():
        for rows in (x, -x):
            assert torch.equal(run(edited, rows), run(model, rows))
        for ratio in (0.0, 1.0):
            edited.set_ratio(ratio)
            assert torch.equal(run(edited, x), run(dp.settle(edited), x))
    edited.set_ratio(0.5)
    run(edited.train(), x).sum().backward()
    assert all(p.grad is not None for name, p in edited.named_parameters() if "norm" not in name)


def test_a_forward_that_fails_in_train_mode_says_so():
    class Targets(Odd):
        def middle(self, x):
            if self.training:
                raise ValueError("targets should not be none")
            return F.relu(self.odd(x))

    with pytest.raises(DepthprobeError) as caught:
        dp.units(Targets(), ROWS, "modules")
    assert "cannot be followed in train mode: targets should not be none" in str(caught.value)


def test_models_are_left_as_found(plain):
    state = {name: value.clone() for name, value in plain.state_dict().items()}
    modules = [(id(m), m.training, len(m._forward_hooks), list(m._modules)) for m in plain.modules()]
    random_state = torch.get_rng_state()
    dp.units(plain, IMAGES)
    assert torch.equal(random_state, torch.get_rng_state())
    edited = apply_seeded(plain, [dp.Duplicate(unit="conv1", ratio=1.0), dp.Remove(unit="conv2")], IMAGES)
    for parameter in edited.train().parameters():
        parameter.data.add_(1.0)
    run(edited, IMAGES)
    assert modules == [(id(m), m.training, len(m._forward_hooks), list(m._modules)) for m in plain.modules()]
    assert all(torch.equal(value, state[name]) for name, value in plain.state_dict().items())
    assert list(dp.undo(edited).state_dict()) == list(state)
