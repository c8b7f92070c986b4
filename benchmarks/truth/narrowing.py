"""Width against the sweep: the widest network of a case, trained from scratch, then narrowed; which width is left?"""

import json
import math
from functools import partial
from pathlib import Path

import torch

import depthprobe as dp
from truth.cases import BATCH, SEEDS, STEPS
from truth.sweep import Store
from truth.widths import FINE, SMOOTHED, WIDTHS, WideCase, read_width_truth, train_width

# Of 64 channels, rounded up: 48, 32, 24, 16, 12, 8, 6, 4, 2, the widths of the sweep.
RATIOS = (0.75, 0.5, 0.37, 0.25, 0.18, 0.12, 0.09, 0.06, 0.03)


def narrow_case(wide: WideCase, rate: float, seed: int, out: Path, data_dir: Path | None, **settings) -> Path:
    """Train the widest network, narrow it; returns the run folder, which may be there. seed: of the training."""
    if (out / "recommendation.json").exists():
        return out
    split = wide.case.split(seed, data_dir)
    net = train_width(wide, WIDTHS[-1], seed, rate, data_dir)[0].net
    parts = {name: (getattr(split, name).x, getattr(split, name).y) for name in ("train", "valid", "test")}
    dp.width(
        net,
        parts,
        out=out,
        **{
            "ratios": RATIOS,
            "steps": STEPS,
            "batch_size": BATCH,
            "lr": FINE * rate,
            "augment": wide.case.augment,
            "seeds": len(SEEDS),
            "threads": 1,
            "device": "cpu",
            **settings,
        },
    )
    return out


def judge_width(wide: WideCase, store: Store, narrowed: Store, folder: Path, data_dir: Path | None) -> dict:
    """What the sweep says of the answer; the bill as a share of the sweep's, the checkpoint left out.

    The width is that of a network whose layers keep the advised share together. narrowed: the second reading of the
    sweep, empty where it was not trained.
    """
    answer = json.loads((folder / "recommendation.json").read_text())
    part = answer["width"]
    width = width_of(part["recommended"] or part["best_guess"])
    rows = [store.find(width=w, seed=s) for w in WIDTHS for s in SEEDS]
    widest = wide.macs(WIDTHS[-1], data_dir) * STEPS * BATCH
    split = wide.case.split(0, data_dir)
    ask = partial(look, wide, tolerance=answer["tolerance"], sizes=(len(split.valid), len(split.test)), width=width)
    return {
        "case": wide.name,
        "verdict": answer["verdict"],
        "width": width,
        "layers": [row["recommended"] for row in part["units"]],
        "profile": part["profile"],
        "tolerance": answer["tolerance"],
        "scratch": {smoothed: ask(store, smoothed=smoothed) for smoothed in SMOOTHED},
        "narrowed": {smoothed: ask(narrowed, smoothed=smoothed) for smoothed in SMOOTHED} if narrowed.rows else None,
        "cost": answer["cost"]["trainings"] * widest / sum(row["macs"] for row in rows),
        "seconds": answer["cost"]["wall_seconds"] / sum(row["seconds"] for row in rows),
        "test": answer["test"],
        "walk": [(width_of(row["ratio"]), round(row["value"], 4)) for row in part["candidates"]],
        "sentence": answer["sentence"],
        "torch": torch.__version__,
    }


def look(wide: WideCase, store: Store, *, tolerance: float, sizes, width: int, smoothed: str) -> dict:
    """One reading of truth: a hit is a regret within the tolerance and no smaller width that clears the rule."""
    truth = read_width_truth(wide, store, tolerance, sizes, smoothed)
    regret = truth.regret(width)
    return {
        "clears": truth.clears,
        "guess": truth.guess,
        "void": truth.void,
        "regret": regret,
        "hit": regret <= tolerance and not (truth.clears is not None and truth.clears < width),
        "means": {w: round(float(mean), 4) for w, mean in zip(WIDTHS, truth.means, strict=True)},
        "failed": {w: count for w, count in zip(WIDTHS, truth.failed, strict=True) if count},
    }


def width_of(share: float) -> int:
    """Channels of a layer that keeps a share of the widest."""
    return math.ceil(WIDTHS[-1] * share - 1e-9)
