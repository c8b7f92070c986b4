"""What `open_model` promises: the right object, fresh weights per seed, and errors that name the culprit."""

import json
import sys

import numpy as np
import pytest
import torch
from torch import nn

from depthprobe.errors import ModelError
from depthprobe.inputs import ModelSource, open_model, parse_model_args

HEAD = "import torch\nfrom torch import nn\n"
NET = "class Net(nn.Module):\n    def __init__(self, width=4):\n        super().__init__()\n"
NET += "        self.fc = nn.Linear(3, width)\n    def forward(self, x):\n        return self.fc(x)\n"


def write(folder, body, name="model.py", head=HEAD):
    folder.mkdir(exist_ok=True, parents=True)
    path = folder / name
    path.write_text(head + body)
    return path


def fails(spec, *texts, args=None):
    with pytest.raises(ModelError) as caught:
        open_model(str(spec), args)
    message = str(caught.value)
    assert caught.value.exit_code == 2
    assert len(message.splitlines()) <= 6
    for text in texts:
        assert text in message, message
    return message


def weights(network):
    return torch.cat([p.detach().flatten() for p in network.parameters()])


FORMS = {
    "instance": HEAD + "model = nn.Linear(3, 4)",
    "class": HEAD + NET,
    "factory": HEAD + "def build() -> nn.Module:\n    return nn.Linear(3, 4)",
    "string annotation": "from __future__ import annotations\n"
    + HEAD
    + "def tiny() -> nn.Linear:\n    return nn.Linear(3, 4)",
    "customary name": HEAD + "def make_model():\n    return nn.Linear(3, 4)",
}


@pytest.mark.parametrize("body", FORMS.values(), ids=FORMS)
def test_seed_decides_weights_for_every_form(tmp_path, body):
    source = open_model(str(write(tmp_path, body, head="")))
    first, again, other = source.build(1), source.build(1), source.build(2)
    assert first is not again
    assert torch.equal(weights(first), weights(again))
    assert not torch.equal(weights(first), weights(other))


def test_weights_are_those_of_manual_seed(tmp_path):
    built = open_model(str(write(tmp_path, NET))).build(7)
    torch.manual_seed(7)
    assert torch.equal(built.fc.weight, nn.Linear(3, 4).weight)


def test_random_states_and_defaults_are_restored(tmp_path):
    body = "import random, numpy\ntorch.set_default_dtype(torch.float64)\ntorch.set_grad_enabled(False)\n"
    body += "random.random(); numpy.random.rand()\n" + NET
    torch.manual_seed(3)
    np.random.seed(3)
    before, numbers = torch.get_rng_state(), np.random.get_state()[1].copy()
    open_model(str(write(tmp_path, body))).build(5)
    assert torch.equal(before, torch.get_rng_state())
    assert (numbers == np.random.get_state()[1]).all()
    assert torch.get_default_dtype() == torch.float32
    assert torch.is_grad_enabled()


def test_user_prints_go_to_stderr(tmp_path, capsys):
    body = "print('while executing')\ndef build() -> nn.Module:\n"
    body += "    print('while building')\n    return nn.Linear(2, 2)"
    open_model(str(write(tmp_path, body)))
    out, err = capsys.readouterr()
    assert out == ""
    assert "while executing" in err
    assert "while building" in err


def test_files_and_neighbours_of_one_name_do_not_collide(tmp_path):
    sources = []
    for width in (5, 6):
        folder = tmp_path / f"w{width}"
        write(folder, f"WIDTH = {width}\nshared = nn.Linear(2, WIDTH)\n", "blocks.py")
        sources.append(open_model(str(write(folder, "from blocks import WIDTH\nmodel = nn.Linear(3, WIDTH)\n"))))
    path_before = list(sys.path)
    assert [source.build(0).out_features for source in sources] == [5, 6]
    assert [source.build(0).out_features for source in reversed(sources)] == [6, 5]
    assert sys.path == path_before
    assert "model" not in sys.modules
    assert not list(tmp_path.rglob("__pycache__"))


