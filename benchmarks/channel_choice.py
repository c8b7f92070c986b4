"""Which channels to cut: accuracy without any training, all units at the same share, by how the channels are chosen.

Run: python benchmarks/channel_choice.py --data-dir DATA   > results/channel_choice.txt

ours: the readers' loss, and what was cut handed over (`depthprobe width`); chosen: the same channels, nothing handed
over; magnitude: the largest norms; median: the farthest from the others (geometric median, as FPGM); random: one draw.
BatchNorm is re-estimated in every case. Networks: trained, and trained with every channel copied 4 times.
"""

import argparse
from pathlib import Path

import torch
from planted_width import CASES, name_of, planted
from torch import nn

from depthprobe.probes.profiles import round_width
from depthprobe.surgery.channels import find_channels
from depthprobe.surgery.choosing import choose_channels, measure_moments
from depthprobe.surgery.narrowing import cut_to
from depthprobe.training.learner import predict, refresh_batch_norm

PERCENTS = (90, 80, 70, 60, 50, 40, 30, 20, 10)
WIDER = 3  # the networks that are not planted are so much wider: something is to be cut


def weights(net: nn.Module, unit) -> torch.Tensor:
    """(width, M)."""
    return net.get_submodule(unit.unit).weight.detach().flatten(1)


def choosers(net: nn.Module, units, x: torch.Tensor) -> dict:
    """name -> which channels stay; None: as in the product."""
    moments = measure_moments(net, units, x)
    dice = torch.Generator().manual_seed(0)
    return {
        "ours": None,
        "chosen": lambda unit, keep: choose_channels(net, unit, moments, keep).kept,
        "magnitude": lambda unit, keep: weights(net, unit).norm(dim=1).topk(keep).indices.tolist(),
        "median": lambda unit, keep: torch.cdist(*[weights(net, unit)] * 2).sum(1).topk(keep).indices.tolist(),
        "random": lambda unit, keep: torch.randperm(unit.width, generator=dice)[:keep].tolist(),
    }


def score(net: nn.Module, split) -> float:
    """Validation accuracy, BatchNorm re-estimated."""
    net.train()
    refresh_batch_norm(net, split.train.x[: 40 * 32].split(64))
    return float((predict(net, split.valid.x, torch.device("cpu")).argmax(1) == split.valid.y).double().mean())


def table(name: str, net: nn.Module, split) -> None:
    """One row per way of choosing."""
    x = split.train.x[:512]
    units = [unit for unit in find_channels(net.eval(), x[:2]) if not unit.reason]
    print(f"\n{name}: widths {[unit.width for unit in units]}, whole {score(net, split):.3f}")
    print("percent   " + "".join(f"{percent:7d}" for percent in PERCENTS))
    for way, choose in choosers(net.eval(), units, x).items():
        row = []
        for percent in PERCENTS:
            widths = {unit.unit: round_width(unit.width, percent, 1) for unit in units}
            row.append(score(cut_to(net.eval(), units, widths, x, choose=choose).network, split))
        print(f"{way:10s}" + "".join(f"{value:7.3f}" for value in row), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-dir", type=Path)
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    for case in CASES:
        data, net, depth, width, rate, times = case
        if times == (4,) * depth:
            _, split, _, wide = planted(case, chosen.data_dir)
            table(name_of(case), wide, split)
            plain = (data, net, depth, WIDER * width, rate, (1,) * depth)
            table(f"{data}-{net}, nothing planted", planted(plain, chosen.data_dir)[2], split)


if __name__ == "__main__":
    main()
