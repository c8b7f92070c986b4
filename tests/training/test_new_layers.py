"""The rate of added layers: scaled in every group they are in, also in the cooled copy; the rest is as it was."""

import pytest
import torch
from torch import nn

import depthprobe as dp
from depthprobe.config import TrainConfig
from depthprobe.inputs.overrides import Overrides
from depthprobe.probes.holds import branch_and_cool
from depthprobe.surgery.optimizer import new_parameters
from depthprobe.training.batches import Batches
from depthprobe.training.device import open_device
from depthprobe.training.learner import Learner


def edited_and_batches():
    from depthprobe.inputs import Examples

    net = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3))
    x = torch.randn(40, 6)
    edited = dp.apply(net, [dp.Duplicate(unit="0", copies=1, kernel=None, ratio=1.0)], x[:2])
    return edited, Batches(Examples(x, torch.arange(40) % 3), 8, 0, False, torch.device("cpu"))


def rates(learner):
    return {id(p): group["lr"] for group in learner.optimizer.param_groups for p in group["params"]}


@pytest.mark.parametrize("own", [False, True])
def test_new_layers_learn_at_their_own_rate(own):
    edited, batches = edited_and_batches()
    groups = lambda ps: torch.optim.SGD([{"params": ps[:2], "lr": 0.5}, {"params": ps[2:]}], lr=0.1, momentum=0.3)  # noqa: E731
    functions = Overrides(optimizer=groups) if own else Overrides()
    config = TrainConfig(lr=0.1, new_lr_scale=10.0)
    plain = rates(Learner(edited, batches, TrainConfig(lr=0.1), open_device("cpu", "no"), functions))
    learner = Learner(edited, batches, config, open_device("cpu", "no"), functions)
    new = {id(p) for p in new_parameters(edited)}
    assert new
    assert rates(learner) == {key: rate * (10 if key in new else 1) for key, rate in plain.items()}
    assert len({group["momentum"] for group in learner.optimizer.param_groups}) == 1


def test_a_scale_of_one_changes_no_group():
    edited, batches = edited_and_batches()
    learner = Learner(edited, batches, TrainConfig(lr=0.1), open_device("cpu", "no"))
    assert len(learner.optimizer.param_groups) == 1


def test_the_cooled_copy_keeps_the_scale_and_the_state():
    edited, batches = edited_and_batches()
    learner = Learner(edited, batches, TrainConfig(lr=0.01, new_lr_scale=3.0), open_device("cpu", "no"))
    learner.run(5, lambda step: 1.0)
    branch = branch_and_cool(learner, edited, 0, seed=0)
    assert sorted(branch._rates) == [0.01, 0.03]
    assert sum(p.numel() for p in branch.new) == sum(p.numel() for p in new_parameters(edited))
    assert len(branch.optimizer.state) == len(learner.optimizer.state) == len(list(edited.parameters()))


def test_resuming_keeps_the_groups():
    edited, batches = edited_and_batches()
    config = TrainConfig(lr=0.01, new_lr_scale=3.0)
    learner = Learner(edited, batches, config, open_device("cpu", "no"))
    learner.run(3, lambda step: 1.0)
    state = learner.state()
    again = Learner(edited, batches, config, open_device("cpu", "no"))
    again.load(state)
    assert rates(again) == rates(learner)
