"""What a teacher promises: nothing to learn where the outputs agree, gradients no larger than those of the targets."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

from depthprobe.inputs import Examples
from depthprobe.training.batches import Batches
from depthprobe.training.teacher import TEMPERATURE, make_teacher


def net(seed: int, outputs: int = 3) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, outputs))


def data(seed: int = 0) -> Examples:
    torch.manual_seed(seed)
    return Examples(torch.randn(40, 4), torch.randint(0, 3, (40,)))


def batches(examples: Examples, augment: bool = False) -> Batches:
    return Batches(examples, 8, 0, augment, torch.device("cpu"))


@pytest.mark.parametrize("classes", [True, False])
def test_who_agrees_with_the_teacher_has_only_the_targets_to_learn(classes):
    examples, network = data(), net(0)
    teacher = make_teacher(network, examples.x, 0.7, classes=classes)
    feed = batches(examples)
    x, _ = feed.at(3)
    mixed = teacher.mix(torch.tensor(2.0), network.eval()(x), x, feed, 3)
    assert mixed.item() == pytest.approx(0.3 * 2.0, abs=1e-5)


@pytest.mark.parametrize("classes", [True, False])
def test_outputs_computed_once_are_those_of_every_batch(classes):
    examples = data()
    known = make_teacher(net(0), examples.x, 0.9, classes=classes)
    asked = replace(known, kept=None)
    assert known.kept is not None
    feed, student = batches(examples), net(1)
    for step in (0, 4, 5, 17):
        x, y = feed.at(step)
        output = student(x)
        loss = F.cross_entropy(output, y)
        one, two = (teacher.mix(loss, output, x, feed, step).item() for teacher in (known, asked))
        assert one == pytest.approx(two, rel=1e-5)


def test_the_teacher_is_a_copy_that_stays_as_it_was():
    examples, network = data(), net(0).train()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    teacher = make_teacher(network, examples.x, 0.5, classes=True)
    assert network.training
    assert not any(module.training for module in teacher.network.modules())
    feed, student = batches(examples), net(1)
    x, y = feed.at(0)
    output = student(x)
    teacher.mix(F.cross_entropy(output, y), output, x, feed, 0).backward()
    assert all(parameter.grad is None for parameter in [*network.parameters(), *teacher.network.parameters()])
    assert all(torch.equal(before[name], value) for name, value in teacher.network.state_dict().items())
    assert all(parameter.grad is not None for parameter in student.parameters())


@given(st.floats(0.0, 1.0), st.floats(0.1, 50.0), st.integers(0, 1000))
@settings(max_examples=50, deadline=None)
def test_the_gradient_has_a_bound(share, scale, seed):
    """A network that survives its training rate has to survive the teacher: of the targets alone every example's
    gradient is at most 2 in sum, of the teacher alone TEMPERATURE times that.
    """
    examples = data(seed)
    network = net(seed)
    with torch.no_grad():
        network[-1].weight.mul_(scale)
    teacher = make_teacher(network, examples.x, share, classes=True)
    feed = batches(examples)
    x, y = feed.at(0)
    output = (torch.randn(len(x), 3) * scale).requires_grad_()
    teacher.mix(F.cross_entropy(output, y), output, x, feed, 0).backward()
    assert float((output.grad.abs().sum(1) * len(x)).max()) <= 2.0 * (1 - share + share * TEMPERATURE) + 1e-3
