"""Units and sites: what belongs together, what can be repeated or left out, and why the rest cannot."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import depthprobe as dp
from depthprobe.errors import EditError
from depthprobe.graph.purity import same_output

IMAGE, ROW = torch.randn(2, 4, 8, 8), torch.randn(2, 4)


def body(function, **modules):
    model = type("Body", (nn.Module,), {"forward": function})()
    for name, module in modules.items():
        model.add_module(name, module)
    return model


def by_name(model, inputs):
    return {unit.name: unit for unit in dp.units(model, inputs)}


def test_sequential_units():
    model = nn.Sequential(
        nn.Sequential(nn.Conv2d(4, 6, 3, stride=2), nn.MaxPool2d(2), nn.BatchNorm2d(6), nn.ReLU(), nn.Dropout(0.1)),
        nn.Conv2d(6, 6, 1),
        nn.GELU(),
        nn.LayerNorm([6, 1, 1]),
        nn.MaxPool2d(1),
        nn.Flatten(),
        nn.Linear(6, 3),
        nn.Softmax(1),
    )
    first, second, head = dp.units(model, IMAGE)
    assert (first.name, first.kind, first.layers) == ("0.0", "conv", "conv + pooling + norm + activation + dropout")
    assert (first.in_shape, first.out_shape) == ((4, 8, 8), (6, 1, 1))
    assert (first.growable, first.shrinkable, first.narrowable, first.reason) == (True, True, True, "")
    assert first.params == 6 * 4 * 9 + 6 + 12
    assert second.layers == "conv + activation + norm"
    assert (head.name, head.kind, head.growable, head.reason) == ("6", "linear", False, "it is the model's output")


def test_functional_parts_belong_to_the_module_before_them():
    model = body(
        lambda self, x: self.fc(torch.flatten(F.max_pool2d(F.relu(self.norm(self.conv(x))), 2), 1)),
        conv=nn.Conv2d(4, 4, 3, padding=1), norm=nn.BatchNorm2d(4), fc=nn.Linear(64, 2),
    )  # fmt: skip
    conv = by_name(model, IMAGE)["conv"]
    assert conv.layers == "conv + norm + activation"
    assert conv.out_shape == (4, 8, 8)  # pooling behind the activation is no part of it


def test_all_kinds_of_flattening_are_followed():
    for flatten in (
        lambda x: x.view(x.size(0), -1),
        lambda x: x.reshape(x.shape[0], 4 * 8 * 8),
        lambda x: x.flatten(start_dim=1),
    ):
        model = body(lambda self, x: self.fc(self.flatten(F.relu(self.conv(x)))),
                     conv=nn.Conv2d(4, 4, 3, padding=1), fc=nn.Linear(256, 2))  # fmt: skip
        model.flatten = flatten
        assert [u.growable for u in dp.units(model, IMAGE)] == [True, False]


class Twice(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Linear(4, 4), nn.Linear(4, 2)

    def forward(self, x):
        return self.b(F.relu(self.a(F.relu(self.a(x)))))


class Tied(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.twin, self.b = nn.Linear(4, 4), nn.Linear(4, 4), nn.Linear(4, 2)
        self.twin.weight = self.a.weight

    def forward(self, x):
        return self.b(F.relu(self.twin(F.relu(self.a(x)))))


def linear(function):
    return body(function, a=nn.Linear(4, 4), b=nn.Linear(4, 2))


REFUSED = {
    "shared module": (Twice(), ROW, "shared: called 2 times"),
    "shared weight": (Tied(), ROW, "shares its weight with twin"),
    "no activation": (linear(lambda s, x: s.b(s.a(x))), ROW, "no activation"),
    "batch is not first": (
        linear(lambda s, x: s.b(F.relu(s.a(x.transpose(0, 1))).transpose(0, 1))),
        torch.randn(2, 3, 4),
        "its first dimension is not the batch",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_refused_with_the_reason(case):
    model, inputs, reason = REFUSED[case]
    unit = by_name(model, inputs)["a"]
    assert not unit.growable
    assert reason in unit.reason
    with pytest.raises(EditError) as caught:
        dp.apply(model, [dp.Duplicate(unit="a")], inputs)
    assert "'a' is not growable" in str(caught.value)
    assert reason in str(caught.value)


FORKED = {
    "residual": lambda s, x: s.b(x + F.relu(s.a(x))),
    "concatenation": lambda s, x: s.b(torch.cat((F.relu(s.a(x)), x), 1)[:, :4]),
    "squeeze": lambda s, x: s.b(x * torch.relu(s.a(x))),
    "two heads": lambda s, x: (s.b(F.relu(s.a(x))), x),
    "named output": lambda s, x: {"logits": s.b(F.relu(s.a(x)))},
}


@pytest.mark.parametrize("case", FORKED)
def test_forks_and_joins_elsewhere_are_no_obstacle(case):
    model = linear(FORKED[case])
    unit = by_name(model, ROW)["a"]
    assert unit.growable
    assert unit.shrinkable
    edited = dp.apply(model, [dp.Duplicate(unit="a")], ROW)
    assert same_output(edited(ROW), model(ROW))
    edited.set_ratio(1.0)
    assert same_output(edited(ROW), dp.settle(edited)(ROW))
    assert not same_output(edited(ROW), model(ROW))


def test_transposed_convolution_opens_no_unit_and_is_no_output_head():
    model = nn.Sequential(nn.Conv2d(4, 6, 3), nn.ReLU(), nn.ConvTranspose2d(6, 4, 3))
    (conv,) = dp.units(model, IMAGE)
    assert conv.growable
    with pytest.raises(EditError, match=r"no unit '2'(.|\n)*ConvTranspose2d"):
        dp.apply(model, [dp.Duplicate(unit="2")], IMAGE)
    edited = dp.apply(model, [dp.Duplicate(unit="0")], IMAGE)
    assert torch.equal(edited(IMAGE), model(IMAGE))


def test_a_shared_activation_is_no_obstacle_but_a_shared_norm_is():
    relu, norm = nn.ReLU(), nn.BatchNorm1d(4)
    a, b, _ = dp.units(nn.Sequential(nn.Linear(4, 4), relu, nn.Linear(4, 4), relu, nn.Linear(4, 2)), ROW)
    assert a.growable
    assert b.growable
    a, *_ = dp.units(nn.Sequential(nn.Linear(4, 4), norm, nn.Linear(4, 4), norm, nn.Linear(4, 2)), ROW)
    assert a.layers == "linear"


def test_a_bypass_cannot_change_the_number_of_dimensions():
    model = nn.Sequential(nn.Unflatten(1, (1, 4)), nn.Conv1d(1, 2, 1), nn.ReLU(), nn.Flatten(), nn.Linear(8, 2))
    conv, _ = dp.units(model, ROW)
    assert conv.shrinkable
    assert (conv.in_shape, conv.out_shape) == ((1, 4), (2, 4))


def test_grouped_and_depthwise_convs_grow():
    depthwise, grouped = nn.Conv2d(4, 8, 3, groups=4), nn.Conv2d(8, 6, 1, groups=2)
    model = nn.Sequential(depthwise, nn.ReLU(), grouped, nn.ReLU(), nn.Flatten(), nn.Linear(216, 2))
    edited = dp.apply(model, [dp.Duplicate(unit="0"), dp.Duplicate(unit="2")], IMAGE)
    assert [edited.gates[name].inside[0].groups for name in ("0_copy1", "2_copy1")] == [8, 2]


def test_no_weight_layer_no_unit():
    assert dp.units(nn.Sequential(nn.Flatten(), nn.ReLU()), IMAGE) == []


def test_wide_example_batches_and_frozen_models_make_no_difference():
    model = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 2))
    assert dp.units(model, torch.randn(64, 4)) == dp.units(model.eval().requires_grad_(False), torch.randn(1, 4))


class NormAct(nn.BatchNorm2d):
    """A norm that holds its activation, as timm's do."""

    def __init__(self, channels):
        super().__init__(channels)
        self.act = nn.ReLU(inplace=True)

    def forward(self, x):
        return self.act(super().forward(x))


def test_a_norm_may_hold_the_activation():
    model = nn.Sequential(nn.Conv2d(4, 4, 3, padding=1), NormAct(4), nn.ReLU(), nn.Conv2d(4, 2, 3))
    first = dp.units(model, IMAGE)[0]
    assert first.layers == "conv + norm + activation"
    assert first.growable
    edited = dp.apply(model.eval(), [dp.Duplicate(unit="0")], IMAGE)
    assert same_output(edited(IMAGE), model(IMAGE))
    edited.set_ratio(1.0)
    assert isinstance(edited.gates["0_copy1"].inside[1], NormAct)
    assert same_output(dp.settle(edited)(IMAGE), edited(IMAGE))