def test_instance_made_in_a_neighbour_is_new_each_time(tmp_path):
    write(tmp_path, "net = nn.Linear(2, 2)", "blocks.py")
    source = open_model(str(write(tmp_path, "from blocks import net")))
    first = source.build(0)
    with torch.no_grad():
        first.weight.fill_(9)
    assert torch.equal(source.build(0).weight, source.build(0).weight)
    assert source.build(0).weight.abs().max() < 2
    assert not torch.equal(source.build(0).weight, source.build(1).weight)


def test_instance_kept_by_an_imported_module_is_copied_and_redrawn(tmp_path):
    kept = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
    nn.kept_for_test = kept
    try:
        source = open_model(str(write(tmp_path, "net = nn.kept_for_test")))
        first, second = source.build(0), source.build(1)
    finally:
        del nn.kept_for_test
    assert first is not kept
    assert not torch.equal(first[0].weight, second[0].weight)


def test_dataclass_and_lazy_import_work(tmp_path):
    write(tmp_path, "WIDTH = 3", "sizes.py")
    body = "from dataclasses import dataclass\n@dataclass\nclass Size:\n    width: int = 2\n"
    body += "def build() -> nn.Module:\n    from sizes import WIDTH\n    return nn.Linear(Size().width, WIDTH)\n"
    assert open_model(str(write(tmp_path, body))).build(0).out_features == 3


def test_relative_path_becomes_absolute(tmp_path, monkeypatch):
    write(tmp_path, NET)
    monkeypatch.chdir(tmp_path)
    source = open_model("model.py:Net")
    assert source.spec == f"{tmp_path.resolve() / 'model.py'}:Net"
    monkeypatch.chdir("/")
    assert source.build(0).fc.out_features == 4


def test_model_args_reach_the_class_and_survive_json(tmp_path):
    body = NET.replace("width=4", "width=4, size=(1, 2)").replace("super()", "self.size = size; super()")
    source = open_model(str(write(tmp_path, body)), {"width": 9, "size": (3, 3)})
    back = ModelSource.from_json(json.loads(json.dumps(source.to_json())))
    assert back == source
    built = back.build(0)
    assert built.fc.out_features == 9
    assert built.size == (3, 3)


def test_package_attribute(tmp_path, monkeypatch):
    write(tmp_path / "zoo_of_test", "from .parts import make\nnet = nn.Linear(2, 2)\n", "__init__.py")
    write(tmp_path / "zoo_of_test", "def make(width=3):\n    return nn.Linear(2, width)\n", "parts.py")
    monkeypatch.chdir(tmp_path)
    made = open_model("zoo_of_test.parts:make", {"width": 5})
    assert made.sha256 is not None
    assert made.build(0).out_features == 5
    ready = open_model("zoo_of_test:net")
    assert torch.equal(ready.build(1).weight, ready.build(1).weight)
    assert not torch.equal(ready.build(1).weight, ready.build(2).weight)
    assert open_model("torch.nn:Bilinear", {"in1_features": 1, "in2_features": 2, "out_features": 3})
    fails("zoo_of_test.parts:mak", "'mak'", "zoo_of_test.parts:make")
    fails("zoo_of_tests:net", "no module named 'zoo_of_tests'")


def test_changed_file_is_refused(tmp_path):
    path = write(tmp_path, NET)
    source = open_model(str(path))
    path.write_text(path.read_text() + "# other\n")
    with pytest.raises(ModelError, match="changed since it was opened"):
        source.build(0)


@pytest.mark.parametrize(
    ("body", "chosen"),
    [
        ("class Block(nn.Linear):\n    pass\n" + NET, "Net"),
        (NET.replace("Net", "Tower") + "loss = nn.CrossEntropyLoss()", "Tower"),
        (NET.replace("Net", "Tower") + "best = nn.Linear(1, 1)", "Linear"),
        ("a = nn.Linear(1, 1)\nmodel = nn.Bilinear(1, 1, 1)", "Bilinear"),
        ("model = net = nn.Linear(1, 1)", "Linear"),
        (
            NET.replace("Net", "Tower").replace("width=4", "width") + "def small() -> nn.Module:\n    return Tower(2)",
            "Tower",
        ),
    ],
    ids=[
        "preferred name",
        "loss ignored",
        "instance wins",
        "preferred instance",
        "two names",
        "lone factory",
    ],
)
def test_choice_among_candidates(tmp_path, body, chosen):
    assert type(open_model(str(write(tmp_path, body))).build(0)).__name__ == chosen


