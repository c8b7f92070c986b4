"""Bad input: exit code 2, at most six lines that name the culprit and what to type, no traceback, nothing created."""

import gzip
import json
from pathlib import Path

import numpy as np
import pytest

NET = """
from torch import nn
class Net(nn.Module):
    def __init__(self, width=8):
        super().__init__()
        self.conv, self.act, self.head = nn.Conv2d(1, width, 3, padding=1), nn.ReLU(), nn.Linear(width * 64, 10)
    def forward(self, x):
        return self.head(self.act(self.conv(x)).flatten(1))
"""
FILES = {
    "net.py": NET,
    "words.py": "this is not Python",
    "raises.py": "import torch\nraise ValueError('broken on purpose')",
    "empty.py": "x = 3",
    "two.py": NET.replace("class Net", "class One") + NET.replace("class Net", "class Two"),
    "needs.py": NET.replace("width=8", "width"),
    "rgb.py": NET.replace("Conv2d(1,", "Conv2d(3,"),
    "bare.py": "from torch import nn\nclass Net(nn.Module):\n    def forward(self, x):\n        return x.flatten(1)\n",
    "linear.py": "from torch import nn\nmodel = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))",
    "nan.py": NET + "\nmodel = Net()\nmodel.conv.weight.data.fill_(float('nan'))",
    "few.py": NET.replace("64, 10)", "64, 4)"),
    "branch.py": NET.replace("        return", "        if x.sum() > 0: x = self.conv(x)[:, :1]\n        return"),
    "text.toml": 'learning_rate = 0.1\n',
    "broken.toml": "lr = = 3",
}  # fmt: skip

CASES = {
    "model file missing": (["grow", "nothere.py", "-d", "digits"], "nothere.py"),
    "not Python": (["grow", "words.py", "-d", "digits"], "words.py"),
    "raises": (["grow", "raises.py", "-d", "digits"], "broken on purpose"),
    "without a module": (["grow", "empty.py", "-d", "digits"], "empty.py"),
    "several candidates": (["grow", "two.py", "-d", "digits"], "two.py:"),
    "needs arguments": (["grow", "needs.py", "-d", "digits"], "width"),
    "unknown attribute": (["grow", "net.py:Nett", "-d", "digits"], "Net"),
    "input does not fit": (["grow", "rgb.py", "-d", "digits"], "(2, 1, 8, 8)"),
    "no parameters": (["grow", "bare.py", "-d", "digits"], "no parameters"),
    "no repeatable unit": (["grow", "linear.py", "-d", "digits"], "no repeatable unit"),
    "NaN weights": (["grow", "nan.py", "-d", "digits"], "conv.weight"),
    "fewer outputs than classes": (["grow", "few.py", "-d", "digits"], "(batch, 4)"),
    "control flow": (["grow", "branch.py", "-d", "digits"], "branch.py:"),
    "unknown data set": (["grow", "net.py", "-d", "digit"], "digits"),
    "no data set": (["grow", "net.py"], "--dataset"),
    "missing data files": (["grow", "net.py", "-d", "mnist", "--data-dir", "."], "train-images"),
    "truncated data": (["grow", "net.py", "-d", "mnist", "--data-dir", "cut"], "train-images"),
    "corrupt data": (["grow", "net.py", "-d", "mnist", "--data-dir", "rot"], "train-images"),
    "one class": (["grow", "net.py", "-d", "one.npz"], "class"),
    "labels out of range": (["grow", "net.py", "-d", "labels.npz"], "label"),
    "empty split": (["grow", "net.py", "-d", "tiny.npz"], "few"),
    "NaN data": (["grow", "net.py", "-d", "nan.npz"], "nan.npz"),
    "seeds": (["grow", "net.py", "-d", "digits", "--seeds", "0"], "--seeds"),
    "steps": (["grow", "net.py", "-d", "digits", "--steps", "-5"], "--steps"),
    "batch size": (["grow", "net.py", "-d", "digits", "--batch-size", "0"], "--batch-size"),
    "lr": (["grow", "net.py", "-d", "digits", "--lr", "-1"], "--lr"),
    "tolerance": (["grow", "net.py", "-d", "digits", "--tolerance", "0.5"], "did you mean 0.005"),
    "kept accuracy": (["grow", "net.py", "-d", "digits", "--keep-accuracy", "97"], "--keep-accuracy 0.97"),
    "kept accuracy below zero": (["grow", "net.py", "-d", "digits", "--keep-accuracy", "-1"], "--keep-accuracy"),
    "copies without end": (["grow", "net.py", "-d", "digits", "--copies", "1000000000"], "--copies"),
    "tolerance word": (["grow", "net.py", "-d", "digits", "--tolerance", "small"], "small"),
    "candidates": (["grow", "net.py", "-d", "digits", "--copies", "2", "--candidates", "9"], "--copies 9"),
    "candidates word": (["grow", "net.py", "-d", "digits", "--candidates", "a,b"], "a,b"),
    "sites": (["grow", "net.py", "-d", "digits", "--sites", "head"], "output"),
    "init": (["grow", "net.py", "-d", "digits", "--init", "magic"], "magic"),
    "mode": (["grow", "net.py", "-d", "digits", "--mode", "magic"], "prefix"),
    "max depth": (["grow", "net.py", "-d", "digits", "--max-depth", "1"], "--max-depth"),
    "limit": (["grow", "net.py", "-d", "digits", "--limit-train", "3"], "10"),
    "existing out": (["grow", "net.py", "-d", "digits", "--out", "there"], "there"),
    "unwritable out": (["grow", "net.py", "-d", "digits", "--out", "/proc/depthprobe/run"], "/proc"),
    "unknown device": (["grow", "net.py", "-d", "digits", "--device", "abacus"], "abacus"),
    "absent device": (["grow", "net.py", "-d", "digits", "--device", "mps"], "mps"),
    "unknown key": (["grow", "net.py", "-d", "digits", "--config", "text.toml"], "learning_rate"),
    "broken config": (["grow", "net.py", "-d", "digits", "--config", "broken.toml"], "broken.toml"),
    "config missing": (["grow", "net.py", "-d", "digits", "--config", "no.toml"], "no.toml"),
    "option unknown": (["grow", "net.py", "--wide"], "--wide"),
    "option no number": (["grow", "net.py", "--seeds", "many"], "--seeds"),
    "verb unknown": (["grwo", "net.py"], "grwo"),
    "resume no run": (["resume", "there"], "not a run folder"),
    "resume nothing": (["resume", "nowhere"], "nowhere"),
    "report no run": (["report", "there"], "there"),
    "report several": (["report", "there", "there"], "--out"),
    "train copies alone": (["train", "net.py", "-d", "digits", "--copies", "2"], "--grow"),
    "resume and model": (["grow", "net.py", "--resume", "there"], "net.py"),
    "no model": (["grow", "-d", "digits"], "MODEL"),
    "train both": (["train", "net.py", "-d", "digits", "--grow", "--deep"], "--deep"),
    "inspect no input": (["inspect", "net.py"], "--input-shape"),
    "inspect bad input": (["inspect", "net.py", "--input", "3,x"], "3,x"),
}  # fmt: skip


