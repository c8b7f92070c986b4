"""A time budget: the plan never exceeds it, what the user fixed stays, more time never buys less."""

import json

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

import depthprobe as dp
from depthprobe.config import GrowConfig, TrainConfig
from depthprobe.errors import ConfigError
from depthprobe.probes import budget
from depthprobe.probes.budget import Size, fit, ladder, must_stop, thin
from depthprobe.probes.cost import Forecast, Prices, Span, forecast, ramping_steps
from depthprobe.probes.plan import plan_grow
from depthprobe.runs import RunFolder

DEFAULT = Size(3, 8, 1500)
FIXED = st.sets(st.sampled_from(["seeds", "candidates", "steps"]))


def linear(per_update=0.001, per_hold=0.1, start=2.0):
    return lambda size: start + size.seeds * (2 * size.steps * per_update + 2 * size.candidates * per_hold)


@given(seconds=st.floats(5, 1e5), fixed=FIXED, per_update=st.floats(1e-5, 0.05))
def test_the_plan_fits_or_is_refused(seconds, fixed, per_update):
    price = linear(per_update)
    try:
        found = fit(price, DEFAULT, seconds, fixed=fixed)
    except ConfigError:
        assert price(ladder(DEFAULT, fixed)[0]) > 0.95 * seconds
        return
    assert found.seconds == price(found.size) <= 0.95 * seconds
    for name in fixed:
        assert getattr(found.size, name) == getattr(DEFAULT, name)
    assert found.size.steps >= 600
    assert 2 <= found.size.seeds <= 7
    filled = price(Size(found.size.seeds, found.size.candidates, found.size.steps + 1)) > 0.95 * seconds
    assert filled or "steps" in fixed or found.size.steps == 4 * DEFAULT.steps


@given(seconds=st.floats(5, 1e5), more=st.floats(1, 10), fixed=FIXED)
def test_more_time_never_buys_less(seconds, more, fixed):
    try:
        small = fit(linear(), DEFAULT, seconds, fixed=fixed)
    except ConfigError:
        return
    large = fit(linear(), DEFAULT, more * seconds, fixed=fixed)
    assert (large.rung, large.size.steps) >= (small.rung, small.size.steps)
    assert large.size.seeds >= small.size.seeds
    assert large.size.candidates >= small.size.candidates


def test_the_ladder_shrinks_seeds_last_and_grows_them_first():
    rungs = ladder(DEFAULT)
    middle = rungs.index(DEFAULT)
    assert [rung.seeds for rung in rungs[:middle]] == [2, 3, 3, 3, 3]
    assert [rung.seeds for rung in rungs[middle:]] == [3, 4, 5, 6, 7]
    assert ladder(Size(3, 3, 200))[0] == Size(2, 3, 200)
    prices = [linear()(rung) for rung in rungs]
    assert prices == sorted(prices)


def test_a_budget_that_is_too_small_says_what_would_do():
    with pytest.raises(ConfigError) as refused:
        fit(linear(), DEFAULT, 3.0)
    text = str(refused.value)
    assert "the smallest honest probe takes about" in text
    assert "--time-budget" in text
    least = linear()(ladder(DEFAULT)[0]) / budget.FILL
    assert fit(linear(), DEFAULT, 1.001 * least).size.seeds == 2


def test_a_budget_that_is_too_large_says_so():
    found = fit(linear(), DEFAULT, 1e5)
    assert found.size == Size(7, 8, 6000)
    assert "worth running" in budget.say_fit(found, DEFAULT, 1e5, 1.0)


@given(counts=st.lists(st.integers(1, 60), min_size=2, max_size=9, unique=True), count=st.integers(3, 8))
def test_thinned_candidates_keep_their_ends(counts, count):
    opened = (0, *sorted(counts))
    thinned = thin(opened, count)
    assert set(thinned) <= set(opened)
    assert thinned == tuple(sorted(set(thinned)))
    assert len(thinned) == min(count, len(opened))
    assert (thinned[0], thinned[-1]) == (0, opened[-1])


def test_a_run_stops_between_seeds_only_when_the_next_one_would_overshoot():
    on_time = {"before": 2.0, "least": 2, "budget": 30.0}
    assert not must_stop(20.0, done=2, **on_time)
    assert must_stop(24.0, done=2, **on_time)
    assert not must_stop(24.0, done=1, **on_time)
    assert must_stop(99.0, before=0.0, done=1, least=1, budget=30.0)
    # Seven seeds were planned for 700 s and take 120 s each: six fit, the seventh would end at 840 s.
    stops = [must_stop(120.0 * done, before=0.0, done=done, least=2, budget=700.0) for done in range(1, 7)]
    assert stops == [False, False, False, False, False, True]