@pytest.mark.parametrize(
    ("body", "texts"),
    [
        ("x = 1", ["no model", "x"]),
        ("from torch.nn import Linear", ["no model"]),
        (
            "class A(nn.Linear):\n    pass\nclass B(nn.Linear):\n    pass",
            ["several", "A, B", "model.py:A", "model.py:B"],
        ),
        ("a = nn.Linear(1, 1)\nb = nn.Linear(1, 1)", ["several", "model.py:a"]),
        ("model = nn.Linear(1, 1)\nnet = nn.Linear(1, 1)", ["several", "model, net"]),
        ("class Net(nn.Module):\n    pass\ndef f(:\n", ["syntax error", "model.py:5"]),
        ("x = 1\nraise RuntimeError('cheese')", ["RuntimeError: cheese", "model.py:4"]),
        ("import sys\nsys.exit(3)", ["SystemExit: 3", "model.py:4"]),
        ("import no_such_thing_here", ["ModuleNotFoundError", "no_such_thing_here", "model.py:3", "install"]),
        ("from .blocks import a", ["relative import", "pkg.mod:attr"]),
        (
            NET.replace("width=4", "width, depth"),
            ["width, depth", "--model-args width=... --model-args depth=..."],
        ),
        ("def build() -> nn.Module:\n    return 1 / 0", ["ZeroDivisionError", "model.py:4"]),
        ("def build() -> nn.Module:\n    return 3", ["not a torch.nn.Module", "int"]),
        ("model = nn.Sequential(nn.ReLU())", ["no parameters"]),
        ("model = nn.Linear(2, 2)\nmodel.bias.data[0] = float('nan')", ["parameter bias", "1 of 2"]),
        ("model = nn.Linear(2, 2)\nmodel.weight.data[0] = float('inf')", ["parameter weight", "2 of 4"]),
        ("model = nn.Linear(2, 2, device='meta')", ["parameter weight", "meta"]),
    ],
)
def test_error_names_the_culprit(tmp_path, body, texts):
    fails(write(tmp_path, body), "model.py", *texts)


def test_wrong_spec_is_refused(tmp_path):
    path = write(tmp_path, NET + "number = 3\nmodel = nn.Linear(1, 1)\n")
    fails(tmp_path / "modle.py", "no such file: modle.py", "model.py")
    fails(f"{path}:Nett", "'Nett'", f"{path}:Net")
    fails(f"{path}:number", "not a torch.nn.Module", "int")
    fails(f"{path}:", "not a model")
    fails(f"{path}:model", "takes no arguments: width", args={"width": 2})
    fails(f"{path}:Net", "unknown argument: widht", "--model-args width=", args={"widht": 2})
    fails(f"{path}:Net", "argument width is not a plain value", args={"width": nn.ReLU()})
    fails(path.with_suffix(""), "not a model", "model.py")
    fails(tmp_path, "not a model", "pkg.mod:attr")


def test_null_bytes_and_wrong_encoding(tmp_path):
    path = tmp_path / "model.py"
    path.write_bytes(b"x = 1\0")
    fails(path, "model.py", "null bytes")
    path.write_bytes(b"x = '\xff'")
    fails(path, "syntax error", "model.py")


def test_parse_model_args():
    pairs = ["depth=3", "name=tiny", "shape=(1, 2)", "rate=1e-3", "flag=True", "text='3'", "empty=", "eq=a=b"]
    assert parse_model_args(pairs) == {
        "depth": 3,
        "name": "tiny",
        "shape": (1, 2),
        "rate": 1e-3,
        "flag": True,
        "text": "3",
        "empty": "",
        "eq": "a=b",
    }
    for pairs, text in ([["depth"], "'depth'"], [["3=4"], "'3=4'"], [["a=1", "a=2"], "a is given twice"]):
        with pytest.raises(ModelError, match=text):
            parse_model_args(pairs)


def test_unreadable_json():
    for record in ({"spec": 3}, {"spec": "a.py", "args": {"x": "1 +"}}, {}):
        with pytest.raises(ModelError, match="not a model source"):
            ModelSource.from_json(record)
