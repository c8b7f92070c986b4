"""One's own loss and metric for a trained network: they train it and judge it, higher is better, nothing else does."""

import json
from importlib.util import find_spec

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import depthprobe as dp
from depthprobe.errors import DepthprobeError, ModelError
from depthprobe.inputs import as_dataset, split_dataset
from depthprobe.probes.answer import unpack_scores

FEW = {"steps": 60, "seeds": 1, "threads": 1, "device": "cpu", "lr": 0.05}
needs_pruning = pytest.mark.skipif(
    find_spec("torch_pruning") is None, reason="channels are removed with torch-pruning (extra width)"
)


def parts(x, y):
    return {"train": (x[:800], y[:800]), "valid": (x[800:1000], y[800:1000]), "test": (x[1000:], y[1000:])}


def trained(outputs, x, y, loss):
    """Two hidden layers that are needed, and an identity behind them that nobody would miss."""
    net = nn.Sequential(
        nn.Linear(x.shape[1], 16), nn.ReLU(), nn.Linear(16, 16), nn.ReLU(), nn.Linear(16, 16), nn.ReLU(),
        nn.Linear(16, outputs),
    )  # fmt: skip
    with torch.no_grad():
        net[4].weight.copy_(torch.eye(16))
        net[4].bias.zero_()
    needed = [*net[0].parameters(), *net[2].parameters(), *net[6].parameters()]
    optimizer = torch.optim.Adam(needed, lr=0.01)
    for _ in range(400):
        optimizer.zero_grad()
        loss(net(x), y).backward()
        optimizer.step()
    return net


def log_error(output, target):
    """The network says the logarithm: mse_loss, the default, would train it to something else."""
    return (output.exp() - target).abs().mean()


def closeness(output, target):
    return -(output.exp() - target).abs().mean(1)


def hits(output, target):
    """Logits: trained by mse_loss, the default, no output of a label that is absent would be below 0."""
    return ((output > 0) == (target > 0.5)).float().mean(1)


@pytest.fixture(scope="module")
def regression():
    torch.manual_seed(0)
    x = torch.randn(1200, 4)
    y = torch.stack((x[:, 0] * x[:, 1], x[:, 2] * x[:, 3]), 1).tanh().exp()
    data = parts(x, y)
    return trained(2, *data["train"], log_error), data


@pytest.fixture(scope="module")
def labels():
    torch.manual_seed(0)
    x = torch.randn(1200, 4)
    y = torch.stack((x[:, 0] * x[:, 1] > 0, x[:, 2] * x[:, 3] > 0, x[:, 0] > 0), 1).float()
    data = parts(x, y)
    return trained(3, *data["train"], F.binary_cross_entropy_with_logits), data


@pytest.fixture
def task(request):
    """(network, data, own loss, own metric) of a fixture, its network as before any probe."""
    net, data = request.getfixturevalue(request.param)
    own = {"regression": (log_error, closeness), "labels": (F.binary_cross_entropy_with_logits, hits)}
    net.train().zero_grad()
    return net, data, *own[request.param]


@pytest.fixture
def left_as_found(task):
    """Whatever the probe of a test does to it."""
    net = task[0]
    before = {name: value.clone() for name, value in net.state_dict().items()}
    yield
    after = net.state_dict()
    assert list(after) == list(before)
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert all(module.training for module in net.modules())
    assert all(parameter.grad is None and parameter.requires_grad for parameter in net.parameters())


def measured(result, walk):
    lines = map(json.loads, (result.folder / "records.jsonl").read_text().splitlines())
    return [record for record in lines if record["kind"] == "measurement" and record["walk"] == walk]


@torch.no_grad()
def judged(net, part, metric):
    return float(metric(net(part.x), part.y).mean())


