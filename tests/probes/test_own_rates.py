"""The user's own training together with the range test, the other rates, the forecast and the time budget."""

import json
import math

import pytest
import torch
from torch import nn

import depthprobe as dp
from depthprobe.analysis.decision import Decision, Estimate
from depthprobe.analysis.units import Units
from depthprobe.cli.live import arm_updates
from depthprobe.config import GrowConfig, TrainConfig
from depthprobe.errors import ConfigError
from depthprobe.inputs import Examples, open_model
from depthprobe.inputs.overrides import Overrides
from depthprobe.probes import rate
from depthprobe.probes.budget import Size, resized
from depthprobe.probes.cost import forecast
from depthprobe.probes.grow import reopen, set_up
from depthprobe.probes.own import Own
from depthprobe.probes.sensitivity import FACTORS, at_rate, better_rates
from depthprobe.probes.setup import DataSource
from depthprobe.runs import RunFolder
from depthprobe.training.batches import Batches
from depthprobe.training.device import open_device
from depthprobe.training.learner import Learner
from depthprobe.training.rates import make_rates

NET = """
import torch
from torch import nn
model = nn.Sequential(nn.Linear(3, 8), nn.ReLU(), nn.Linear(8, 1))
def data():
    x = torch.randn(200, 3)
    return {"train": (x, x[:, :1] * x[:, 1:2])}
def loss(output, target):
    return (output - target).abs().mean()
def schedule(done):
    return 0.5 - 0.5 * done
"""
OPTIMIZER = """
def optimizer(parameters):
    parameters = list(parameters)
    weights = {"params": [p for p in parameters if p.ndim > 1]}
    return torch.optim.AdamW([weights, {"params": [p for p in parameters if p.ndim == 1], "lr": 0.004}], lr=0.01)
"""
SHORT = {"seeds": 2, "steps": 30, "threads": 1, "candidates": (1,), "batch_size": 32}
MEASURED = {"metric": "neg_mae", "tolerance": 0.1}


@pytest.fixture
def path(tmp_path):
    (tmp_path / "net.py").write_text(NET)
    (tmp_path / "tuned.py").write_text(NET + OPTIMIZER)
    return tmp_path


def lines(run):
    return [json.loads(line) for line in (run.folder / "records.jsonl").read_text().splitlines()]


def test_other_rates_of_an_own_optimizer(path, monkeypatch):
    """A regression: no range test, all groups' rates multiplied, numbers in units of the metric, resumable."""
    monkeypatch.setattr(rate, "sweep", lambda *_, **__: pytest.fail("the optimizer has its own rates"))
    model, data = str(path / "tuned.py"), f"{path / 'tuned.py'}:data"
    run = dp.grow(model, data, lr=None, sensitivity=True, out=path / "run", **MEASURED, **SHORT)
    answer = run.recommendation
    assert [row["lr"] for row in answer.sensitivity] == [None, None]
    assert [row["factor"] for row in answer.sensitivity] == list(FACTORS)
    assert answer.notes.count("the optimizer of tuned.py sets its own rates") == 1
    assert "from tuned.py: loss, optimizer, schedule" in answer.notes
    assert "the rate" in answer.sentence
    assert "neg_mae" in answer.sentence
    assert "points" not in answer.sentence
    config = json.loads((path / "run" / "config.json").read_text())
    assert (config["train"]["lr"], config["lr_range_test"]) == (None, [])
    values = [[r["value"] for r in at_rate(lines(run), f) if r["kind"] == "measurement"] for f in (1.0, *FACTORS)]
    assert len({tuple(v) for v in values}) == 3
    assert "your optimizer" in run.report(path / "page.html").read_text()
    again = reopen(RunFolder.open(run.folder))
    assert (again.lr_note, again.bench.train.lr) == (config["lr_note"], None)


def test_a_factor_on_the_rates_is_a_rate(path):
    """Of the built-in optimizer bit for bit the training at that rate; of an own one every group's."""
    accelerator = open_device("cpu", "no")
    x = torch.randn(64, 3, generator=torch.Generator().manual_seed(0))
    batches = Batches(Examples(x, x[:, :1]), 16, 0, False, accelerator.device)

    def trained(config, factor, own=None):
        torch.manual_seed(0)
        net = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 1))
        learner = Learner(net, batches, config, accelerator, own, factor)
        learner.run(10, lambda step: 0.5)
        return learner

    one, two = trained(TrainConfig(lr=0.1), 0.5), trained(TrainConfig(lr=0.05), 1.0)
    assert all(torch.equal(a, b) for a, b in zip(one.net.parameters(), two.net.parameters(), strict=True))
    own = open_model(str(path / "tuned.py")).overrides()
    groups = trained(TrainConfig(), 3.0, own).optimizer.param_groups
    assert [group["lr"] for group in groups] == pytest.approx([0.5 * 0.03, 0.5 * 0.012])


