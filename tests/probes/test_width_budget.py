"""Width under a budget, and verified: what is handed back fits, and both networks are trained from scratch."""

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
from depthprobe.cli.answer import candidate_table
from depthprobe.errors import ConfigError
from depthprobe.inputs import open_dataset, split_dataset
from depthprobe.inputs.memory_model import renew
from depthprobe.probes.width_fresh import redraw_cut

pytest.importorskip("torch_pruning", reason="channels are removed with torch-pruning (extra width)")

NET = """
from torch import nn

def model(width=32):
    return nn.Sequential(nn.Flatten(), nn.Linear(64, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU(),
                         nn.Linear(width, 10))
"""
FEW = {"steps": 100, "lr": 0.02, "seeds": 1, "threads": 1, "device": "cpu", "ratios": (0.5, 0.25)}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    place = tmp_path_factory.mktemp("width-budget")
    (place / "net.py").write_text(NET)
    return place


@pytest.fixture(scope="module")
def trained(folder):
    words = ["train", f"{folder / 'net.py'}:model", "-d", "digits", "--steps", "600", "--lr", "0.05", "--threads", "1"]
    assert run(*words, "--quiet", "--out", folder / "trained") == 0
    return folder / "trained" / "model.pt"


def run(*words):
    with pytest.raises(SystemExit) as end:
        main([str(word) for word in words])
    return end.value.code


def records_of(place):
    return [json.loads(line) for line in (place / "records.jsonl").read_text().splitlines()]


def test_a_budget_chooses_the_width_and_the_network_fits_it(trained):
    result = dp.width(trained, **FEW, max_params=1000, tolerance=0.001)
    answer = result.recommendation
    assert answer.verdict == "narrow"
    assert answer.width["recommended"] == 0.25
    assert sum(p.numel() for p in result.model.parameters()) <= 1000
    assert answer.sentence.startswith("Within --max-params 1,000 narrow to 25 % of the channels")
    assert "1: 32 -> 8" in answer.sentence
    assert "without a budget" in answer.sentence
    assert [row["ratio"] for row in answer.width["candidates"]] == [0.25, 0.5, 1.0]  # no walk is given up early
    assert any(row["pareto"] for row in answer.width["candidates"])


def test_kept_accuracy_names_the_narrowest_that_keeps_it(trained):
    answer = dp.width(trained, **FEW, keep_accuracy=0.5).recommendation
    assert answer.width["recommended"] == 0.25
    assert answer.sentence.startswith("Within --keep-accuracy 0.5 narrow to 25 %")
    high = dp.width(trained, **FEW, keep_accuracy=0.9999).recommendation
    assert high.verdict == "inconclusive"
    assert "the closest:" in high.sentence
    assert "% of the channels" in high.sentence


def test_advice_that_a_budget_does_not_bind_is_verified_as_the_rules_own(trained):
    settings = {**FEW, "seeds": 2, "ratios": (0.5,), "tolerance": 0.2}
    result = dp.width(trained, **settings, verify=True, max_params=10**9)
    answer, beside = result.recommendation, dp.width(trained, **settings).recommendation
    assert answer.sentence.partition(";")[0] == beside.sentence.partition(";")[0]  # nothing of a budget
    assert answer.verified["held"] in ("yes", "no", "unclear")
    assert "without a budget" not in answer.sentence


def test_the_table_says_its_confidence(trained):
    answer = dp.width(trained, **FEW, confidence=0.8).recommendation
    assert "80 % interval" in [str(column.header) for column in candidate_table(answer).columns]


def test_a_budget_out_of_reach_is_refused_before_anything_is_trained(trained, folder):
    with pytest.raises(ConfigError, match="no network of this probe fits"):
        dp.width(trained, **FEW, max_macs=10, out=folder / "never")
    assert not (folder / "never").exists()


