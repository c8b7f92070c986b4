"""The width sweep: networks of one depth at every width, from scratch or cut from the widest, and the rule's reading.

The second reading: the widest of a seed, cut at once to a width and fine-tuned for as many updates as it was trained
for. A narrow network that was cut from a wide one can be better than one of its width ever was from scratch.
"""

import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from torch import nn

from depthprobe.analysis.choice import Chooser
from depthprobe.analysis.scores import SeedScores
from depthprobe.analysis.spread import Spread, estimate_spread
from depthprobe.graph.costs import count_macs
from depthprobe.inputs import open_model
from depthprobe.probes.alone import CHOSEN_ON
from depthprobe.surgery.channels import find_channels
from depthprobe.surgery.narrowing import cut_to
from truth.cases import BATCH, CASES, NETS_FILE, SEEDS, STEPS, Case
from truth.readings import CONFIDENCE, held_out
from truth.sweep import Store, fit, read_answers

WIDTHS = (2, 4, 6, 8, 12, 16, 24, 32, 48, 64)
FINE = 0.3  # of the rate of training, for what was trained before: what the probe takes
FAILED = 0.1  # what guessing scores, and half of the way from there to the best is the least that counts as learned


@dataclass(frozen=True)
class WideCase:
    """A case of the depth sweep at one depth: its data, its network, its rate; every hidden layer equally wide."""

    case: Case
    depth: int

    @property
    def name(self) -> str:
        return f"{self.case.name}-{self.depth}"

    def build(self, width: int, seed: int, data_dir: Path | None) -> nn.Module:
        """The network, new weights."""
        shape = tuple(self.case.split(0, data_dir).train.x.shape[1:])
        word = "width" if self.case.net == "mlp" else "channels"
        args = {"in_shape": shape, "depth": self.depth, word: width}
        return open_model(f"{NETS_FILE}:{self.case.net}", args).build(seed)

    def macs(self, width: int, data_dir: Path | None) -> int:
        """Multiply-accumulates of one example."""
        return count_macs(self.build(width, 0, data_dir), self.case.split(0, data_dir).train.x[:2])


NAMED = {case.name: case for case in CASES}
WIDE_CASES = tuple(
    WideCase(NAMED[name], depth)
    for name, depth in (
        ("digits-mlp", 2),
        ("digits-conv_bn", 3),
        ("mnist14-mlp", 2),
        ("mnist14-conv_flat", 2),
        # Chosen before anything was trained for them; the four above were looked at while the probe was made.
        ("digits-conv_flat", 2),
        ("mnist14-conv_bn", 2),
        ("cifar16-mlp", 2),
        ("cifar16-conv_flat", 2),
    )
)


def sweep_widths(wide: WideCase, path: Path, rate: float, data_dir: Path | None, *, narrowed=False) -> None:
    """Train what is missing of one case. narrowed: of the second reading, at FINE times the rate."""
    for seed in SEEDS:
        widest = None
        for width in WIDTHS:
            store, key = Store(path), {"width": width, "seed": seed, "lr": FINE * rate if narrowed else rate}
            if store.find(**key):
                continue
            if narrowed and widest is None:
                widest = train_width(wide, WIDTHS[-1], seed, rate, data_dir)[0].net
            net = cut_down(widest, width, wide.case.split(seed, data_dir)) if narrowed else None
            row = {**key, **_train(wide, width, seed, key["lr"], data_dir, net)}
            store.add(row)
            print(f"{wide.name} width {width} seed {seed} valid {row['valid']:.4f} {row['seconds']:.0f}s", flush=True)


def cut_down(widest: nn.Module, width: int, split) -> nn.Module:
    """A copy of a trained network with so many channels left in every layer, chosen as the probe chooses."""
    x = split.train.x[:CHOSEN_ON]
    groups = [group for group in find_channels(widest, x[:2]) if not group.reason]
    return cut_to(widest, groups, {group.unit: width for group in groups}, x).network


