"""Ground truth: twelve cases, every depth from 1 to 8 trained from scratch and grown.

Run: python benchmarks/ground_truth.py sweep --data-dir DATA [--cases digits-mlp ...] [--backwards]   (resumable)
     python benchmarks/ground_truth.py probe --data-dir DATA --runs FOLDER [--set cool_share=0.15 ...]   (resumable)
     python benchmarks/ground_truth.py judge --data-dir DATA [--runs FOLDER]
     python benchmarks/ground_truth.py bias
     python benchmarks/ground_truth.py shrink --data-dir DATA --runs FOLDER   (resumable)
     python benchmarks/ground_truth.py widths --data-dir DATA [--cases digits-mlp-2 ...] [--narrowed]   (resumable)
     python benchmarks/ground_truth.py width --data-dir DATA --runs FOLDER   (resumable)
     python benchmarks/ground_truth.py controls --data-dir DATA [--nulls 20] [--parities 5]

`probe` runs the grow probe on every case into FOLDER, `judge` compares it with the sweep and with what a careful user
would do instead; `widths` trains every width from scratch, `width` narrows the widest; `controls` asks what has a known
answer: shuffled labels, and a task that provably needs depth. Truth is read on data that neither the probe nor the
peers see (digits: the validation folds are added to its small test).
Of the probes whose judgement is committed, results/ground_truth/probes holds the answers and the measurements.
"""

import argparse
import ast
import fcntl
import json
import tempfile
from contextlib import contextmanager
from datetime import date
from pathlib import Path

import torch

from truth import controls
from truth.bias import print_bias
from truth.cases import CASES, SEEDS, Case
from truth.narrowing import judge_width, narrow_case
from truth.probe import probe, read_probe
from truth.shrinking import SHRUNK, judge_shrink, shrink_case
from truth.sweep import Store, run_case
from truth.table import bars, block, heading
from truth.verdicts import judge_case
from truth.widths import SMOOTHED, WIDE_CASES, sweep_widths

STORE = Path(__file__).parent / "results" / "ground_truth"
SETS = ("probes", "probes_seed100")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=list(VERBS))
    parser.add_argument("--data-dir", type=Path)
    parser.add_argument("--store", type=Path, default=STORE)
    parser.add_argument("--runs", type=Path, default=STORE / "probes", help="default: the stored ones")
    parser.add_argument("--backwards", action="store_true", help="from the last case and training on")
    parser.add_argument("--cases", nargs="*", help="default: all")
    parser.add_argument("--set", nargs="*", default=[], metavar="KEY=VALUE", help="settings of the probe")
    parser.add_argument("--from-seed", type=int, default=SEEDS[0], help="of the network that `width` narrows")
    parser.add_argument("--narrowed", action="store_true", help="of `widths`: cut from the widest, not from scratch")
    parser.add_argument("--nulls", type=int, default=20)
    parser.add_argument("--parities", type=int, default=5)
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    VERBS[chosen.what](chosen, [case for case in CASES if chosen.cases is None or case.name in chosen.cases])


def store_of(chosen, case: Case) -> Store:
    return Store(chosen.store / f"{case.name}.jsonl")


def run_bias(chosen, cases) -> None:
    """Over all stored probes."""
    print_bias(chosen.store, SETS)


def sweep(chosen, cases) -> None:
    for case in reversed(cases) if chosen.backwards else cases:
        run_case(case, chosen.store / f"{case.name}.jsonl", chosen.data_dir, backwards=chosen.backwards)


def run_probes(chosen, cases) -> None:
    settings = {key: ast.literal_eval(value) for key, value in (text.split("=", 1) for text in chosen.set)}
    for case in cases:
        with alone(chosen.runs / case.name) as free:
            if free:
                rate = store_of(chosen, case).best_rate()
                folder = probe(case, rate, chosen.runs / case.name, chosen.data_dir, **settings)
                print(case.name, json.loads((folder / "recommendation.json").read_text())["sentence"], flush=True)


