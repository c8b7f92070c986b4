"""Edited networks in the corners: names, casts, modes, always-on dropout, initialisations, refusals."""

import copy
import time

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import depthprobe as dp
from depthprobe.errors import EditError, GraphError
from depthprobe.layers import GateChain
from depthprobe.surgery import settle_with_map


class Plain(nn.Module):
    """Two convs and a head, with a buffer that forward reads."""

    def __init__(self):
        super().__init__()
        self.register_buffer("mean", torch.tensor([0.1, 0.2]).view(2, 1, 1))
        self.conv = nn.Conv2d(2, 4, 3, padding=1)
        self.norm = nn.BatchNorm2d(4)
        self.down = nn.Conv2d(4, 6, 3, stride=2)
        self.fc = nn.Linear(6 * 3 * 3, 3)

    def forward(self, x):
        x = F.relu(self.norm(self.conv(x - self.mean)))
        x = F.dropout(F.relu(self.down(x)), 0.5, self.training)
        return self.fc(torch.flatten(x, 1))


IMAGE = torch.randn(2, 2, 8, 8)
EDITS = [dp.Duplicate(unit="conv", copies=2), dp.Gate(unit="down"), dp.Duplicate(unit="down")]


def mlp():
    return nn.Sequential(nn.Linear(4, 5), nn.ReLU(), nn.Linear(5, 5), nn.ReLU(), nn.Linear(5, 2))


def apply_mlp(*edits, model=None):
    return dp.apply(model or mlp(), edits, torch.randn(2, 4))


def test_gates_are_named_after_units_and_copies():
    edited = dp.apply(Plain(), EDITS, IMAGE)
    assert list(edited.gates) == ["conv_copy1", "conv_copy2", "down", "down_copy1"]
    assert [gate.ratio for gate in edited.gates.values()] == [0.0, 0.0, 1.0, 0.0]
    edited.gates["conv_copy2"].ratio = 1.0
    plain = dp.settle(edited)
    assert {name.split(".")[0] for name in plain.state_dict()} == {"mean", "conv", "norm", "conv_copy2", "down", "fc"}


def test_copies_are_like_the_unit_with_stride_1_and_the_same_padding():
    edited = dp.apply(Plain(), [dp.Duplicate(unit="down"), dp.Duplicate(unit="conv", kernel=5)], IMAGE)
    down, conv = (edited.gates[name].inside for name in ("down_copy1", "conv_copy1"))
    assert [type(m) for m in down] == [nn.Conv2d, nn.ReLU, nn.Dropout]
    assert [type(m) for m in conv] == [nn.Conv2d, nn.BatchNorm2d, nn.ReLU]
    assert (down[0].in_channels, down[0].stride, down[0].kernel_size) == (6, (1, 1), (3, 3))
    assert (conv[0].kernel_size, conv[0].padding) == ((5, 5), (2, 2))


def test_consecutive_gates_share_one_chain():
    edited = dp.apply(Plain(), EDITS, IMAGE)
    chains = [module for module in edited.modules() if isinstance(module, GateChain)]
    assert [len(chain.gates) for chain in chains] == [4]
    assert list(chains[0]) == list(edited.gates.values())
    apart = dp.apply(Plain(), [EDITS[0], EDITS[2]], IMAGE)  # the unit between them is no gate
    assert [len(m.gates) for m in apart.modules() if isinstance(m, GateChain)] == [2]


def test_in_place_layers_of_a_copy_overwrite_nothing_that_backward_needs():
    model = nn.Sequential(
        nn.Conv2d(2, 3, 3), nn.Sigmoid(), nn.MaxPool2d(2), nn.Dropout(0.5, inplace=True), nn.Flatten(), nn.Linear(27, 2)
    )
    edited = dp.apply(model, [dp.Duplicate(unit="0", ratio=1.0)], IMAGE)
    edited(IMAGE).sum().backward()
    assert all(p.grad is not None for p in edited.parameters())
    assert model[3].inplace


