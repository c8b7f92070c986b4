"""The user's own training functions: used, said, checked, and bit for bit those of a hand-written loop."""

import json
import runpy
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import depthprobe as dp
from depthprobe.config import GrowConfig, TrainConfig
from depthprobe.errors import ConfigError, ModelError, RunFolderError, UsageError, UserCodeError
from depthprobe.inputs import open_dataset, open_model, split_dataset
from depthprobe.probes.answer import Recommendation, unpack_scores
from depthprobe.probes.grow import create_run, reopen, run_grow, set_up
from depthprobe.probes.listener import Listener
from depthprobe.probes.own import Asked
from depthprobe.probes.setup import DataSource
from depthprobe.runs import RunFolder
from depthprobe.training.batches import mix_seed

EXAMPLE = Path(__file__).parents[2] / "examples" / "own_recipe.py"
SHORT = {"seeds": 1, "steps": 40, "threads": 1, "candidates": (0, 1), "batch_size": 32}
PLAIN = {"metric": "neg_mae", "tolerance": 0.1, **SHORT}  # a metric without a floor: nothing collapses
NET = "import torch\nfrom torch import nn\nmodel = nn.Sequential(nn.Linear(3, 8), nn.ReLU(), nn.Linear(8, 1))\n"


DATA = "import torch\ndef data():\n    x = torch.randn(200, 3)\n    return {'train': (x, x[:, :1])}\n"


def numbers(examples=200, outputs=1):
    x = torch.randn(examples, 3, generator=torch.Generator().manual_seed(1))
    y = torch.stack([x[:, 0] * x[:, 1] + k * x[:, 2] for k in range(outputs)], dim=1)
    return {"train": (x, y)}


def write(folder, text, name="net.py"):
    path = folder / name
    path.write_text(NET + text)
    return str(path)


def records(run, kind):
    lines = [json.loads(line) for line in (run.folder / "records.jsonl").read_text().splitlines()]
    return [record for record in lines if record["kind"] == kind]


def control(run):
    measured = next(record for record in records(run, "measurement") if record["walk"] == "control")
    saved = torch.load(run.folder / "checkpoints" / "candidates" / "control.pt", weights_only=True)
    return saved["state_dict"], measured


def hand_written(path, data, metric, *, seed, updates, cooled, batch_size, peak):
    """Plain PyTorch. Weights under manual_seed(seed). Epoch e: randperm under mix_seed(mix_seed(seed, 4), e), its last,
    smaller batch dropped. Rates: held at the schedule's largest factor, then the part of the schedule after its peak.
    """
    torch.manual_seed(seed)
    user = runpy.run_path(str(path))
    net, split = user["model"], split_dataset(data, split_seed=0)
    optimizer = user["optimizer"](net.parameters())
    rates, order_seed = [group["lr"] for group in optimizer.param_groups], mix_seed(seed, 4)
    per_epoch = len(split.train) // batch_size
    for step in range(updates):
        epoch, rank = divmod(step, per_epoch)
        order = torch.randperm(len(split.train), generator=torch.Generator().manual_seed(mix_seed(order_seed, epoch)))
        rows = order[rank * batch_size : (rank + 1) * batch_size]
        x, y = split.train.x[rows], split.train.y[rows]
        torch.manual_seed(mix_seed(order_seed, step, 1))  # what the augmentation of this step draws from
        x = user["augment"](x)
        done = (step - (updates - cooled)) / cooled
        factor = 1.0 if done < 0 else user["schedule"](peak + done * (1 - peak))
        for group, rate in zip(optimizer.param_groups, rates, strict=True):
            group["lr"] = rate * factor
        optimizer.zero_grad()
        user["loss"](net(x), y).backward()
        optimizer.step()
    with torch.no_grad():
        return net.state_dict(), user[metric](net(split.valid.x), split.valid.y).double().numpy().mean()


