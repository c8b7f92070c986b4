"""How long surgery takes on a chain of 500 and of 1,000 units.

Run: OMP_NUM_THREADS=1 python benchmarks/surgery_time.py [--rounds 5]

Timed: dp.apply with a copy behind every unit (tracing, judging, building and checking included), then dp.settle. The
sizes are timed in turn in one process, in CPU seconds (one thread: other load on the machine does not count); medians
over rounds, and their ratio.
"""

import argparse
import statistics
import time

import torch
from torch import nn

import depthprobe as dp

SIZES = (500, 1000)


class Residual(nn.Module):
    """Two linear layers and a sum: a block unit."""

    def __init__(self):
        super().__init__()
        self.one, self.two = nn.Linear(8, 8), nn.Linear(8, 8)

    def forward(self, x):
        return x + self.two(torch.relu(self.one(x)))


def chain(count):
    """`count` units of a linear layer and a ReLU each, then a head."""
    layers = [layer for _ in range(count) for layer in (nn.Linear(8, 8), nn.ReLU())]
    return nn.Sequential(*layers, nn.Linear(8, 2))


def blocks(count):
    """`count` residual blocks, then a head."""
    return nn.Sequential(nn.Sequential(*(Residual() for _ in range(count))), nn.Linear(8, 2))


def timed(model, count):
    """Seconds of apply with every unit doubled, and of settle."""
    x = torch.randn(4, 8)
    names = [name for name, part in model.named_modules() if isinstance(part, (nn.Linear, Residual))]
    inside = isinstance(model[0], nn.Sequential)
    names = [name for name in names[:-1] if not inside or name.count(".") == 1]
    begin = time.process_time()
    edited = dp.apply(model, [dp.Duplicate(unit=name) for name in names[:count]], x)
    edited.set_ratio(1.0)
    middle = time.process_time()
    dp.settle(edited)
    return middle - begin, time.process_time() - middle


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    torch.set_num_threads(1)
    timed(blocks(4), 4)  # what is imported at first use
    for make in (chain, blocks):
        found = {size: [] for size in SIZES}
        for _ in range(rounds):
            for size in SIZES:
                found[size].append(timed(make(size), size))
        medians = {size: [statistics.median(part) for part in zip(*rows, strict=True)] for size, rows in found.items()}
        print(f"{make.__name__} (torch {torch.__version__}, one thread, {rounds} rounds)")
        for size, (apply, settle) in medians.items():
            print(f"  {size:5d} units: apply {apply:.2f} s, settle {settle:.2f} s")
        pairs = [[sum(row) for row in found[size]] for size in SIZES]
        ratios = [large / small for small, large in zip(*pairs, strict=True)]
        print(f"  both, {SIZES[1]} over {SIZES[0]}: {statistics.median(ratios):.2f}", flush=True)


if __name__ == "__main__":
    main()
