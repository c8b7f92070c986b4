"""grow and train from a checkpoint: the runs go through, say so, and mistakes come before anything exists."""

import json

import pytest
import torch

from depthprobe.inputs import open_model

NET = """
from torch import nn
class Net(nn.Module):
    def __init__(self, width=8):
        super().__init__()
        self.conv, self.act, self.head = nn.Conv2d(1, width, 3, padding=1), nn.ReLU(), nn.Linear(width * 64, 10)
    def forward(self, x):
        return self.head(self.act(self.conv(x)).flatten(1))
"""


@pytest.fixture
def files(cli, tmp_path):
    (tmp_path / "net.py").write_text(NET)
    torch.save(open_model(str(tmp_path / "net.py")).build(5).state_dict(), tmp_path / "start.pt")
    return tmp_path


def test_grow_starts_from_the_checkpoint(cli, files):
    words = ["grow", "net.py", "-d", "digits", "--checkpoint", "start.pt", "--new-lr-scale", "3", "--lr", "0.01"]
    code, out, err = cli(*words, "--seeds", "2", "--steps", "20", "--copies", "1", "--out", "run", "--quiet", "--json")
    assert code == 0, err
    assert any("starts from the checkpoint" in note for note in json.loads(out)["notes"])
    config = json.loads((files / "run" / "config.json").read_text())
    assert config["model"]["checkpoint"]["path"] == str(files / "start.pt")
    assert config["train"]["new_lr_scale"] == 3.0
    (files / "start.pt").unlink()
    code, out, err = cli("export", "run", "--out", "grown.py")  # the weights are the run's own by then
    assert code == 0, err


def test_train_and_what_does_not_fit(cli, files):
    words = ["train", "net.py", "-d", "digits", "--lr", "0.01", "--steps", "20", "--quiet"]
    assert cli(*words, "--checkpoint", "start.pt", "--out", "one")[0] == 0
    code, _, err = cli(*words, "--checkpoint", "start.pt", "--model-args", "width=4", "--out", "two")
    assert code == 2
    assert "3 names differ" in err
    assert not (files / "two").exists()
    assert cli(*words, "--checkpoint", "nowhere.pt", "--out", "two")[0] == 2


def test_of_a_plain_checkpoint_it_is_said_what_is_not_known(cli, tmp_path):
    """Which examples it has seen, and how its inputs were scaled; the last line is what to type next."""
    (tmp_path / "net.py").write_text(
        "from torch import nn\nmodel = nn.Sequential(nn.Flatten(), nn.Linear(64, 16), nn.ReLU(), nn.Linear(16, 16), "
        "nn.ReLU(), nn.Linear(16, 10))\n"
    )
    code, out, err = cli(
        "train", "net.py", "-d", "digits", "--steps", "200", "--lr", "0.05", "--out", "made", "--quiet"
    )
    assert code == 0, err
    assert out.splitlines()[-1].startswith("next: depthprobe shrink made")
    torch.save(torch.load("made/model.pt", weights_only=True)["state_dict"], "plain.pt")
    words = ["shrink", "plain.pt", "--model", "net.py", "-d", "digits", "--seeds", "1", "--steps", "20", "--lr", "0.01"]
    code, out, err = cli(*words, "--quiet", "--out", "shrunk")
    assert code == 0, err
    assert "may have seen the validation examples" in out
    assert "nor how its inputs were scaled" in out
    assert out.splitlines()[-1].startswith("next: ")
