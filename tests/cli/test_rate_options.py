"""--lr, --sensitivity, --time-budget: what may be typed."""

import json

import pytest

from depthprobe.cli.options import in_words, parse_budget, parse_duration, parse_rate
from depthprobe.errors import ConfigError

NET = """
from torch import nn
model = nn.Sequential(nn.Flatten(), nn.Linear(64, 8), nn.ReLU(), nn.Linear(8, 10))
"""


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90s", 90), ("10m", 600), ("1h30m", 5400), ("600", 600), ("1h", 3600), ("2m30s", 150), ("1.5h", 5400)],
)
def test_durations(text, seconds):
    assert parse_duration(text) == seconds
    assert parse_budget(text) == {"time_budget": seconds}


@pytest.mark.parametrize("text", ["", "soon", "10 minutes", "1h30", "m", "10x", "1.2.3s", "30m1h"])
def test_what_is_no_duration_is_refused(text):
    with pytest.raises(ConfigError, match="--time-budget"):
        parse_duration(text)


def test_rates():
    assert parse_rate(None) == {}
    assert parse_rate("auto") == {"lr": None}
    assert parse_rate("1e-3") == {"lr": 0.001}
    with pytest.raises(ConfigError, match="--lr"):
        parse_rate("fast")
    assert in_words({"lr": "auto", "time_budget": "2m", "seeds": 3}) == {"lr": None, "time_budget": 120.0, "seeds": 3}


@pytest.mark.parametrize(
    ("words", "culprit"),
    [
        (["--time-budget", "soon"], "--time-budget"),
        (["--time-budget", "0"], "--time-budget"),
        (["--time-budget", "nan"], "--time-budget"),
        (["--time-budget", "1s", "--seeds", "90"], "smallest honest probe"),
        (["--lr", "fast"], "--lr"),
        (["--lr", "-1"], "--lr"),
    ],
)
def test_bad_input_creates_nothing(cli, tmp_path, words, culprit):
    (tmp_path / "net.py").write_text(NET)
    code, out, err = cli("grow", "net.py", "-d", "digits", "--out", "run", *words)
    assert code == 2
    assert culprit in err
    assert len(err.splitlines()) <= 6
    assert out == ""
    assert not (tmp_path / "run").exists()


def test_the_chosen_rate_is_printed_first_and_stored(cli, tmp_path):
    (tmp_path / "net.py").write_text(NET)
    options = ["--seeds", "1", "--steps", "150", "--candidates", "1", "--threads", "1"]
    code, out, err = cli("grow", "net.py", "-d", "digits", "--out", "run", "--json", *options)
    assert code == 0
    assert err.splitlines()[0].startswith("learning rate ")
    assert "range test on the base network" in err.splitlines()[0]
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    assert config["train"]["lr"] > 0
    assert config["lr_note"] == err.splitlines()[0]
    assert config["lr_note"] in json.loads(out)["notes"]


def test_training_chooses_its_rate_too(cli, tmp_path):
    (tmp_path / "net.py").write_text(NET)
    code, out, err = cli("train", "net.py", "-d", "digits", "--out", "run", "--json", "--steps", "30", "--threads", "1")
    assert code == 0
    assert err.splitlines()[0].startswith("learning rate ")
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    assert json.loads(out)["lr"] == config["train"]["lr"] > 0
