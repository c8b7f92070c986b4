"""Whole runs under torchrun: one answer, one folder, one message when one process fails, resumable by any number."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from depthprobe.cli import main
from depthprobe.errors import ConfigError, ProcessError
from depthprobe.probes.together import FollowerFolder, check_same
from depthprobe.runs import RunFolder

HERE = Path(__file__).parent
MODEL = """
import os
from torch import nn
from torch.nn import functional as F

Net = nn.Sequential(nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(512, 10))
calls = 0


def loss(output, target):
    global calls
    calls += 1
    if os.environ.get("FAILS", "nobody") == os.environ.get("RANK") and calls > 30:
        raise ValueError("only in one process")
    return F.cross_entropy(output, target)
"""


def launch(*words, **environment):
    """torchrun with two processes."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", *words]
    return subprocess.run(
        command,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
        env={**os.environ, "OMP_NUM_THREADS": "1", **environment},
    )


def run_cli(*words):
    with pytest.raises(SystemExit) as ended:
        main([str(word) for word in words])
    return ended.value.code


def test_python_gives_every_process_the_answer_and_the_first_one_the_network(tmp_path):
    done = launch(str(HERE / "grow_in_python.py"), str(tmp_path))
    assert done.returncode == 0, done.stderr
    first, second = (json.loads((tmp_path / f"{rank}.json").read_text()) for rank in range(2))
    assert first["recommendation"] == second["recommendation"]
    assert first["held"] > 0
    assert "model.pt" in second["held"]
    records = [json.loads(line) for line in (tmp_path / "run/records.jsonl").read_text().splitlines()]
    steps = [(r["arm"], r["step"]) for r in records if r["kind"] == "trace"]
    assert len(steps) == len(set(steps)), "written by both processes"


@pytest.fixture
def model(tmp_path):
    path = tmp_path / "net.py"
    path.write_text(MODEL)
    return f"{path}:Net"


def test_a_failure_in_one_process_ends_all_with_one_message_and_one_process_goes_on(model, tmp_path, capsys):
    words = ["train", model, "--dataset", "digits", "--grow", "--steps", "120", "--lr", "0.02", "--batch-size", "32"]
    whole, run = tmp_path / "whole", tmp_path / "run"
    done = launch("-m", "depthprobe", *words, "--out", str(run), FAILS="1")
    assert done.returncode != 0
    assert done.stderr.count("error: ") == 1, done.stderr
    assert "only in one process" in done.stderr
    assert done.stdout == ""
    assert run_cli("resume", run, "--quiet") == 0
    assert run_cli(*words, "--out", whole, "--quiet") == 0
    nets = [torch.load(place / "model.pt", weights_only=True)["state_dict"] for place in (whole, run)]
    for name, tensor in nets[0].items():
        torch.testing.assert_close(tensor, nets[1][name], atol=1e-3, rtol=0)


def test_bad_usage_is_said_once():
    done = launch("-m", "depthprobe", "train", "nowhere.py", "--dataset", "digits")
    assert done.stderr.count("error: ") == 1, done.stderr


def test_processes_that_chose_differently_are_refused():
    check_same({"lr": 0.1, "setup_seconds": 1.0}, {"lr": 0.1, "setup_seconds": 2.0, "command": "grow"})
    with pytest.raises(ConfigError, match="chose differently") as found:
        check_same({"train": {"lr": 0.1}}, {"train": {"lr": 0.2}})
    assert found.value.where == "train"


def test_only_the_first_process_goes_back_to_a_checkpoint(tmp_path):
    """Going back cuts the records on disk: another process that did so would cut those of the first."""
    with RunFolder.create(tmp_path / "run", "grow", {}, {}) as folder:
        folder.append({"kind": "note"})
        follower = FollowerFolder(folder.path, folder.config, [{"kind": "note"}])
        with pytest.raises(ProcessError, match="only the first"):
            follower.restore()
        assert len(list(folder.records())) == 1