def train_width(wide: WideCase, width: int, seed: int, rate: float, data_dir: Path | None, net=None):
    """(learner at its end, accuracies on the way, why it diverged or None). net: trained before (None: a new one)."""
    net = wide.build(width, seed, data_dir) if net is None else net
    return fit(net, wide.case.split(seed, data_dir), seed, rate, wide.case.augment)


def _train(wide: WideCase, width: int, seed: int, rate: float, data_dir: Path | None, net=None):
    begin = time.monotonic()
    learner, course, what = train_width(wide, width, seed, rate, data_dir, net)
    return {
        "steps": STEPS,
        "macs": wide.macs(width, data_dir) * STEPS * BATCH,
        "diverged": what,
        "course": course,
        **read_answers(learner.net, wide.case.split(seed, data_dir)),
        "seconds": round(time.monotonic() - begin, 1),
    }


# What the curve is smoothed over: A - B r^x in the logarithm of the width (a power law), in the width, or not at all.
SMOOTHED = {"log": np.log2(WIDTHS), "linear": np.array(WIDTHS, float), "raw": None}


@dataclass(frozen=True)
class WidthTruth:
    """Means and intervals per width on held-out data; curve: smoothed where that is not rejected; failed: seeds per
    width that learned nothing; clears: the smallest width that the guarded rule accepts (None: none); guess: the
    smallest within 0.8 tolerance of the best of the curve.
    """

    means: np.ndarray
    low: np.ndarray
    high: np.ndarray
    curve: np.ndarray
    failed: tuple[int, ...]
    clears: int | None
    guess: int

    @property
    def void(self) -> bool:
        """Whether the answer lies at the edge of the grid."""
        return (self.clears or self.guess) in (WIDTHS[0], WIDTHS[-1])

    def regret(self, width: float) -> float:
        """How far a width lies below the best, on the smoothed curve, in the logarithm of the width between two."""
        return float(self.curve.max() - np.interp(np.log(width), np.log(WIDTHS), self.curve))


def read_width_truth(wide: WideCase, store: Store, tolerance: float, sizes, smoothed: str = "log") -> WidthTruth:
    """sizes: (validation, test) examples; smoothed: of SMOOTHED."""
    rows = [[store.find(width=width, seed=seed) for seed in SEEDS] for width in WIDTHS]
    missing = [width for width, three in zip(WIDTHS, rows, strict=True) if None in three]
    if missing:
        raise SystemExit(f"{wide.name}: the sweep of widths is not finished: {missing}: run `widths` first")
    best = max(row["valid"] for three in rows for row in three)
    bad = [[r["diverged"] is not None or r["valid"] - FAILED < (best - FAILED) / 2 for r in three] for three in rows]
    tables = [[held_out(row, wide.case, sizes) for row in three] for three in rows]
    for table, marks in zip(tables, bad, strict=True):
        good = [one for one, failed in zip(table, marks, strict=True) if not failed]
        for rank, failed in enumerate(marks):
            if failed and good:
                table[rank] = np.mean(good, axis=0)  # shown apart, not averaged in
    scores = [
        SeedScores(seed=seed, candidates=np.stack([t[k] for t in tables]), control=tables[0][k], examples="held out")
        for k, seed in enumerate(SEEDS)
    ]
    return _judge(estimate_spread(scores), tuple(map(sum, bad)), tolerance, SMOOTHED[smoothed])


def _judge(spread: Spread, failed: tuple[int, ...], tolerance: float, places) -> WidthTruth:
    cov, far = spread.cov[:-1, :-1], spread.far[:-1]
    over = list(WIDTHS if places is None else places)
    chooser = Chooser(over, cov, spread.df, tolerance=tolerance, bias=0.0, confidence=CONFIDENCE, far=far)
    choice = chooser.choose(spread.means[None, :-1], fitted=False if places is None else None)
    ends = np.array([spread.interval(column, CONFIDENCE) for column in range(len(WIDTHS))])
    chosen = int(choice.chosen[0])
    return WidthTruth(
        means=spread.means[:-1],
        low=ends[:, 0],
        high=ends[:, 1],
        curve=choice.curve[0],
        failed=failed,
        clears=WIDTHS[chosen] if chosen >= 0 else None,
        guess=WIDTHS[int(choice.guess[0])],
    )
