"""Copies of one stage, or of one site, alone in the network (`--by stage|site`)."""

import json
from collections import OrderedDict

import pytest
import torch
from torch import nn

import depthprobe as dp
from depthprobe.config import GrowConfig, TrainConfig
from depthprobe.errors import ConfigError
from depthprobe.probes.plan import plan_grow


def staged():
    return nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 4, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(4, 6, 3, padding=1), nn.BatchNorm2d(6), nn.ReLU(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 10),
    )  # fmt: skip


def plan(by, copies=2):
    config = GrowConfig(by=by, copies=copies)
    return plan_grow(staged(), torch.zeros(2, 1, 8, 8), config, TrainConfig(steps=100), 200)


def test_a_stage_is_neighbouring_sites_of_one_shape_and_has_all_their_gates():
    stages = plan("stage").places
    assert [place.units for place in stages] == [("0",), ("2",), ("5",)] or [p.units for p in stages] == [
        ("0", "2"), ("5",),
    ]  # fmt: skip
    assert sum((place.gates for place in stages), ()) == plan("stage").gates


def test_a_site_is_one_unit():
    assert [place.units for place in plan("site").places] == [("0",), ("2",), ("5",)]


def test_one_place_only_is_refused():
    net = nn.Sequential(nn.Flatten(), nn.Linear(64, 8), nn.ReLU(), nn.Linear(8, 10))
    with pytest.raises(ConfigError, match="one site only"):
        plan_grow(net, torch.zeros(2, 1, 8, 8), GrowConfig(by="site"), TrainConfig(steps=100), 200)


def test_measuring_places_changes_nothing_else_and_is_reported(tmp_path):
    settings = {"seeds": 2, "steps": 40, "lr": 0.05, "copies": 1, "threads": 1, "limit_train": 400}
    plain = dp.grow(staged(), "digits", out=tmp_path / "plain", **settings)
    result = dp.grow(staged(), "digits", out=tmp_path / "by", by="site", **settings)
    lines = [json.loads(line) for line in (tmp_path / "by" / "records.jsonl").read_text().splitlines()]
    alone = [line for line in lines if line.get("walk") == "alone"]
    assert [(line["seed"], line["place"]) for line in alone] == [(s, n) for s in (0, 1) for n in ("0", "2", "5")]
    before = [json.loads(line) for line in (tmp_path / "plain" / "records.jsonl").read_text().splitlines()]
    rest = [line for line in lines if line.get("walk") != "alone"]
    bills = ("samples", "updates")
    assert [{k: v for k, v in line.items() if k not in bills} for line in rest] == [
        {k: v for k, v in line.items() if k not in bills} for line in before
    ]
    rows = result.recommendation["places"]
    assert [row["place"] for row in rows] == ["0", "2", "5"]
    assert all(row["gain"]["low"] <= row["gain"]["value"] <= row["gain"]["high"] for row in rows)
    assert plain.recommendation["places"] == []
    assert result.recommendation["cost"]["steps"] > plain.recommendation["cost"]["steps"]
    assert "alone, " in result.recommendation["sentence"]
    result.report(tmp_path / "report.html")
    assert (tmp_path / "report.html").stat().st_size > 10_000


def test_the_value_of_a_place_is_that_of_the_network_with_its_copies_only(tmp_path, monkeypatch):
    from depthprobe.probes import holds

    seen = []
    settle = holds.settle_with_map

    def spy(edited):
        seen.append({name: gate.ratio for name, gate in edited.gates.items()})
        return settle(edited)

    monkeypatch.setattr(holds, "settle_with_map", spy)
    dp.grow(staged(), "digits", by="site", seeds=1, steps=40, lr=0.05, copies=1, threads=1, limit_train=400)
    gates = list(seen[0])
    for rank in range(3):
        assert {name: float(name == gates[rank]) for name in gates} in seen


def test_a_place_that_diverges_alone_costs_no_seed(tmp_path, monkeypatch):
    from depthprobe.errors import TrainingError
    from depthprobe.probes import holds

    cool, calls = holds.branch_and_cool, []

    def diverges_once(learner, edited, steps, seed, rates=None):
        calls.append(seed)
        if len(calls) == 5:  # four candidates on the way up, then the first place alone
            raise TrainingError("the loss is no longer finite")
        return cool(learner, edited, steps, seed, rates)

    monkeypatch.setattr(holds, "branch_and_cool", diverges_once)
    result = dp.grow(
        staged(), "digits", out=tmp_path / "run", by="site", seeds=2, steps=40, lr=0.05, copies=1, threads=1,
        limit_train=400,
    )  # fmt: skip
    assert result.recommendation["failed_seeds"] == []
    assert any("alone: the loss is no longer finite" in note for note in result.recommendation["notes"])
    assert len(result.recommendation["places"]) == 3


class Residual(nn.Module):
    def __init__(self, inner, outer):
        super().__init__()
        self.one, self.two = nn.Conv2d(inner, outer, 3, outer // inner, 1), nn.Conv2d(outer, outer, 3, padding=1)
        self.down = nn.Conv2d(inner, outer, 1, 2) if inner != outer else nn.Identity()

    def forward(self, x):
        return torch.relu(self.two(torch.relu(self.one(x))) + self.down(x))


def residual():
    return nn.Sequential(
        OrderedDict(
            stem=nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.ReLU()),
            layer1=nn.Sequential(Residual(4, 4), Residual(4, 4)),
            layer2=nn.Sequential(Residual(4, 8), Residual(8, 8)),
            head=nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 10)),
        )
    )


def plan_residual(**settings):
    config = GrowConfig(by="stage", **settings)
    return plan_grow(residual(), torch.zeros(2, 1, 8, 8), config, TrainConfig(steps=100), 200)


def test_residual_stages_grow_by_whole_blocks_and_are_called_after_their_module():
    plan = plan_residual()
    assert [(place.name, place.units) for place in plan.places] == [
        ("layer1", ("layer1.0", "layer1.1")), ("layer2", ("layer2.0", "layer2.1")),
    ]  # fmt: skip
    assert [len(place.gates) for place in plan.places] == [2, 2]
    assert sum((place.gates for place in plan.places), ()) == plan.gates
    assert set(plan.depths) == {11, 13, 15, 17, 19}  # a block is two convolutions


def test_sites_that_are_named_stay_and_a_stem_is_no_part_of_a_stage():
    plan = plan_residual(sites=("stem.0", "layer1.1", "layer2.0", "layer2.1"))
    assert [place.name for place in plan.places] == ["stem.0", "layer1.1", "layer2"]


def test_a_residual_net_is_probed_by_stage():
    result = dp.grow(residual(), "digits", by="stage", seeds=1, steps=40, lr=0.05, threads=1, limit_train=300)
    rows = result.recommendation["places"]
    assert [(row["place"], row["copies"]) for row in rows] == [("layer1", 2), ("layer2", 2)]
    assert "layer1" in result.recommendation["sentence"]
