"""What depthprobe's training loop costs beside a bare hand-written one on the same network: time and peak memory.

Run: OMP_NUM_THREADS=1 python benchmarks/loop_overhead.py [--rounds 25] [--skip-memory]

Same network, same data in memory, same batch, SGD with momentum and a cosine rate, one thread. Time: both loops train a
few updates in turn in one process, and the median over rounds of the ratio within a round is printed; time is the
processor's, so that other programs on the machine count little. plain: a network without gates. all open: with six
gated copies, all at 1, beside the deep network. all shut: at 0, beside the shallow one. fixed: microseconds of an
update that do not depend on the network, the least of many, on a single linear layer. Memory: the peak of a process of
its own for either loop (getrusage), and of one which only builds.
"""

import argparse
import math
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable

import torch
from torch import nn
from torch.nn import functional as F

import depthprobe as dp
from depthprobe.config import TrainConfig
from depthprobe.inputs import Examples
from depthprobe.training.batches import Batches
from depthprobe.training.device import open_device
from depthprobe.training.learner import Learner
from depthprobe.training.optimizers import lr_factor

BATCH, EXAMPLES, COPIES, TOTAL = 64, 2048, 6, 100_000
SIZES = {"digits (16 channels, 8x8)": (16, 8), "small (32 channels, 16x16)": (32, 16), "64 channels, 16x16": (64, 16)}
STATES = ("plain", "all shut", "all open")
Run = Callable[[int], object]


def networks(channels: int, copies: int) -> nn.Sequential:
    """A convolution, `copies` more of the same width, a linear layer."""
    torch.manual_seed(0)
    layers: list[nn.Module] = [nn.Conv2d(3, channels, 3, padding=1), nn.ReLU()]
    for _ in range(1 + copies):
        layers += [nn.Conv2d(channels, channels, 3, padding=1), nn.ReLU()]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(4 * channels, 10))


def data(size: int) -> Examples:
    """Random images and labels."""
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(EXAMPLES, 3, size, size, generator=generator)
    return Examples(x, torch.randint(0, 10, (EXAMPLES,), generator=generator))


def by_hand(net: nn.Module, examples: Examples) -> Run:
    """The loop that one writes: shuffled batches, a cosine rate, the loss looked at every 20 updates."""
    optimizer = torch.optim.SGD(net.parameters(), lr=0.01, momentum=0.9)
    step, order, per_epoch = 0, torch.empty(0, dtype=torch.int64), EXAMPLES // BATCH
    x, y = examples.x, examples.y
    net.train()

    def run(updates: int) -> list[float]:
        nonlocal step, order
        losses, total = [], torch.zeros(())
        for _ in range(updates):
            rank = step % per_epoch
            if rank == 0 or not len(order):
                order = torch.randperm(EXAMPLES)
            index = order[rank * BATCH : (rank + 1) * BATCH]
            for group in optimizer.param_groups:
                group["lr"] = 0.01 * 0.5 * (1 + math.cos(math.pi * step / TOTAL))
            optimizer.zero_grad()
            loss = F.cross_entropy(net(x[index]), y[index])
            loss.backward()
            optimizer.step()
            total += loss.detach()
            step += 1
            if step % 20 == 0:
                losses.append(total.item() / 20)
                total.zero_()
        return losses

    return run


def by_depthprobe(net: nn.Module, examples: Examples) -> Run:
    """The same by a Learner, as every arm of a probe trains."""
    accelerator = open_device("cpu", "no", threads=1)
    config = TrainConfig(lr=0.01, optimizer="sgd", momentum=0.9, weight_decay=0.0, batch_size=BATCH)
    learner = Learner(net, Batches(examples, BATCH, 1, False, accelerator.device), config, accelerator)

    def run(updates: int) -> float:
        return learner.run(learner.step + updates, lambda step: lr_factor("cosine", step, TOTAL))

    return run


