"""Staggered trainings in float64, 20 steps over two gate openings; in as many processes as torchrun starts.

python tests/distributed/steps.py '[{"out": FILE, "begin": FILE, "until": STEP, "accumulate": N, "kill": STEP}, ...]'
"""

import json
import os
import signal
import sys
from dataclasses import dataclass

import torch
from torch import nn

import depthprobe as dp
from depthprobe.config import TrainConfig
from depthprobe.inputs import Examples
from depthprobe.probes.bench import RatioDriver
from depthprobe.schedules import staggered
from depthprobe.training.batches import Batches
from depthprobe.training.device import open_device
from depthprobe.training.learner import Learner
from depthprobe.training.team import Team, open_team

STEPS = 20
BATCH = 18  # not a multiple of four: parts of unequal size


@dataclass(frozen=True)
class Asked:
    """One training. begin: a state to go on from; kill: the step at which the last process dies."""

    out: str
    begin: str | None = None
    until: int = STEPS
    accumulate: int = 1
    kill: int | None = None
    mode: str = "prefix"


def network() -> nn.Module:
    """Convolutions without BatchNorm."""
    torch.manual_seed(0)
    layers = [nn.Conv2d(1, 4, 3, padding=1), nn.Tanh(), nn.Conv2d(4, 4, 3, padding=1), nn.Tanh()]
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(4 * 36, 3)).double()


def examples() -> Examples:
    """Random images, labels that depend on them."""
    x = torch.randn(90, 1, 6, 6, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    return Examples(x, (3 * torch.sigmoid(8 * x.mean((1, 2, 3)))).long())


def train(asked: Asked, team: Team) -> None:
    """Train, and let the first process write what came out."""
    data, accelerator = examples(), open_device("cpu", "no", threads=1)
    torch.manual_seed(1)
    edit = dp.Duplicate(unit="2", copies=3, mode=asked.mode, granularity="sample")
    edited = dp.apply(network(), [edit], data.x[:2])
    schedule = staggered(list(edited.gates), 16, overlap=2, steps=STEPS)
    batches = Batches(data, BATCH, 7, False, torch.device("cpu"))
    config = TrainConfig(lr=0.1, accumulate=asked.accumulate)
    learner = Learner(edited, batches, config, accelerator, team=team)
    if asked.begin:
        learner.load(torch.load(asked.begin, weights_only=True))
    driver, losses, ratios = RatioDriver(edited, schedule), [], []

    def before(step: int) -> None:
        driver(step)
        ratios.append([round(ratio, 3) for ratio in driver.ratios()])
        if step == asked.kill and team.rank == team.size - 1:
            os.kill(os.getpid(), signal.SIGKILL)

    while learner.step < asked.until:
        losses.append(learner.run(learner.step + 1, lambda step: 1.0, before))
        if team.first and asked.kill:
            torch.save(learner.state(), asked.out)
    if team.first:
        grads = {name: p.grad is not None for name, p in edited.named_parameters()}
        torch.save({**learner.state(), "losses": losses, "ratios": ratios, "grads": grads}, asked.out)


if __name__ == "__main__":
    for words in json.loads(sys.argv[1]):
        train(Asked(**words), open_team())
