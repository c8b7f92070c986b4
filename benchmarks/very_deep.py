"""Thirty plain conv layers on digits: trained conventionally, grown, and what a knowledgeable user would do instead.

Run: OMP_NUM_THREADS=1 python benchmarks/very_deep.py [--seeds 3] [--steps 3000] [--json out.json]

The network is examples/very_deep.py with 29 copies of its conv layer (16 channels, no norm, no skips). Every row has
the same data order, number of updates, SGD 0.01/0.9, weight decay 5e-4, batch 64, constant rate. "lowest" is the lowest
validation accuracy met after the first tenth of the updates. Time ratios are by step times: growing and conventional
steps alternate in one process at points spread over the schedule.
"""

import argparse
import json
import statistics
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional as F

import depthprobe as dp
from depthprobe.config import TrainConfig, TrainingConfig
from depthprobe.inputs import open_model
from depthprobe.probes.bench import RatioDriver
from depthprobe.probes.listener import Listener
from depthprobe.probes.setup import DataSource
from depthprobe.probes.train import create_training, run_training, set_up_training
from depthprobe.schedules import Ramp, Schedule, staggered

MODEL = Path(__file__).parents[1] / "examples" / "very_deep.py"
COPIES = 29
ROWS = {
    "conventional, default init": {"deep": True},
    "grown, default init": {"grow": True},
    "grown, identity init": {"grow": True, "init": "identity"},
    "conventional, identity (Dirac) init": {"deep": True, "init": "identity"},
    "identity layers inserted one by one": {"grow": True, "init": "identity", "one_by_one": True},
}


def one_by_one(gates, length, steps):
    """Net2Net style: each identity layer is there at once, evenly spread over `length` updates."""
    ramps = tuple(Ramp(gate=gate, start=round(rank * length / len(gates)), length=1) for rank, gate in enumerate(gates))
    return Schedule(gates=tuple(gates), ramps=ramps, steps=steps)


def train(seed, steps, one_by_one_schedule=False, **settings):
    setup = set_up_training(
        open_model(str(MODEL)),
        DataSource(spec="digits"),
        TrainingConfig(copies=COPIES, seed=seed, **settings),
        TrainConfig(steps=steps, lr=0.01, lr_shape="constant", threads=1),
    )
    if one_by_one_schedule:
        setup = replace(setup, schedule=one_by_one(setup.schedule.gates, round(0.8 * steps), steps))
    with tempfile.TemporaryDirectory() as folder:
        run = create_training(setup, Path(folder) / "run")
        summary = run_training(setup, run, Listener())
        run.close()
        values = [r["value"] for r in run.records() if r["kind"] == "trace" and r["step"] > steps / 10]
    return {"test": summary["test"]["value"], "lowest": min(values), "seconds": summary["wall_seconds"]}


def step_ratio(channels, size, gates, points=30, repeats=2):
    """Mean growing step over the staggered schedule / conventional step of the deep network, interleaved."""
    torch.manual_seed(0)
    base = nn.Sequential(
        nn.Conv2d(1, channels, 3, padding=1),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(4),
        nn.Flatten(),
        nn.Linear(16 * channels, 10),
    )
    x, y = torch.randn(64, 1, size, size), torch.randint(0, 10, (64,))
    edited = dp.apply(base, [dp.Duplicate(unit="0", copies=gates)], x)
    edited.set_ratio(1.0)
    deep = dp.settle(edited)
    schedule = staggered(list(edited.gates), 800, steps=1000)
    driver = RatioDriver(edited, schedule)
    growing, conventional = step_of(edited, x, y), step_of(deep, x, y)
    grown_times, deep_times = [], []
    for point in range(points):
        driver(round((point + 0.5) * schedule.steps / points))
        grown_times.append(clock(growing, repeats))
        deep_times.append(clock(conventional, repeats))
    return statistics.mean(g / d for g, d in zip(grown_times, [statistics.median(deep_times)] * points, strict=True))


def step_of(net, x, y):
    optimizer = torch.optim.SGD(net.parameters(), lr=0.01, momentum=0.9, weight_decay=5e-4)

    def step():
        optimizer.zero_grad(set_to_none=True)
        F.cross_entropy(net(x), y).backward()
        optimizer.step()

    return step


def clock(step, repeats):
    step()
    begin = time.perf_counter()
    for _ in range(repeats):
        step()
    return (time.perf_counter() - begin) / repeats


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=3000)
    parser.add_argument("--times-only", action="store_true")
    parser.add_argument("--json", help="also write the table to this file")
    options = parser.parse_args()
    torch.set_num_threads(1)
    ratios = {
        f"16 channels on 8x8, {COPIES} gates": step_ratio(16, 8, COPIES),
        "64 channels on 16x16, 6 gates": step_ratio(64, 16, 6),
    }
    print(f"growing arm / conventional, by step times (torch {torch.__version__}, one thread)")
    for name, ratio in ratios.items():
        print(f"  {name:<32}{ratio:.3f}", flush=True)
    rows = {}
    if not options.times_only:
        print(f"\n30 conv layers on digits, {options.steps} updates, {options.seeds} seeds")
        print("test accuracy (lowest validation accuracy on the way), median seconds")
        for name, settings in ROWS.items():
            kind = {k: v for k, v in settings.items() if k != "one_by_one"}
            rows[name] = [train(seed, options.steps, "one_by_one" in settings, **kind) for seed in range(options.seeds)]
            cells = "  ".join(f"{row['test']:.3f} ({row['lowest']:.3f})" for row in rows[name])
            seconds = statistics.median(row["seconds"] for row in rows[name])
            print(f"  {name:<38}{cells}   {seconds:.0f} s", flush=True)
    if options.json:
        document = {"torch": torch.__version__, "steps": options.steps, "step_ratios": ratios, "rows": rows}
        Path(options.json).write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