def test_the_range_test_trains_with_the_users_functions(path):
    run = dp.grow(
        str(path / "net.py"), f"{path / 'net.py'}:data", out=path / "run", **{**SHORT, "seeds": 1}, **MEASURED
    )
    config = json.loads((path / "run" / "config.json").read_text())
    assert len(config["lr_range_test"]) == rate.SWEEPS
    assert config["lr_note"] in run.recommendation.notes
    assert "x 0.5, the schedule's largest" in config["lr_note"]
    first = config["lr_range_test"][0]["losses"][0]
    assert first < 3  # the mean absolute error of a new network


def test_the_rate_found_is_that_of_the_walk():
    choice = rate.RateChoice(lr=0.04, note="learning rate 0.04 (found)")
    assert rate.under_schedule(choice, 1.0) is choice
    assert rate.under_schedule(choice, 0.5).lr == 0.08
    with pytest.raises(ConfigError, match="too small"):
        rate.under_schedule(choice, 1e-4)
    assert make_rates(Overrides(schedule=lambda done: 0.5 - 0.5 * done)).largest == 0.5


def test_guessing():
    labels, numbers = torch.tensor([0, 0, 1, 1]), torch.tensor([[1.0], [3.0]])
    assert rate.guessing_loss(labels) == pytest.approx(math.log(2))
    assert rate.guessing_loss(numbers) == pytest.approx(1.0)
    assert rate.guessing_loss(numbers, Overrides(loss=nn.L1Loss())) == pytest.approx(1.0)
    assert rate.guessing_loss(labels, Overrides(loss=nn.CrossEntropyLoss())) == pytest.approx(math.log(2))
    assert rate.guessing_loss(labels, Overrides(loss=lambda output, target: output.nothing)) is None
    assert rate.guessing_loss(labels, Overrides(training_step=lambda model, batch: 0)) is None
    reading = rate.read_curve([0.1 * 2**i for i in range(40)], [-1.0 - 0.1 * i for i in range(40)], None)
    assert reading is not None


def test_an_own_optimizer_is_not_tested():
    own = Own(functions=Overrides(optimizer=torch.optim.SGD), origins={"optimizer": "somewhere/net.py"})
    choice = rate.find_rate(None, None, TrainConfig(), augment=False, accelerator=None, own=own)
    assert (choice.lr, choice.note, choice.to_json()) == (None, "the optimizer of net.py sets its own rates", [])


def test_better_rates_are_said_in_the_metrics_units():
    worst = Estimate(value=-0.5, low=-0.6, high=-0.4)
    decision = Decision(
        verdict="keep", recommended=2, best_guess=2, current=2, depths=(2, 3), candidates=(worst,) * 2, control=worst,
        fitted=None, tolerance=0.1, confidence=0.95, resolution=0.01, gain=worst, gain_over_control=worst,
        resamples=None, range95=None, reasons=(),
    )  # fmt: skip
    rows = ({"verdict": "failed", "lr": None}, {"verdict": "keep", "lr": None, "values": [-0.25, -0.3]})
    (note,) = better_rates(decision, rows, None, Units(metric="neg_mae", fraction=False, tolerance=0.1))
    assert note.startswith("at three times your optimizer's rates the best depth reaches -0.25 instead of -0.50")


@pytest.mark.parametrize("file", ["net.py", "tuned.py"])
def test_a_time_budget_with_a_regression(file, path, monkeypatch):
    monkeypatch.setattr("depthprobe.probes.grow.must_stop", lambda elapsed, before, done, *rest: done == 2)
    run = dp.grow(str(path / file), f"{path / file}:data", out=path / "run", time_budget=1000.0, sensitivity=True,
                  **SHORT)  # fmt: skip
    answer = run.recommendation
    assert answer.seeds == [0, 1]
    assert [row["verdict"] for row in answer.sensitivity] == ["not run"] * 2
    assert answer.sentence.count("not run (time budget)") == 2
    assert sum("stopped after 2 of 6 seeds" in note for note in answer.notes) == 1
    assert sum(note.startswith("time budget 16 m 40 s") for note in answer.notes) == 1
    assert answer.metric == "r2"


def test_branches_on_the_way_up_are_forecast(path):
    config = GrowConfig(seeds=2, candidates=(1, 2), up_cool_share=0.5, cool_share=0.1)
    source = DataSource(spec=f"{path / 'net.py'}:data")
    setup = set_up(open_model(str(path / "net.py")), source, config, TrainConfig(lr=0.01, steps=100), timed=False)
    plan = setup.bench.plan
    assert (plan.up_cool, plan.cool) == (50, 10)
    trunk = sum(plan.schedule(rank).steps + plan.updates for rank in range(2))
    assert forecast(plan, 2).updates == trunk + 2 * (2 * 50 + 3 * 10)
    assert sum(arm_updates(setup, arm)[1] for arm in setup.arms) == forecast(plan, 2).updates
    assert resized(plan, Size(2, 3, 200), config).up_cool == 100
    assert setup.lr_note == "learning rate 0.01 (as asked)"
