"""Tracing: one graph for train and eval, shapes without the batch, and refusals that name the place."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import depthprobe as dp
from depthprobe.errors import GraphError
from depthprobe.graph.functional import as_module
from depthprobe.graph.names import free_name
from depthprobe.graph.trace import trace

X = torch.randn(2, 4)


class Body(nn.Module):
    """Two linear layers; subclasses write `forward`."""

    def __init__(self):
        super().__init__()
        self.a, self.b, self.norm = nn.Linear(4, 4), nn.Linear(4, 2), nn.BatchNorm1d(4)


def body(function):
    return type("Body", (Body,), {"forward": function})()


def test_functional_dropout_follows_the_mode_wherever_it_was_traced():
    model = body(lambda self, x: self.b(F.dropout(F.relu(self.a(x)), 0.5, training=self.training)))
    for made_in in (True, False):
        edited = dp.apply(model.train(made_in), [], X)
        for mode in (True, False):
            outs = []
            for network in (model.train(mode), edited.train(mode)):
                torch.manual_seed(0)
                outs.append(network(torch.ones(4, 4)))
            assert torch.equal(*outs)


def test_shapes_leave_the_batch_out_and_running_statistics_alone():
    model = nn.Sequential(nn.Conv2d(2, 3, 3), nn.BatchNorm2d(3), nn.Flatten(), nn.Linear(48, 2))
    traced = trace(model, torch.randn(5, 2, 6, 6))
    assert list(traced.shapes.values()) == [(2, 6, 6), (3, 4, 4), (3, 4, 4), (48,), (2,), (2,)]
    assert not traced.unbatched
    assert int(model[1].num_batches_tracked) == int(traced.original[1].num_batches_tracked) == 0


def test_values_without_a_batch_are_found():
    traced = trace(body(lambda self, x: self.b(self.a(x).transpose(0, 1).transpose(0, 1))), X)
    assert traced.unbatched == {"transpose"}


def bad_control_flow(self, x):
    if x.sum() > 0:
        x = -x
    return self.b(x)


def bad_modes(self, x):
    x = self.a(x)
    if self.training:
        x = x + 1
    return self.b(x)


@pytest.mark.parametrize(
    ("function", "words"),
    [
        (bad_control_flow, ["torch.fx cannot follow Body.forward", "test_trace.py:", "control flow"]),
        (bad_modes, ["Body", "different paths in train and eval", "add"]),
        (lambda self, x: self.b(self.a(x) * (2 if self.training else 1)), ["different paths", "where"]),
        (
            lambda self, x: F.batch_norm(x, self.norm.running_mean, self.norm.running_var, training=self.training),
            ["different paths"],
        ),
    ],
)
def test_forwards_that_cannot_be_traced(function, words):
    with pytest.raises(GraphError) as caught:
        dp.units(body(function), X, "fx")
    assert all(word in str(caught.value) for word in words), str(caught.value)


@pytest.mark.parametrize("function", [bad_modes, lambda self, x: self.b(self.a(x) * (2 if self.training else 1))])
def test_forwards_with_other_paths_in_train_mode_are_run_instead(function):
    assert trace(body(function), X).tracer == "modules"


def defaults(self, x, y=None, z=0.5):
    return self.b(F.relu(self.a(x))) * z


@pytest.mark.parametrize(
    ("inputs", "words"),
    [
        (
            torch.randn(2, 7),
            ["does not run on an input of shape (2, 7)", "a (Linear), called at", "depthprobe inspect"],
        ),
        (torch.randn(0, 4), ["holds no example", "(0, 4)"]),
        ("text", ["wrong type", "a tensor, a tuple", "str"]),
        ((X, X, 1.0, X), ["does not fit forward", "x, y, z", "4 by position"]),
        ({"x": X, "w": X}, ["does not fit forward", "x, y, z", "x, w"]),
        ({"y": X}, ["does not fit forward", "no x"]),
        ((), ["does not fit forward", "no x"]),
    ],
)
def test_inputs_that_do_not_fit(inputs, words):
    with pytest.raises(GraphError) as caught:
        dp.units(body(defaults), inputs)
    assert all(word in str(caught.value) for word in words), str(caught.value)


@pytest.mark.parametrize("inputs", [X, (X,), [X], {"x": X}, {"z": 2.0, "x": X}, (X, None, 2.0)])
def test_inputs_by_position_and_by_name(inputs):
    assert [unit.name for unit in dp.units(body(defaults), inputs)] == ["a", "b"]


def test_keyword_inputs_find_their_own_place():
    model = body(lambda self, x, y=0.0, z=0.0: self.b(x) + y - 2 * z)
    shapes = trace(model, {"z": torch.ones(2, 2), "x": X}).shapes
    assert shapes["z"] == (2,)
    assert "y" not in shapes


@pytest.mark.parametrize(
    ("call", "expected"),
    [
        (lambda x: F.relu(x, inplace=True), "ReLU()"),
        (lambda x: x.relu_(), "ReLU()"),
        (lambda x: F.leaky_relu(x, 0.2), "LeakyReLU(negative_slope=0.2)"),
        (lambda x: F.gelu(x, approximate="tanh"), "GELU(approximate='tanh')"),
        (
            lambda x: F.max_pool2d(x, 3, 2, padding=1),
            "MaxPool2d(kernel_size=3, stride=2, padding=1, dilation=1, ceil_mode=False)",
        ),
        (lambda x: F.avg_pool1d(input=x, kernel_size=2), "AvgPool1d(kernel_size=(2,), stride=(2,), padding=(0,))"),
        (lambda x: F.elu(x, 0.5, True), "ELU(alpha=0.5)"),
        (lambda x: F.dropout(x, 0.1, True), "Dropout(p=0.1, inplace=False)"),
        (lambda x: F.max_pool2d(x, 2, return_indices=True), None),
        (lambda x: F.softmax(x, 1), None),
        (lambda x: x + 1, None),
    ],
)  # fmt: skip
def test_functional_calls_stand_for_modules(call, expected):
    graph = torch.fx.symbolic_trace(type("Call", (nn.Module,), {"forward": lambda self, x: call(x)})()).graph
    module = as_module(list(graph.nodes)[1])
    assert (module is None) if expected is None else (repr(module) == expected)


def test_free_names():
    model = nn.Sequential(nn.Linear(2, 2), nn.ReLU())
    model.add_module("0_gate", nn.ReLU())
    assert free_name(model, "1_gate") == "1_gate"
    assert free_name(model, "0_gate") == "0_gate2"
    assert free_name(model, "0.weight") == "0.weight2"
