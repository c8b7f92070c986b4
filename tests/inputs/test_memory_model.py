"""Models passed as objects: copies are redrawn, the original stays as found."""

import copy

import pytest
import torch
from torch import nn
from torch.nn.parameter import is_lazy

from depthprobe.errors import ModelError
from depthprobe.inputs import InMemoryModel, ModelSource, open_model
from depthprobe.inputs.memory_model import undrawn


class Owner(nn.Module):
    """Owns a parameter that nothing resets."""

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.tensor([3.0]))
        self.fc = nn.Linear(2, 2)
        self.mix = nn.MultiheadAttention(2, 1)

    def forward(self, x):
        return self.fc(x) * self.scale


def test_build_redraws_a_copy():
    model = Owner()
    model.fc.bias.requires_grad_(False)
    before = copy.deepcopy(model.state_dict())
    source = open_model(model)
    assert isinstance(source, InMemoryModel)
    one, same, two = source.build(1), source.build(1), source.build(2)
    assert torch.equal(one.fc.weight, same.fc.weight)
    assert not torch.equal(one.fc.weight, two.fc.weight)
    assert not torch.equal(one.mix.in_proj_weight, two.mix.in_proj_weight)
    assert one.scale.item() == 3.0
    assert not one.mix.out_proj.bias.any()  # zeroed by its parent, after its own reset
    assert not one.fc.bias.requires_grad
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())


def test_random_state_is_restored():
    model = Owner()
    before = torch.get_rng_state()
    open_model(model).build(4)
    assert torch.equal(before, torch.get_rng_state())


def test_json_tells_structures_apart():
    record = open_model(Owner()).to_json()
    assert record["spec"] == "<python>"
    assert str(record["class"]).endswith("Owner")
    assert record["structure"] == open_model(Owner()).to_json()["structure"]
    assert open_model(nn.Linear(2, 3)).to_json()["structure"] != open_model(nn.Linear(2, 4)).to_json()["structure"]
    with pytest.raises(ModelError, match="passed as a Python object"):
        ModelSource.from_json(record)


def test_lazy_parameters_are_allowed():
    source = open_model(nn.Sequential(nn.LazyLinear(3)))
    assert source.to_json()["structure"]
    assert source.build(0)(torch.ones(2, 5)).shape == (2, 3)


def test_errors_name_the_culprit():
    with pytest.raises(ModelError, match="no parameters"):
        open_model(nn.ReLU())
    broken = nn.Linear(2, 2)
    broken.bias.data[1] = float("nan")
    with pytest.raises(ModelError, match="parameter bias"):
        open_model(broken)
    with pytest.raises(ModelError, match="takes no arguments: width"):
        open_model(nn.Linear(2, 2), {"width": 3})
    stuck = nn.Linear(2, 2)
    stuck.cache = stuck.weight * 2  # not a leaf: torch refuses to copy it
    with pytest.raises(ModelError, match="cannot be copied"):
        open_model(stuck).build(0)


class Tokens(nn.Module):
    """Owns parameters that nothing draws."""

    def __init__(self):
        super().__init__()
        self.token, self.scale = nn.Parameter(torch.ones(4)), nn.Parameter(torch.ones(4))
        self.inner = nn.Linear(4, 4)


class HalfDrawn(Tokens):
    """Draws one of the two."""

    def reset_parameters(self):
        nn.init.zeros_(self.scale)


@pytest.mark.parametrize(
    ("module", "names"),
    [
        (nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.PReLU(), nn.MultiheadAttention(4, 2)), []),
        (nn.Sequential(nn.Embedding(4, 4, padding_idx=0), nn.LSTM(4, 4), nn.LayerNorm(4), nn.LazyLinear(2)), []),
        (nn.Sequential(Tokens()), ["0.token", "0.scale"]),
        (nn.Sequential(HalfDrawn()), ["0.token"]),
        (nn.Sequential(nn.utils.parametrizations.weight_norm(nn.Linear(2, 2))),
         ["0.parametrizations.weight.original0", "0.parametrizations.weight.original1"]),
    ],
)  # fmt: skip
def test_what_no_module_draws_anew_is_named(module, names):
    before = {name: value.clone() for name, value in module.state_dict().items() if not is_lazy(value)}
    assert undrawn(module) == names
    assert all(torch.equal(module.state_dict()[name], value) for name, value in before.items())
