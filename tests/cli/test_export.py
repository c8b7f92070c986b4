"""depthprobe export: of a finished run, in every format; mistakes are named before anything is written."""

from importlib.util import find_spec

import pytest
import torch

NET = """
from torch import nn
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.act, self.head = nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), nn.Linear(8 * 64, 10)
    def forward(self, x):
        return self.head(self.act(self.conv(x)).flatten(1))
"""


@pytest.fixture
def run(cli, tmp_path):
    (tmp_path / "net.py").write_text(NET)
    words = ["train", "net.py", "-d", "digits", "--grow", "--copies", "2", "--steps", "20", "--lr", "0.01"]
    code, _, err = cli(*words, "--out", "run", "--quiet")
    assert code == 0, err
    return tmp_path / "run"


def test_every_format(cli, run, tmp_path):
    names = ["net2.py", "net.safetensors", "net.pt"]
    names += ["net.onnx"] if all(find_spec(name) for name in ("onnx", "onnxscript", "onnxruntime")) else []
    for name in names:
        code, out, err = cli("export", "run", "--out", name)
        assert (code, err) == (0, "")
        assert out.splitlines()[0] == name
        assert (tmp_path / name).stat().st_size
    text = (tmp_path / "net2.py").read_text()
    assert "2 added layers" in text
    assert "self.conv_copy2_0 = nn.Conv2d(8, 8, kernel_size=(3, 3), padding=(1, 1))" in text


def test_a_model_file_goes_as_well(cli, run, tmp_path):
    assert cli("export", "run/model.pt", "--format", "pt", "--out", "copy.pt")[0] == 0
    one, two = (torch.load(path, weights_only=True) for path in (run / "model.pt", tmp_path / "copy.pt"))
    assert one["depthprobe"] == two["depthprobe"]
    assert all(torch.equal(one["state_dict"][name], two["state_dict"][name]) for name in one["state_dict"])


def test_mistakes(cli, run, tmp_path):
    before = sorted(path.name for path in tmp_path.iterdir())
    for words, text in (
        (["run"], "--out"),
        (["run", "--out", "net.zip"], "which format?"),
        (["run", "--out", "net.py", "--format", "zip"], "unknown format"),
        (["run", "--out", "net.py", "--format", "code"], "the file exists"),
        (["nowhere", "--out", "new.pt"], "no model.pt"),
        (["net.py", "--out", "new.pt"], "not a file of weights"),
    ):
        code, out, err = cli("export", *words)
        assert (code, out) == (2, "")
        assert text in err
        assert len(err.splitlines()) <= 6
    assert sorted(path.name for path in tmp_path.iterdir()) == before


def test_a_changed_model_file_is_refused_for_code_only(cli, run, tmp_path):
    (tmp_path / "net.py").write_text(NET + "# another\n")
    code, _, err = cli("export", "run", "--out", "net2.py")
    assert code == 2
    assert "has changed" in err
    assert cli("export", "run", "--out", "net2.safetensors")[0] == 0


def test_the_code_says_how_inputs_were_scaled(cli, run, tmp_path):
    """model.pt has the mean and std of the training examples; the file's `prepare` applies them."""
    from depthprobe.inputs import open_dataset, split_dataset

    known = torch.load(run / "model.pt", weights_only=True)["depthprobe"]["input"]
    data = open_dataset("digits")
    split = split_dataset(data, split_seed=0)
    assert (known["mean"], known["std"]) == (list(split.mean), list(split.std))
    assert cli("export", "run", "--out", "scaled.py")[0] == 0
    space = {"__file__": str(tmp_path / "scaled.py"), "__name__": "scaled"}
    exec((tmp_path / "scaled.py").read_text(), space)
    raw = data.train.x[:50]
    torch.testing.assert_close(space["prepare"](raw).mean(), (raw.mean() - split.mean[0]) / split.std[0])
    assert space["load"]()(space["prepare"](raw)).shape == (50, 10)
    assert "input = input" not in (tmp_path / "scaled.py").read_text()
