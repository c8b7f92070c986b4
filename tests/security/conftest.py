"""The command line in this process, in a folder with a model, and what must be left as it was."""

import sys

import pytest

NET = """
from torch import nn
class Net(nn.Module):
    def __init__(self, width=4, outputs=10):
        super().__init__()
        self.conv, self.act, self.head = nn.Conv2d(1, width, 3, padding=1), nn.ReLU(), nn.Linear(width * 64, outputs)
    def forward(self, x):
        return self.head(self.act(self.conv(x)).flatten(1))
"""


def contents(place):
    """Every file and what is in it, the note of who last held a lock left out."""
    files = [path for path in sorted(place.rglob("*")) if path.name != ".owner.json"]
    return {path: path.read_bytes() if path.is_file() else None for path in files}


@pytest.fixture
def place(tmp_path, monkeypatch):
    """The working folder: net.py in it, nothing else."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "net.py").write_text(NET)
    return tmp_path


@pytest.fixture
def cli(capsys, monkeypatch):
    def run(*words):
        from depthprobe.cli import main

        monkeypatch.setattr(sys, "argv", ["depthprobe", *map(str, words)])
        with pytest.raises(SystemExit) as stop:
            main()
        out, err = capsys.readouterr()
        return stop.value.code or 0, out, err

    return run


@pytest.fixture
def refused(cli, place):
    """refused(words, culprit): exit code 2, few lines that name the culprit, no traceback, nothing created."""

    def check(words, culprit):
        before = contents(place)
        code, out, err = cli(*words)
        assert code == 2, err
        assert out == ""
        assert culprit in err, err
        assert 1 <= len(err.strip().splitlines()) <= 6, err
        assert "Traceback" not in err
        assert "\x1b" not in err
        assert contents(place) == before
        return err

    return check
