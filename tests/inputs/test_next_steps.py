"""A mistake of a first-time user is answered with what to type next."""

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from depthprobe.errors import UsageError
from depthprobe.inputs import open_dataset, open_model
from depthprobe.inputs.weights import load_weights, read_weights


def hint_of(call):
    with pytest.raises(UsageError) as caught:
        call()
    assert str(caught.value).splitlines()[-1].startswith("  try:")
    return caught.value.hint


def test_a_data_set_nearly_named(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "shapes").mkdir()
    (tmp_path / "data.csv").write_text("1,2")
    (tmp_path / "torn.npz").write_bytes(b"PK")
    assert hint_of(lambda: open_dataset("shape")) == "--dataset shapes"
    assert hint_of(lambda: open_dataset("digit")) == "--dataset digits"
    assert hint_of(lambda: open_dataset("elsewhere")) == "--dataset digits, or the path of a folder of images"
    assert hint_of(lambda: open_dataset("./shaped")) == "--dataset shapes"
    assert "check the path" in hint_of(lambda: open_dataset("no/such"))
    assert "folder of its own" in hint_of(lambda: open_dataset("shapes"))
    assert "numpy.savez" in hint_of(lambda: open_dataset("data.csv"))
    assert "anew" in hint_of(lambda: open_dataset("torn.npz"))


def test_folders_without_images(tmp_path):
    for part, name in (("train", "a"), ("train", "b"), ("test", "c")):
        (tmp_path / part / name).mkdir(parents=True)
    assert "add images" in hint_of(lambda: open_dataset(str(tmp_path)))
    for name in ("a", "b"):
        Image.fromarray(np.zeros((4, 4), np.uint8)).save(tmp_path / "train" / name / "0.png")
    assert "alike" in hint_of(lambda: open_dataset(str(tmp_path)))


def test_arguments_of_a_model(tmp_path):
    (tmp_path / "net.py").write_text("from torch import nn\ndef build(width):\n    return nn.Linear(4, width)\n")
    spec = str(tmp_path / "net.py")
    assert hint_of(lambda: open_model(spec).build(0)) == "--model-args width=..."
    assert hint_of(lambda: open_model(spec, {"widht": 3}).build(0)) == "--model-args width=..."


def test_weight_files(tmp_path):
    net = nn.Sequential(nn.Linear(4, 2))
    path = tmp_path / "net.pt"
    torch.save(net.state_dict(), path)
    (tmp_path / "torn.pt").write_bytes(path.read_bytes()[:800])
    (tmp_path / "empty.pt").write_bytes(b"")
    torch.save({"epoch": 3}, tmp_path / "none.pt")
    torch.save([torch.zeros(2)], tmp_path / "list.pt")
    assert "copy the file anew" in hint_of(lambda: read_weights(tmp_path / "torn.pt"))
    for name in ("empty.pt", "none.pt", "list.pt"):
        assert "state_dict()" in hint_of(lambda name=name: read_weights(tmp_path / name))


def test_weights_of_the_whole_where_a_part_is_wanted(tmp_path):
    """`self.net` was meant, and all of it was saved."""
    net = nn.Sequential(nn.Linear(4, 2))
    torch.save({f"net.{name}": value for name, value in net.state_dict().items()}, tmp_path / "whole.pt")
    weights = read_weights(tmp_path / "whole.pt")
    assert hint_of(lambda: load_weights(net, weights)).startswith("the model is 'net' of what was saved")
    assert "--model-args" in hint_of(lambda: load_weights(nn.Sequential(net[0], nn.Linear(2, 2)), weights))


def test_npz_without_keys(tmp_path):
    np.savez(tmp_path / "d.npz", images=np.zeros((4, 2)))
    with pytest.raises(UsageError, match=r"missing in \.npz file: x_train, y_train"):
        open_dataset(str(tmp_path / "d.npz"))
