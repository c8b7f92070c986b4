"""Exports of a run: every format loads and gives the outputs; nothing is overwritten, nothing half-written stays."""

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from depthprobe.errors import ConfigError, GraphError
from depthprobe.exporting import files
from depthprobe.exporting.files import Source, write_export

needs_onnx = pytest.mark.skipif(
    any(find_spec(name) is None for name in ("onnx", "onnxscript", "onnxruntime")), reason="onnx is not installed"
)


def network():
    return nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Dropout(0.2), nn.Linear(4 * 36, 3)).eval()


@pytest.fixture
def source():
    net = network()
    about = {"recipe": "", "versions": {"torch": "x"}}
    return Source(state=net.state_dict(), about=about, build=lambda: (net, torch.randn(2, 1, 8, 8)))


def test_pt_is_what_model_pt_is(source, tmp_path):
    assert write_export(source, "pt", tmp_path / "net.pt") == [tmp_path / "net.pt"]
    payload = torch.load(tmp_path / "net.pt", weights_only=True)
    network().load_state_dict(payload["state_dict"])
    assert payload["depthprobe"] == source.about


def test_safetensors(source, tmp_path):
    write_export(source, "safetensors", tmp_path / "net.safetensors")
    found = load_file(tmp_path / "net.safetensors")
    assert all(torch.equal(found[name], value) for name, value in source.state.items())


def test_code_brings_its_weights(source, tmp_path):
    paths = write_export(source, "code", tmp_path / "my_net.py")
    assert [path.name for path in paths] == ["my_net.py", "my_net.safetensors"]
    assert "from my_net import load" in paths[0].read_text()
    check = "import my_net; my_net.load()"
    subprocess.run([sys.executable, "-c", check], cwd=tmp_path, check=True)


@needs_onnx
def test_onnx_takes_any_batch(source, tmp_path):
    import onnxruntime

    write_export(source, "onnx", tmp_path / "net.onnx")
    session = onnxruntime.InferenceSession(str(tmp_path / "net.onnx"), providers=["CPUExecutionProvider"])
    net, _ = source.build()
    for batch in (1, 5):
        x = torch.randn(batch, 1, 8, 8)
        found = session.run(None, {session.get_inputs()[0].name: x.numpy()})[0]
        assert torch.allclose(torch.from_numpy(found), net(x), atol=1e-4)
    assert [path.name for path in tmp_path.iterdir()] == ["net.onnx"]


def test_a_failure_leaves_nothing(source, tmp_path, monkeypatch):
    def broken(*_):
        (tmp_path / "seen").touch()
        raise GraphError("no")

    monkeypatch.setitem(files._WRITERS, "code", broken)
    with pytest.raises(GraphError):
        write_export(source, "code", tmp_path / "net.py")
    assert [path.name for path in tmp_path.iterdir()] == ["seen"]


@pytest.mark.parametrize(
    ("kind", "name", "text"),
    [
        ("zip", "net.zip", "unknown format"),
        ("code", "my-net.py", "Python can import"),
        ("code", "net.txt", "Python can import"),
        ("pt", "there.pt", "nothing is overwritten"),
        ("code", "other.py", "other.safetensors"),
        ("pt", "nowhere/net.pt", "no such folder"),
    ],
)
def test_what_will_not_do_is_said_first(source, tmp_path, kind, name, text):
    (tmp_path / "there.pt").touch()
    (tmp_path / "other.safetensors").touch()
    with pytest.raises(ConfigError, match=text):
        write_export(source, kind, tmp_path / Path(name))
    assert len(list(tmp_path.iterdir())) == 2
