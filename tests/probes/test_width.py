"""What a width run promises: it finds how narrow the network may be and hands back exactly what it measured."""

import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import torch
from torch import nn

import depthprobe as dp
from depthprobe.cli import main
from depthprobe.config import WidthConfig
from depthprobe.errors import ConfigError, EditError, GraphError, ModelError, TrainingError
from depthprobe.graph.costs import count_macs, count_parameters
from depthprobe.inputs import open_dataset, open_model, split_dataset
from depthprobe.probes.answer import unpack_scores
from depthprobe.probes.holds import pack_scores
from depthprobe.probes.profiles import equal_widths, round_width
from depthprobe.probes.width_arm import begun_holds
from depthprobe.probes.width_weigh import read_scores
from depthprobe.schedules import Hold
from depthprobe.surgery.channels import Channels
from depthprobe.training.learner import predict
from depthprobe.training.metrics import Scored

pytest.importorskip("torch_pruning", reason="channels are removed with torch-pruning (extra width)")

NET = """
from torch import nn

def model(width=8, norm=True, classes=10):
    norms = [nn.BatchNorm2d(width)] if norm else []
    return nn.Sequential(
        nn.Conv2d(1, width, 3, padding=1), *norms, nn.ReLU(), nn.Dropout(0.05), nn.Conv2d(width, width, 3, padding=1),
        nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(4 * width, classes),
    )
"""
QUICK = ["--steps", "200", "--threads", "1", "--quiet", "--ratios", "0.7,0.4,0.2"]
RATIOS = (0.7, 0.5, 0.3, 0.25, 0.1)
FEW = {"steps": 60, "seeds": 1, "threads": 1, "device": "cpu", "lr": 0.02}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    place = tmp_path_factory.mktemp("width")
    (place / "net.py").write_text(NET)
    return place


@pytest.fixture(scope="module")
def trained(folder):
    """A trained network, as depthprobe train leaves it."""
    words = ["train", f"{folder / 'net.py'}:model", "-d", "digits", "--steps", "600", "--lr", "0.05", "--threads", "1"]
    assert run(*words, "--quiet", "--out", folder / "trained") == 0
    return folder / "trained" / "model.pt"


