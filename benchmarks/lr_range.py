"""The learning-rate range test against the pilots of the ground truth: rules tried, and what each would have cost.

Run: python benchmarks/lr_range.py --data-dir DATA      (needs the pilot rows in benchmarks/results/ground_truth)

A pilot is a training of the case at depth 4, half the budget, at six rates. For every rule: the rate it chooses on the
base network (one hidden layer), and how many points of validation accuracy the pilot nearest to it is below the best.
"""

import argparse
import math
from pathlib import Path
from statistics import median

import torch

from depthprobe.config import TrainConfig
from depthprobe.probes import rate
from depthprobe.training.device import open_device
from truth.cases import BATCH, CASES
from truth.sweep import Store

STORE = Path(__file__).parent / "results" / "ground_truth"


def steepest(curve, guess):
    """Where the smoothed loss falls fastest against the logarithm of the rate."""
    mean = rate.Smoothed()
    smooth = [mean.add(loss) for _, loss in curve]
    best = max(9, min(range(len(smooth)), key=smooth.__getitem__))
    return curve[min(range(8, best), key=lambda i: smooth[i] - smooth[i - 8]) - 4][0]


def reading(curve, guess):
    return rate.read_curve([r for r, _ in curve], [loss for _, loss in curve], guess)


RULES = {
    "steepest": (steepest, math.inf),
    "lowest / 10": (lambda c, g: reading(c, g).lowest / 10, math.inf),
    "lowest / 3": (lambda c, g: reading(c, g).lowest / 3, math.inf),
    "lost / 10": (lambda c, g: (reading(c, g).lost or c[-1][0]) / 10, math.inf),
    "90 % fallen": (lambda c, g: reading(c, g).fell, math.inf),
    "steepest, <= .05": (steepest, 0.05),
    "lowest / 3, <= .05": (lambda c, g: reading(c, g).lowest / 3, 0.05),
    "lowest, <= .05": (lambda c, g: reading(c, g).lowest, 0.05),
    "90 % fallen, <= .05": (lambda c, g: reading(c, g).fell, 0.05),
    "90 % fallen x 1.25, <= .05": (lambda c, g: 1.25 * reading(c, g).fell, 0.05),
    "always .05": (lambda c, g: 0.05, math.inf),
    "always .02": (lambda c, g: 0.02, math.inf),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-dir", type=Path)
    parser.add_argument("--store", type=Path, nargs="+", default=[STORE])
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    misses = {name: [] for name in (*RULES, "chosen")}
    for case in CASES:
        pilots = read_pilots(case, chosen.store)
        if len(pilots) < 6:
            print(f"{case.name}: no pilots yet")
            continue
        split = case.split(0, chosen.data_dir)
        choice = rate.find_rate(
            lambda seed, case=case: case.build(1, seed, chosen.data_dir),
            split.train,
            TrainConfig(batch_size=BATCH),
            augment=case.augment,
            accelerator=open_device("cpu", "no", 1),
        )
        guess = rate.guessing_loss(split.train.y)
        cells = []
        for name, (rule, most) in RULES.items():
            lr = min(most, median(rule(curve, guess) for curve in choice.curves))
            misses[name].append(shortfall(pilots, lr))
            cells.append(f"{name} {lr:.2g} ({misses[name][-1]:.1f})")
        misses["chosen"].append(shortfall(pilots, choice.lr))
        best = max(pilots, key=pilots.get)
        print(f"{case.name}: {choice.note}\n  best pilot {best:g} {100 * pilots[best]:.1f}; {'; '.join(cells)}")
    print("\nrule | points below the best pilot, case by case | mean | worst\n---|---|---|---")
    for name, values in misses.items():
        print(f"{name} | {' '.join(f'{v:.1f}' for v in values)} | {sum(values) / len(values):.2f} | {max(values):.1f}")


def read_pilots(case, stores) -> dict[float, float]:
    """Rate -> validation accuracy."""
    rows = [row for store in stores for row in Store(store / f"{case.name}.jsonl").rows if row["kind"] == "pilot"]
    return {row["lr"]: row["valid"] for row in rows}


def shortfall(pilots, lr) -> float:
    """Points by which the pilot nearest to `lr` (in the logarithm) is below the best."""
    nearest = min(pilots, key=lambda rate: abs(math.log(rate / lr)))
    return 100 * (max(pilots.values()) - pilots[nearest])


if __name__ == "__main__":
    main()
