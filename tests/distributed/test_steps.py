"""One training over several processes is that of one: the same samples skip, the same gradients, the same weights."""

import itertools
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from depthprobe.layers.dropin import skipped
from depthprobe.layers.gate import Gate
from depthprobe.layers.part import Part, part_of, taking

SCRIPT = Path(__file__).with_name("steps.py")
TOLERANCE = 1e-8  # of any weight in float64, after 20 steps
RESUMED = 1e-8  # the same, where the number of processes changed on the way


def run_steps(*trainings, processes=1, check=True):
    """Let so many processes do the trainings; returns what each wrote."""
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
    command = [sys.executable, *(launcher if processes > 1 else []), str(SCRIPT)]
    words = json.dumps([{name: str(v) if isinstance(v, Path) else v for name, v in row.items()} for row in trainings])
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run([*command, words], capture_output=True, text=True, timeout=300, env=environment, check=False)
    assert not check or done.returncode == 0, done.stderr
    return [torch.load(row["out"], weights_only=True) for row in trainings]


def difference(one, other):
    """The largest difference of any weight."""
    assert one["net"].keys() == other["net"].keys()
    pairs = [(a, other["net"][name]) for name, a in one["net"].items() if name.endswith(("weight", "bias"))]
    return max(float((a - b).abs().max()) for a, b in pairs)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("steps")


@pytest.fixture(scope="module")
def alone(folder):
    """By one process: whole, in three parts, and up to step 9."""
    return run_steps(
        {"out": folder / "whole.pt"},
        {"out": folder / "parts.pt", "accumulate": 3},
        {"out": folder / "nine.pt", "until": 9},
    )


@pytest.fixture(scope="module")
def pair(folder, alone):
    """By two processes: whole, in two parts each, with closed gates only, with random masks, and the end of one."""
    return run_steps(
        {"out": folder / "pair.pt"},
        {"out": folder / "pair_parts.pt", "accumulate": 2},
        {"out": folder / "pair_early.pt", "until": 3},
        {"out": folder / "pair_masks.pt", "mode": "bernoulli"},
        {"out": folder / "pair_end.pt", "begin": folder / "nine.pt"},
        processes=2,
    )


def test_the_training_opens_two_gates(alone):
    ratios = alone[0]["ratios"]
    assert sum(ratio >= 1.0 for ratio in ratios[-1]) >= 2, ratios
    assert any(0.0 < ratio < 1.0 for row in ratios for ratio in row)


@pytest.mark.parametrize("which", [0, 1])
def test_two_processes_train_as_one(alone, pair, which):
    found, whole = pair[which], alone[0]
    assert found["ratios"] == whole["ratios"]
    assert difference(found, whole) < TOLERANCE
    assert found["losses"] == pytest.approx(whole["losses"], abs=1e-6)
    assert found["samples"] == whole["samples"]


def test_parts_one_after_another_train_as_the_whole_batch(alone):
    assert difference(alone[1], alone[0]) < TOLERANCE


def test_a_sleeping_gate_has_no_gradient_in_any_process(pair):
    asleep = {name: used for name, used in pair[2]["grads"].items() if "gates.2" in name}
    assert asleep
    assert not any(asleep.values())
    assert all(used for name, used in pair[2]["grads"].items() if "copy" not in name)


def test_bernoulli_gates_train_in_two_processes(pair):
    weights = [value for name, value in pair[3]["net"].items() if name.endswith(("weight", "bias"))]
    assert all(torch.isfinite(value).all() for value in weights)


def test_resumed_by_more_processes(alone, pair):
    assert pair[4]["step"] == alone[0]["step"]
    assert difference(pair[4], alone[0]) < RESUMED


def test_killed_and_resumed_by_fewer_processes(alone, folder):
    (state,) = run_steps({"out": folder / "killed.pt", "kill": 9}, processes=2, check=False)
    assert 0 < state["step"] <= 9
    (found,) = run_steps({"out": folder / "resumed.pt", "begin": folder / "killed.pt"})
    assert found["step"] == alone[0]["step"]
    assert difference(found, alone[0]) < RESUMED


@pytest.mark.parametrize(("batch", "of"), list(itertools.product((8, 18, 33), (2, 3, 5))))
@pytest.mark.parametrize("norm", [False, True])
def test_the_samples_that_skip_are_the_first_of_the_whole_batch(batch, of, norm):
    """Every part's prefix, put together, is one prefix, as long as each has 8 samples for a BatchNorm."""
    gate = Gate(nn.Sequential(nn.Conv2d(1, 1, 1), *([nn.BatchNorm2d(1)] if norm else [])))
    for percent in range(0, 101, 7):
        gate.ratio = percent / 100
        skipping = set()
        for index in range(of):
            part = Part(index, of, batch, of)
            with taking(part):
                mine = list(range(batch))[part.select]
                assert len(mine) == part.size
                skipping |= set(mine[: gate.skip(part.size)])
        asked = skipped(gate.ratio, batch)
        if norm and batch - asked < 8 * of:
            assert abs(len(skipping) - asked) <= 4
        else:
            assert skipping == set(range(asked))
    assert part_of(batch) is None