def print_judgement(chosen, cases) -> None:
    print(heading(" ".join(["python benchmarks/ground_truth.py", chosen.what]), str(date.today())))
    judgements = []
    for case in cases:
        split = case.split(0, chosen.data_dir)
        sizes = (len(split.valid), len(split.test))
        answer, measured, work = read_probe(case, chosen.runs / case.name, chosen.data_dir)
        judgements.append(judge_case(case, store_of(chosen, case), answer, measured, work, sizes))
        print("\n" + block(judgements[-1]), flush=True)
    print("\n" + bars(judgements))


def run_shrinks(chosen, cases) -> None:
    """Unless --cases names others, the four of SHRUNK."""
    named = [case for case in cases if case.name in SHRUNK] if chosen.cases is None else cases
    rows = []
    for case in named:
        folder = shrink_case(case, store_of(chosen, case), chosen.runs / case.name, chosen.data_dir)
        rows.append(judge_shrink(case, store_of(chosen, case), folder, chosen.data_dir))
        print(json.dumps(rows[-1]), flush=True)
    print(f"hits {sum(row['hit'] for row in rows)} of {len(rows)}; cost {[round(row['cost'], 2) for row in rows]}")


def run_width_sweep(chosen, cases) -> None:
    for wide in wide_cases(chosen):
        path = width_store(chosen, wide, "narrowed" if chosen.narrowed else "")
        rate = store_of(chosen, wide.case).best_rate()
        sweep_widths(wide, path, rate, chosen.data_dir, narrowed=chosen.narrowed)


def run_widths(chosen, cases) -> None:
    settings = {key: ast.literal_eval(value) for key, value in (text.split("=", 1) for text in chosen.set)}
    rows = []
    for wide in wide_cases(chosen):
        rate = store_of(chosen, wide.case).best_rate()
        folder = narrow_case(wide, rate, chosen.from_seed, chosen.runs / wide.name, chosen.data_dir, **settings)
        stores = [Store(width_store(chosen, wide, reading)) for reading in ("", "narrowed")]
        rows.append(judge_width(wide, *stores, folder, chosen.data_dir))
        print(json.dumps(rows[-1]), flush=True)
    print(f"cost {[round(row['cost'], 2) for row in rows]}")
    for smoothed in SMOOTHED:
        sound = [row["scratch"][smoothed] for row in rows if not row["scratch"][smoothed]["void"]]
        hits = sum(one["hit"] for one in sound)
        print(f"truth smoothed {smoothed}: hits {hits} of {len(sound)}, {len(rows) - len(sound)} void")


def wide_cases(chosen):
    return [wide for wide in WIDE_CASES if chosen.cases is None or wide.name in chosen.cases]


def width_store(chosen, wide, reading: str = "") -> Path:
    return chosen.store / "widths" / reading / f"{wide.name}.jsonl"


def run_controls(chosen, cases) -> None:
    rates = {case: store_of(chosen, case).best_rate() for case in cases if case.name in controls.NULLS}
    for seed in range(chosen.nulls):
        name, answer = controls.run_null(seed, rates.__getitem__, chosen.data_dir)
        print(f"shuffled labels, {name}, seed {seed}: {answer['verdict']}", flush=True)
    for seed in range(chosen.parities):
        answer = controls.run_parity(seed)
        print(f"parity of a distance, seed {seed}: {answer['verdict']} {answer['sentence']}", flush=True)


@contextmanager
def alone(path: Path):
    """True when no other process works on this case, which may run beside us."""
    lock = Path(tempfile.gettempdir()) / f"{path.name}.lock"
    with lock.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield True
        except BlockingIOError:
            yield False


VERBS = {
    "sweep": sweep,
    "probe": run_probes,
    "judge": print_judgement,
    "controls": run_controls,
    "bias": run_bias,
    "shrink": run_shrinks,
    "widths": run_width_sweep,
    "width": run_widths,
}


if __name__ == "__main__":
    main()
