"""Is `--time-budget` met, and is the forecast right? Five probes of different size, budget, forecast and what it took.

Run: python benchmarks/time_budget.py --data-dir DATA      (about seven minutes)

Seconds: wall time from the call of dp.grow to its answer; forecast: what setting up took and what was forecast then.
"""

import argparse
import json
import os
import time
from pathlib import Path

import torch

import depthprobe as dp
from truth.cases import DATA, Case

RUNS = (
    (Case("digits", "conv_flat"), 30),
    (Case("digits", "mlp"), 45),
    (Case("digits", "conv_gap"), 90),
    (Case("mnist14", "conv_gap"), 120),
    (Case("cifar16", "conv_bn"), 180),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-dir", type=Path)
    parser.add_argument("--runs", type=int, nargs="*", default=range(len(RUNS)), help="which of the five")
    chosen = parser.parse_args()
    print("case | budget s | seeds x depths x steps | forecast s | took s | took/budget | took/forecast | load | cut")
    print("---|---|---|---|---|---|---|---|---", flush=True)
    for case, budget in (RUNS[index] for index in chosen.runs):
        print(measure(case, budget, chosen.data_dir), flush=True)


def measure(case: Case, budget: float, data_dir: Path | None) -> str:
    """One row of the table."""
    options = {key: value for key, value in DATA[case.data].items() if key != "spec"}
    model = case.build(1, 0, data_dir)
    begin = time.monotonic()
    result = dp.grow(
        model, DATA[case.data]["spec"], data_dir=data_dir if case.data != "digits" else None, **options,
        copies=7, threads=1, time_budget=float(budget),
    )  # fmt: skip
    took = time.monotonic() - begin
    config = json.loads((result.folder / "config.json").read_text())
    forecast = config["setup_seconds"] + config["forecast_seconds"]
    early = any(json.loads(line)["kind"] == "stop" for line in (result.folder / "records.jsonl").open())
    size = f"{config['grow']['seeds']} x {len(result.curve)} x {config['train']['steps']:,}"
    return (
        f"{case.name} | {budget} | {size} | {forecast:.0f} | {took:.0f} | {took / budget:.2f} | {took / forecast:.2f} "
        f"| {os.getloadavg()[0]:.1f} | {'yes' if early else 'no'}"
    )


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