@pytest.mark.parametrize("task", ["regression", "labels"], indirect=True)
@pytest.mark.usefixtures("left_as_found")
def test_a_network_is_shrunk_by_ones_own_loss_and_metric(task):
    net, data, loss, metric = task
    result = dp.shrink(net, data, loss=loss, metric=metric, tolerance=0.05, **FEW)
    answer, split = result.recommendation, split_dataset(as_dataset(data), split_seed=0)
    assert (answer.metric, answer.verdict, answer.remove) == (metric.__name__, "shrink", ["4"])
    assert {row["unit"] for row in answer.ranking if row["loss"] > 0.3} == {"0", "2"}  # what it has less of is lost
    (before,), (after,) = measured(result, "as it is"), measured(result, "control")
    known = [judged(net, part, metric) for part in (split.valid, split.test)]
    assert [before["value"], answer.test["before"]] == pytest.approx(known, abs=1e-6)
    assert after["value"] > before["value"] - 0.03  # trained on by that loss, not by the default one
    assert answer.test["value"] == pytest.approx(judged(result.model, split.test, metric), abs=1e-6)


@pytest.mark.parametrize("task", ["regression", "labels"], indirect=True)
@pytest.mark.usefixtures("left_as_found")
def test_a_layer_that_ones_own_metric_needs_stays(task):
    """No unit is idle here: what is trained on is made of the user's network itself."""
    net, data, loss, metric = task
    answer = dp.shrink(net, data, loss=loss, metric=metric, tolerance=0.02, units=("2",), **FEW).recommendation
    assert (answer.verdict, answer.remove, answer.depth["idle"]) == ("keep", [], [])
    smaller, whole = answer.depth["candidates"]
    assert smaller["value"] < whole["value"] - 0.02


@needs_pruning
@pytest.mark.parametrize("task", ["labels"], indirect=True)
@pytest.mark.usefixtures("left_as_found")
def test_a_network_of_several_labels_each_keeps_the_channels_that_they_need(task):
    net, data, loss, metric = task
    result = dp.width(net, data, loss=loss, metric=metric, tolerance=0.05, ratios=(0.1,), **FEW)
    answer = result.recommendation
    assert (answer.metric, answer.verdict) == ("hits", "keep")
    (before,), (after,) = measured(result, "as it is"), measured(result, "control")
    assert after["value"] > before["value"] - 0.03
    (narrow,) = measured(result, "down")
    assert {round(3 * score) for score in unpack_scores(narrow)} == {0, 1, 2, 3}  # one score per example, of its labels
    assert narrow["value"] == pytest.approx(unpack_scores(narrow).mean(), abs=1e-6)
    assert result.curve[0]["value"] < result.curve[-1]["value"] - 0.1


@pytest.mark.parametrize("probe", [dp.shrink, pytest.param(dp.width, marks=needs_pruning)])
def test_a_metric_that_is_no_number_ends_with_one_line(probe, regression):
    network, data = regression
    with pytest.raises(DepthprobeError, match="not finite"):
        probe(network, data, loss=log_error, metric=lambda output, target: float("nan"), tolerance=0.01, **FEW)


@pytest.mark.parametrize("probe", [dp.grow, dp.shrink, pytest.param(dp.width, marks=needs_pruning)])
def test_outputs_that_are_no_numbers_are_refused_before_any_training(probe, tmp_path):
    """A smaller learning rate would not help."""

    class Rooted(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.second, self.last = nn.Linear(4, 8), nn.Linear(8, 8), nn.Linear(8, 3)

        def forward(self, x):
            return self.last(torch.relu(self.second(torch.relu(self.first(x)))).neg().sub(1).sqrt())

    torch.manual_seed(0)
    data = {"train": (torch.randn(90, 4), torch.arange(90) % 3)}
    with pytest.raises(ModelError, match="not finite, before any training") as refused:
        probe(Rooted(), data, out=tmp_path / "run", **FEW)
    assert "--lr" not in str(refused.value)
    assert not (tmp_path / "run").exists()
