"""Sensitivity: the main answer is untouched, the others are beside it, and the sentence says whether it holds."""

import json
from dataclasses import replace

import pytest
import torch
from torch import nn

import depthprobe as dp
from depthprobe.analysis.decision import Decision, Estimate
from depthprobe.config import GrowConfig, TrainConfig
from depthprobe.errors import TrainingError
from depthprobe.inputs import open_model
from depthprobe.probes import grow as probe
from depthprobe.probes import grow_answer
from depthprobe.probes.listener import Listener
from depthprobe.probes.sensitivity import FACTORS, at_rate, better_rates, finished_seeds, probe_arms, say_sensitivity
from depthprobe.probes.setup import DataSource
from depthprobe.runs import RunFolder

SETTINGS = {"seeds": 2, "steps": 100, "candidates": (1,), "lr": 0.1, "threads": 1}


def decision(verdict="keep", depth=2, range95=(2, 3)):
    estimate = Estimate(value=0.9, low=0.8, high=1.0)
    return Decision(
        verdict=verdict, recommended=depth, best_guess=depth, current=2, depths=(2, 3), candidates=(estimate,) * 2,
        control=estimate, fitted=None, tolerance=0.005, confidence=0.95, resolution=0.01, gain=estimate,
        gain_over_control=estimate, resamples=None, range95=range95, reasons=(),
    )  # fmt: skip


def row(verdict="keep", depth=2, seeds=(0, 1)):
    return {"verdict": verdict, "best_guess": depth, "recommended": depth, "seeds": list(seeds)}


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ((row(), row()), ["holds at a third and three times the rate"]),
        ((row(depth=3), row()), ["holds at a third and three times the rate"]),
        ((row(), row("deepen", 3)), ["holds at a third of the rate", "at three times the rate: deepen to 3"]),
        (
            (row("inconclusive", 3), row()),
            ["holds at three times the rate", "at a third of the rate: inconclusive, best guess 3"],
        ),
        (
            (row("failed"), row("not run")),
            ["at a third of the rate: all 2 seeds failed", "at three times the rate: not run (time budget)"],
        ),
    ],
)
def test_the_sentence_says_whether_it_holds(rows, words):
    assert say_sensitivity(decision(), rows) == words


def test_a_depth_outside_the_range_does_not_hold():
    assert say_sensitivity(decision("deepen", 3, (3, 3)), (row("deepen", 5), row("deepen", 3))) == [
        "holds at three times the rate",
        "at a third of the rate: deepen to 5",
    ]
    assert say_sensitivity(decision("inconclusive"), (row("inconclusive"),) * 2) == [
        "no more conclusive at a third and three times the rate"
    ]


def test_a_rate_that_trains_better_is_named():
    worse, better = {**row(), "lr": 0.01, "values": [0.9, 0.904]}, {**row(), "lr": 0.09, "values": [0.91, 0.95]}
    (note,) = better_rates(decision(), (worse, better), 0.03)
    assert "--lr 0.09" in note
    assert better_rates(decision(), ({**row("failed"), "lr": 0.09},), 0.03) == []


def test_the_main_arms_come_first():
    arms = probe_arms([5, 6], sensitivity=True)
    assert arms[:4] == probe_arms([5, 6], sensitivity=False)
    assert [arm.rate for arm in arms] == [1.0] * 4 + [FACTORS[0]] * 4 + [FACTORS[1]] * 4


def data():
    x = torch.randn(200, 4, generator=torch.Generator().manual_seed(0))
    return {"train": (x, (x[:, 0] > 0).long())}


def net():
    return nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))


def records_of(result):
    return [json.loads(line) for line in (result.folder / "records.jsonl").read_text().splitlines()]


def untimed(cost_rows):
    return [{key: value for key, value in row.items() if key != "latency_ms"} for row in cost_rows]


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sensitivity")
    plain = dp.grow(net(), data(), out=folder / "plain", **SETTINGS)
    return plain, dp.grow(net(), data(), out=folder / "three", sensitivity=True, **SETTINGS)


def test_other_rates_are_compared_with_the_rules_own_answer_where_a_budget_decides(runs, tmp_path, monkeypatch):
    seen, price = [], grow_answer.price_depths

    def bound(bench, decision, costs, limits):
        inner, depth, _ = price(bench, decision, costs, {})
        return replace(inner, verdict="deepen", recommended=3, best_guess=3), depth, "Within a budget deepen."

    monkeypatch.setattr(grow_answer, "price_depths", bound)
    monkeypatch.setattr(grow_answer, "say_sensitivity", lambda mine, others: seen.append(mine) or ["said"])
    found = dp.grow(net(), data(), out=tmp_path / "run", sensitivity=True, max_params=10**6, **SETTINGS)
    assert found.recommendation.sentence == "Within a budget deepen; said."
    plain = runs[0].recommendation
    assert (seen[0].verdict, seen[0].recommended) == (plain.verdict, plain.depth["recommended"]) == ("keep", 2)