def test_names_step_aside_for_what_the_model_calls_so_already():
    class Clash(Plain):
        def __init__(self):
            super().__init__()
            self.conv_copy1 = nn.Conv2d(4, 4, 1)
            self.down_gate = nn.Conv2d(6, 6, 1)
            self.dropout_module = nn.Dropout(0.0)

        def forward(self, x):
            x = F.relu(self.conv_copy1(F.relu(self.norm(self.conv(x - self.mean)))))
            x = self.dropout_module(F.dropout(F.relu(self.down(x)), 0.9, self.training))
            return self.fc(torch.flatten(F.relu(self.down_gate(x)), 1))

    model = Clash()
    edited = dp.apply(model, EDITS, IMAGE)
    assert list(edited.gates)[:2] == ["conv_copy2", "conv_copy3"]
    for mode in (True, False):
        outs = []
        for network in (model.train(mode), edited.train(mode)):
            torch.manual_seed(0)
            outs.append(network(IMAGE))
        assert torch.equal(*outs)


def test_a_settled_network_can_be_grown_again():
    edited = apply_mlp(dp.Duplicate(unit="2", ratio=1.0))
    once = dp.settle(edited)
    x = torch.randn(3, 4)
    assert "2_copy1.0" in [unit.name for unit in dp.units(once, x)]
    again = dp.apply(once, [dp.Duplicate(unit="2"), dp.Duplicate(unit="2_copy1.0")], x)
    assert list(again.gates) == ["2_copy2", "2_copy1.0_copy1"]
    assert torch.equal(again(x), once(x))


def test_copies_can_be_removed_and_their_names_are_not_given_twice():
    edited = apply_mlp(dp.Duplicate(unit="2", copies=2), dp.Remove(unit="2_copy1"), dp.Duplicate(unit="2"))
    assert list(edited.gates) == ["2_copy2", "2_copy3"]
    assert len({id(gate) for gate in edited.gates.values()}) == 2
    assert sum(1 for _ in edited.parameters()) == 10


@pytest.mark.parametrize("ratio", [0.0, 1.0])
def test_casts_reach_buffers_undo_and_settle(ratio):
    model = Plain()
    model.unused = nn.Linear(2, 2)
    edited = dp.apply(model, EDITS, IMAGE).eval().double()
    edited.set_ratio(ratio)
    networks = (edited, dp.settle(edited), dp.undo(edited))
    for network in networks:
        assert {value.dtype for name, value in network.named_buffers() if "ratio" not in name} <= {
            torch.float64, torch.int64,
        }  # fmt: skip
        assert {p.dtype for p in network.parameters()} == {torch.float64}
        assert network(IMAGE.double()).dtype == torch.float64
    state = edited.state_dict()
    state["network.mean"] = state["network.mean"] + 1.0
    edited.load_state_dict(state)
    assert torch.equal(dp.undo(edited).mean, edited.network.mean)
    assert torch.equal(dp.settle(edited).mean, edited.network.mean)
    assert model.mean.dtype == torch.float32


def test_undo_and_settle_follow_the_mode_of_the_edited_network():
    model = Plain()
    model.norm.eval()
    edited = dp.apply(model, EDITS, IMAGE)
    assert [m.training for m in dp.undo(edited).modules()] == [m.training for m in model.modules()]
    assert not edited.network.norm.training
    edited.eval()
    assert not any(m.training for m in dp.undo(edited).modules())
    assert not dp.settle(edited).training
    edited.train()
    assert all(m.training for m in dp.undo(edited).modules())


def test_eval_model_stays_in_eval_all_over():
    edited = dp.apply(Plain().eval(), EDITS, IMAGE)
    assert not any(module.training for module in edited.modules())


def test_undo_carries_the_weights_of_now_and_shares_nothing():
    edited = dp.apply(Plain(), EDITS, IMAGE)
    with torch.no_grad():
        edited.original_parameters["conv.weight"].fill_(3.0)
    back = dp.undo(edited)
    assert torch.equal(back.conv.weight, torch.full_like(back.conv.weight, 3.0))
    with torch.no_grad():
        back.conv.weight.zero_()
    assert edited.network.conv.weight.all()


