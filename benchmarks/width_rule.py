"""How often can a width probe be right at all? By simulation: the real rule on simulated probes, no training.

Run: python benchmarks/width_rule.py [--draws 1000]
Ten widths from 2 to 64; curves that are flat, power laws, exponentials or fall a little at the wide end. A probe of
three seeds on so many validation examples is judged by the truth (wrong: worse than the best by more than the
tolerance; wide: steps of the grid above the smallest width within 0.8 of the tolerance, on average) and as
`ground_truth.py width` judges: by the same rule on a sweep of three seeds, which is simulated too (hit: a regret within
the tolerance, and no smaller width that clears the rule on the sweep; left out where the sweep's answer lies at the
edge). The simulated probe has no fault of its own: its candidates are exactly as good as the sweep's. As in a probe,
its widest network is one for all seeds, and stands apart from the curve of the others.
"""

import argparse
from dataclasses import replace
from math import comb

import numpy as np

from depthprobe.analysis.rule import decide
from depthprobe.analysis.scores import SeedScores
from depthprobe.analysis.simulation import World, simulate
from depthprobe.analysis.tolerance import auto_tolerance

WIDTHS = (2, 4, 6, 8, 12, 16, 24, 32, 48, 64)
PERCENTS = (3, 6, 9, 12, 18, 25, 37, 50, 75, 100)
SIZES = ((360, 1437), (1000, 11_000), (2000, 12_000))  # validation examples of the probe; held-out ones of the sweep
GUARDS = (0.6, 0.8, 0.9, 0.95)
PROBE = World(seed_sd=0.001)  # seeds of a probe start from one checkpoint
SWEEP = World(seed_sd=0.002)


def draw_curve(dice: np.random.Generator) -> np.ndarray:
    """(10,) true accuracies, the best 0.97."""
    widths, height = np.array(WIDTHS, float), 10 ** dice.uniform(-2.5, -0.1)
    kind = dice.choice(["flat", "power", "exponential", "falling"], p=[0.1, 0.35, 0.35, 0.2])
    if kind == "flat":
        missing = np.zeros(len(widths))
    elif kind == "exponential":
        missing = height * np.exp(-(widths - 2) / 10 ** dice.uniform(0.3, 1.5))
    else:
        missing = height * (widths / 2) ** -dice.uniform(0.4, 2.0)
        if kind == "falling":
            missing += dice.uniform(0, 0.01) * np.log2(widths / 2) / 5
    return np.clip(0.97 - missing + missing.min(), 0.1, 1.0)


def one_whole(scores: list[SeedScores]) -> list[SeedScores]:
    """All seeds with the same whole network: the checkpoint is one."""
    whole = scores[0].candidates[-1]
    return [replace(one, candidates=np.vstack([one.candidates[:-1], whole])) for one in scores]


def judge(examples: int, held_out: int, draws: int) -> None:
    """A line per guard: the two-sided confidence of the bound on what a narrower network loses."""
    tolerance = auto_tolerance(examples, 3, folds=False).value
    dice, own, rows = np.random.default_rng(0), PROBE.latent_share(), {guard: [] for guard in GUARDS}
    for _ in range(draws):
        curve = draw_curve(dice)
        regret = curve.max() - curve
        best = int((regret <= 0.8 * tolerance).argmax())
        common = {"seeds": 3, "folds": False, "rng": dice, "own_share": own}
        probe = one_whole(simulate(curve, curve[-1], examples=examples, world=PROBE, **common))
        sweep = simulate(curve, curve[-1], examples=held_out, world=SWEEP, **common)
        ask = {"depths": PERCENTS, "current": 100, "tolerance": tolerance, "resamples": 0}
        clears = PERCENTS.index(decide(sweep, **ask).recommended)
        for guard in GUARDS:
            named = PERCENTS.index(decide(probe, **ask, guard=guard, apart=True).recommended)
            hit = None if clears in (0, 9) else regret[named] <= tolerance and named <= clears
            rows[guard].append((regret[named] > tolerance, named - best, hit))
    for guard, found in rows.items():
        wrong, wide, hits = zip(*found, strict=True)
        known = [hit for hit in hits if hit is not None]
        p = float(np.mean(known))
        three = sum(comb(4, k) * p**k * (1 - p) ** (4 - k) for k in (3, 4))
        judged = f"wrong {100 * np.mean(wrong):4.1f} %  wide {np.mean(wide):+.2f}  hit {100 * p:.0f} % of {len(known)}"
        print(f"{examples:5} examples, tolerance {100 * tolerance:.2f}, sure {guard:<5} {judged}", end="  ")
        print(f"three of four or more in {100 * three:.0f} %", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--draws", type=int, default=1000)
    chosen = parser.parse_args()
    for validation, sweep_size in SIZES:
        judge(validation, sweep_size, chosen.draws)