@pytest.fixture(scope="module")
def planted(trained):
    """The same function with every hidden channel four times, what is read of it divided among the copies."""
    state = torch.load(trained, weights_only=True)["state_dict"]
    wide = nn.Sequential(
        nn.Conv2d(1, 32, 3, padding=1), nn.BatchNorm2d(32), nn.ReLU(), nn.Dropout(0.05),
        nn.Conv2d(32, 32, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(128, 10),
    )  # fmt: skip
    copies = torch.arange(32) % 8
    features = (copies[:, None] * 4 + torch.arange(4)).flatten()
    whole = {name: value[copies] for name, value in state.items() if name.startswith(("0.", "1.")) and value.ndim}
    whole |= {"4.weight": state["4.weight"][copies][:, copies] / 4, "4.bias": state["4.bias"][copies]}
    whole |= {"8.weight": state["8.weight"][:, features] / 4, "8.bias": state["8.bias"]}
    wide.load_state_dict({**wide.state_dict(), **whole})
    return wide


@pytest.fixture(scope="module")
def narrowed(planted, folder):
    return dp.width(
        planted, "digits", steps=300, lr=0.02, seeds=1, threads=1, device="cpu", ratios=RATIOS, out=folder / "planted"
    )


def run(*words):
    with pytest.raises(SystemExit) as end:
        main([str(word) for word in words])
    return end.value.code


def test_planted_channels_are_found_and_cut(narrowed, planted):
    answer = narrowed.recommendation
    assert answer.verdict == "narrow"
    assert narrowed.model[0].out_channels <= 10  # 1.25 x the original
    assert narrowed.model[4].out_channels <= 10
    assert answer.width["recommended"] <= 0.3
    assert "Narrow to" in answer.sentence
    assert f"0: 32 -> {narrowed.model[0].out_channels}" in answer.sentence
    assert answer.test["value"] > answer.test["before"] - 0.03
    for row in answer.width["units"]:
        assert row["enough_alone"] <= 10  # copies are seen without any training
    half = next(row for row in answer.width["untrained"] if row["ratio"] == 0.5)
    assert half["value"] > half["bernoulli"] + 0.1


def test_exactly_what_was_measured_is_handed_back(narrowed, planted):
    """The saved network is the cooled one of the first seed: its score is in the records, its cost in the table."""
    answer = narrowed.recommendation
    percent = round(100 * answer.width["recommended"])
    records = [json.loads(line) for line in (narrowed.folder / "records.jsonl").read_text().splitlines()]
    (mine,) = [
        r for r in records if r["kind"] == "measurement" and (r["seed"], r["opened"], r["walk"]) == (0, percent, "down")
    ]
    config = json.loads((narrowed.folder / "config.json").read_text())
    split = split_dataset(open_dataset("digits"), split_seed=config["split"]["seed"], fold=0, folds=1)
    outputs = predict(narrowed.model, split.valid.x, torch.device("cpu"))
    assert float((outputs.argmax(1) == split.valid.y).double().mean()) == pytest.approx(mine["value"], abs=1e-9)
    (row,) = [row for row in narrowed.curve if row["ratio"] == answer.width["recommended"]]
    assert row["params"] == count_parameters(narrowed.model)
    assert row["macs"] == count_macs(narrowed.model, split.valid.x[:2])
    assert row["macs"] < narrowed.curve[-1]["macs"]
    recipe = dp.recipe_from_json((narrowed.folder / "recipe.json").read_text())
    plain = dp.settle(dp.apply(planted, recipe, torch.zeros(2, 1, 8, 8)))
    plain.load_state_dict(torch.load(narrowed.folder / "model.pt", weights_only=True)["state_dict"], strict=True)


def test_the_present_network_counts_as_it_is_at_its_best():
    rng = np.random.default_rng(0)

    def record(walk, share, opened=100):
        right = (rng.random(400) < share).astype(float)
        scored = Scored(value=float(right.mean()), scores=right, examples=400)
        about = {"kind": "measurement", "seed": 0, "walk": walk, "opened": opened, "valid_id": "v", "examples": 400}
        return {**about, **pack_scores(scored)}

    before, control, narrower = record("as it is", 0.97), record("control", 0.91), record("down", 0.9, 50)
    ((one,), said) = read_scores([before, control, narrower], [50, 100], [0])
    assert said == "as it is"
    assert one.candidates[-1].mean() == pytest.approx(unpack_scores(before).mean(), abs=0.005)
    assert (one.candidates[0] == unpack_scores(narrower)).all()
    assert (one.control == unpack_scores(control)).all()
    again = record("control, once more", 0.99)
    ((one,), said) = read_scores([before, control, again, narrower], [50, 100], [0])
    assert said == "control, once more"
    assert (one.control == unpack_scores(again)).all()
    assert read_scores([before, narrower], [50, 100], [0])[1] == "as it is"


def test_the_checkpoint_is_measured_before_anything_is_trained(narrowed):
    records = [json.loads(line) for line in (narrowed.folder / "records.jsonl").read_text().splitlines()]
    first = next(record for record in records if record["kind"] == "measurement")
    assert (first["walk"], first["step"], first["opened"]) == ("as it is", 0, 100)
    assert any("the network as it is counts" in note for note in narrowed.recommendation.notes)


def test_the_users_network_is_left_as_found(planted):
    before = {name: value.clone() for name, value in planted.state_dict().items()}
    planted.train()
    dp.width(planted, "digits", **FEW, ratios=(0.5,))
    assert all(torch.equal(before[name], value) for name, value in planted.state_dict().items())
    assert planted.training
    assert planted[0].weight.grad is None


def test_a_checkpoint_of_ours_needs_nothing_else_and_runs_compose(trained, folder, capsys):
    """width of a checkpoint, shrink of what it left, width of that again: each recipe replays from the model's file."""
    first, second, third = folder / "one", folder / "two", folder / "three"
    assert run("width", trained, *QUICK, "--seeds", "1", "--tolerance", "0.2", "--out", first, "--json") == 0
    answer = json.loads(capsys.readouterr().out)
    assert (answer["command"], answer["verdict"]) == ("width", "narrow")
    assert answer["width"]["current"] == 1.0
    assert (first / "report.html").stat().st_size > 10_000
    page = (first / "report.html").read_text()
    for said in (
        "How narrow may",
        "% of the channels",
        "without training",
        "it is the model&#39;s output",
        "narrow",
    ):
        assert said in page, said
    assert run("report", first) == 0
    words = ["--steps", "100", "--threads", "1", "--quiet", "--seeds", "1", "--tolerance", "0.2", "--json"]
    assert run("shrink", first, *words, "--out", second) == 0
    assert run("width", second, *words, "--ratios", "0.5", "--out", third) == 0
    for place in (first, second, third):
        recipe = dp.recipe_from_json((place / "recipe.json").read_text())
        saved = torch.load(place / "model.pt", weights_only=True)
        base = open_model(saved["depthprobe"]["model"]["spec"]).build(3)
        plain = dp.settle(dp.apply(base, recipe, torch.zeros(2, 1, 8, 8)))
        plain.load_state_dict(saved["state_dict"], strict=True)


def test_options_that_would_do_nothing_are_refused(trained, capsys):
    assert run("width", trained, "--limit-train", "100") == 2
    assert "--dataset" in capsys.readouterr().err
    assert run("width", trained, "--model-args", "depth=3") == 2
    with pytest.raises(ConfigError, match="brings its own data"):
        dp.width(trained, limit_train=100)


def test_a_grown_run_can_be_narrowed(folder, capsys):
    words = [f"{folder / 'net.py'}:model", "-d", "digits", "--grow", "--copies", "1", "--steps", "400", "--lr", "0.05"]
    assert run("train", *words, "--threads", "1", "--quiet", "--out", folder / "grown") == 0
    capsys.readouterr()
    out = folder / "grown-narrow"
    assert run("width", folder / "grown", *QUICK, "--seeds", "1", "--tolerance", "0.2", "--out", out, "--json") == 0
    names = [row["name"] for row in json.loads(capsys.readouterr().out)["width"]["units"]]
    assert any("copy" in name for name in names)
    recipe = dp.recipe_from_json((out / "recipe.json").read_text())
    assert {type(edit).__name__ for edit in recipe} == {"Duplicate", "Narrow"}
    saved = torch.load(out / "model.pt", weights_only=True)
    base = open_model(saved["depthprobe"]["model"]["spec"]).build(0)
    dp.settle(dp.apply(base, recipe, torch.zeros(2, 1, 8, 8))).load_state_dict(saved["state_dict"], strict=True)


def test_a_killed_run_ends_where_the_undisturbed_one_ends(trained, folder):
    command = [sys.executable, "-m", "depthprobe"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    options = [
        *QUICK[:-2],
        "--seeds",
        "1",
        "--json",
        "--optimizer",
        "adamw",
        "--ratios",
        "0.8,0.6,0.4",
        "--profile",
        "uneven",
    ]
    whole, cut = folder / "whole", folder / "cut"
    done = subprocess.run([*command, "width", trained, *options, "--out", whole], env=environment, capture_output=True)
    assert done.returncode == 0, done.stderr.decode()
    process = subprocess.Popen([*command, "width", trained, *options, "--out", cut], env=environment)
    while not (cut / "records.jsonl").exists() or (cut / "records.jsonl").read_bytes().count(b'"measurement"') < 3:
        assert process.poll() is None
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.wait()
    resumed = subprocess.run([*command, "resume", cut, "--quiet"], env=environment, capture_output=True)
    assert resumed.returncode == 0, resumed.stderr.decode()
    assert (cut / "records.jsonl").read_bytes() == (whole / "records.jsonl").read_bytes()
    one, two = (torch.load(place / "model.pt", weights_only=True)["state_dict"] for place in (cut, whole))
    assert all(torch.equal(one[name], two[name]) for name in two)
    one, two = (timeless(json.loads((place / "recommendation.json").read_text())) for place in (cut, whole))
    assert one == two


@pytest.fixture(scope="module")
def unfinished(folder):
    """A network that gains by being trained on."""
    words = ["train", f"{folder / 'net.py'}:model", "-d", "digits", "--steps", "100", "--lr", "0.05", "--threads", "1"]
    assert run(*words, "--quiet", "--out", folder / "unfinished") == 0
    return folder / "unfinished" / "model.pt"


AGAIN = ["--steps", "200", "--seeds", "2", "--quiet", "--ratios", "0.5", "--tolerance", "0.1"]


@pytest.fixture(scope="module")
def once_more(unfinished, folder):
    assert run("width", unfinished, *AGAIN, "--threads", "1", "--out", folder / "once-more") == 0
    return folder / "once-more"


def test_a_network_that_was_not_trained_to_its_end_is_trained_on_and_narrowed_then(once_more):
    lines = (once_more / "records.jsonl").read_text().splitlines()
    measured = [record for record in map(json.loads, lines) if record["kind"] == "measurement"]
    assert [r["walk"] for r in measured] == ["as it is", "control", "control, once more", "down", "down"]
    assert measured[1]["value"] > measured[0]["value"] + 0.02
    answer = json.loads((once_more / "recommendation.json").read_text())
    assert any("was not trained to its end" in note for note in answer["notes"])
    assert any(note.startswith("the network as it is counts trained on") for note in answer["notes"])
    assert (once_more / "checkpoints/candidates/again.pt").exists()


def test_where_nothing_leaves_the_better_of_the_whole_networks_is_handed_back(unfinished, folder):
    words = ["--steps", "200", "--seeds", "1", "--threads", "1", "--quiet", "--ratios", "0.2", "--tolerance", "0.01"]
    out = folder / "kept-whole"
    assert run("width", unfinished, *words, "--out", out) == 0
    answer = json.loads((out / "recommendation.json").read_text())
    assert answer["verdict"] == "keep"
    assert any(note.startswith("model.pt is the whole network as it was trained on here") for note in answer["notes"])
    assert answer["test"]["value"] > answer["test"]["before"] + 0.02
    records = map(json.loads, (out / "records.jsonl").read_text().splitlines())
    trained_on = [r["value"] for r in records if r["kind"] == "measurement" and r["walk"].startswith("control")]
    network = open_model(f"{folder / 'net.py'}:model").build(0)
    network.load_state_dict(torch.load(out / "model.pt", weights_only=True)["state_dict"])
    config = json.loads((out / "config.json").read_text())
    split = split_dataset(open_dataset("digits"), split_seed=config["split"]["seed"], fold=0, folds=1)
    right = predict(network, split.valid.x, torch.device("cpu")).argmax(1) == split.valid.y
    assert float(right.double().mean()) in [pytest.approx(value, abs=1e-9) for value in trained_on]


def test_killed_while_the_network_that_was_trained_on_is_narrowed(unfinished, once_more, folder):
    cut = folder / "once-more-cut"
    command = [sys.executable, "-m", "depthprobe", "width", unfinished, *AGAIN, "--threads", "1", "--out", cut]
    process = subprocess.Popen(command, env={**os.environ, "OMP_NUM_THREADS": "1"})
    while not (cut / "records.jsonl").exists() or b'"down"' not in (cut / "records.jsonl").read_bytes():
        assert process.poll() is None
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert run("resume", cut, "--quiet") == 0
    assert (cut / "records.jsonl").read_bytes() == (once_more / "records.jsonl").read_bytes()


@pytest.mark.slow
def test_workers_narrow_the_network_that_was_trained_on(unfinished, once_more, folder):
    beside = folder / "once-more-beside"
    assert run("width", unfinished, *AGAIN, "--threads", "2", "--workers", "2", "--out", beside) == 0
    assert (beside / "records.jsonl").read_bytes() == (once_more / "records.jsonl").read_bytes()


def test_where_one_width_diverges_the_others_count(planted):
    """And where the whole network does, it counts as the checkpoint has it."""

    def train_step(model, batch):
        loss = nn.functional.cross_entropy(model(batch[0]), batch[1])
        return loss * float("nan") if model[0].out_channels in (32, 16, 8) else loss

    result = dp.width(planted, "digits", **FEW, ratios=(0.7, 0.5, 0.4, 0.25), training_step=train_step)
    answer = result.recommendation
    assert [row["ratio"] for row in answer.width["candidates"]] == [0.4, 0.7, 1.0]
    for percent in (50, 25):
        said = f"seed 0, {percent} % of the channels: the loss is no longer finite"
        assert any(note.startswith(said) for note in answer.notes)
    assert any("(the control): the loss is no longer finite" in note for note in answer.notes)
    assert "the network as it is counts as the checkpoint has it" in answer.notes
    assert any(note.startswith("nothing below 40 % counts") for note in answer.notes)
    assert "50 % does not count: not every seed measured it" in answer.notes
    assert answer.failed_seeds == []
    with pytest.raises(TrainingError, match="the one seed failed"):
        dp.width(planted, "digits", **FEW, ratios=(0.5,), training_step=train_step)


def test_a_width_that_diverged_is_not_measured_by_a_resumed_run():
    holds = [Hold(start=10 * rank, length=10, opened=percent, walk="down") for rank, percent in enumerate((70, 50, 30))]
    begun = {step: [hold.opened for hold in begun_holds(holds, step)] for step in (0, 4, 10, 11, 20, 25)}
    assert begun == {0: [70], 4: [70], 10: [70], 11: [70, 50], 20: [70, 50], 25: [70, 50, 30]}


def timeless(document):
    if isinstance(document, dict):
        return {k: timeless(v) for k, v in document.items() if not k.endswith(("_seconds", "_ms", "_at"))}
    return [timeless(value) for value in document] if isinstance(document, list) else document


def test_ones_own_loss_metric_and_loaders_on_a_regression():
    torch.manual_seed(0)
    x = torch.randn(600, 6)
    y = torch.stack((x[:, 0] * x[:, 1], x[:, 2].relu()), 1)
    net = nn.Sequential(nn.Linear(6, 32), nn.ReLU(), nn.Linear(32, 2))
    optimizer = torch.optim.Adam(net.parameters(), lr=0.02)
    for _ in range(300):
        optimizer.zero_grad()
        nn.functional.mse_loss(net(x), y).backward()
        optimizer.step()
    called = []

    def loss(output, target):
        called.append(1)
        return (output - target).abs().mean()

    result = dp.width(
        net, {"train": (x[:400], y[:400]), "valid": (x[400:500], y[400:500]), "test": (x[500:], y[500:])},
        loss=loss, metric=lambda output, target: -(output - target).square().mean(1), tolerance=0.05, ratios=(0.6, 0.3),
        **FEW,
    )  # fmt: skip
    assert called
    assert [row["ratio"] for row in result.curve] == [0.3, 0.6, 1.0]
    assert all(row["value"] < 0 for row in result.curve)
    assert all(row["low"] <= row["value"] <= row["high"] for row in result.curve)


def test_widths_are_rounded_up_and_ratios_that_change_nothing_are_left_out():
    assert [round_width(64, percent, 8) for percent in (90, 50, 30, 10)] == [64, 32, 24, 8]
    assert round_width(6, 50, 8) == 3  # no wider than the multiple: as it is
    assert round_width(3, 1, 1) == 1

    def unit(width):
        return Channels(unit="a", members=("a",), width=width, readers=(), reason="", root="a")

    widths = equal_widths([unit(16)], WidthConfig(round_to=8))
    assert widths == {100: {"a": 16}, 50: {"a": 8}}
    with pytest.raises(GraphError, match="no ratio makes any unit narrower"):
        equal_widths([unit(16)], WidthConfig(ratios=(0.9,), round_to=8))


def test_units_are_unevenly_wide_where_that_is_worth_more(trained, folder):
    """Only the second unit has copies: equal shares would have to cut what the first one needs."""
    state = torch.load(trained, weights_only=True)["state_dict"]
    net = open_model(f"{folder / 'net.py'}:model").build(0)
    copies = torch.arange(32) % 8
    features = (copies[:, None] * 4 + torch.arange(4)).flatten()
    net[4], net[8] = nn.Conv2d(8, 32, 3, padding=1), nn.Linear(128, 10)
    copied = {"4.weight": state["4.weight"][copies], "4.bias": state["4.bias"][copies], "8.bias": state["8.bias"]}
    net.load_state_dict({**state, **copied, "8.weight": state["8.weight"][:, features] / 4})
    result = dp.width(net, "digits", **FEW, ratios=(0.7, 0.5, 0.4), tolerance=0.02)
    answer = result.recommendation
    assert answer.width["profile"] == "uneven"
    assert result.model[0].out_channels >= 6
    assert result.model[4].out_channels <= 10
    assert "to the cost of" in answer.sentence
    equal = dp.width(net, "digits", **FEW, ratios=(0.4,), profile="equal").recommendation.width
    assert equal["profile"] == "equal"
    for row in answer.width["untrained"]:
        assert row["uneven"] >= row["equal"]
    costs = {row["ratio"]: row["macs"] for row in equal["candidates"]}
    assert next(row["macs"] for row in result.curve if row["ratio"] == 0.4) <= costs[0.4]


def test_only_the_units_that_were_named_become_narrower(planted):
    result = dp.width(planted, "digits", **FEW, ratios=(0.5,), units=("4",), tolerance=0.2)
    assert [row["name"] for row in result.recommendation.width["units"]] == ["4"]
    assert (result.model[0].out_channels, result.model[4].out_channels) == (32, 16)
    assert {"name": "0", "current": 32, "reason": "not asked"} in result.recommendation.width["fixed"]


def test_a_curve_that_rises_at_the_edge_is_said(folder):
    """Two channels cannot carry ten classes: the width that was tested is too small already."""
    torch.manual_seed(0)
    words = ["train", f"{folder / 'net.py'}:model", "-d", "digits", "--model-args", "width=3", "--steps", "600"]
    assert run(*words, "--lr", "0.05", "--threads", "1", "--quiet", "--out", folder / "tight") == 0
    result = dp.width(folder / "tight" / "model.pt", steps=200, seeds=2, threads=1, tolerance=0.01, ratios=(0.6, 0.3))
    assert result.recommendation.verdict == "keep"
    assert any("wider than tested" in note for note in result.recommendation.notes)
    assert result.model[0].out_channels == 3


def test_an_untrained_network_has_nothing_to_keep(folder):
    with pytest.raises(ModelError, match="not trained"):
        dp.width(open_model(f"{folder / 'net.py'}:model").build(0), "digits", steps=60, threads=1, lr=0.01)


def test_what_cannot_be_narrowed_is_an_error(planted):
    torch.manual_seed(0)
    with pytest.raises(GraphError, match="nothing can be narrowed"):
        dp.width(nn.Sequential(nn.Flatten(), nn.Linear(64, 10)), "digits", steps=60, threads=1, lr=0.01)
    with pytest.raises(GraphError, match="model's output"):
        dp.width(planted, "digits", units=("8",), steps=60, lr=0.01)
    with pytest.raises(ConfigError, match="ratios"):
        dp.width(planted, "digits", ratios=(1.5,))
    with pytest.raises(ConfigError, match="did you mean 'ratios'"):
        dp.width(planted, "digits", ratio=(0.5,))


def test_bad_checkpoints_and_options_make_nothing(folder, trained, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty.pt").write_bytes(b"")
    torch.save(torch.load(trained, weights_only=True)["state_dict"], tmp_path / "plain.pt")
    cases = [(["empty.pt"], "empty"), (["none.pt"], "no such file"), (["plain.pt"], "--model"), ([], "CHECKPOINT")]
    cases += [([trained, "--ratios", "a,b"], "--ratios"), ([trained, "--round-to", "0"], "--round-to")]
    for words, said in cases:
        assert run("width", *words, "--out", "run") == 2, words
        assert said in capsys.readouterr().err, words
    assert not (tmp_path / "run").exists()


def test_what_to_type_when_torch_pruning_is_missing(planted, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch_pruning", None)
    with pytest.raises(EditError, match=r"pip install 'depthprobe\[width\]'"):
        dp.width(planted, "digits", **FEW)


class TokenNet(nn.Module):
    """Rows of token ids -> two classes."""

    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(20, 16)
        self.hidden, self.head = nn.Linear(16, 32), nn.Linear(32, 2)

    def forward(self, tokens):
        return self.head(torch.relu(self.hidden(self.embed(tokens).mean(1))))


def test_a_network_of_token_ids_is_narrowed():
    """Ids that come as whole floats, as from a .npz, are looked up and not scaled."""
    torch.manual_seed(0)
    tokens = torch.randint(0, 20, (600, 8))
    low = ((tokens < 10).sum(1) > 4).long()
    network = TokenNet()
    optimizer = torch.optim.Adam(network.parameters(), 0.01)
    for _ in range(200):
        optimizer.zero_grad()
        nn.functional.cross_entropy(network(tokens), low).backward()
        optimizer.step()
    x, y = tokens.float().numpy(), low.numpy()
    result = dp.width(network, {"train": (x[:400], y[:400]), "test": (x[400:], y[400:])}, **{**FEW, "lr": 0.01})
    assert result.recommendation.test["before"] > 0.9
    assert {row["name"] for row in result.recommendation.width["units"]} == {"hidden"}
