"""Settings: validated at birth, JSON both ways, unknown keys named with the close one; the CLI's flags are frozen."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from depthprobe.config import GrowConfig, ShrinkConfig, TrainConfig, TrainingConfig, WidthConfig
from depthprobe.errors import ConfigError

GOLDEN = Path(__file__).parent / "golden" / "flags.json"


@pytest.mark.parametrize("kind", [GrowConfig, ShrinkConfig, TrainConfig, TrainingConfig, WidthConfig])
def test_json_both_ways(kind):
    config = kind()
    assert kind.from_json(json.loads(json.dumps(config.to_json()))) == config


def test_lists_become_tuples():
    config = GrowConfig(candidates=(1, 2), sites=("a", "b"))
    assert GrowConfig.from_json(json.loads(json.dumps(config.to_json()))) == config


@pytest.mark.parametrize(
    ("kind", "settings", "culprit"),
    [
        (TrainConfig, {"lr": 0}, "--lr"),
        (TrainConfig, {"lr": float("nan")}, "--lr"),
        (TrainConfig, {"lr": True}, "--lr"),
        (TrainConfig, {"momentum": 1.0}, "setting momentum"),
        (TrainConfig, {"batch_size": 1.5}, "--batch-size"),
        (TrainConfig, {"optimizer": "sdg"}, "sdg"),
        (TrainConfig, {"precision": "fp8"}, "bf16"),
        (TrainConfig, {"clip": -1}, "--clip"),
        (GrowConfig, {"seeds": 0}, "--seeds"),
        (GrowConfig, {"tolerance": 0.5}, "did you mean 0.005"),
        (GrowConfig, {"tolerance": 0.0}, "--tolerance"),
        (GrowConfig, {"confidence": 1.0}, "setting confidence"),
        (GrowConfig, {"init": "gaussian:zero"}, "gaussian:STD"),
        (GrowConfig, {"init": "gaussian:-1"}, "gaussian:STD"),
        (GrowConfig, {"candidates": (-1,)}, "--candidates"),
        (WidthConfig, {"ratios": (0.0,)}, "--ratios"),
        (WidthConfig, {"ratios": (0.5, "half")}, "--ratios"),
        (WidthConfig, {"round_to": 0}, "--round-to"),
        (TrainingConfig, {"length_share": 1.5}, "setting length_share"),
        (TrainingConfig, {"schedule": "sudden"}, "staggered"),
    ],
)
def test_out_of_range_names_the_option(kind, settings, culprit):
    with pytest.raises(ConfigError) as error:
        kind(**settings)
    assert culprit in str(error.value)
    assert len(str(error.value).splitlines()) <= 6


def test_an_unknown_key_names_the_close_one():
    with pytest.raises(ConfigError, match="did you mean 'seeds'"):
        GrowConfig.from_json({"seed_s": 3})


def test_the_flags_of_the_command_line_are_frozen():
    """A changed flag breaks somebody's script: change tests/golden/flags.json knowingly."""
    found = {}
    verbs = ("grow", "shrink", "width", "train", "inspect", "report", "export", "resume", "doctor", "tune", "worker")
    for verb in (*verbs, "ext build", "ext status"):
        text = subprocess.run(
            [sys.executable, "-m", "depthprobe", *verb.split(), "--help"],
            capture_output=True, text=True, check=True, env={"COLUMNS": "200", "PATH": "/usr/bin", "NO_COLOR": "1"},
        ).stdout  # fmt: skip
        found[verb] = sorted(set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", text)))
    assert found == json.loads(GOLDEN.read_text())