def test_the_control_arm_is_a_hand_written_loop_bit_for_bit(tmp_path):
    """The example, as it is: own loss, optimizer with groups, schedule, augmentation and metric."""
    metric = f"{EXAMPLE}:closeness"
    run = dp.grow(str(EXAMPLE), f"{EXAMPLE}:data", metric=metric, tolerance=0.02, out=tmp_path / "run", **SHORT)
    weights, measured = control(run)
    by_hand, value = hand_written(
        EXAMPLE,
        open_dataset(f"{EXAMPLE}:data"),
        "closeness",
        seed=0,
        updates=measured["step"],
        cooled=round(0.10 * 40),
        batch_size=32,
        peak=0.6,
    )
    assert set(weights) == set(by_hand)
    assert all(torch.equal(weights[name], by_hand[name]) for name in weights)
    assert measured["value"] == value
    assert run.recommendation["metric"] == "closeness"
    assert "from own_recipe.py: loss, optimizer, schedule, augment" in run.recommendation["notes"]
    own = json.loads((run.folder / "config.json").read_text())["own"]
    assert own == dict.fromkeys(("loss", "optimizer", "schedule", "augment"), str(EXAMPLE))
    assert "closeness against depth" in Path(run.report(tmp_path / "page.html")).read_text()


FUNCTIONS = {
    "loss": "def loss(output, target):\n    return 3 * (output - target).abs().mean()\n",
    "optimizer": "def optimizer(parameters):\n    return torch.optim.Adam(parameters, lr=0.01)\n",
    "schedule": "def schedule(done):\n    return 0.5 - 0.5 * done\n",
    "augment": "import random\ndef augment(x):\n    return x * random.random()\n",
    "training_step": "def training_step(model, batch):\n    return (model(batch[0]) - batch[1]).pow(4).mean()\n",
    "made": "loss = nn.L1Loss()\n",
    "imported": "from torch.optim import RAdam as optimizer\n",
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_every_function_is_used_and_said(name, tmp_path):
    plain = dp.grow(write(tmp_path, "", "plain.py"), numbers(), out=tmp_path / "plain", **PLAIN)
    run = dp.grow(write(tmp_path, FUNCTIONS[name]), numbers(), out=tmp_path / "run", **PLAIN)
    said = {"made": "loss", "imported": "optimizer"}.get(name, name)
    assert f"from net.py: {said}" in run.recommendation["notes"]
    assert not any("from" in note for note in plain.recommendation["notes"][-1:])
    one, two = control(run)[0], control(plain)[0]
    assert not any(torch.equal(one[key], two[key]) for key in one)


def test_a_function_from_python_wins_over_the_file(tmp_path):
    path = write(tmp_path, "def loss(output, target):\n    raise RuntimeError('not this one')\n")
    (tmp_path / "data.py").write_text(DATA)

    def worst(output, target):
        return -float((output - target).abs().max())

    run = dp.grow(path, f"{tmp_path / 'data.py'}:data", loss=nn.L1Loss(), metric=worst, tolerance=0.1,
                  out=tmp_path / "run", **SHORT)  # fmt: skip
    assert "from Python: loss" in run.recommendation["notes"]
    assert control(run)[1]["examples"] == 40
    with pytest.raises(RunFolderError, match="passed from Python"):
        reopen(RunFolder.open(run.folder))


def test_what_was_typed_wins_over_the_file_and_is_said(tmp_path):
    text = FUNCTIONS["optimizer"] + FUNCTIONS["augment"]
    run = dp.grow(write(tmp_path, text), numbers(), optimizer="adamw", augment=False, lr=0.01, **PLAIN)
    notes = " ".join(run.recommendation["notes"])
    assert "optimizer in net.py is not used: --optimizer was given" in notes
    assert "augment in net.py is not used: --augment was given" in notes


BROKEN = {
    "loss raises": ("def loss(output, target):\n    return output.nothing\n", "net.py:5", "nothing"),
    "loss of three": ("def loss(output, target, weight):\n    return 0\n", "net.py", "weight"),
    "loss per example": ("def loss(output, target):\n    return (output - target) ** 2\n", "one number", "(32, 1)"),
    "loss detached": ("def loss(output, target):\n    return output.detach().mean()\n", "weights", "detached"),
    "loss with weights": ("loss = nn.Linear(1, 1)\n", "parameters of its own", "Linear"),
    "optimizer of others": ("def optimizer(parameters):\n    return torch.optim.SGD(model.parameters(), 0.1)\n",
                            "it was not given", "grows"),
    "no optimizer": ("def optimizer(parameters):\n    return 3\n", "does not return an optimizer", "int"),
    "needs a closure": ("def optimizer(parameters):\n    return torch.optim.LBFGS(parameters)\n", "step", "closure"),
    "schedule flat": ("def schedule(done):\n    return 1.0\n", "below its peak", "largest 1"),
    "schedule of nan": ("def schedule(done):\n    return float('nan')\n", "schedule(0)", "nan"),
    "schedule raises": ("def schedule(done):\n    return 1 / (1 - done)\n", "net.py:5", "ZeroDivisionError"),
    "augment of another size": ("def augment(x):\n    return x[:3]\n", "same size", "(3, 3)"),
    "step raises": ("def training_step(model, batch):\n    return model.encode(batch[0])\n", "net.py:5", "encode"),
}  # fmt: skip


@pytest.mark.parametrize("case", BROKEN)
def test_what_does_not_work_is_an_error_before_training(case, tmp_path):
    text, *said = BROKEN[case]
    with pytest.raises(UsageError) as caught:
        dp.grow(write(tmp_path, text), numbers(), out=tmp_path / "run", **SHORT)
    assert all(word in str(caught.value) for word in said), str(caught.value)
    assert not (tmp_path / "run").exists()


def test_a_function_that_raises_later_ends_the_run_with_its_line(tmp_path):
    text = (
        f"import os\ndef loss(output, target):\n    begun = os.path.exists({str(tmp_path / 'run')!r})\n    if begun:\n"
    )
    text += "        raise ValueError('enough')\n    return (output - target).square().mean()\n"
    with pytest.raises(UserCodeError, match="enough") as caught:
        dp.grow(write(tmp_path, text), numbers(), out=tmp_path / "run", **PLAIN)
    assert caught.value.where.endswith("net.py:8")
    assert (tmp_path / "run").exists()


@pytest.mark.parametrize("setting", ["lr", "weight_decay", "momentum"])
def test_settings_that_would_do_nothing_are_refused(setting, tmp_path):
    with pytest.raises(ConfigError, match=f"--{setting.replace('_', '-')} has no effect"):
        dp.grow(write(tmp_path, FUNCTIONS["optimizer"]), numbers(), **{setting: 0.01}, **SHORT)


def test_names_that_are_no_functions_are_said_and_not_used(tmp_path):
    text = "optimizer = torch.optim.SGD(model.parameters(), 0.1)\nloss = nn.MSELoss\nschedule = None\n"
    run = dp.grow(write(tmp_path, text), numbers(), **PLAIN)
    notes = " ".join(run.recommendation["notes"])
    assert "optimizer in net.py is not used: a SGD" in notes
    assert "loss = MSELoss()" in notes
    assert json.loads((run.folder / "config.json").read_text())["own"] == {}


class Stop(Listener):
    def __init__(self, after):
        self.left = after

    def recorded(self, record):
        self.left -= 1
        if not self.left:
            raise KeyboardInterrupt


def test_a_resumed_run_uses_the_same_and_ends_bit_for_bit(tmp_path):
    """Own augmentation (random numbers of every kind), optimizer and scalar metric; interrupted in both arms."""
    text = FUNCTIONS["optimizer"] + FUNCTIONS["loss"] + FUNCTIONS["schedule"]
    text += "import random\nimport numpy\ndef augment(x):\n    noise = torch.randn_like(x) * random.random()\n"
    text += "    return x + noise * numpy.random.rand()\n"
    text += "def worst(output, target):\n    return -(output - target).abs().max()\n"
    (tmp_path / "data.py").write_text(DATA)
    path = write(tmp_path, text)

    def setup():
        settings = {**SHORT, "metric": f"{path}:worst", "tolerance": 0.1}
        training = {key: settings.pop(key) for key in ("steps", "threads", "batch_size")}
        source = DataSource(spec=f"{tmp_path / 'data.py'}:data")
        return set_up(open_model(path), source, GrowConfig(**settings), TrainConfig(**training), asked=Asked())

    whole = setup()
    with create_run(whole, tmp_path / "whole") as folder:
        run_grow(whole, folder, Listener())
    cut = setup()
    with create_run(cut, tmp_path / "cut") as folder, pytest.raises(KeyboardInterrupt):
        run_grow(cut, folder, Stop(9))
    for after in (5, 4000):
        with RunFolder.open(tmp_path / "cut", write=True) as folder:
            again = reopen(folder)
            assert again.own.functions.names == ("loss", "optimizer", "schedule", "augment")
            try:
                run_grow(again, folder, Stop(after))
            except KeyboardInterrupt:
                assert after == 5
    assert (tmp_path / "whole" / "records.jsonl").read_text() == (tmp_path / "cut" / "records.jsonl").read_text()
    one, two = (torch.load(tmp_path / name / "model.pt", weights_only=True)["state_dict"] for name in ("whole", "cut"))
    assert all(torch.equal(one[key], two[key]) for key in one)


def test_a_changed_metric_file_is_not_resumed(tmp_path):
    metric = tmp_path / "metric.py"
    metric.write_text("def close(output, target):\n    return -(output - target).abs().mean(1)\n")
    (tmp_path / "data.py").write_text(DATA)
    run = dp.grow(write(tmp_path, ""), f"{tmp_path / 'data.py'}:data", metric=f"{metric}:close", tolerance=0.1,
                  out=tmp_path / "run", **SHORT)  # fmt: skip
    reopen(RunFolder.open(run.folder))
    metric.write_text("def close(output, target):\n    return -(output - target).abs().mean(1) / 2\n")
    with pytest.raises(RunFolderError, match="metric has changed"):
        reopen(RunFolder.open(run.folder))


def test_a_regression_needs_no_class_checks_and_is_measured_by_r2(tmp_path):
    """One target value only would be one class; negative ones no labels: both are right here."""
    data = numbers()
    data["test"] = (data["train"][0][:50], data["train"][1][:50] * 0 - 5.0)
    model = nn.Sequential(nn.Linear(3, 8), nn.ReLU(), nn.Linear(8, 1))
    run = dp.grow(model, data, out=tmp_path / "run", lr=0.01, **SHORT)
    measured = control(run)[1]
    scores = unpack_scores(measured)
    assert run.recommendation["metric"] == "r2"
    assert "points" not in run.recommendation["sentence"]
    assert len(scores) == measured["examples"] == 40
    assert scores.mean() == pytest.approx(measured["value"], rel=1e-6)
    assert all(row["high"] <= 1 for row in run.recommendation["depth"]["candidates"])


def test_several_labels_each(tmp_path):
    """Multi-label: float targets of 0 and 1, own loss, a metric from Python."""
    x = torch.randn(200, 3, generator=torch.Generator().manual_seed(2))
    model = nn.Sequential(nn.Linear(3, 8), nn.ReLU(), nn.Linear(8, 2))

    def hits(output, target):
        return ((output > 0) == (target > 0.5)).float().mean(1)

    run = dp.grow(model, {"train": (x, (x[:, :2] > 0).float())}, loss=nn.BCEWithLogitsLoss(), metric=hits,
                  tolerance=0.02, out=tmp_path / "run", **SHORT)  # fmt: skip
    assert run.recommendation["metric"] == "hits"
    assert set(np.unique(unpack_scores(control(run)[1]))) <= {0.0, 0.5, 1.0}


def test_shapes_that_differ_are_named(tmp_path):
    data = {"train": (numbers()["train"][0], numbers()["train"][1][:, 0])}
    with pytest.raises(ModelError, match=r"(?s)\(batch\).*\(batch, 1\).*reshape"):
        dp.grow(write(tmp_path, ""), data, **SHORT)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"metric": "neg_mse"}, "--tolerance auto does not know"),
        ({"metric": "accuracy"}, "needs class indices"),
        ({"metric": "median"}, "is not known"),
        ({"metric": lambda output, target: output, "tolerance": 1.0}, "one score per example"),
        ({"metric": lambda output, target: output.nothing, "tolerance": 1.0}, "has no attribute"),
        ({"loss": "mse"}, "not a function"),
        ({"tolerance": 0.5}, "did you mean 0.005"),
    ],
)
def test_metrics_that_cannot_be_used(options, said, tmp_path):
    with pytest.raises(UsageError, match=said):
        dp.grow(write(tmp_path, ""), numbers(), **options, **SHORT)


def test_a_large_tolerance_is_right_for_a_metric_of_another_scale(tmp_path):
    run = dp.grow(write(tmp_path, ""), numbers(), metric="neg_mae", tolerance=0.5, **SHORT)
    assert run.recommendation["tolerance"] == 0.5
    assert not run.recommendation["fraction"]


def test_run_folders_of_version_0_1_still_read():
    folder = Path(__file__).parents[1] / "golden" / "run-v1"
    lines = [json.loads(line) for line in (folder / "records.jsonl").read_text().splitlines()]
    measured = [record for record in lines if record["kind"] == "measurement" and "scores" in record]
    assert measured
    assert all(unpack_scores(record).mean() == record["value"] for record in measured)
    answer = Recommendation.from_json(json.loads((folder / "recommendation.json").read_text()))
    assert (answer.metric, answer.fraction) == ("accuracy", True)
