"""--log: trackers hear what is recorded, in the run folder too; what is not installed is refused before anything."""

import json

import pytest
from accelerate.tracking import GeneralTracker, register_tracker_class

from depthprobe.cli import main
from depthprobe.errors import ConfigError
from depthprobe.probes.tracking import check_trackers, values_of


class LinesTracker(GeneralTracker):
    """A tracker as anyone may register one: a file of lines."""

    name = "lines"
    requires_logging_directory = True

    def __init__(self, run_name, logging_dir):
        super().__init__()
        self.run_name, self.place = run_name, logging_dir

    @property
    def tracker(self):
        return self.file

    def start(self):
        import pathlib

        pathlib.Path(self.place).mkdir()
        self.file = (pathlib.Path(self.place) / "lines.jsonl").open("w")

    def store_init_configuration(self, values):
        self._write({"config": values, "run": self.run_name})

    def log(self, values, step=None, **kwargs):
        self._write({"step": step, **values})

    def _write(self, line):
        self.file.write(json.dumps(line) + "\n")

    def finish(self):
        self.file.close()


register_tracker_class(LinesTracker)


@pytest.fixture
def model(tmp_path):
    path = tmp_path / "net.py"
    path.write_text("from torch import nn\nNet = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))\n")
    return f"{path}:Net"


def run_cli(*words):
    with pytest.raises(SystemExit) as ended:
        main([str(word) for word in words])
    return ended.value.code


def test_trackers_hear_what_is_recorded(model, tmp_path):
    run = tmp_path / "run"
    words = ["train", model, "--dataset", "digits", "--steps", "60", "--lr", "0.02", "--quiet", "--log", "lines"]
    assert run_cli(*words, "--out", run) == 0
    first, *lines = [json.loads(line) for line in (run / "log/lines.jsonl").read_text().splitlines()]
    assert first["run"] == "run"
    assert first["config"]["train.lr"] == 0.02
    records = [json.loads(line) for line in (run / "records.jsonl").read_text().splitlines()]
    traces = [record for record in records if record["kind"] == "trace"]
    assert [(line["step"], line["seed 0/train/loss"]) for line in lines] == [(r["step"], r["loss"]) for r in traces]


@pytest.mark.parametrize(("name", "said"), [("wandb", "pip install wandb"), ("paper", "unknown tracker 'paper'")])
def test_a_tracker_that_is_not_there_is_refused_before_anything_exists(
    model, tmp_path, capsys, monkeypatch, name, said
):
    monkeypatch.setattr("depthprobe.probes.tracking.get_available_trackers", list)
    words = ["train", model, "--dataset", "digits", "--steps", "60", "--lr", "0.02", "--log", name]
    assert run_cli(*words, "--out", tmp_path / "run") == 2
    assert said in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_a_registered_tracker_is_known():
    check_trackers(["lines"])
    with pytest.raises(ConfigError, match="unknown"):
        check_trackers(["lines", "rows"])


def test_every_arm_has_names_of_its_own():
    record = {"kind": "measurement", "seed": 1, "arm": "grow", "walk": "down", "value": 0.5, "depth": 3, "step": 9}
    assert values_of(record) == {"seed 1/grow/down/value": 0.5, "seed 1/grow/down/depth": 3}
    assert next(iter(values_of({**record, "rate": 3.0}))).startswith("seed 1/grow lr x 3/")
    assert values_of({"kind": "arm", "seed": 1, "arm": "grow"}) == {}
