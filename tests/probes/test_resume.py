"""Killed at random moments and resumed, a run ends bit for bit where the undisturbed one ends."""

import json
import os
import random
import signal
import subprocess
import sys
import time

import pytest
import torch

import depthprobe as dp
from depthprobe.errors import RunFolderError
from depthprobe.probes.grow_setup import reopen
from depthprobe.probes.together import FollowerFolder

KILLS = 10
OPTIONS = [
    "--dataset",
    "digits",
    "--seeds",
    "2",
    "--steps",
    "1000",
    "--by",
    "site",
    "--threads",
    "1",
    "--quiet",
    "--json",
]


def start(words, folder):
    command = [sys.executable, "-m", "depthprobe", *map(str, words)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        command,
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        preexec_fn=_hear_interrupts,
    )


def _hear_interrupts():
    """A suite started in the background has SIGINT ignored, and its children inherit that."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def finish(process):
    out, err = process.communicate(timeout=300)
    assert process.returncode == 0, err.decode()
    return json.loads(out)


def timeless(document):
    """The document without times and latencies."""
    if isinstance(document, dict):
        return {
            key: timeless(value)
            for key, value in document.items()
            if not key.endswith(("_seconds", "_ms", "_at")) and key != "command_line"
        }
    return [timeless(value) for value in document] if isinstance(document, list) else document


def weights(run):
    return torch.load(run / "model.pt", weights_only=True)["state_dict"]


@pytest.mark.slow
def test_ten_sigkills_change_no_bit(tmp_path, model_file):
    finish(start(["grow", model_file, *OPTIONS, "--out", "whole"], tmp_path))
    seed = time.time_ns()
    print(f"moments drawn from seed {seed}")
    dice = random.Random(seed)
    run, kills, steps_seen = tmp_path / "killed", 0, set()
    process = start(["grow", model_file, *OPTIONS, "--out", run], tmp_path)
    while kills < KILLS:
        while process.poll() is None and not run.exists():
            time.sleep(0.01)
        if not (steps_seen or process.poll() is None):
            pytest.fail(process.communicate()[1].decode())
        time.sleep(dice.uniform(0.0, 1.2) + (3.5 if kills else 0.0))  # a resumed process first imports torch
        if process.poll() is not None:
            break
        process.send_signal(signal.SIGKILL)
        process.communicate()
        kills += 1
        steps_seen.add((run / "records.jsonl").stat().st_size)
        process = start(["resume", run, "--quiet", "--json"], tmp_path)
    answer = finish(process)
    assert kills == KILLS, f"only {kills} kills hit the run before it ended"
    print(f"{kills} kills at {len(steps_seen)} different places")
    assert (run / "records.jsonl").read_bytes() == (tmp_path / "whole" / "records.jsonl").read_bytes()
    expected = json.loads((tmp_path / "whole" / "recommendation.json").read_text())
    assert timeless(answer) == timeless(expected)
    ours, theirs = weights(run), weights(tmp_path / "whole")
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_one_sigkill_changes_no_bit(tmp_path, model_file):
    options = [*OPTIONS[:2], "--seeds", "1", "--steps", "120", "--threads", "1", "--quiet", "--json"]
    finish(start(["grow", model_file, *options, "--out", "whole"], tmp_path))
    run = tmp_path / "killed"
    process = start(["grow", model_file, *options, "--out", run], tmp_path)
    deadline = time.monotonic() + 120
    while not (run.exists() and len(list((run / "checkpoints").glob("[0-9]*.pt"))) == 2):
        assert time.monotonic() < deadline
        assert process.poll() is None, process.communicate()[1].decode()
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert not (run / "recommendation.json").exists()
    finish(start(["resume", run, "--quiet", "--json"], tmp_path))
    assert (run / "records.jsonl").read_bytes() == (tmp_path / "whole" / "records.jsonl").read_bytes()
    ours, theirs = weights(run), weights(tmp_path / "whole")
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
    again = start(["resume", run, "--json"], tmp_path)
    out, err = again.communicate(timeout=120)
    assert again.returncode == 0
    assert b"finished already" in err
    assert json.loads(out)["command"] == "grow"


def test_an_interrupt_says_how_to_go_on(tmp_path, model_file):
    run = tmp_path / "run"
    process = start(["grow", model_file, *OPTIONS[:2], "--steps", "2000", "--out", run], tmp_path)
    while not run.exists():
        assert process.poll() is None, process.communicate()[1].decode()
        time.sleep(0.01)
    time.sleep(0.5)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert f"depthprobe resume {run}" in err.decode()
    assert "Traceback" not in err.decode()


def test_norms_that_were_measured_otherwise_are_not_mixed_into_a_run(tmp_path):
    """Runs of before BatchNorm was measured on augmented batches; only where there are both."""
    (tmp_path / "net.py").write_text(
        "from torch import nn\n"
        "model = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(),\n"
        "nn.Linear(256, 10))\n"
    )
    for augment in (True, False):
        out = tmp_path / f"run-{augment}"
        settings = {"steps": 20, "lr": 0.01, "seeds": 1, "candidates": (1,), "augment": augment, "threads": 1}
        dp.grow(f"{tmp_path / 'net.py'}:model", "digits", out=out, **settings)
        config = json.loads((out / "config.json").read_text())
        assert reopen(FollowerFolder(out, config)).seeds == [0]
        old = {key: value for key, value in config.items() if key != "course"}
        if augment:
            with pytest.raises(RunFolderError, match="begun by another version"):
                reopen(FollowerFolder(out, old))
        else:
            assert reopen(FollowerFolder(out, old)).seeds == [0]