def test_dropout_that_is_always_on_stays_on_behind_a_gate():
    class Always(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = nn.Linear(4, 4), nn.Linear(4, 2)

        def forward(self, x):
            return self.b(F.dropout(F.relu(self.a(x)), 0.5))

    model = Always().eval()
    edited = dp.apply(model, [dp.Gate(unit="a"), dp.Duplicate(unit="a")], torch.randn(2, 4))
    outs = []
    for network in (model, edited):
        torch.manual_seed(0)
        outs.append(network(torch.ones(3, 4)))
    assert torch.equal(*outs)


def test_settle_with_map_names_every_parameter_that_stays():
    edited = dp.apply(Plain(), EDITS, IMAGE)
    edited.set_ratio(1.0)
    plain, moved = settle_with_map(edited)
    assert {id(p) for p in moved.values()} == {id(p) for p in plain.parameters()}
    assert {id(p) for p in moved} == {id(p) for p in edited.parameters()}
    assert all(torch.equal(old, new) and old is not new for old, new in moved.items())


@pytest.mark.parametrize("kernel", [1, 2, 3, 4])
@pytest.mark.parametrize("groups", [1, 2, 4])
@pytest.mark.filterwarnings("ignore:Using padding='same'")
def test_identity_initialisation_preserves_the_function(kernel, groups):
    model = nn.Sequential(nn.Conv2d(4, 4, 3, groups=groups), nn.ReLU(), nn.Conv2d(4, 2, 1))
    x = torch.randn(2, 4, 9, 9)
    edited = dp.apply(model, [dp.Duplicate(unit="0", copies=2, kernel=kernel, init="identity", ratio=1.0)], x)
    assert torch.equal(edited(x), model(x))


def test_identity_needs_a_tap_on_the_pixel():
    model = nn.Sequential(nn.Conv2d(2, 2, 2, dilation=2), nn.ReLU(), nn.Conv2d(2, 2, 1))
    with pytest.raises(EditError, match=r"even kernel \(2, 2\) with dilation"):
        dp.apply(model, [dp.Duplicate(unit="0", init="identity")], torch.randn(1, 2, 9, 9))


def test_initialisations():
    model = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 2))

    def weight(init):
        edited = dp.apply(model, [dp.Duplicate(unit="0", init=init)], torch.ones(2, 64))
        return edited.gates["0_copy1"].inside[0]

    assert torch.equal(weight("copy").weight, model[0].weight)
    assert torch.equal(weight("copy").bias, model[0].bias)
    assert torch.equal(weight("identity").weight, torch.eye(64))
    assert weight("gaussian:0.25").weight.std().item() == pytest.approx(0.25, rel=0.1)
    assert weight("he").weight.std().item() == pytest.approx((2 / 64) ** 0.5, rel=0.1)
    assert weight("xavier").weight.abs().max() <= (6 / 128) ** 0.5
    assert not weight("he").bias.any()
    torch.manual_seed(4)
    default = weight("default")
    torch.manual_seed(4)
    assert torch.equal(default.weight, nn.Linear(64, 64).weight)


def test_parametrized_layer_is_a_unit_and_is_copied():
    layer = nn.utils.parametrizations.weight_norm(nn.Linear(4, 4))
    model = nn.Sequential(layer, nn.ReLU(), nn.Linear(4, 2))
    x = torch.randn(3, 4)
    edited = dp.apply(model, [dp.Duplicate(unit="0", init="copy"), dp.Gate(unit="0", granularity="channel")], x)
    assert torch.equal(edited.gates["0_copy1"].inside[0].weight, layer.weight)
    assert torch.equal(edited(x), model(x))


def test_bernoulli_gates_draw_different_masks():
    torch.manual_seed(0)
    edited = apply_mlp(dp.Duplicate(unit="2", copies=3, mode="bernoulli", ratio=0.5))
    new, old = torch.ones(8, 5), torch.zeros(8, 5)
    masks = [gate.mix(new, old) for gate in edited.gates.values()]
    assert len({tuple(mask[:, 0].tolist()) for mask in masks}) == 3


def test_tokens_images_and_keywords_are_inputs():
    edited = dp.apply(mlp(), [dp.Gate(unit="2", granularity="channel")], {"input": torch.randn(2, 4)})
    assert edited(input=torch.randn(3, 4)).shape == (3, 2)
    tokens = torch.randn(2, 7, 4)
    edited = dp.apply(mlp(), [dp.Gate(unit="2", granularity="channel", ratio=0.4), dp.Remove(unit="0")], (tokens,))
    assert edited(tokens).shape == (2, 7, 2)


