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