@pytest.fixture
def workplace(tmp_path):
    for name, text in FILES.items():
        (tmp_path / name).write_text(text)
    (tmp_path / "there").mkdir()
    good = np.zeros((40, 1, 8, 8), np.float32)
    labels = np.arange(40) % 4
    np.savez(tmp_path / "one.npz", x=good, y=np.zeros(40, np.int64))
    np.savez(tmp_path / "labels.npz", x=good, y=labels - 1)
    np.savez(tmp_path / "tiny.npz", x=good[:4], y=labels[:4])
    np.savez(tmp_path / "nan.npz", x=good * np.nan, y=labels)
    images = b"\x00\x00\x08\x03" + b"".join(n.to_bytes(4, "big") for n in (5, 28, 28)) + bytes(3000)
    for folder, content in (("cut", gzip.compress(images)), ("rot", b"not gzip at all")):
        (tmp_path / folder / "mnist").mkdir(parents=True)
        for name in ("train-images-idx3", "train-labels-idx1", "t10k-images-idx3", "t10k-labels-idx1"):
            (tmp_path / folder / "mnist" / f"{name}-ubyte.gz").write_bytes(content)
    return tmp_path


@pytest.mark.parametrize("case", CASES)
def test_bad_input_ends_in_few_lines(case, cli, workplace):
    words, culprit = CASES[case]
    before = sorted(path for path in workplace.rglob("*"))
    code, out, err = cli(*words)
    assert code == 2, err
    assert out == ""
    assert culprit in err
    assert len(err.strip().splitlines()) <= 6, err
    assert "Traceback" not in err
    assert sorted(path for path in workplace.rglob("*")) == before


def test_debug_shows_the_traceback(cli, workplace):
    code, _, err = cli("grow", "nothere.py", "-d", "digits", "--debug")
    assert code == 2
    assert "Traceback" in err
    assert "nothere.py" in err


def test_a_run_made_with_another_model_is_not_resumed(cli, workplace):
    words = ("grow", "net.py", "-d", "digits", "--seeds", "1", "--steps", "150", "--quiet", "--out", "run")
    assert cli(*words)[0] == 0
    (workplace / "run" / "recommendation.json").unlink()
    (workplace / "net.py").write_text(NET + "\n# changed\n")
    code, _, err = cli("resume", "run")
    assert code == 2
    assert "another model" in err
    (workplace / "net.py").write_text(NET)
    config = json.loads(Path("run/config.json").read_text())
    config["grow"]["seeds"] = 2
    Path("run/config.json").write_text(json.dumps(config))
    code, _, err = cli("resume", "run")
    assert code == 2
    assert "config.json is not what it was" in err
    assert "depthprobe grow net.py" in err
