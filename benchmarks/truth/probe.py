"""The probe on a case: one grow run from one hidden layer up to eight, at the rate of the case's pilot."""

import json
from pathlib import Path

from depthprobe.config import GrowConfig, TrainConfig
from depthprobe.graph.costs import count_macs
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
    """(recommendation, measurements, multiply-accumulates of all that was trained)."""
    answer = json.loads((folder / "recommendation.json").read_text())
    rows = [json.loads(line) for line in (folder / "records.jsonl").read_text().splitlines()]
    example = case.split(0, data_dir).train.x[:2]
    deepest = count_macs(case.build(DEPTHS[-1], 0, data_dir), example)
    work = answer["cost"]["trainings"] * deepest * STEPS * BATCH
    return answer, [row for row in rows if row["kind"] == "measurement"], work