def test_one_control_is_trained_and_it_is_counted(trained):
    result = dp.width(trained, **{**FEW, "seeds": 2})
    arms = [r["arm"] for r in records_of(result.folder) if r["kind"] == "arm"]
    assert arms == ["control", "width", "width"]
    rows, cost = result.recommendation.width["candidates"], result.recommendation.cost
    macs = {row["ratio"]: row["macs"] / rows[-1]["macs"] for row in rows}
    config = json.loads((result.folder / "config.json").read_text())
    split = split_dataset(open_dataset("digits"), split_seed=config["split"]["seed"], fold=0, folds=1)
    taught = len(split.train) / config["train"]["batch_size"] / config["train"]["steps"] / 3  # outputs, computed once
    tuned = 0.25 * macs[0.5] + 0.25 * macs[0.25]
    assert cost["trainings"] == pytest.approx(2 * tuned + 0.25 + taught, abs=0.01)


def test_verified_on_the_command_line(trained, folder, capsys):
    words = ["--seeds", "2", "--steps", "100", "--lr", "0.02", "--threads", "1", "--ratios", "0.5", "--quiet"]
    out = folder / "verified"
    assert run("width", trained, *words, "--tolerance", "0.2", "--verify", "--out", out) == 0
    said = capsys.readouterr().out
    assert "verified from scratch" in said
    assert "from scratch, the advised network" in said
    answer = json.loads((out / "recommendation.json").read_text())
    assert answer["verified"]["held"] in ("yes", "no", "unclear")
    assert answer["verified"]["lr"] == 0.05  # of the checkpoint's training, not of fine-tuning
    arms = [r["arm"] for r in records_of(out) if r["kind"] == "arm"]
    assert arms.count("verify current") == arms.count("verify advised") == 2
    assert "verified from scratch" in (out / "report.html").read_text()


def test_a_run_killed_while_it_verifies_ends_where_the_undisturbed_one_ends(trained, folder):
    words = ["width", trained, "--seeds", "1", "--steps", "300", "--lr", "0.02", "--threads", "1", "--ratios", "0.5"]
    command = [sys.executable, "-m", "depthprobe", *map(str, words), "--tolerance", "0.2", "--verify"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    whole, cut = folder / "whole", folder / "cut"
    done = subprocess.run([*command, "--out", str(whole)], env=environment, capture_output=True)
    assert done.returncode == 0, done.stderr.decode()
    process = subprocess.Popen([*command, "--out", str(cut)], env=environment)
    while not (cut / "records.jsonl").exists() or b'"verify advised"' not in (cut / "records.jsonl").read_bytes():
        assert process.poll() is None
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    process.wait()
    again = [sys.executable, "-m", "depthprobe", "resume", str(cut), "--quiet"]
    resumed = subprocess.run(again, env=environment, capture_output=True)
    assert resumed.returncode == 0, resumed.stderr.decode()
    assert (cut / "records.jsonl").read_bytes() == (whole / "records.jsonl").read_bytes()


def test_a_narrow_layer_starts_as_a_narrow_layer_does():
    """Torch draws within the root of the fan-in: a slice of a wide layer would be too small."""
    whole = nn.Sequential(nn.Linear(64, 256), nn.ReLU(), nn.Linear(256, 4), nn.Linear(4, 4))
    x = torch.randn(32, 64)
    narrow = dp.settle(dp.apply(whole, [dp.Narrow(unit="0", keep=16)], x))
    fresh = redraw_cut(narrow, whole, seed=1)
    bound = float(fresh.get_submodule("2").weight.detach().abs().max())
    assert 0.2 < bound <= 0.25  # 1 / sqrt(16); a slice: 1 / sqrt(256)
    assert torch.equal(fresh.get_submodule("3").weight, whole[3].weight)
    again = redraw_cut(dp.settle(dp.apply(whole, [dp.Narrow(unit="0", keep=16)], x)), whole, seed=1)
    assert all(torch.equal(one, two) for one, two in zip(fresh.parameters(), again.parameters(), strict=True))
    other = redraw_cut(renew(narrow, 0), whole, seed=2)
    assert not torch.equal(other.get_submodule("0").weight, fresh.get_submodule("0").weight)
