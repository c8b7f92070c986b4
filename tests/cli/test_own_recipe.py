"""The command line with the user's own training: what it says, what it prints, what it refuses."""

import json

import pytest

NET = """
import torch
from torch import nn
model = nn.Sequential(nn.Linear(3, 8), nn.ReLU(), nn.Linear(8, 1))
def data():
    x = torch.randn(200, 3)
    return {"train": (x, x[:, :1] * x[:, 1:2])}
def loss(output, target):
    print("a word of the user's")
    return (output - target).abs().mean()
def schedule(done):
    return 1 - done
def median(output, target):
    return -(output - target).abs().median()
"""
SHORT = ["--steps", "30", "--batch-size", "32", "--threads", "1"]


@pytest.fixture
def net(tmp_path):
    (tmp_path / "net.py").write_text(NET)
    return ["net.py", "--dataset", "net.py:data", *SHORT]


def test_grow_says_what_it_uses(net, cli):
    code, out, err = cli("grow", *net, "--metric", "net.py:median", "--tolerance", "0.05", "--seeds", 1, "--json")
    assert code == 0, err
    answer = json.loads(out)
    assert answer["metric"] == "median"
    assert "from net.py: loss, schedule" in answer["notes"]
    assert "note: from net.py: loss, schedule" in err
    assert "note: metric median from net.py" in err
    assert "a word of the user's" in err


def test_grow_prints_numbers_of_another_scale(net, cli, tmp_path):
    code, out, err = cli("grow", *net, "--metric", "neg_mae", "--tolerance", "0.05", "--seeds", 1, "--out", "run")
    assert code == 0, err
    assert "points" not in out
    assert "neg_mae" in out
    assert "accuracy" not in out + err
    page = (tmp_path / "run" / "report.html").read_text(encoding="utf-8")
    assert "validation neg_mae" in page
    assert "validation accuracy" not in page
    code, out, _ = cli("resume", "run")
    assert code == 0
    assert "neg_mae" in out


def test_train_uses_them_too(net, cli, tmp_path):
    code, out, err = cli("train", *net, "--metric", "net.py:median", "--out", "run")
    assert code == 0, err
    assert "test median" in out
    assert "note: from net.py: loss, schedule" in err
    assert json.loads((tmp_path / "run" / "summary.json").read_text())["metric"] == "median"
    code, out, err = cli("train", *net, "--lr-shape", "constant", "--out", "other")
    assert code == 0, err
    assert "schedule in net.py is not used: --lr-shape was given" in err
    assert "test r2" in out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--metric", "neg_mae"], "--tolerance"),
        (["--metric", "accuracy"], "r2"),
        (["--metric", "acuracy"], "file.py:name"),
        (["--metric", "net.py:medan", "--tolerance", "1"], "net.py:median"),
        (["--metric", "nothere.py:m", "--tolerance", "1"], "nothere.py"),
    ],
)
def test_bad_metrics_end_in_few_lines(net, cli, tmp_path, words, said):
    before = sorted(path.name for path in tmp_path.iterdir())
    code, out, err = cli("grow", *net, *words)
    assert (code, out) == (2, "")
    assert said in err
    assert len(err.strip().splitlines()) <= 6
    assert sorted(path.name for path in tmp_path.iterdir()) == before


def test_the_lines_of_both_appear_once_and_auto_is_no_conflict(net, cli, tmp_path):
    """What the rate is, what is probed, what was found: for an own optimizer, which knows its rates, too."""
    tuned = NET + "def optimizer(parameters):\n    return torch.optim.AdamW(parameters, lr=0.01)\n"
    (tmp_path / "tuned.py").write_text(tuned)
    words = ["tuned.py", "--dataset", "tuned.py:data", *SHORT, "--lr", "auto", "--candidates", "1"]
    code, out, err = cli("grow", *words, "--seeds", 2, "--time-budget", "10m", "--out", "run", "--json")
    assert code == 0, err
    said = [line for line in err.splitlines() if line != "a word of the user's"]
    assert said[0] == "the optimizer of tuned.py sets its own rates"
    assert said[1].startswith("probing 2, 3 weight layers with 2 seeds")
    assert said[2].startswith("time budget 10 m")
    assert said[3].startswith("tolerance")
    assert said[4] == "note: from tuned.py: loss, optimizer, schedule"
    assert all(err.count(line) == 1 for line in said[:5])
    code, out, err = cli("train", *words[:-2], "--out", "one", "--json")
    assert code == 0, err
    assert json.loads(out)["lr"] is None
    assert "the optimizer of tuned.py sets its own rates" in json.loads(out)["notes"]
    code, out, err = cli("grow", *net, "--metric", "net.py:median", "--tolerance", "0.05", "--seeds", 1, "-o", "two")
    assert code == 0, err
    assert err.count("range test on the base network") == 1
    code, _, err = cli("grow", *words, "--lr", "0.1")
    assert code == 2
    assert "--lr has no effect on your own optimizer" in err