def small_plan(**settings):
    model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))
    config = GrowConfig(copies=6, **settings)
    return plan_grow(model, torch.zeros(2, 4), config, TrainConfig(steps=200), 100)


def test_a_resized_plan_is_what_planning_anew_gives():
    config, anew = GrowConfig(copies=6), small_plan(candidates=(0, 2, 4, 6))
    quick = budget.resized(small_plan(), Size(2, 4, 400), config)
    assert quick.opened == anew.opened
    assert quick.steps == 400
    assert budget.resized(small_plan(), Size(2, 4, 200), config) == anew


PRICES = Prices(
    gated=Span(1.0, 3.0), ramping=0.0, plain=Span(1.0, 3.0), score=Span(0.0, 0.0), glance=Span(0.0, 0.0),
    branch=0.0, save=0.0, begin=0.0, finish=0.0,
)  # fmt: skip


def test_the_forecast_adds_up_its_parts():
    plan = small_plan()
    flat = Prices(**{**PRICES.__dict__, "gated": Span(1.0, 1.0), "plain": Span(1.0, 1.0)})
    assert forecast(plan, 2, flat).seconds == pytest.approx(forecast(plan, 2).updates)
    finish = Prices(**{**flat.__dict__, "finish": 5.0})
    assert forecast(plan, 2, finish).seconds == pytest.approx(forecast(plan, 2).updates + 5.0)
    ramping = Prices(**{**flat.__dict__, "ramping": 1.0})
    extra = sum(ramping_steps(plan.schedule(rank)) for rank in range(2))
    assert forecast(plan, 2, ramping).seconds == pytest.approx(forecast(plan, 2).updates + extra)
    assert forecast(plan, 2).updates < forecast(plan, 2, PRICES).seconds < 3 * forecast(plan, 2).updates
    three = forecast(plan, 2, finish, rates=3)
    assert three.updates == 3 * forecast(plan, 2).updates
    assert three.seconds == pytest.approx(three.updates + 5.0)
    assert isinstance(three, Forecast)


def data():
    x = torch.randn(200, 4, generator=torch.Generator().manual_seed(0))
    return {"train": (x, (x[:, 0] > 0).long())}


def net():
    return nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))


def test_a_probe_refuses_a_budget_before_it_creates_anything(tmp_path):
    with pytest.raises(ConfigError, match="too small for an honest probe"):
        dp.grow(net(), data(), out=tmp_path / "run", seeds=40, time_budget=1.0, lr=0.02)
    assert not (tmp_path / "run").exists()


def test_a_slow_machine_ends_the_run_between_seeds_and_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr("depthprobe.probes.grow.must_stop", lambda elapsed, before, done, *rest: done == 2)
    result = dp.grow(net(), data(), out=tmp_path / "run", seeds=4, steps=30, lr=0.02, time_budget=1000.0, threads=1)
    assert result.recommendation.seeds == [0, 1]
    assert any("stopped after 2 of 4 seeds" in note for note in result.recommendation.notes)
    assert any(note.startswith("time budget 16 m 40 s: 4 seeds") for note in result.recommendation.notes)
    records = [json.loads(line) for line in (tmp_path / "run" / "records.jsonl").read_text().splitlines()]
    (stop,) = [record for record in records if record["kind"] == "stop"]
    assert stop["elapsed_seconds"] > 0
    assert records[-1] == stop
    assert result.recommendation.cost["steps"] == sum(r["updates"] for r in records if r["kind"] == "arm")
    with RunFolder.open(tmp_path / "run", write=True) as folder:
        assert folder.restore()["arm"] == 8  # nothing is left to train: a resumed run goes straight to its answer
        assert list(folder.records())[-1] == stop


def test_a_default_that_cannot_be_the_identity_gives_way():
    net = nn.Sequential(
        nn.Conv1d(4, 8, 2, dilation=2), nn.ReLU(), nn.Conv1d(8, 8, 3), nn.ReLU(), nn.Flatten(), nn.LazyLinear(2)
    )
    net(torch.zeros(2, 4, 16))
    plan = plan_grow(net, torch.zeros(2, 4, 16), GrowConfig(copies=1), TrainConfig(steps=100), 100)
    assert [edit.init for edit in plan.edits] == ["default", "identity"]


def test_a_budget_without_end_is_no_budget():
    with pytest.raises(ConfigError):
        GrowConfig(time_budget=float("inf"))
