"""What a grow run promises: its files, its numbers, its honesty."""

import json

import numpy as np
import pytest
import torch
from torch import nn

import depthprobe as dp
from depthprobe.errors import ConfigError, TrainingError
from depthprobe.inputs import open_model
from depthprobe.probes.answer import find_collapse, read_scores, unpack_scores

FIELDS = {
    "schema", "command", "verdict", "sentence", "metric", "tolerance", "confidence", "resolution", "seeds",
    "failed_seeds", "depth", "width", "add", "remove", "control", "verified", "cost",
}  # fmt: skip


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("grow")
    model = folder / "net.py"
    model.write_text(
        "from torch import nn\nmodel = nn.Sequential(nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), "
        "nn.Conv2d(8, 8, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(128, 10))\n"
    )
    return dp.grow(str(model), "digits", out=folder / "run", seeds=2, steps=200, threads=1)


def test_the_run_folder_holds_what_the_contract_names(run):
    names = {path.name for path in run.folder.iterdir()}
    assert names >= {"config.json", "environment.json", "records.jsonl", "checkpoints", "recipe.json", "model.pt"}
    written = json.loads((run.folder / "recommendation.json").read_text())
    assert set(written) >= FIELDS
    assert written == json.loads(json.dumps(run.recommendation.to_json()))
    for row in written["depth"]["candidates"]:
        assert set(row) >= {"depth", "value", "low", "high", "params", "macs", "latency_ms"}
        assert 0 <= row["low"] <= row["value"] <= row["high"] <= 1
    assert set(written["cost"]) == {"steps", "sample_passes", "wall_seconds", "trainings"}
    assert run.recommendation["verdict"] == written["verdict"]


def test_the_saved_model_is_what_the_recipe_builds(run):
    saved = torch.load(run.folder / "model.pt", weights_only=True)
    about = saved["depthprobe"]
    recipe = dp.recipe_from_json((run.folder / "recipe.json").read_text())
    assert about["recipe"] == (run.folder / "recipe.json").read_text()
    source = open_model(about["model"]["spec"])
    plain = dp.settle(dp.apply(source.build(5), recipe, torch.zeros(2, 1, 8, 8)))
    plain.load_state_dict(saved["state_dict"], strict=True)
    assert not any(type(module).__module__.startswith("depthprobe") for module in plain.modules())
    x = torch.randn(3, 1, 8, 8)
    assert torch.equal(plain.eval()(x), run.model.eval()(x))


def test_the_records_give_the_answer_again(run):
    records = [json.loads(line) for line in (run.folder / "records.jsonl").read_text().splitlines()]
    scores = read_scores(records, [0, 1, 2, 3], [0, 1])
    means = np.mean([one.candidates.mean(1) for one in scores], axis=0)
    assert means == pytest.approx([row["value"] for row in run.curve])
    down = [r for r in records if r["kind"] == "measurement" and r["walk"] == "down"]
    assert all(unpack_scores(r).mean() == pytest.approx(r["value"]) for r in down)
    assert sum(r["updates"] for r in records if r["kind"] == "arm") == run.recommendation.cost["steps"]


def test_forecast_and_bill_agree_when_nothing_fails(run):
    from depthprobe.probes.grow import reopen
    from depthprobe.runs import RunFolder

    setup = reopen(RunFolder.open(run.folder))
    assert setup.forecast.updates == run.recommendation.cost["steps"]
    assert run.recommendation.cost["trainings"] == pytest.approx(setup.forecast.trainings, abs=0.01)


def test_the_folds_of_small_data_differ_by_seed(run):
    records = [json.loads(line) for line in (run.folder / "records.jsonl").read_text().splitlines()]
    folds = {r["seed"]: r["valid_id"] for r in records if r["kind"] == "measurement"}
    assert len(set(folds.values())) == 2


def test_the_model_is_left_as_found():
    model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2)).eval()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    x = torch.randn(200, 4, generator=torch.Generator().manual_seed(0))
    generator, threads = torch.get_rng_state(), torch.get_num_threads()
    result = dp.grow(model, {"train": (x, (x[:, 0] > 0).long())}, seeds=1, steps=150, threads=2)
    assert torch.equal(generator, torch.get_rng_state())
    assert threads == torch.get_num_threads()
    assert not model.training
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert result.recommendation.verdict in ("keep", "deepen", "inconclusive")
    with pytest.raises(ConfigError, match="did you mean 'steps'"):
        dp.grow(model, {"train": (x, (x[:, 0] > 0).long())}, stepss=30)


def test_every_seed_diverging_is_an_error_that_says_so():
    model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))
    x = 100 * torch.randn(200, 4, generator=torch.Generator().manual_seed(0))
    with pytest.raises(TrainingError, match="2 seeds failed") as failure:
        dp.grow(model, {"train": (x, (x[:, 0] > 0).long())}, seeds=2, steps=60, lr=90.0, weight_decay=5.0)
    assert "diverged" in str(failure.value)
    assert "--lr" in str(failure.value)


def test_a_collapse_is_noticed_and_says_where():
    def row(value, walk, depth):
        return {"kind": "measurement", "arm": "grow", "seed": 3, "value": value, "walk": walk, "depth": depth}

    fine = [row(0.9, "up", 3), row(0.95, "up", 4), row(0.94, "down", 4)]
    assert find_collapse(fine, 3, 0.1) is None
    broken = [*fine, row(0.1, "up", 9)]
    failure = find_collapse(broken, 3, 0.1)
    assert failure is not None
    assert "9 layers" in failure.what
    chance = [row(0.1, "up", 3), row(0.08, "up", 4)]
    assert find_collapse(chance, 3, 0.1) is None


def test_result_saves_and_reports(run, tmp_path):
    saved = run.save(tmp_path / "copy")
    assert (saved / "model.pt").exists()
    page = run.report(tmp_path / "page.html")
    assert run.recommendation.sentence.split(":")[0] in page.read_text()
