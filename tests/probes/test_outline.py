"""The outline of a network, and that it stands in config.json."""

import json

import torch
from torch import nn

import depthprobe as dp
from depthprobe.probes.outline import outline


def test_units_in_order_with_what_a_drawing_needs():
    net = nn.Sequential(nn.Conv2d(1, 6, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(384, 10))
    rows = outline(net, torch.zeros(2, 1, 8, 8))
    assert [(row["name"], row["kind"], row["out_shape"]) for row in rows] == [
        ("0", "conv", [6, 8, 8]),
        ("3", "linear", [10]),
    ]
    assert rows[0]["params"] == 60
    assert json.loads(json.dumps(rows)) == rows


def test_a_network_that_cannot_be_traced_has_none():
    class Coin(nn.Module):
        def forward(self, x):
            raise RuntimeError("no")

    assert outline(Coin(), torch.zeros(2, 3)) == []


def test_a_run_says_its_units(model_file, tmp_path):
    run = tmp_path / "run"
    dp.grow(str(model_file), "digits", out=run, steps=30, seeds=1, copies=1, limit_train=200, lr=0.01)
    config = json.loads((run / "config.json").read_text())
    assert [unit["name"] for unit in config["units"]] == ["0", "5", "9"]
    answer = json.loads((run / "recommendation.json").read_text())
    assert all(row["weight_bytes"] >= 4 * row["params"] for row in answer["depth"]["candidates"])
