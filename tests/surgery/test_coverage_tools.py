"""The judge of surgery: it finds what is broken, goes on where it was cut, and writes down every failure."""

import json
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

import depthprobe as dp


@pytest.fixture
def zoo(monkeypatch):
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2] / "benchmarks"))
    from zoo import cases, checks, store, table, timm_zoo

    yield {"cases": cases, "checks": checks, "store": store, "table": table, "timm": timm_zoo}
    for name in [name for name in sys.modules if name.partition(".")[0] == "zoo"]:
        del sys.modules[name]


def chain():
    return nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(64 * 4, 8), nn.ReLU(),
                         nn.Linear(8, 3))  # fmt: skip


def tried(zoo, build=chain):
    case = zoo["cases"].Case("hf", "chain", "words", build, zoo["cases"].picture(1, 8, 8))
    return zoo["checks"].try_case(case)


def test_a_chain_passes_every_check(zoo):
    found = tried(zoo)
    assert found["checks"] == dict.fromkeys(zoo["checks"].CHECKS, "ok")
    assert found["growable"] == 2


@pytest.mark.parametrize(
    ("culprit", "broken", "check"),
    [
        ("settle", lambda edited: edited, "duplicate at 1"),
        ("settle", lambda edited: nn.Linear(1, 1), "gate at 0"),
        ("recipe_from_json", lambda text: [], "recipe"),
    ],
)
def test_broken_surgery_is_found(zoo, monkeypatch, culprit, broken, check):
    monkeypatch.setattr(dp, culprit, broken, raising=False)
    assert tried(zoo)["checks"][check] != "ok"


class Drifts(nn.Module):
    """Counts its calls, and answers by the count."""

    def __init__(self):
        super().__init__()
        self.body = chain()
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, x):
        return self.body(x) + self.calls.add_(1.0)


def test_a_model_that_changes_by_itself_is_found(zoo):
    assert any(text != "ok" for text in tried(zoo, Drifts)["checks"].values())


def test_frozen_layers_are_no_failure(zoo):
    def build():
        net = chain()
        net[0].weight.requires_grad = False
        return net

    assert tried(zoo, build)["checks"]["backward"] == "ok"


def test_a_cut_run_goes_on(zoo, tmp_path):
    store = zoo["store"]
    good = {"source": "hf", "name": "A", "code": "old", "checks": {"units": "ok"}}
    store.append(good, tmp_path)
    store.append({**good, "name": "B", "checks": {"units": "no"}}, tmp_path)
    with (tmp_path / "hf.jsonl").open("a") as file:
        file.write('{"source": "hf", "na')  # killed while writing
    store.append(good, tmp_path)
    rows = store.read("hf", tmp_path)
    assert set(rows) == {"A", "B"}
    names = ["A", "B", "C"]
    assert store.wanted(names, rows, "no", "new") == ["C"]
    assert store.wanted(names, rows, "failed", "new") == ["B", "C"]
    assert store.wanted(names, rows, "failed", "old") == ["C"]
    assert store.wanted(names, rows, "stale", "new") == names
    assert store.wanted(names, rows, "all", "old") == names
    store.tidy("hf", tmp_path)
    assert [json.loads(line)["name"] for line in (tmp_path / "hf.jsonl").read_text().splitlines()] == ["A", "B"]


def test_the_document_lists_every_failure_and_what_is_left_out(zoo):
    row = {"date": "2026-11-21", "versions": {"torch": "2.13.0"}, "code": "x", "seconds": 60.0, "group": "video"}
    rows = {
        "fine": {**row, "checks": {"units": "ok"}},
        "bad": {**row, "checks": {"units": "ok", "gate at 0": "off | by one", "backward": "no"}},
        "int8": {**row, "excluded": "quantised"},
        "huge": {**row, "params": 4e8, "out_of_memory": True, "checks": {"units": "can't allocate memory"}},
    }
    text = "\n".join(zoo["table"].section("torchvision", rows))
    assert "## torchvision: 1 of 2" in text
    assert "| bad | gate at 0, backward | off \\| by one |" in text
    assert "| int8 | quantised |" in text
    assert "400 M parameters" in text
    assert "2026-11-21, torch 2.13.0; some lines judge an earlier state" in text


def test_the_sample_has_every_family(zoo):
    families = {"a": [f"a{i}" for i in range(50)], "b": ["b0"], "c": ["c0", "c1"], "none": []}
    shares = {name: zoo["timm"]._share(families, name, 20) for name in families}
    assert sum(shares.values()) == 20
    assert shares["b"] == 1
    assert shares["none"] == 0
    assert shares["a"] > 15
    assert zoo["timm"]._draw(families["a"], 5) == zoo["timm"]._draw(families["a"][::-1], 5)
