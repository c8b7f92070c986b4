"""After surgery the optimizer knows every parameter, and forgot nothing it knew."""

import copy

import pytest
import torch
from torch import nn

import depthprobe as dp
from depthprobe.errors import EditError
from depthprobe.surgery import new_parameters

X = torch.randn(16, 4)
EDITS = [dp.Gate(unit="0"), dp.Duplicate(unit="0", copies=2), dp.Duplicate(unit="2", ratio=0.5)]
MAKERS = {
    "sgd": lambda params: torch.optim.SGD(params, lr=0.1, momentum=0.9, weight_decay=0.01, nesterov=True),
    "adam": lambda params: torch.optim.Adam(params, lr=0.01, amsgrad=True),
    "adamw": lambda params: torch.optim.AdamW(params, lr=0.02, betas=(0.8, 0.9)),
    "rmsprop": lambda params: torch.optim.RMSprop(params, lr=0.01, centered=True, momentum=0.5),
    "adagrad": lambda params: torch.optim.Adagrad(params, lr=0.1),
}


def make():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 6), nn.Tanh(), nn.Linear(6, 2))


def step(model, optimizer):
    optimizer.zero_grad()
    model(X).square().sum().backward()
    optimizer.step()


def grouped(model):
    return [
        {"params": [p for p in model.parameters() if p.ndim == 2], "lr": 0.05},
        {"params": [p for p in model.parameters() if p.ndim == 1], "weight_decay": 0.0},
    ]


@pytest.mark.parametrize("maker", MAKERS)
def test_training_goes_on_as_if_nothing_had_happened(maker):
    model = make()
    optimizer = MAKERS[maker](grouped(model))
    for _ in range(3):
        step(model, optimizer)
    edited = dp.apply(model, EDITS[:2], X)
    moved = dp.move_optimizer(optimizer, model, edited)
    assert type(moved) is type(optimizer)
    before = copy.deepcopy(model.state_dict())
    step(edited, moved)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    step(model, optimizer)
    back = dp.undo(edited).state_dict()
    assert all(torch.equal(value, back[name]) for name, value in model.state_dict().items())


def test_groups_rates_and_state_are_kept_and_not_shared():
    model = make()
    optimizer = MAKERS["sgd"](grouped(model))
    step(model, optimizer)
    edited = dp.apply(model, EDITS, X)
    moved = dp.move_optimizer(optimizer, model, edited, new_lr_scale=0.1)
    assert [group["lr"] for group in moved.param_groups] == [0.05, 0.1, pytest.approx(0.005)]
    assert [group["weight_decay"] for group in moved.param_groups] == [0.01, 0.0, 0.01]
    assert all(group["nesterov"] for group in moved.param_groups)
    mine = edited.original_parameters
    for name, parameter in model.named_parameters():
        old, new = optimizer.state[parameter]["momentum_buffer"], moved.state[mine[name]]["momentum_buffer"]
        assert torch.equal(old, new)
        assert old is not new
    assert [id(p) for p in moved.param_groups[2]["params"]] == [id(p) for p in new_parameters(edited)]
    held = [id(p) for group in moved.param_groups for p in group["params"]]
    assert sorted(held) == sorted(id(p) for p in edited.parameters())
    restored = dp.move_optimizer(optimizer, model, edited)
    restored.load_state_dict(moved.state_dict())  # same order of parameters: a resumed run can read it


def test_every_live_parameter_moves_and_no_sleeping_one_does():
    model = make()
    optimizer = MAKERS["sgd"](model.parameters())
    edited = dp.apply(model, EDITS, X)
    moved = dp.move_optimizer(optimizer, model, edited)
    before = {name: p.detach().clone() for name, p in edited.named_parameters()}
    step(edited, moved)
    sleeping = {id(p) for name in ("0_copy1", "0_copy2") for p in edited.gates[name].inside.parameters()}
    assert sleeping
    for name, parameter in edited.named_parameters():
        assert torch.equal(parameter, before[name]) == (id(parameter) in sleeping), name
    edited.set_ratio(1.0)
    before = {name: p.detach().clone() for name, p in edited.named_parameters()}
    step(edited, moved)
    assert not [name for name, p in edited.named_parameters() if torch.equal(p, before[name])]


def test_named_parameters_keep_their_names():
    model = make()
    edited = dp.apply(model, EDITS[1:2], X)
    moved = dp.move_optimizer(MAKERS["adam"](model.named_parameters()), model, edited)
    old, new = (group["param_names"] for group in moved.param_groups)
    assert old == [name for name, _ in model.named_parameters()]
    assert len(new) == len(moved.param_groups[1]["params"]) == 4
    assert all(edited.get_parameter(name) is p for name, p in zip(new, new_parameters(edited), strict=True))


def test_partial_optimizer_stays_partial_and_gets_the_new_parameters():
    model = make()
    model[0].requires_grad_(False)
    optimizer = MAKERS["sgd"](p for p in model.parameters() if p.requires_grad)
    edited = dp.apply(model, [dp.Duplicate(unit="0", ratio=1.0)], X)
    moved = dp.move_optimizer(optimizer, model, edited)
    step(edited, moved)
    assert torch.equal(dp.undo(edited)[0].weight, model[0].weight)
    assert all(p.requires_grad for p in new_parameters(edited))
    assert [len(group["params"]) for group in moved.param_groups] == [4, 2]


def test_no_new_parameters_no_new_group():
    model = make()
    moved = dp.move_optimizer(MAKERS["sgd"](model.parameters()), model, dp.apply(model, EDITS[:1], X))
    assert len(moved.param_groups) == 1


def test_a_strangers_optimizer_is_refused():
    model = make()
    with pytest.raises(EditError, match=r"not the model's\n.*shape \(6, 4\)"):
        dp.move_optimizer(MAKERS["sgd"](make().parameters()), model, dp.apply(model, EDITS, X))
