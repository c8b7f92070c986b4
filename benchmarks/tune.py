"""Tuning against random search and against the default, thirty plain conv layers on digits; and what workers save.

Run: OMP_NUM_THREADS=1 python benchmarks/tune.py --out FOLDER [--trials 30] [--steps 300] [--confirm-seeds 5]
     OMP_NUM_THREADS=1 python benchmarks/tune.py --out FOLDER --scaling [--workers 2] [--trials 12] [--rounds 3]

Two cases on examples/very_deep.py with 29 copies. "default" starts from depthprobe's own schedule; "together" from the
paper's (all gates at once, prefix of channels, PyTorch's init), which collapses; there the init stays PyTorch's, since
layers that start as the identity cannot collapse. Every trial of a case has the same updates. The best three of each
search and the default are trained again on the same fresh seeds and fresh validation examples: the table has these,
never the search's own figures. "winner" is the trial that the search holds for the best, "chosen" what tune advises.

--scaling: a study of equal trials (only the rate differs, nothing is cut short) by one worker, then by several, by
turns and each with one thread of torch; the ratio of wall times, search and confirmation, start of workers included.

Resumable: the same command goes on where it was stopped. A study that fails is told, and the others go on.
"""

import argparse
import datetime
import json
import platform
import shutil
import statistics
import sys
import time
import traceback
from pathlib import Path

import numpy as np
import optuna
import scipy.stats
import torch

from depthprobe.config import GrowConfig, TrainConfig
from depthprobe.inputs import open_model
from depthprobe.probes.setup import DataSource
from depthprobe.runs import RunFolder
from depthprobe.tuning.config import TuneConfig
from depthprobe.tuning.setup import create_tuning, reopen_tuning, set_up_tuning
from depthprobe.tuning.space import Choices, Range, default_space
from depthprobe.tuning.storage import OWN, local_url
from depthprobe.tuning.tune import run_tune

MODEL = Path(__file__).parents[1] / "examples" / "very_deep.py"
COPIES = 29
COLLAPSING = {"schedule": "together", "granularity": "channel", "init": "default", "candidates": (COPIES,)}
CASES = {
    "default": ({}, {}),
    "together": (COLLAPSING, {"init": Choices(("default",))}),
}
SAMPLERS = ("tpe", "random")


def study(folder, grow, train, tune, changes):
    """The answer of one study; one that is there is read or gone on with."""
    if (folder / "recommendation.json").exists():
        return json.loads((folder / "recommendation.json").read_text(encoding="utf-8"))
    if (folder / "config.json").exists():
        with RunFolder.open(folder, write=True) as run:
            run.check_config()
            return run_tune(reopen_tuning(run), run, local_url(folder), tell)
    setup = set_up_tuning(
        open_model(str(MODEL)), DataSource(spec="digits"), grow, train, tune, changes, study=folder.name, storage=OWN
    )
    with create_tuning(setup, folder) as run:
        return run_tune(setup, run, local_url(folder), tell)


def tell(record, total):
    value = (record["values"] or [record["failed"] or record["state"]])[0]
    print(f"    {record['stage']} {record['trial'] + 1}/{total}: {value}  ({record['took_seconds']} s)", flush=True)


def compare(case, sampler, options):
    grow, changes = CASES[case]
    return study(
        options.out / f"{case}-{sampler}",
        GrowConfig(copies=COPIES, seed=options.seed, **grow),
        TrainConfig(steps=options.steps, lr=options.lr, threads=1),
        TuneConfig(
            trials=options.trials, sampler=sampler, confirm_seeds=options.confirm_seeds, workers=options.workers
        ),
        changes,
    )


def half_width(values):
    """Of the two-sided 95 % interval of a mean, by t over the seeds."""
    if len(values) < 2:
        return float("nan")
    return scipy.stats.t.ppf(0.975, len(values) - 1) * np.std(values, ddof=1) / len(values) ** 0.5


def points(value, low, high):
    return f"{100 * value:+.1f} ({100 * low:+.1f} to {100 * high:+.1f})"


def row(case, what, one, cost):
    """One schedule on the fresh seeds; one that diverged there counts 0."""
    values = [value or 0.0 for value in one["values"]]
    gain = points(*(one["gain"][name] for name in ("value", "low", "high"))) if one["gain"] else ""
    mean = f"{np.mean(values):.3f} +- {half_width(values):.3f}"
    return f"{case:<10}{what:<26}{mean:<18}{gain:<26}{one['cost']:>5.2f}  {cost}"


def winner(answer):
    """The trial that the search held for the best, the default left out; as confirmed."""
    return answer["confirmed"][1] if len(answer["confirmed"]) > 1 else answer["confirmed"][0]


