"""What narrowing keeps, on random networks and on a residual one: the counts asked for, the function, the recipe."""

import copy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import depthprobe as dp
from depthprobe.errors import EditError
from depthprobe.surgery.channels import find_channels
from depthprobe.surgery.choosing import measure_errors
from depthprobe.surgery.narrowing import cut_to, narrow

pytest.importorskip("torch_pruning", reason="channels are removed with torch-pruning (extra width)")
pytestmark = pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel")
examples = settings(max_examples=30, deadline=None, derandomize=True)
MIXING = (nn.LayerNorm, nn.GroupNorm)  # what one channel gives depends on the others


class Residual(nn.Module):
    """Two blocks on one stream: what is added together is one group."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(1, 8, 3, padding=1)
        self.one, self.two = nn.Conv2d(8, 12, 3, padding=1), nn.Conv2d(12, 8, 3, padding=1)
        self.norm = nn.BatchNorm2d(8)
        self.three, self.four = nn.Conv2d(8, 6, 1), nn.Conv2d(6, 8, 1)
        self.head = nn.Linear(8, 3)

    def forward(self, x):
        x = torch.relu(self.stem(x))
        x = torch.relu(x + self.norm(self.two(torch.relu(self.one(x)))))
        x = torch.relu(x + self.four(torch.relu(self.three(x))))
        return self.head(x.mean((2, 3)))


def free(model, example):
    return [group for group in find_channels(model, example) if not group.reason]


def run(model, x):
    with torch.no_grad():
        return copy.deepcopy(model).eval()(x.clone())


def chain(*layers):
    torch.manual_seed(0)
    return nn.Sequential(*layers).eval()


@examples
@given(data=st.data())
def test_the_narrowed_network_is_the_masked_one(nets, data):
    net = data.draw(nets)
    groups = free(net.model, net.batch)
    widths = {group.unit: data.draw(st.integers(1, group.width)) for group in groups}
    found = cut_to(
        net.model, groups, widths, net.batch, choose=lambda group, keep: range(group.width - keep, group.width)
    )
    masked = copy.deepcopy(net.model)
    for group in groups:
        for reader in group.readers:
            weight = masked.get_submodule(reader.name).weight.data
            weight[:, reader.places[: group.width - widths[group.unit]].flatten()] = 0.0
    if not any(isinstance(module, MIXING) for module in net.model.modules()):
        torch.testing.assert_close(run(found.network, net.batch), run(masked, net.batch), atol=1e-4, rtol=1e-4)
    old = dict(net.model.named_parameters())
    for name, parameter in found.network.named_parameters():
        assert parameter.requires_grad == old[name].requires_grad
        assert parameter.grad is None
        assert torch.isin(parameter, old[name]).all()
    modes = [module.training for module in net.model.modules()]
    assert [module.training for module in found.network.modules()] == modes


@examples
@given(data=st.data())
def test_counts_are_what_was_asked_for_and_the_recipe_replays(nets, data):
    net = data.draw(nets)
    groups = free(net.model, net.batch)
    keeps = [data.draw(st.one_of(st.integers(1, group.width), st.floats(0.05, 1.0))) for group in groups]
    edits = [dp.Narrow(unit=group.unit, keep=keep) for group, keep in zip(groups, keeps, strict=True)]
    before = {name: value.clone() for name, value in net.model.state_dict().items()}
    text = dp.recipe_to_json(edits)
    assert dp.recipe_from_json(text) == edits
    plain = dp.settle(dp.apply(net.model, edits, net.batch))
    for group, edit in zip(groups, edits, strict=True):
        assert plain.get_submodule(group.unit).weight.shape[0] == edit.width(group.width)
    again = dp.settle(dp.apply(net.model, dp.recipe_from_json(text), net.example))  # other inputs, the same shapes
    again.load_state_dict(plain.state_dict(), strict=True)
    assert torch.equal(run(again, net.batch), run(plain, net.batch))
    assert all(torch.equal(before[name], value) for name, value in net.model.state_dict().items())
    count = lambda model: sum(p.numel() for p in model.parameters())  # noqa: E731
    less = any(edit.width(group.width) < group.width for group, edit in zip(groups, edits, strict=True))
    assert count(plain) < count(net.model) if less else count(plain) == count(net.model)


def test_keeping_everything_changes_no_bit():
    net, x = Residual().eval(), torch.randn(9, 1, 6, 6)
    edits = [dp.Narrow(unit=group.unit, keep=1.0) for group in free(net, x)]
    assert torch.equal(run(narrow(net, edits, x), x), run(net, x))


def test_what_is_added_together_is_one_group():
    groups = {group.unit: group for group in find_channels(Residual(), torch.randn(2, 1, 6, 6))}
    assert groups["stem"].members == ("stem", "two", "four")
    assert {reader.name for reader in groups["stem"].readers} == {"one", "three", "head"}
    assert groups["head"].reason == "it is the model's output"
    net = narrow(Residual(), [dp.Narrow(unit="two", keep=5), dp.Narrow(unit="one", keep=0.5)], torch.randn(9, 1, 6, 6))
    assert (net.stem.out_channels, net.four.out_channels, net.norm.num_features) == (5, 5, 5)
    assert (net.one.out_channels, net.head.in_features) == (6, 5)


@pytest.mark.parametrize("times", [2, 4])
def test_copies_are_seen_and_what_they_carried_is_handed_over(times):
    """Magnitudes cannot tell a copy from what it is a copy of; the function must stay."""
    base = chain(nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 3, 3, padding=1), nn.ReLU(), nn.Flatten())
    wide = chain(
        nn.Conv2d(1, 4 * times, 3, padding=1), nn.ReLU(), nn.Conv2d(4 * times, 3, 3, padding=1), nn.ReLU(), nn.Flatten()
    )
    source = torch.randperm(4 * times) % 4
    wide[0].weight.data, wide[0].bias.data = base[0].weight.data[source], base[0].bias.data[source]
    wide[2].weight.data, wide[2].bias.data = base[2].weight.data[:, source] / times, base[2].bias.data
    base.append(nn.Linear(108, 2)), wide.append(base[-1])
    x = torch.randn(50, 1, 6, 6)
    found = cut_to(wide, free(wide, x), {"0": 4}, x)
    assert sorted(source[list(found.kept["0"])].tolist()) == [0, 1, 2, 3]
    torch.testing.assert_close(run(found.network, x), run(base, x), atol=1e-3, rtol=1e-3)


def test_errors_grow_as_channels_go_and_copies_cost_nothing():
    net, x = Residual().eval(), torch.randn(50, 1, 6, 6)
    net.three.weight.data[3:], net.three.bias.data[3:] = net.three.weight.data[:3], net.three.bias.data[:3]
    errors = measure_errors(net, free(net, x), x)
    for row in errors.values():
        assert row == sorted(row, reverse=True)
        assert row[-1] == 0.0
    assert errors["three"][2] < 0.01 < errors["three"][0]


def test_edits_before_and_after_a_narrowing():
    net = chain(
        nn.Conv2d(1, 6, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(6, 6, 3, padding=1),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(216, 3),
    )
    x = torch.randn(4, 1, 6, 6)
    edits = [
        dp.Duplicate(unit="0", ratio=1.0),
        dp.Remove(unit="2"),
        dp.Narrow(unit="0_copy1.0", keep=4),
        dp.Narrow(unit="0", keep=3),
        dp.Duplicate(unit="0_copy1.0"),
    ]
    edited = dp.apply(net, edits, x)
    assert list(edited.gates) == ["0_copy1.0_copy1"]
    plain = dp.settle(edited)
    assert plain.get_submodule("0").weight.shape[0] == 3
    assert plain.get_submodule("0_copy1.0").weight.shape == (4, 3, 3, 3)
    assert run(plain, x).shape == (4, 3)
    with pytest.raises(EditError, match="cannot be undone"):
        dp.undo(edited)


@pytest.mark.parametrize("keep", [0, -1, 0.0, 1.5, True, "half", float("nan")])
def test_shares_and_counts_out_of_range_are_refused(keep):
    with pytest.raises(EditError, match="keep out of range"):
        dp.Narrow(unit="0", keep=keep)


@pytest.mark.parametrize(
    ("layers", "unit", "why"),
    [
        ([nn.Linear(4, 3)], "0", "model's output"),
        ([nn.Linear(4, 3), nn.ReLU()], "0", "model's output"),
        ([nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2)], "1", "no unit"),
        ([nn.Conv1d(1, 4, 1), nn.GroupNorm(2, 4), nn.Flatten(), nn.Linear(16, 2)], "0", "2 groups"),
        ([nn.Conv1d(1, 4, 1), nn.Conv1d(4, 4, 1, groups=2), nn.Flatten(), nn.Linear(16, 2)], "0", "2 groups"),
        ([nn.Linear(4, 4), nn.Unflatten(1, (2, 2)), nn.Flatten(), nn.Linear(4, 2)], "0", "does not run"),
    ],
)
def test_units_that_cannot_be_cut_say_why(layers, unit, why):
    net = nn.Sequential(*layers)
    x = torch.randn(5, 1, 4) if isinstance(layers[0], nn.Conv1d) else torch.randn(5, 4)
    with pytest.raises(EditError, match=why):
        narrow(net, [dp.Narrow(unit=unit)], x)


def test_depthwise_convolutions_follow_what_they_read():
    net = chain(
        nn.Conv2d(1, 6, 1), nn.Conv2d(6, 6, 3, padding=1, groups=6), nn.BatchNorm2d(6), nn.Conv2d(6, 4, 1),
        nn.Flatten(), nn.Linear(144, 2),
    )  # fmt: skip
    plain = narrow(net, [dp.Narrow(unit="0", keep=4)], torch.randn(8, 1, 6, 6))
    assert (plain[1].groups, plain[1].out_channels, plain[3].in_channels) == (4, 4, 4)
    assert run(plain, torch.randn(2, 1, 6, 6)).shape == (2, 2)
