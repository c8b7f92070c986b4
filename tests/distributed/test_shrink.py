"""shrink and width by two processes are those by one: the same arms, values and weights; killed, one goes on.

Without BatchNorm, in float64, so that nothing but the order of sums differs.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from depthprobe.cli import main

WEIGHTS = 1e-10  # of any weight, after the walk and the branches
LOSSES = 1e-6  # written with fewer digits
MODEL = """
import os, signal
from torch import nn
from torch.nn import functional as F

calls = 0


class Wide(nn.Module):
    def forward(self, x):
        return x.double()


def model():
    layers = [nn.Linear(6, 12), nn.Tanh()]
    for _ in range(3):
        layers += [nn.Linear(12, 12), nn.Tanh()]
    return nn.Sequential(Wide(), *layers, nn.Linear(12, 2)).double()


def loss(output, target):
    global calls
    calls += 1
    if os.environ.get("DIES") == os.environ.get("RANK", "0") and calls == int(os.environ["DIES_AT"]):
        os.kill(os.getpid(), signal.SIGKILL)
    return F.cross_entropy(output, target)
"""
WORDS = ["shrink", "net.pt", "--model", "net.py:model", "-d", "data.npz", "--seeds", "2", "--steps", "60"]
WORDS += ["--lr", "0.005", "--batch-size", "50", "--threads", "1", "--tolerance", "0.1", "--quiet"]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with data, a model file and a trained checkpoint of four hidden layers.

    Noisy labels and a large rate make for a flat minimum: in a sharp one training is chaotic, and rounding grows.
    """
    folder = tmp_path_factory.mktemp("shrink")
    (folder / "net.py").write_text(MODEL)
    torch.manual_seed(0)
    x = torch.randn(900, 6)
    y = (x[:, 0] + 0.5 * x[:, 1] + 0.5 * torch.randn(900) > 0).long()
    np.savez(folder / "data.npz", x=x.numpy(), y=y.numpy())
    known: dict = {}
    exec(MODEL, known)
    net = known["model"]()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.2, momentum=0.9)
    for step in range(300):
        optimizer.zero_grad()
        nn.functional.cross_entropy(net(x), y).backward()
        optimizer.step()
        if step == 6:
            torch.save(net.state_dict(), folder / "begun.pt")
    torch.save(net.state_dict(), folder / "net.pt")
    return folder


@pytest.fixture(scope="module")
def alone(place):
    """The run of one process."""
    before = Path.cwd()
    os.chdir(place)
    try:
        with pytest.raises(SystemExit) as ended:
            main([*WORDS, "--out", "alone"])
    finally:
        os.chdir(before)
    assert ended.value.code == 0
    return place / "alone"


def by_two(place, *words, **environment):
    """The same by torchrun with two processes."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m"]
    return subprocess.run(
        [*command, "depthprobe", *words], cwd=place, capture_output=True, text=True, check=False, timeout=300,
        env={**os.environ, "OMP_NUM_THREADS": "1", **environment},
    )  # fmt: skip


def check_same(run, alone):
    """Records in the same order with the same values, and weights of every kept network within WEIGHTS."""
    ours, theirs = (
        [json.loads(line) for line in (folder / "records.jsonl").read_text().splitlines()] for folder in (run, alone)
    )
    assert [(r["kind"], r["arm"], r["seed"]) for r in ours] == [(r["kind"], r["arm"], r["seed"]) for r in theirs]
    for mine, other in zip(ours, theirs, strict=True):
        assert mine.keys() == other.keys()
        for name, value in other.items():
            if isinstance(value, float):
                assert mine[name] == pytest.approx(value, abs=LOSSES), (name, other)
            else:
                assert mine[name] == value, (name, other)
    names = sorted(path.relative_to(alone) for path in alone.rglob("*.pt") if "candidates" in path.parts)
    assert names
    for name in [*names, Path("model.pt")]:
        one, two = (torch.load(folder / name, weights_only=True)["state_dict"] for folder in (run, alone))
        assert one.keys() == two.keys()
        for key, value in two.items():
            torch.testing.assert_close(one[key], value, atol=WEIGHTS, rtol=0, msg=f"{name} {key}")


def test_two_processes_shrink_as_one(place, alone):
    done = by_two(place, *WORDS, "--out", "pair")
    assert done.returncode == 0, done.stderr
    check_same(place / "pair", alone)
    answers = [json.loads((folder / "recommendation.json").read_text()) for folder in (place / "pair", alone)]
    assert answers[0]["verdict"] == answers[1]["verdict"] == "shrink"
    assert answers[0]["remove"] == answers[1]["remove"]


def test_two_processes_narrow_as_one(place, monkeypatch):
    """A network that gains by being trained on: what is narrowed then is read from the file of the first process."""
    pytest.importorskip("torch_pruning", reason="channels are removed with torch-pruning (extra width)")
    words = ["width", "begun.pt", *WORDS[2:], "--ratios", "0.5,0.25"]
    words[words.index("--lr") + 1] = "0.05"
    monkeypatch.chdir(place)
    with pytest.raises(SystemExit) as ended:
        main([*words, "--out", "narrow"])
    assert ended.value.code == 0
    assert '"control, once more"' in (place / "narrow" / "records.jsonl").read_text()
    done = by_two(place, *words, "--out", "narrow-pair")
    assert done.returncode == 0, done.stderr
    check_same(place / "narrow-pair", place / "narrow")


@pytest.mark.slow
@pytest.mark.parametrize("at", [30, 120])
def test_killed_as_two_and_resumed_as_one(place, alone, monkeypatch, at):
    """In the walk, and in a branch after it."""
    run = place / f"killed{at}"
    done = by_two(place, *WORDS, "--out", run.name, DIES="1", DIES_AT=str(at))
    assert done.returncode != 0
    assert not (run / "recommendation.json").exists()
    monkeypatch.chdir(place)
    with pytest.raises(SystemExit) as ended:
        main(["resume", str(run), "--quiet"])
    assert ended.value.code == 0
    check_same(run, alone)
