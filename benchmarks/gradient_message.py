"""What it costs to add gradients over processes: one flat message of live gradients against DDP, on the same gates.

torchrun --standalone --nproc-per-node 2 benchmarks/gradient_message.py
"""

import copy
import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.parallel import DistributedDataParallel

import depthprobe as dp
from depthprobe.layers.part import Part, taking
from depthprobe.surgery import Edited
from depthprobe.training.gradients import add_gradients
from depthprobe.training.team import open_team

BATCH, COPIES, REPEATS = 32, 12, 30
STATES = {
    "all shut": [0.0] * COPIES,
    "3 ramping, the others shut": [0.8, 0.5, 0.2] + [0.0] * 9,
    "5 open, 2 ramping, 5 shut": [1.0] * 5 + [0.6, 0.3] + [0.0] * 5,
    "all open": [1.0] * COPIES,
}


def gated() -> Edited:
    """Two convolutions of 64 channels on 8x8, twelve gated copies behind the second."""
    torch.manual_seed(0)
    layers = [nn.Conv2d(3, 64, 3, padding=1), nn.ReLU(), nn.Conv2d(64, 64, 3, padding=1), nn.ReLU()]
    net = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10))
    edited = dp.apply(net, [dp.Duplicate(unit="2", copies=COPIES)], torch.randn(2, 3, 8, 8))
    return edited.train()


def update(net: nn.Module, optimizer: torch.optim.Optimizer, part: Part, x: Tensor, y: Tensor, weight: float) -> Tensor:
    """Forward and backward of one part; returns its loss times `weight`."""
    optimizer.zero_grad(set_to_none=True)
    with taking(part):
        loss = F.cross_entropy(net(x[part.select]), y[part.select]) * weight
        loss.backward()
    return loss


def seconds(do: Callable[[], object]) -> float:
    """Wall-clock of doing it once."""
    begin = time.perf_counter()
    do()
    return time.perf_counter() - begin


def main() -> None:
    """Both ways in turn, at four states of the gates; the first process prints."""
    torch.set_num_threads(1)
    team = open_team()
    edited = gated()
    twin = copy.deepcopy(edited)
    wrapped = DistributedDataParallel(twin, find_unused_parameters=True)
    x, y = torch.randn(BATCH, 3, 8, 8), torch.randint(0, 10, (BATCH,))
    part = Part(team.rank, team.size, BATCH, team.size)
    share = part.size / BATCH
    ours, theirs = (
        torch.optim.SGD(net.parameters(), lr=0.05, momentum=0.9, weight_decay=1e-3) for net in (edited, twin)
    )

    def by_message() -> None:
        add_gradients(list(edited.parameters()), update(edited, ours, part, x, y, share), team)
        ours.step()

    def by_hooks() -> None:
        update(wrapped, theirs, part, x, y, share * team.size)
        theirs.step()

    for name, ratios in STATES.items():
        for gates in (edited.gates, twin.gates):
            for gate, ratio in zip(gates.values(), ratios, strict=True):
                gate.ratio = ratio
        took = [(seconds(by_message), seconds(by_hooks)) for _ in range(REPEATS)]
        one, other = (statistics.median(column) for column in zip(*took, strict=True))
        pairs = zip(edited.state_dict().values(), twin.state_dict().values(), strict=True)
        apart = max(float((a - b).abs().max()) for a, b in pairs if isinstance(a, Tensor) and a.numel())
        if team.first:
            print(f"{name:<28} message / DDP {one / other:.2f}  weights differ by {apart:.1e}", flush=True)


if __name__ == "__main__":
    main()
