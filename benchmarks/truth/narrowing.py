"""Width against the sweep: the widest network of a case, trained from scratch, then narrowed; which width is left?"""

import json
import math
from pathlib import Path

import torch

import depthprobe as dp
from depthprobe.graph.costs import count_macs
from truth.cases import BATCH, SEEDS, STEPS
from truth.sweep import Store
from truth.widths import FINE, WIDTHS, WideCase, read_width_truth, train_width

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


def judge_width(wide: WideCase, store: Store, folder: Path, data_dir: Path | None) -> dict:
    """What the sweep says of the answer; the bill as a share of the sweep's, the checkpoint left out.

    The width is that of a network whose layers keep the advised share together.
    """
    answer = json.loads((folder / "recommendation.json").read_text())
    split = wide.case.split(0, data_dir)
    truth = read_width_truth(wide, store, answer["tolerance"], (len(split.valid), len(split.test)))
    part = answer["width"]
    share = part["recommended"] or part["best_guess"]
    width = width_of(share)
    rows = [store.find(width=w, seed=s) for w in WIDTHS for s in SEEDS]
    widest = count_macs(wide.build(WIDTHS[-1], 0, data_dir), split.train.x[:2]) * STEPS * BATCH
    regret = truth.regret(width)
    return {
        "case": wide.name,
        "verdict": answer["verdict"],
        "width": width,
        "layers": [row["recommended"] for row in part["units"]],
        "profile": part["profile"],
        "tolerance": answer["tolerance"],
        "sweep": truth.clears,
        "guess": truth.guess,
        "void": truth.void,
        "regret": regret,
        "hit": regret <= answer["tolerance"] and not (truth.clears is not None and truth.clears < width),
        "cost": answer["cost"]["trainings"] * widest / sum(row["macs"] for row in rows),
        "seconds": answer["cost"]["wall_seconds"] / sum(row["seconds"] for row in rows),
        "test": answer["test"],
        "scratch": {w: round(float(mean), 4) for w, mean in zip(WIDTHS, truth.means, strict=True)},
        "failed": dict(zip(WIDTHS, truth.failed, strict=True)) if any(truth.failed) else {},
        "walk": [(width_of(row["ratio"]), round(row["value"], 4)) for row in part["candidates"]],
        "sentence": answer["sentence"],
        "torch": torch.__version__,
    }


def width_of(share: float) -> int:
    """Channels of a layer that keeps a share of the widest."""
    return math.ceil(WIDTHS[-1] * share - 1e-9)


def look_narrowed(wide: WideCase, store: Store, row: dict, data_dir: Path | None) -> dict:
    """The same answer (a row of `judge_width`) in the light of the second reading."""
    split = wide.case.split(0, data_dir)
    truth = read_width_truth(wide, store, row["tolerance"], (len(split.valid), len(split.test)))
    regret = truth.regret(row["width"])
    return {
        "clears": truth.clears,
        "guess": truth.guess,
        "regret": regret,
        "hit": regret <= row["tolerance"] and not (truth.clears is not None and truth.clears < row["width"]),
        "means": {w: round(float(mean), 4) for w, mean in zip(WIDTHS, truth.means, strict=True)},
    }