def test_thousand_units_within_five_seconds():
    model = nn.Sequential(*(m for _ in range(1000) for m in (nn.Linear(3, 3), nn.ReLU())), nn.Linear(3, 2))
    begin = time.process_time()
    edited = dp.apply(model, [dp.Duplicate(unit=str(2 * i)) for i in range(999)], torch.randn(2, 3))
    assert len(edited.gates) == 999
    assert time.process_time() - begin < 5.0


@pytest.mark.parametrize(
    ("edits", "words"),
    [
        ([dp.Duplicate(unit="9")], ["there is no unit '9'", "0, 2, 4", "depthprobe inspect"]),
        ([dp.Gate(unit="1")], ["there is no unit '1'", "a ReLU"]),
        ([dp.Duplicate(unit="4")], ["'4' is not growable", "the model's output"]),
        ([dp.Gate(unit="4")], ["'4' is not shrinkable", "the model's output"]),
        ([dp.Remove(unit="4")], ["'4' is not shrinkable"]),
        ([dp.Remove(unit="0_copy1")], ["there is no unit '0_copy1'"]),
        ([dp.Gate(unit="0"), dp.Gate(unit="0")], ["'0' is gated or removed already", "Gate"]),
        ([dp.Gate(unit="0"), dp.Remove(unit="0")], ["'0' is gated or removed already", "Remove"]),
        ([dp.Remove(unit="0"), dp.Duplicate(unit="0")], ["'0' is gated or removed already", "Duplicate"]),
        ([dp.Duplicate(unit="0", init="copy")], ["init 'copy' needs equal shapes", "(5, 5)", "(5, 4)"]),
    ],
)
def test_edits_that_cannot_be_are_refused_by_name(edits, words):
    with pytest.raises(EditError) as caught:
        apply_mlp(*edits)
    assert all(word in str(caught.value) for word in words), str(caught.value)


def test_half_open_gates_are_not_settled():
    edited = apply_mlp(dp.Duplicate(unit="0"), dp.Gate(unit="2", ratio=0.3))
    with pytest.raises(EditError, match=r"only gates at 0 or 1 can be settled\n.*2 \(0\.3\)"):
        dp.settle(edited)


def test_unknown_gate_is_refused_before_any_moves():
    edited = apply_mlp(dp.Duplicate(unit="0"))
    with pytest.raises(EditError, match=r"no gate 'nope'"):
        edited.set_ratios({"0_copy1": 0.5, "nope": 1.0})
    assert edited.gates["0_copy1"].ratio == 0.0
    with pytest.raises(ValueError, match="ratio must lie in"):
        edited.set_ratio(1.2)


def test_copy_that_does_not_fit_is_refused_at_once():
    model = nn.Sequential(nn.Conv2d(2, 2, 3, padding_mode="reflect"), nn.ReLU(), nn.Conv2d(2, 2, 1))
    with pytest.raises(EditError, match="does not run on the example input"):
        dp.apply(model, [dp.Duplicate(unit="0", kernel=9)], torch.randn(1, 2, 5, 5))


def test_wrong_example_names_the_layer_and_the_shape():
    with pytest.raises(GraphError) as caught:
        dp.apply(mlp(), [dp.Duplicate(unit="0")], torch.randn(2, 7))
    assert "(2, 7)" in str(caught.value)
    assert "where:    0 (Linear)\n" in str(caught.value)


def test_deep_copy_settles_and_undoes_on_its_own():
    edited = dp.apply(Plain(), EDITS, IMAGE)
    other = copy.deepcopy(edited)
    other.set_ratio(1.0)
    for parameter in other.parameters():
        parameter.data.fill_(2.0)
    assert all((p == 2.0).all() for p in dp.undo(other).parameters())
    assert all((p == 2.0).all() for p in dp.settle(other).parameters())
    assert not any((p == 2.0).all() for p in dp.undo(edited).parameters())
    assert list(other.gates) == list(edited.gates)
    assert all(other.gates[name] is not edited.gates[name] for name in edited.gates)
