"""The probe on a case: one grow run from one hidden layer up to eight, at the rate of the case's pilot."""

import json
from pathlib import Path

from depthprobe.analysis.automatic import decide_automatically
from depthprobe.analysis.tolerance import auto_tolerance
from depthprobe.config import GrowConfig, TrainConfig
from depthprobe.graph.costs import count_macs
from depthprobe.probes.answer import read_scores
from depthprobe.probes.grow import create_run, run_grow, set_up
from depthprobe.probes.listener import Listener
from depthprobe.probes.setup import DataSource
from truth.cases import BATCH, DATA, DEPTHS, SEEDS, STEPS, Case


def probe(case: Case, rate: float, out: Path, data_dir: Path | None, **settings) -> Path:
    """Run it into the folder `out` unless it is there; returns the folder."""
    if not (out / "recommendation.json").exists():
        options = dict(DATA[case.data])
        source = DataSource(data_dir=str(data_dir) if data_dir and case.data != "digits" else None, **options)
        setup = set_up(
            case.source(1, data_dir),
            source,
            GrowConfig(**{"seeds": len(SEEDS), "max_depth": DEPTHS[-1] + 1, **settings}),
            TrainConfig(lr=rate, steps=STEPS, batch_size=BATCH, device="cpu", threads=1),
        )
        with create_run(setup, out) as folder:
            run_grow(setup, folder, Listener())
    return out


def read_probe(case: Case, folder: Path, data_dir: Path | None):
    """(decision of the rule as it is now on the run's records, measurements, multiply-accumulates of all training)."""
    answer = json.loads((folder / "recommendation.json").read_text())
    rows = [json.loads(line) for line in (folder / "records.jsonl").read_text().splitlines()]
    opened = sorted({row["opened"] for row in rows if row.get("walk") == "down"})
    seeds = sorted({row["seed"] for row in rows if "seed" in row})
    floor = max(chance(case, seed, data_dir) for seed in SEEDS)
    split = case.split(0, data_dir)
    folds = len({case.split(seed, data_dir).valid_id for seed in SEEDS}) > 1
    planned = auto_tolerance(len(split.valid), len(SEEDS), folds=folds).value
    depths = [2 + count for count in opened]
    scores = read_scores(rows, opened, seeds)
    decision = decide_automatically(scores, depths=depths, current=2, tolerance=round(planned, 4), floor=floor)
    deepest = count_macs(case.build(DEPTHS[-1], 0, data_dir), split.train.x[:2])
    work = answer["cost"]["trainings"] * deepest * STEPS * BATCH
    return decision, [row for row in rows if row["kind"] == "measurement"], work


def chance(case: Case, seed: int, data_dir: Path | None) -> float:
    """Accuracy of always naming the commonest class."""
    labels = case.split(seed, data_dir).valid.y
    return float(labels.bincount().max()) / len(labels)
