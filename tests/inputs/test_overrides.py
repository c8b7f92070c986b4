"""Training functions in a model's file: found by name, never taken for the model."""

import pytest
import torch
from torch import nn

from depthprobe.errors import ModelError
from depthprobe.inputs import InMemoryModel, open_model

HEAD = "import torch\nfrom torch import nn\n"


def opened(folder, text, name=""):
    path = folder / "net.py"
    path.write_text(HEAD + text)
    return open_model(f"{path}{name}")


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("model = nn.Linear(2, 2)\nloss = nn.CrossEntropyLoss()", ("loss",)),
        ("class Net(nn.Linear):\n    def __init__(self):\n        super().__init__(2, 2)\nloss = nn.MSELoss()",
         ("loss",)),
        ("def anything():\n    return nn.Linear(2, 2)\ndef loss(a, b):\n    return a", ("loss",)),
        ("def anything():\n    return nn.Linear(2, 2)\ndef optimizer(p):\n    pass\ndef augment(x):\n    pass",
         ("optimizer", "augment")),
        ("from torch.nn.functional import mse_loss as loss\nmodel = nn.Linear(2, 2)", ("loss",)),
        ("from torch.optim import AdamW as optimizer\nmodel = nn.Linear(2, 2)", ("optimizer",)),
        ("import torch.optim as optimizer\nmodel = nn.Linear(2, 2)", ()),
        ("model = nn.Linear(2, 2)\ndef losses(a, b):\n    pass", ()),
        ("model = nn.Linear(2, 2)\ndef schedule(done):\n    pass\ndef training_step(m, b):\n    pass",
         ("schedule", "training_step")),
    ],
)  # fmt: skip
def test_functions_are_found_and_the_model_is_the_model(tmp_path, text, names):
    source = opened(tmp_path, text)
    found = source.overrides()
    assert found.names == names
    assert isinstance(source.build(0), nn.Linear)
    assert not found.notes


def test_a_named_model_has_the_functions_of_its_file(tmp_path):
    text = "def shallow():\n    return nn.Linear(2, 2)\ndef deep():\n    return nn.Linear(2, 2)\n"
    text += "def loss(a, b):\n    return a - b\n"
    found = opened(tmp_path, text, ":deep").overrides()
    assert found.call("loss", 3, 1) == 2


def test_a_module_of_a_package_brings_its_functions(tmp_path, monkeypatch):
    package = tmp_path / "ownpkg"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "net.py").write_text(HEAD + "model = nn.Linear(2, 2)\ndef augment(x):\n    return x\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    assert open_model("ownpkg.net:model").overrides().names == ("augment",)


def test_what_is_no_function_is_said(tmp_path):
    found = opened(tmp_path, "model = nn.Linear(2, 2)\nloss = 0.3\naugment = True\noptimizer = None\n").overrides()
    assert found.names == ()
    assert [note.partition(":")[0] for note in found.notes] == [
        "loss in net.py is not used",
        "augment in net.py is not used",
    ]


def test_a_changed_file_gives_no_functions(tmp_path):
    source = opened(tmp_path, "model = nn.Linear(2, 2)\n")
    (tmp_path / "net.py").write_text(HEAD + "model = nn.Linear(2, 2)\ndef loss(a, b):\n    pass\n")
    with pytest.raises(ModelError, match="has changed"):
        source.overrides()


def test_prints_of_a_function_go_to_stderr(tmp_path, capsys):
    text = "model = nn.Linear(2, 2)\ndef loss(a, b):\n    print('here')\n    return a\n"
    opened(tmp_path, text).overrides().call("loss", 1, 2)
    out, err = capsys.readouterr()
    assert (out, err) == ("", "here\n")


def test_an_object_has_none():
    assert InMemoryModel(nn.Linear(2, 2)).overrides().names == ()
    assert torch.is_grad_enabled()
