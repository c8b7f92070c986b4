"""Tuning against random search and against the default: thirty plain conv layers on digits.

Run: OMP_NUM_THREADS=1 python benchmarks/tune.py --out FOLDER [--trials 30] [--steps 300] [--confirm-seeds 5]

Two cases on examples/very_deep.py with 29 copies. "default" starts from depthprobe's own schedule; "together" from the
paper's (all gates at once, prefix of channels, PyTorch's init), which collapses; there the init stays PyTorch's, since
layers that start as the identity cannot collapse. Every trial of a case has the same updates. The best three of each
search and the default are trained again on fresh seeds and fresh validation examples: the table has these, never the
search's own figures. Resumable: the same command goes on where it was stopped.
"""

import argparse
import json
import platform
from pathlib import Path

import optuna
import torch

from depthprobe.config import GrowConfig, TrainConfig
from depthprobe.inputs import open_model
from depthprobe.probes.setup import DataSource
from depthprobe.runs import RunFolder
from depthprobe.tuning.config import TuneConfig
from depthprobe.tuning.setup import create_tuning, reopen_tuning, set_up_tuning
from depthprobe.tuning.space import Choices
from depthprobe.tuning.storage import local_url
from depthprobe.tuning.tune import run_tune

MODEL = Path(__file__).parents[1] / "examples" / "very_deep.py"
COPIES = 29
COLLAPSING = {"schedule": "together", "granularity": "channel", "init": "default", "candidates": (COPIES,)}
CASES = {
    "default": ({}, {}),
    "together": (COLLAPSING, {"init": Choices(("default",))}),
}
SAMPLERS = ("tpe", "random")


def study(case, sampler, folder, options):
    """The answer of one study; one that is there is read or gone on with."""
    if (folder / "recommendation.json").exists():
        return json.loads((folder / "recommendation.json").read_text(encoding="utf-8"))
    if (folder / "config.json").exists():
        with RunFolder.open(folder, write=True) as run:
            return run_tune(reopen_tuning(run), run, local_url(folder), tell)
    grow, changes = CASES[case]
    setup = set_up_tuning(
        open_model(str(MODEL)),
        DataSource(spec="digits"),
        GrowConfig(copies=COPIES, seed=options.seed, **grow),
        TrainConfig(steps=options.steps, lr=options.lr, threads=1),
        TuneConfig(
            trials=options.trials, sampler=sampler, confirm_seeds=options.confirm_seeds, workers=options.workers
        ),
        changes,
        study=folder.name,
        storage=local_url(folder),
    )
    with create_tuning(setup, folder) as run:
        return run_tune(setup, run, local_url(folder), tell)


def tell(record, total):
    values = record["values"] or ["-"]
    print(f"    {record['stage']} {record['trial'] + 1}/{total}: {values[0]}  ({record['took_seconds']} s)", flush=True)


def row(case, sampler, answer):
    best, default, cost = answer["best"], answer["default"], answer["cost"]
    gains = [one["gain"] for one in answer["confirmed"] if one["gain"]]
    rival = best["gain"] or max(gains, key=lambda gain: gain["value"], default=None)
    gain = f"{100 * rival['value']:+.1f} ({100 * rival['low']:+.1f} to {100 * rival['high']:+.1f})" if rival else ""
    return (
        f"{case:<9} {sampler:<7} {default['value']:.3f}    {best['value']:.3f}  {gain:<24} "
        f"{'default' if best['trial'] == 0 else 'trial ' + str(best['trial']):<9} "
        f"{default['cost']:.2f} -> {best['cost']:.2f}   {cost['trainings']:6.1f}  {cost['wall_seconds']:6.0f}"
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="folder of the studies")
    parser.add_argument("--trials", type=int, default=30)
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--lr", type=float, help="of the default (otherwise a range test chooses it)")
    parser.add_argument("--confirm-seeds", type=int, default=5)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--cases", nargs="+", default=list(CASES), choices=list(CASES))
    options = parser.parse_args()
    torch.set_num_threads(1)
    options.out.mkdir(parents=True, exist_ok=True)
    rows = []
    for sampler in SAMPLERS:
        for case in options.cases:
            print(f"  {case}, {sampler}", flush=True)
            rows.append(row(case, sampler, study(case, sampler, options.out / f"{case}-{sampler}", options)))
    print(
        f"\n30 conv layers on digits, {options.trials} trials, {options.steps} updates of a conventional training, "
        f"{options.confirm_seeds} fresh seeds; python {platform.python_version()}, torch {torch.__version__}, "
        f"optuna {optuna.__version__}"
    )
    print(
        "case      sampler default  chosen  gain in points (95 %)    chosen    cost of one    study: trainings, seconds"
    )
    print("\n".join(rows))


if __name__ == "__main__":
    main()
