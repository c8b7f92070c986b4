"""Shrink against the sweep: the deepest network of a case, trained from scratch, then shrunk; which depth is left?"""

import json
from pathlib import Path

import torch

import depthprobe as dp
from depthprobe.graph.costs import count_macs
from truth.cases import BATCH, DEPTHS, SEEDS, STEPS, Case
from truth.readings import best_recipe, has_failed, read_truth
from truth.sweep import Store, train_network
from truth.verdicts import look

SHRUNK = ("digits-conv_bn", "mnist14-conv_flat", "mnist14-conv_bn", "cifar16-conv_flat")
FINE = 1.0  # of the rate of training


def shrink_case(case: Case, store: Store, out: Path, data_dir: Path | None) -> Path:
    """Train the deepest network with the recipe that was best for it, shrink it; returns the run folder."""
    if (out / "recommendation.json").exists():
        return out
    init = best_recipe(store, DEPTHS[-1], "trainable")[0]
    good = [row["seed"] for row in best_recipe(store, DEPTHS[-1], "trainable")[1] if not has_failed(row, store)]
    task = {"kind": "scratch", "init": init, "depth": DEPTHS[-1], "seed": good[0], "lr": store.best_rate()}
    split = case.split(task["seed"], data_dir)
    net = train_network(case, task, data_dir)
    parts = {name: (getattr(split, name).x, getattr(split, name).y) for name in ("train", "valid", "test")}
    dp.shrink(
        net,
        parts,
        out=out,
        steps=STEPS,
        batch_size=BATCH,
        lr=FINE * task["lr"],
        augment=case.augment,
        seeds=len(SEEDS),
        threads=1,
        device="cpu",
    )
    return out


def judge_shrink(case: Case, store: Store, folder: Path, data_dir: Path | None) -> dict:
    """What the sweep says of the answer; the bill as a share of the sweep's, the checkpoint left out."""
    answer = json.loads((folder / "recommendation.json").read_text())
    split = case.split(0, data_dir)
    truth = read_truth(case, store, "trainable", answer["tolerance"], (len(split.valid), len(split.test)))
    depth = (answer["depth"]["recommended"] or answer["depth"]["best_guess"]) - 1
    deepest = count_macs(case.build(DEPTHS[-1], 0, data_dir), split.train.x[:2])
    work = answer["cost"]["trainings"] * deepest * STEPS * BATCH
    price = sum(best_recipe(store, d, "trainable")[1][0]["macs"] for d in DEPTHS) * len(SEEDS)
    verdict = look(depth, work / price, {"trainable": truth}, answer["tolerance"])
    return {
        "case": case.name,
        "verdict": answer["verdict"],
        "depth": depth,
        "tolerance": answer["tolerance"],
        "sweep": truth.clears,
        "guess": truth.guess,
        "regret": verdict.regret["trainable"],
        "hit": verdict.hit["trainable"],
        "cost": verdict.cost,
        "test": answer["test"],
        "sentence": answer["sentence"],
        "curve": [(row["depth"] - 1, row["value"]) for row in answer["depth"]["candidates"]],
        "speed_ms": answer["depth"]["speed_ms"],
        "torch": torch.__version__,
    }
