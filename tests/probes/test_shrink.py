"""What a shrink run promises: it finds what nobody needs, names it, and hands back a smaller network."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest
import torch
from torch import nn

import depthprobe as dp
from depthprobe.cli import main
from depthprobe.errors import ConfigError, GraphError, ModelError
from depthprobe.inputs import open_model

NET = """
from torch import nn

def model(depth=2, norm=False):
    layers = []
    for rank in range(depth):
        layers += [nn.Conv2d(8 if rank else 1, 8, 3, padding=1), *([nn.BatchNorm2d(8)] if norm else []), nn.ReLU()]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(32, 10))
"""
QUICK = ["--steps", "300", "--threads", "1", "--quiet"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    place = tmp_path_factory.mktemp("shrink")
    (place / "net.py").write_text(NET)
    return place


@pytest.fixture(scope="module")
def trained(folder):
    """A trained network of two convs, as depthprobe train leaves it."""
    words = ["train", f"{folder / 'net.py'}:model", "-d", "digits", "--steps", "800", "--lr", "0.05", "--threads", "1"]
    assert run(*words, "--quiet", "--out", folder / "trained") == 0
    return folder / "trained" / "model.pt"


@pytest.fixture(scope="module")
def planted(folder, trained):
    """The same with two identity layers behind them, as a plain state dict of a network of four convs."""
    state = torch.load(trained, weights_only=True)["state_dict"]
    net = open_model(f"{folder / 'net.py'}:model", {"depth": 4}).build(0)
    with torch.no_grad():
        for name in ("4", "6"):
            nn.init.dirac_(net.get_submodule(name).weight)
            nn.init.zeros_(net.get_submodule(name).bias)
        for ours, theirs in (("0", "0"), ("2", "2"), ("10", "6")):
            net.get_submodule(ours).weight.copy_(state[f"{theirs}.weight"])
            net.get_submodule(ours).bias.copy_(state[f"{theirs}.bias"])
    torch.save(net.state_dict(), folder / "planted.pt")
    return net


@pytest.fixture(scope="module")
def shrunk(planted):
    return dp.shrink(planted, "digits", steps=600, lr=0.02, seeds=2, threads=1, device="cpu")


def run(*words):
    with pytest.raises(SystemExit) as end:
        main([str(word) for word in words])
    return end.value.code


def test_what_was_planted_is_found_and_taken_out(shrunk, planted):
    answer = shrunk.recommendation
    assert answer.verdict == "shrink"
    assert {"4", "6"} <= set(answer.remove)
    assert answer.depth["idle"] == ["4", "6"]  # an identity is missed by nobody
    assert [row["unit"] for row in answer.ranking] in (["2", "0"], ["0", "2"])
    assert answer.depth["current"] == 5
    assert answer.depth["recommended"] <= 3
    assert all(name in answer.sentence for name in answer.remove)
    assert sum(p.numel() for p in shrunk.model.parameters()) < sum(p.numel() for p in planted.parameters())
    assert answer.test["value"] > answer.test["before"] - 0.03


def test_the_users_network_is_left_as_found(planted):
    before = {name: value.clone() for name, value in planted.state_dict().items()}
    dp.shrink(planted, "digits", steps=60, lr=0.02, seeds=1, threads=1, device="cpu", candidates=(1,))
    assert all(torch.equal(before[name], value) for name, value in planted.state_dict().items())
    assert planted.training


def test_a_checkpoint_of_ours_needs_nothing_else(trained, folder, capsys):
    assert run("shrink", trained, *QUICK, "--seeds", "1", "--out", folder / "alone", "--json") == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["command"] == "shrink"
    saved = torch.load(folder / "alone" / "model.pt", weights_only=True)
    recipe = dp.recipe_from_json((folder / "alone" / "recipe.json").read_text())
    source = open_model(saved["depthprobe"]["model"]["spec"])
    plain = dp.settle(dp.apply(source.build(3), recipe, torch.zeros(2, 1, 8, 8)))
    plain.load_state_dict(saved["state_dict"], strict=True)
    assert (folder / "alone" / "report.html").stat().st_size > 10_000
    assert "unit" in (folder / "alone" / "report.html").read_text().lower()


def test_a_grown_run_can_be_shrunk_and_what_was_added_is_named(folder, capsys):
    words = [f"{folder / 'net.py'}:model", "-d", "digits", "--grow", "--copies", "1", "--steps", "400", "--lr", "0.05"]
    assert run("train", *words, "--threads", "1", "--quiet", "--out", folder / "grown") == 0
    capsys.readouterr()
    out = folder / "grown-shrunk"
    assert run("shrink", folder / "grown", *QUICK, "--seeds", "1", "--tolerance", "0.2", "--out", out, "--json") == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["depth"]["current"] == 5
    recipe = dp.recipe_from_json((out / "recipe.json").read_text())
    assert {type(edit).__name__ for edit in recipe} == {"Duplicate", "Remove"}
    saved = torch.load(out / "model.pt", weights_only=True)
    plain = dp.settle(
        dp.apply(open_model(saved["depthprobe"]["model"]["spec"]).build(0), recipe, torch.zeros(2, 1, 8, 8))
    )
    plain.load_state_dict(saved["state_dict"], strict=True)


def test_the_split_is_that_of_the_checkpoint(trained, folder):
    config = json.loads((folder / "trained" / "config.json").read_text())
    result = dp.shrink(trained, steps=60, seeds=1, threads=1, candidates=(1,))
    ours = json.loads((result.folder / "config.json").read_text())
    assert ours["split"]["seed"] == config["training"]["split_seed"]
    assert ours["train"]["lr"] == 0.05
    assert ours["train"]["batch_size"] == config["train"]["batch_size"]


def test_a_killed_run_ends_where_the_undisturbed_one_ends(trained, folder):
    command = [sys.executable, "-m", "depthprobe"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    options = ["--seeds", "2", "--steps", "400", "--threads", "1", "--quiet", "--json"]
    whole = subprocess.run(
        [*command, "shrink", trained, *options, "--out", folder / "whole"], env=environment, capture_output=True
    )
    assert whole.returncode == 0, whole.stderr.decode()
    process = subprocess.Popen([*command, "shrink", trained, *options, "--out", folder / "cut"], env=environment)
    while (
        not (folder / "cut" / "records.jsonl").exists()
        or b"measurement" not in (folder / "cut" / "records.jsonl").read_bytes()
    ):
        assert process.poll() is None
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.wait()
    with (folder / "cut" / "records.jsonl").open("a") as file:  # killed between a record and the checkpoint after it
        file.write(json.dumps({"kind": "arm", "arm": "shrink", "seed": 0, "updates": 1, "samples": 1}) + "\n")
    resumed = subprocess.run([*command, "resume", folder / "cut", "--quiet"], env=environment, capture_output=True)
    assert resumed.returncode == 0, resumed.stderr.decode()
    assert (folder / "cut" / "records.jsonl").read_bytes() == (folder / "whole" / "records.jsonl").read_bytes()
    one, two = (torch.load(folder / name / "model.pt", weights_only=True)["state_dict"] for name in ("cut", "whole"))
    assert all(torch.equal(one[name], two[name]) for name in two)
    one, two = (timeless(json.loads((folder / name / "recommendation.json").read_text())) for name in ("cut", "whole"))
    assert one == two


def timeless(document):
    if isinstance(document, dict):
        return {k: timeless(v) for k, v in document.items() if not k.endswith(("_seconds", "_ms", "_at"))}
    return [timeless(value) for value in document] if isinstance(document, list) else document


class Evil:
    def __reduce__(self):
        return os.mkdir, ("executed",)


def test_bad_checkpoints_are_refused_and_nothing_is_made(folder, trained, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    whole = trained.read_bytes()
    (tmp_path / "empty.pt").write_bytes(b"")
    (tmp_path / "half.pt").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "text.pt").write_text("no weights at all")
    torch.save({"net": Evil()}, tmp_path / "evil.pt")
    torch.save([1, 2], tmp_path / "list.pt")
    saved = torch.load(trained, weights_only=True)
    torch.save(
        {**saved, "state_dict": {k: v * float("nan") for k, v in saved["state_dict"].items()}}, tmp_path / "nan.pt"
    )
    torch.save(saved["state_dict"], tmp_path / "plain.pt")
    net = f"{folder / 'net.py'}:model"
    cases = {
        "empty.pt": ([], "empty"),
        "half.pt": ([], "damaged"),
        "text.pt": ([], "not executed"),
        "evil.pt": ([], "not executed"),
        "list.pt": ([], "no state dict"),
        "nan.pt": ([], "not finite"),
        "none.pt": ([], "no such file"),
        "plain.pt": ([], "--model"),
    }
    for name, (words, said) in cases.items():
        assert run("shrink", name, *words, "--out", "run") == 2, name
        assert said in capsys.readouterr().err, name
    words = ["--model", net, "--model-args", "depth=3", "-d", "digits", "--out", "run"]
    assert run("shrink", "plain.pt", *words) == 2
    message = capsys.readouterr().err
    assert "is missing" in message
    assert "names differ" in message
    assert not (tmp_path / "executed").exists()
    assert not (tmp_path / "run").exists()


def test_an_untrained_network_has_nothing_to_keep(folder):
    with pytest.raises(ModelError, match="not trained"):
        dp.shrink(open_model(f"{folder / 'net.py'}:model").build(0), "digits", steps=60, threads=1, lr=0.01)


def test_a_network_with_nothing_to_remove_is_an_error():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
    with pytest.raises(GraphError, match="nothing can be removed"):
        dp.shrink(net, "digits", steps=60, threads=1, lr=0.01)


def test_settings_nobody_knows_are_refused(planted):
    with pytest.raises(ConfigError, match="candidates"):
        dp.shrink(planted, "digits", candidatess=(1,))
    with pytest.raises(GraphError, match="cannot leave"):
        dp.shrink(planted, "digits", units=("10",), lr=0.01, steps=60)
    with pytest.raises(ConfigError, match="candidates do not fit"):
        dp.shrink(planted, "digits", candidates=(9,), lr=0.01, steps=60)


def test_a_budget_chooses_the_point_and_says_what_is_advised_without(planted):
    result = dp.shrink(planted, "digits", steps=120, lr=0.02, seeds=1, threads=1, device="cpu", max_params=950)
    answer = result.recommendation
    assert answer.verdict == "shrink"
    row = next(row for row in answer.depth["candidates"] if row["depth"] == answer.depth["recommended"])
    assert row["params"] <= 950
    assert sum(p.numel() for p in result.model.parameters()) == row["params"]
    assert answer.sentence.startswith("Within --max-params 950 shrink from 5 to 2 layers")
    assert "without a budget" in answer.sentence
    assert any(row["pareto"] for row in answer.depth["candidates"])
    with pytest.raises(ConfigError, match="no network of this probe fits"):
        dp.shrink(planted, "digits", steps=120, lr=0.02, seeds=1, threads=1, max_params=10)


def test_from_scratch_is_refused_where_a_parameter_would_keep_its_trained_value(planted, monkeypatch):
    class Scaled(nn.Module):
        def __init__(self, width):
            super().__init__()
            self.scale = nn.Parameter(torch.ones(width, 1, 1))

        def forward(self, x):
            return x * self.scale

    net = nn.Sequential(*planted[:2], Scaled(planted[0].out_channels), *planted[2:])
    with pytest.raises(ConfigError, match="can be drawn anew") as found:
        dp.shrink(net, "digits", steps=60, lr=0.02, seeds=1, threads=1, device="cpu", verify=True)
    assert found.value.found == "2.scale"
    monkeypatch.setattr("depthprobe.probes.api.run_shrink", lambda setup, *_: setup)
    setup = dp.shrink(net, "digits", steps=60, lr=0.02, seeds=1, threads=1, device="cpu")
    assert any("draws 2.scale" in note for note in setup.notes)


def test_verified_means_trained_from_scratch_both(planted):
    result = dp.shrink(planted, "digits", steps=200, lr=0.02, seeds=2, threads=1, device="cpu", verify=True)
    verified = result.recommendation.verified
    assert set(verified) >= {"recommended", "current", "difference", "held", "steps", "seeds"}
    assert verified["steps"] == 200
    assert verified["held"] in ("yes", "no", "unclear")
    assert "verified from scratch" in result.recommendation.sentence
    records = [json.loads(line) for line in (result.folder / "records.jsonl").read_text().splitlines()]
    arms = [r["arm"] for r in records if r["kind"] == "arm"]
    assert arms.count("verify current") == arms.count("verify advised") == 2


def test_verified_on_the_command_line_ends_with_a_report(folder, planted, capsys):
    net = ["--model", f"{folder / 'net.py'}:model", "--model-args", "depth=4", "-d", "digits"]
    words = [
        "--seeds",
        "1",
        "--steps",
        "120",
        "--lr",
        "0.02",
        "--threads",
        "1",
        "--verify",
        "--out",
        folder / "verified",
    ]
    assert run("shrink", folder / "planted.pt", *net, *words) == 0
    said = capsys.readouterr()
    assert "verified from scratch" in said.out
    assert "from scratch, the advised network" in said.out
    assert " 0 layers" not in said.err
    assert (folder / "verified" / "report.html").exists()


def test_options_that_would_do_nothing_are_refused(trained, capsys):
    assert run("shrink", trained, "--limit-train", "100") == 2
    assert "--dataset" in capsys.readouterr().err
    assert run("shrink", trained, "--model-args", "depth=3") == 2


def test_another_split_than_the_checkpoints_is_said(trained):
    result = dp.shrink(trained, steps=60, seeds=1, threads=1, candidates=(1,), split_seed=7)
    assert any("may have seen the validation examples" in note for note in result.recommendation.notes)


def notes_of(result):
    return " ".join(result.recommendation.notes)


@pytest.fixture(scope="module")
def half_trained(folder):
    """A network whose training was ended long before its end."""
    words = ["train", f"{folder / 'net.py'}:model", "-d", "digits", "--steps", "60", "--lr", "0.05", "--threads", "1"]
    assert run(*words, "--quiet", "--out", folder / "half") == 0
    return folder / "half" / "model.pt"


def test_a_network_that_was_not_trained_to_its_end_is_trained_on_first(half_trained):
    result = dp.shrink(half_trained, steps=400, seeds=1, threads=1, device="cpu")
    answer = result.recommendation
    records = [json.loads(line) for line in (result.folder / "records.jsonl").read_text().splitlines()]
    before, after = (r["value"] for r in records if r["kind"] == "measurement" and r["arm"] == "control")
    assert after > before + 0.05
    assert "the checkpoint was not trained to its end" in notes_of(result)
    whole = next(row for row in result.curve if row["depth"] == answer.depth["current"])
    assert whole["value"] > before + 0.05
    assert answer.test["value"] > answer.test["before"]
    look = next(r["value"] for r in records if r["kind"] == "measurement" and r["arm"] == "shrink")
    assert look > before + 0.05  # the walk began where that training ended


def test_a_rate_that_kills_the_whole_network_is_said_and_lowered(trained):
    result = dp.shrink(trained, steps=200, lr=3.0, seeds=1, threads=1, device="cpu", candidates=(1,))
    records = [json.loads(line) for line in (result.folder / "records.jsonl").read_text().splitlines()]
    tries = [r["arm"] for r in records if r["kind"] == "arm" and r["arm"].startswith("control")]
    assert tries[:2] == ["control", "control, rate x 0.3"]
    assert len(tries) > 2
    assert "fine-tuning the whole network at 1 of the rate: " in notes_of(result)
    assert "; 0.3 of it is tried" in notes_of(result)
    assert result.recommendation.test["value"] > 0.5


def test_where_nothing_can_go_the_better_whole_network_is_handed_back_and_that_is_said(half_trained):
    result = dp.shrink(half_trained, steps=400, seeds=1, threads=1, device="cpu", candidates=(2,), tolerance=0.004)
    assert result.recommendation.verdict != "shrink"
    assert "as it was trained on here, which is better than the checkpoint's" in notes_of(result)
    assert result.recommendation.test["value"] > result.recommendation.test["before"]