def pair(channels: int, size: int, state: str) -> tuple[Run, Run]:
    """Our loop and the bare one, at one of STATES."""
    examples = data(size)
    bare = networks(channels, COPIES if state == "all open" else 0)
    ours: nn.Module = networks(channels, 0)
    if state != "plain":
        edited = dp.apply(ours, [dp.Duplicate(unit="2", copies=COPIES)], examples.x[:2])
        edited.set_ratio(1.0 if state == "all open" else 0.0)
        ours = edited
    return by_depthprobe(ours, examples), by_hand(bare, examples)


def seconds(run: Run, updates: int) -> float:
    """Seconds of the processor for so many updates: other programs do not count."""
    begin = time.process_time()
    run(updates)
    return time.process_time() - begin


def time_ratio(channels: int, size: int, state: str, rounds: int) -> tuple[float, float, float]:
    """Median of ours / bare over rounds, its quartile distance, and milliseconds of a bare update."""
    ours, bare = pair(channels, size, state)
    seconds(ours, 10)
    updates = max(4, round(0.15 / (seconds(bare, 5) / 5)))
    ratios, bare_times = [], []
    for turn in range(rounds):
        order = (ours, bare) if turn % 2 else (bare, ours)
        times = {run: seconds(run, updates) for run in order}
        ratios.append(times[ours] / times[bare])
        bare_times.append(times[bare] / updates)
    low, middle, high = statistics.quantiles(ratios, n=4)
    return middle, high - low, 1000 * statistics.median(bare_times)


def fixed_cost(stretches: int = 60, updates: int = 6) -> tuple[float, float]:
    """Microseconds of an update of a network that costs nearly nothing: ours, bare."""
    examples = data(8)
    runs = [make(nn.Sequential(nn.Flatten(), nn.Linear(192, 10)), examples) for make in (by_depthprobe, by_hand)]
    times = [[seconds(run, updates) / updates for run in runs] for _ in range(stretches)]
    return 1e6 * min(ours for ours, _ in times), 1e6 * min(bare for _, bare in times)


def peak(words: list[str]) -> int:
    """Peak memory (KiB) of this script in a process of its own, which says it itself."""
    done = subprocess.run([sys.executable, __file__, *words], capture_output=True, text=True, check=True)
    return int(done.stdout)


def train_once(size: str, who: str) -> None:
    """Build both loops, let one of them train, print the peak of this process."""
    torch.set_num_threads(1)
    runs = dict(zip(("ours", "bare"), pair(*SIZES[size], "plain"), strict=True))
    if who != "none":
        runs[who](40)
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)


def main() -> None:
    """Print one line per size and state."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rounds", type=int, default=25)
    parser.add_argument("--size", choices=SIZES, action="append")
    parser.add_argument("--skip-memory", action="store_true")
    parser.add_argument("--train-once", nargs=2, metavar=("SIZE", "WHO"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.train_once:
        train_once(*options.train_once)
        return
    torch.set_num_threads(1)
    print(f"depthprobe's loop / a bare loop, torch {torch.__version__}, one thread, batch {BATCH}")
    ours, bare = fixed_cost()
    print(f"  {'one linear layer':<28}fixed      {ours - bare:.0f} us more than {bare:.0f} us an update")
    for size in options.size or SIZES:
        channels, edge = SIZES[size]
        for state in STATES:
            middle, spread, update = time_ratio(channels, edge, state, options.rounds)
            print(
                f"  {size:<28}{state:<10} time {middle:.3f} (quartiles {spread:.3f} apart), {update:.2f} ms", flush=True
            )
        if not options.skip_memory:
            built, trained, by_itself = (peak(["--train-once", size, who]) for who in ("none", "ours", "bare"))
            beside = f"bare {by_itself / 1024:.1f}, neither {built / 1024:.1f}"
            print(f"  {size:<28}memory     {trained / 1024:.1f} MiB; {beside}", flush=True)


if __name__ == "__main__":
    main()