def rows_of(case, answers):
    rows = [row(case, "default", next(iter(answers.values()))["default"], "")]
    for sampler, answer in answers.items():
        cost = answer["cost"]
        spent = f"{cost['trainings']:6.1f} trainings, {cost['wall_seconds']:6.0f} s"
        chosen = answer["best"]["trial"]
        best = winner(answer)
        rows.append(row(case, f"{sampler}: winner, trial {best['trial']}", best, spent))
        rows.append(row(case, f"{sampler}: chosen, {f'trial {chosen}' if chosen else 'default'}", answer["best"], ""))
    if len(answers) == len(SAMPLERS):
        rows.append(versus(case, *(winner(answers[sampler])["values"] for sampler in SAMPLERS)))
    return rows


def versus(case, ours, theirs):
    """The winners of both searches, paired over the seeds."""
    if len(ours) != len(theirs):
        return f"{case:<10}winners: not trained on the same seeds"
    differences = [(one or 0.0) - (other or 0.0) for one, other in zip(ours, theirs, strict=True)]
    mean, half = float(np.mean(differences)), half_width(differences)
    return f"{case:<10}winner of tpe - winner of random: {points(mean, mean - half, mean + half)} points"


def compare_all(options):
    found = {case: {} for case in options.cases}
    for case in options.cases:
        for sampler in SAMPLERS:
            print(f"  {case}, {sampler}", flush=True)
            try:
                found[case][sampler] = compare(case, sampler, options)
            except Exception:  # noqa: BLE001  (told, and the other studies go on
                traceback.print_exc()
                print(f"  {case}, {sampler}: failed; the same command goes on with it", flush=True)
    print(
        f"\n30 conv layers on digits, {options.trials} trials, {options.steps} updates of a conventional training, "
        f"{options.confirm_seeds} fresh seeds"
    )
    print(
        f"{'case':<10}{'schedule':<26}{'accuracy (95 %)':<18}{'gain in points (95 %)':<26}{'cost':>5}  the whole study"
    )
    for case, answers in found.items():
        print("\n".join(rows_of(case, answers) if answers else [f"{case:<10}no study of it was answered"]))


def equal_trials(folder, workers, options):
    """Seconds of a study whose trials cost the same."""
    shutil.rmtree(folder, ignore_errors=True)  # a part of one cannot be timed
    changes = {**dict.fromkeys(default_space(0.02)), "lr": Range(0.01, 0.03)}
    tune = TuneConfig(trials=options.trials, sampler="random", confirm_top=1, confirm_seeds=1, workers=workers)
    train = TrainConfig(steps=options.steps, lr=0.02, threads=1)
    begun = time.monotonic()
    study(folder, GrowConfig(copies=8, seed=options.seed), train, tune, changes)
    return time.monotonic() - begun


def scale(options):
    store = options.out / "scaling.json"
    known = json.loads(store.read_text()) if store.exists() else {}
    kept = f"{options.trials} trials, {options.steps} steps"
    ratios = []
    for number in range(options.rounds):
        for workers in (1, options.workers)[:: 1 if number % 2 == 0 else -1]:
            key = f"{kept}, round {number}, workers {workers}"
            if key not in known:
                known[key] = equal_trials(options.out / f"scaling-{number}-{workers}", workers, options)
                store.write_text(json.dumps(known, indent=1) + "\n")
            print(f"  round {number}, workers {workers}: {known[key]:.1f} s", flush=True)
        one, several = (known[f"{kept}, round {number}, workers {w}"] for w in (1, options.workers))
        ratios.append(several / one)
    print(
        f"\n{kept}: wall clock of {options.workers} workers / one worker: "
        f"{', '.join(f'{ratio:.2f}' for ratio in ratios)}; median {statistics.median(ratios):.2f}"
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="folder of the studies")
    parser.add_argument("--trials", type=int, help="30, or 12 with --scaling")
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--lr", type=float, help="of the default (otherwise a range test chooses it)")
    parser.add_argument("--confirm-seeds", type=int, default=5)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, help="1, or 2 with --scaling")
    parser.add_argument("--cases", nargs="+", default=list(CASES), choices=list(CASES))
    parser.add_argument("--scaling", action="store_true", help="time equal trials by one worker and by several")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    options.trials = options.trials or (12 if options.scaling else 30)
    options.workers = options.workers or (2 if options.scaling else 1)
    torch.set_num_threads(1)
    options.out.mkdir(parents=True, exist_ok=True)
    (scale if options.scaling else compare_all)(options)
    words = " ".join(sys.argv[1:]).replace(str(options.out), "FOLDER")
    print(
        f"python benchmarks/tune.py {words}; python {platform.python_version()}, torch {torch.__version__}, "
        f"optuna {optuna.__version__}, {datetime.date.today().isoformat()}"
    )


if __name__ == "__main__":
    main()
