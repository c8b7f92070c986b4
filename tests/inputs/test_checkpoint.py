"""Starting from a checkpoint: its weights everywhere, frozen layers stay frozen, what does not fit is listed."""

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from depthprobe.errors import ModelError
from depthprobe.inputs import ModelSource, open_model

NET = """
import torch
from torch import nn
class Net(nn.Module):
    def __init__(self, width=4):
        super().__init__()
        self.conv, self.head = nn.Conv2d(1, width, 3), nn.Linear(width, 3)
        self.conv.weight.requires_grad = False
    def forward(self, x):
        return self.head(self.conv(x).relu().mean((2, 3)))
"""


@pytest.fixture
def spec(tmp_path):
    (tmp_path / "net.py").write_text(NET)
    return str(tmp_path / "net.py")


@pytest.fixture
def weights(spec):
    return open_model(spec).build(7).state_dict()


def test_every_seed_starts_from_it(spec, weights, tmp_path):
    torch.save(weights, tmp_path / "plain.pt")
    torch.save({"state_dict": weights, "epoch": 3}, tmp_path / "whole.pt")
    save_file(weights, tmp_path / "net.safetensors")
    for name in ("plain.pt", "whole.pt", "net.safetensors"):
        source = open_model(spec, checkpoint=tmp_path / name)
        for seed in (0, 1):
            net = source.build(seed)
            assert all(torch.equal(value, weights[key]) for key, value in net.state_dict().items())
            assert [p.requires_grad for p in net.parameters()] == [False, True, True, True]
        assert ModelSource.from_json(source.to_json()) == source


def test_a_module_passed_from_python_too(weights, tmp_path):
    torch.save(nn.Linear(2, 2).state_dict(), tmp_path / "linear.pt")
    source = open_model(nn.Linear(2, 2), checkpoint=tmp_path / "linear.pt")
    assert torch.equal(source.build(0).weight, source.build(1).weight)


def test_what_does_not_fit_is_listed(spec, weights, tmp_path):
    strange = {**weights, "tail.weight": torch.ones(2), "conv.weight": torch.ones(4, 1, 5, 5)}
    del strange["head.bias"]
    torch.save(strange, tmp_path / "odd.pt")
    with pytest.raises(ModelError) as caught:
        open_model(spec, checkpoint=tmp_path / "odd.pt").build(0)
    text = str(caught.value)
    assert "3 names differ" in text
    for part in (
        "head.bias is missing",
        "conv.weight is (4, 1, 5, 5), the model's (4, 1, 3, 3)",
        "tail.weight is not in",
    ):
        assert part in text


def test_at_most_ten_names(spec, tmp_path):
    torch.save({f"w{i}": torch.ones(1) for i in range(20)}, tmp_path / "other.pt")
    with pytest.raises(ModelError) as caught:
        open_model(spec, checkpoint=tmp_path / "other.pt").build(0)
    assert "24 names differ" in str(caught.value)
    assert caught.value.found.count(" is ") == 10
    assert "and 14 more" in caught.value.found


def test_a_changed_file_is_another_checkpoint(spec, weights, tmp_path):
    torch.save(weights, tmp_path / "net.pt")
    source = open_model(spec, checkpoint=tmp_path / "net.pt")
    torch.save({**weights, "head.bias": torch.zeros(3)}, tmp_path / "net.pt")
    open_model(spec, checkpoint=tmp_path / "net.pt")
    with pytest.raises(ModelError, match="has changed"):
        source.build(0)


class Evil:
    def __reduce__(self):
        return (print, ("executed",))


@pytest.mark.parametrize(
    ("content", "said"),
    [(b"", "empty"), (b"not weights", "not executed"), ("evil", "not executed"), ("empty", "no weights")],
)
def test_files_that_are_no_weights(spec, tmp_path, content, said, capsys):
    path = tmp_path / "bad.pt"
    if content == "evil":
        torch.save({"weight": Evil()}, path)
    elif content == "empty":
        torch.save({}, path)
    else:
        path.write_bytes(content)
    with pytest.raises(ModelError, match=said):
        open_model(spec, checkpoint=path)
    assert capsys.readouterr().out == ""
    path.with_suffix(".safetensors").write_bytes(b"nothing")
    with pytest.raises(ModelError, match="damaged"):
        open_model(spec, checkpoint=path.with_suffix(".safetensors"))
    with pytest.raises(ModelError, match="no checkpoint"):
        open_model(spec, checkpoint=tmp_path / "nowhere.pt")
