"""A run folder as a probe makes it, without the training."""

import types

import pytest
import torch

from depthprobe.probes.notebook import CANDIDATES
from depthprobe.runs import RunFolder


def make(path):
    """A run of two arms: records, a network kept by each, and a checkpoint after each and inside the second."""
    with RunFolder.create(path, "grow", {"seed": 0}, {"command_line": ["depthprobe", "grow", "net.py"]}) as folder:
        go_on(folder)


def go_on(folder):
    """The same deterministic work from wherever the folder stands; returns the arms that were done."""
    payload, done = folder.restore(), []
    for arm in range(payload["arm"], 2):
        begun = {"arm": arm, "records": folder.size, "seconds": 0.0}
        folder.append({"kind": "measurement", "arm": arm, "value": 0.1 * arm})
        folder.keep(f"{CANDIDATES}/{arm}.pt", {"weight": torch.full((4,), float(arm))}, 0, begun)
        folder.append({"kind": "arm", "arm": arm})
        folder.save({"arm": arm + 1, "learner": {"step": torch.arange(arm + 3)}, "seconds": 0.0})
        done.append(arm)
    return done


def facts(path):
    """What must not depend on what happened in between."""
    files = [path / "config.json", path / "records.jsonl", *sorted((path / CANDIDATES).glob("*.pt"))]
    return {file.name: file.read_bytes() for file in files}


@pytest.fixture
def run(tmp_path):
    make(tmp_path / "run")
    return tmp_path / "run"


@pytest.fixture
def work():
    """`work.make`, `work.go_on`, `work.facts`."""
    return types.SimpleNamespace(make=make, go_on=go_on, facts=facts)