def test_the_main_answer_is_untouched(runs):
    plain, three = (result.recommendation for result in runs)
    assert plain.sensitivity == []
    assert untimed(plain.depth["candidates"]) == untimed(three.depth["candidates"])
    assert (plain.verdict, plain.control, plain.test) == (three.verdict, three.control, three.test)
    assert three.sentence.startswith(plain.sentence[:-1])
    assert "the rate" in three.sentence[len(plain.sentence) - 1 :]
    main = (runs[0].folder / "records.jsonl").read_bytes()
    assert (runs[1].folder / "records.jsonl").read_bytes().startswith(main)
    assert three.cost["steps"] == 3 * plain.cost["steps"]
    assert three.cost["trainings"] == pytest.approx(3 * plain.cost["trainings"], abs=0.02)
    ours, theirs = (torch.load(r.folder / "model.pt", weights_only=True)["state_dict"] for r in runs)
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


def test_the_other_rates_are_recorded_and_decided(runs):
    records = records_of(runs[1])
    assert {record.get("rate", 1.0) for record in records} == {1.0, *FACTORS}
    assert not any("rate" in record for record in records_of(runs[0]))
    rows = runs[1].recommendation.sensitivity
    assert [row["lr"] for row in rows] == pytest.approx([0.1 / 3, 0.3])
    assert [finished_seeds(records, [0, 1], factor) for factor in FACTORS] == [[0, 1], [0, 1]]
    values = {
        factor: [r["value"] for r in at_rate(records, factor) if r["kind"] == "measurement"] for factor in FACTORS
    }
    assert values[FACTORS[0]] != values[FACTORS[1]]
    for one in rows:
        assert set(one) >= {"lr", "verdict", "recommended", "best_guess"}
    assert runs[1].report(runs[1].folder / "again.html").exists()


def test_all_seeds_failing_at_another_rate_is_said_and_not_fatal(monkeypatch):
    real = probe.run_grow_arm

    def failing(bench, arm, notebook, state=None):
        if arm.rate > 1:
            raise TrainingError("the loss is no longer finite at step 20")
        return real(bench, arm, notebook, state)

    monkeypatch.setattr(probe, "run_grow_arm", failing)
    result = dp.grow(net(), data(), sensitivity=True, **SETTINGS)
    assert result.recommendation.sensitivity[1]["verdict"] == "failed"
    assert "at three times the rate: all 2 seeds failed" in result.recommendation.sentence
    assert result.recommendation.failed_seeds == []


class StopError(Exception):
    """As if killed."""


def test_an_interrupted_run_ends_with_the_same_records(runs, tmp_path, monkeypatch):
    (tmp_path / "net.py").write_text(
        "from torch import nn\nmodel = nn.Sequential(nn.Flatten(), nn.Linear(64, 8), nn.ReLU(), nn.Linear(8, 10))\n"
    )
    grow = GrowConfig(seeds=2, candidates=(1,), sensitivity=True)
    train = TrainConfig(lr=None, steps=40, threads=1)
    model, source = open_model(str(tmp_path / "net.py")), DataSource(spec="digits")
    with probe.create_run(probe.set_up(model, source, grow, train), tmp_path / "whole") as folder:
        probe.run_grow(probe.reopen(folder), folder, Listener())

    class Interrupting(Listener):
        def arm_begun(self, arm, step):
            if arm.rate > 1 and arm.kind == "control":
                raise StopError

    with (
        probe.create_run(probe.set_up(model, source, grow, train), tmp_path / "cut") as folder,
        pytest.raises(StopError),
    ):
        probe.run_grow(probe.reopen(folder), folder, Interrupting())
    monkeypatch.setattr("depthprobe.probes.rate.sweep", lambda *_, **__: pytest.fail("resume repeats the range test"))
    with RunFolder.open(tmp_path / "cut", write=True) as folder:
        setup = probe.reopen(folder)
        assert setup.lr_note == folder.config["lr_note"]
        assert "range test" in setup.lr_note
        probe.run_grow(setup, folder, Listener())
    assert (tmp_path / "cut" / "records.jsonl").read_bytes() == (tmp_path / "whole" / "records.jsonl").read_bytes()
    curves = json.loads((tmp_path / "cut" / "config.json").read_text())["lr_range_test"]
    assert len(curves) == 3
    assert len(curves[0]["rates"]) == len(curves[0]["losses"])
