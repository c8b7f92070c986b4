"""Grow where more depth pays: verified from scratch, and under budgets that choose another depth than the rule."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch

import depthprobe as dp
from depthprobe.analysis.scores import SeedScores
from depthprobe.errors import ConfigError
from depthprobe.graph.costs import count_parameters, count_weight_layers
from depthprobe.inputs import open_model
from depthprobe.probes import api, verify
from depthprobe.probes import grow as probe
from depthprobe.probes.grow_answer import conclude, weigh
from depthprobe.probes.listener import Listener
from depthprobe.runs import RunFolder

NET = """
from torch import nn
model = nn.Sequential(
    nn.Conv1d(1, 12, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool1d(1), nn.Flatten(), nn.Linear(12, 3)
)
"""
STEPS, LR, TOLERANCE = 150, 0.1, 0.05
FEW = {"steps": STEPS, "lr": LR, "threads": 1, "seeds": 2, "copies": 2, "tolerance": TOLERANCE}


def spikes():
    """Two spikes 1, 3 or 4 apart: one conv of three sees the first distance only, two see all."""
    dice = torch.Generator().manual_seed(0)
    y, first, rows = torch.randint(0, 3, (1500,), generator=dice), torch.randint(2, 8, (1500,), generator=dice), 1500
    x = torch.zeros(rows, 1, 14)
    for place in (first, first + torch.tensor([1, 3, 4])[y]):
        x[torch.arange(rows), 0, place] = 1.0
    return {"train": (x, y)}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    place = tmp_path_factory.mktemp("grow-verify")
    (place / "net.py").write_text(NET)
    torch.manual_seed(7)
    torch.save(open_model(str(place / "net.py")).build(7).state_dict(), place / "start.pt")
    return place


@pytest.fixture(scope="module")
def deepened(folder):
    """(result of a run that begins with a checkpoint, its setup, what every training of --verify began with)."""
    setups, begun, run_grow, begin_arm = [], [], probe.run_grow, verify.begin_arm

    def run(setup, *rest):
        setups.append(setup)
        return run_grow(setup, *rest)

    def begin(net, bench, split, arm, *rest):
        state = {name: value.clone() for name, value in net.state_dict().items()}
        learner = begin_arm(net, bench, split, arm, *rest)
        about = {
            "train": bench.train,
            "teacher": bench.teacher,
            "valid": split.valid_id,
            "batch": learner.batches.at(5),
        }
        begun.append({"kind": arm.kind, "seed": arm.seed, "state": state, "layers": count_weight_layers(net), **about})
        return learner

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(api, "run_grow", run)
        patch.setattr(verify, "begin_arm", begin)
        result = dp.grow(
            str(folder / "net.py"), spikes(), checkpoint=folder / "start.pt", verify=True, out=folder / "run", **FEW
        )
    return result, setups[0], begun


def records_of(result, kind):
    lines = map(json.loads, (result.folder / "records.jsonl").read_text().splitlines())
    return [record for record in lines if record["kind"] == kind]


def test_both_are_trained_from_scratch_with_the_same_seeds_and_steps(deepened, folder):
    result, _, begun = deepened
    bills = [(r["arm"], r["seed"], r["updates"]) for r in records_of(result, "arm") if r["arm"].startswith("verify")]
    pairs = [(kind, seed) for seed in (0, 1) for kind in ("verify current", "verify advised")]
    assert bills == [(kind, seed, STEPS) for kind, seed in pairs]
    assert [(one["kind"], one["seed"], one["layers"]) for one in begun] == [
        (kind, seed, 3 if kind == "verify advised" else 2) for kind, seed in pairs
    ]
    source = open_model(str(folder / "net.py"))
    for current, advised in (begun[:2], begun[2:]):
        drawn = source.build(current["seed"]).state_dict()  # not the checkpoint that the probe began with
        for started in (current["state"], advised["state"]):
            assert all(torch.equal(started[name], drawn[name]) for name in drawn)
        assert all(torch.equal(one, two) for one, two in zip(current["batch"], advised["batch"], strict=True))
        assert (current["valid"], current["train"]) == (advised["valid"], advised["train"])
        assert (current["train"].lr, current["train"].steps) == (LR, STEPS)
    names = set(begun[1]["state"]) - set(begun[0]["state"])
    assert names == {name for name in result.model.state_dict() if "_copy" in name} != set()
    assert not torch.equal(begun[0]["state"]["0.weight"], begun[2]["state"]["0.weight"])


def test_the_answer_says_what_both_became_and_whether_the_advice_held(deepened):
    result, _, _ = deepened
    answer = result.recommendation
    values = {kind: [] for kind in verify.KINDS}
    for record in records_of(result, "measurement"):
        if record["arm"] in verify.KINDS:
            values[record["arm"]].append(record["value"])
    means = [np.mean(values[kind]) for kind in (verify.CURRENT, verify.ADVISED)]
    said = [answer.verified[name] for name in ("current", "recommended")]
    assert [row["value"] for row in said] == pytest.approx(means)
    for row in said:
        assert 0.0 <= row["low"] <= row["value"] <= row["high"] <= 1.0
    assert means[1] > means[0] + 0.2
    assert answer.verified["difference"]["value"] == pytest.approx(means[1] - means[0])
    facts = {name: answer.verified[name] for name in ("held", "seeds", "steps", "lr")}
    assert facts == {"held": "yes", "seeds": [0, 1], "steps": STEPS, "lr": LR}
    assert (answer.verdict, answer.depth["recommended"]) == ("deepen", 3)
    assert "; verified from scratch: " in answer.sentence
    assert answer.sentence.endswith(": the advice holds.")
    assert not any("verif" in note for note in answer.notes)


def verified_again(deepened, monkeypatch, current, advised, **limits):
    """What the run says under `verified` had both networks become this good; nothing is trained."""
    result, setup, _ = deepened
    setup, folder = replace(setup, config=replace(setup.config, **limits)), RunFolder.open(result.folder)
    table = np.stack([(np.arange(1000) < round(1000 * share)).astype(float) for share in (current, advised)])
    scores = [SeedScores(seed=seed, candidates=table, control=table[0], examples="all") for seed in (0, 1)]
    monkeypatch.setattr(verify, "run_arms", lambda *_, **__: 0.0)
    monkeypatch.setattr(verify, "read_verified", lambda *_: scores)
    return probe._verify(setup, folder, Listener(), weigh(setup, folder))[0]


@pytest.mark.parametrize(("current", "advised", "held"), [(0.8, 0.9, "yes"), (0.9, 0.9, "unclear"), (0.9, 0.8, "no")])
def test_more_depth_has_to_be_better_not_only_no_worse(deepened, monkeypatch, current, advised, held):
    assert verified_again(deepened, monkeypatch, current, advised)["held"] == held


@pytest.mark.parametrize(("advised", "held"), [(0.95, "yes"), (0.7, "no")])
def test_what_a_budget_asked_to_be_kept_has_to_be_kept_from_scratch(deepened, monkeypatch, advised, held):
    assert verified_again(deepened, monkeypatch, 0.5, advised, keep_accuracy=0.85)["held"] == held


def test_advice_to_keep_the_network_leaves_nothing_to_verify():
    x = torch.randn(300, 4, generator=torch.Generator().manual_seed(0))
    net = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.ReLU(), torch.nn.Linear(8, 2))
    few = {"steps": 60, "lr": 0.1, "threads": 1, "seeds": 1, "copies": 1, "tolerance": 0.1}
    result = dp.grow(net, {"train": (x, (x[:, 0] > 0).long())}, verify=True, **few)
    assert result.recommendation.verdict == "keep"
    assert result.recommendation.verified is None
    assert (
        "there was nothing to verify: the advice is the network as it is, or no advice" in result.recommendation.notes
    )
    assert {r["arm"] for r in records_of(result, "arm")} == {"grow", "control"}


@pytest.mark.parametrize(
    ("limits", "verdict", "layers", "said"),
    [
        ({"max_params": 300}, "keep", 2, "Within --max-params 300 keep 2 layers: "),
        ({"max_macs": 600}, "keep", 2, "Within --max-macs 600 keep 2 layers: "),
        ({"keep_accuracy": 0.6}, "keep", 2, "Within --keep-accuracy 0.6 keep 2 layers: "),
        ({"keep_accuracy": 0.9}, "deepen", 3, "Within --keep-accuracy 0.9 deepen from 2 to 3 layers: "),
        ({"max_params": 300, "keep_accuracy": 0.9}, "inconclusive", None, "the closest: 2 layers, 87 parameters"),
        ({"max_params": 600}, "deepen", 3, None),
    ],
)
def test_a_budget_chooses_the_depth(deepened, limits, verdict, layers, said):
    result, setup, _ = deepened
    weighed = weigh(replace(setup, config=replace(setup.config, **limits)), RunFolder.open(result.folder))
    assert (weighed.unlimited.verdict, weighed.unlimited.recommended) == ("deepen", 3)
    assert (weighed.decision.verdict, weighed.decision.recommended) == (verdict, layers)
    assert weighed.depth["recommended"] == layers
    if said is None:  # the rule's own advice fits
        assert weighed.sentence is None
    else:
        assert said in weighed.sentence
        assert weighed.sentence.endswith("; without a budget these measurements say: deepen from 2 to 3 layers.")


def test_the_network_that_a_budget_chooses_is_handed_back(deepened, tmp_path):
    result, setup, _ = deepened
    shutil.copytree(result.folder, tmp_path / "run")
    setup = replace(setup, config=replace(setup.config, max_params=300))
    with RunFolder.open(tmp_path / "run", write=True) as folder:
        found = conclude(setup, folder, 1.0, weigh(setup, folder))
    assert found.recommendation.sentence.startswith("Within --max-params 300 keep 2 layers")
    assert found.recommendation.add == []
    assert count_parameters(found.model) == 87
    assert (
        torch.load(tmp_path / "run/model.pt", weights_only=True)["state_dict"].keys() == found.model.state_dict().keys()
    )


@pytest.mark.parametrize(
    ("limit", "least"), [({"max_params": 86}, "87 parameters"), ({"max_macs": 539}, "540 multiply")]
)
def test_a_budget_below_the_network_as_it_is_is_refused_and_the_least_is_named(folder, limit, least):
    with pytest.raises(ConfigError, match="no network of this probe fits the budget") as refused:
        dp.grow(str(folder / "net.py"), spikes(), out=folder / "never", **FEW, **limit)
    assert f"the smallest, of 2 layers, has {least}" in str(refused.value)
    (name,) = limit
    assert f"--{name.replace('_', '-')} {least.split()[0]}" in str(refused.value)
    assert not (folder / "never").exists()
