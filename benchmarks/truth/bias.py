"""Bias of the walk down over all stored probes: per case with its standard error, then over the cases."""

import json

import numpy as np

from truth.cases import CASES, DEPTHS
from truth.readings import best_recipe, has_failed
from truth.sweep import Store
from truth.verdicts import READINGS

DEEP, SHALLOW = range(5, 9), range(2, 5)


def print_bias(folder, sets) -> None:
    """folder: of the stored results; sets: names of the folders of probes in it, each of other seeds."""
    print("how much more the walk down rises from depths 2-4 to depths 5-8 than the truth does, in points")
    found = {reading: [] for reading in READINGS}
    for case in CASES:
        store = Store(folder / f"{case.name}.jsonl")
        measured = read_walks([folder / name / case.name / "records.jsonl" for name in sets])
        for reading in READINGS:
            value, error = tilt(store, measured, reading)
            found[reading].append((value, error))
            print(f"  {case.name:20s}{reading:12s}{value:+6.2f} (standard error {error:.2f})")
    for reading, rows in found.items():
        mean, error, scatter = random_effects(*np.array(rows).T)
        print(
            f"{reading}: mean over {len(rows)} cases {mean:+.2f} "
            f"({mean - 1.96 * error:+.2f} to {mean + 1.96 * error:+.2f}), SD between cases beyond chance {scatter:.2f}"
        )


def read_walks(files):
    """Depth -> cooled values on the way down, of every seed."""
    rows = [json.loads(line) for file in files if file.exists() for line in file.read_text().splitlines()]
    down = [row for row in rows if row["kind"] == "measurement" and row["walk"] == "down"]
    return {depth: [100 * row["value"] for row in down if row["depth"] == depth + 1] for depth in DEPTHS}


def tilt(store: Store, measured, reading: str):
    """(bias, standard error); the seeds of probe and sweep are taken as independent."""
    value, variance = 0.0, 0.0
    for group, sign in ((DEEP, 1), (SHALLOW, -1)):
        parts = []
        for depth in group:
            truth = [100 * r["valid"] for r in best_recipe(store, depth, reading)[1] if not has_failed(r, store)]
            if measured[depth] and truth:
                parts.append((np.mean(measured[depth]) - np.mean(truth), error_of(measured[depth]) + error_of(truth)))
        value += sign * float(np.mean([part[0] for part in parts]))
        variance += float(np.sum([part[1] for part in parts])) / len(parts) ** 2
    return value, variance**0.5


def error_of(values) -> float:
    """Variance of the mean."""
    return float(np.var(values, ddof=1)) / len(values) if len(values) > 1 else 0.0


def random_effects(values, errors):
    """(mean, its standard error, SD between cases) after DerSimonian and Laird, 1986."""
    weights = 1 / errors**2
    fixed = (weights * values).sum() / weights.sum()
    excess = (weights * (values - fixed) ** 2).sum() - (len(values) - 1)
    between = max(0.0, excess / (weights.sum() - (weights**2).sum() / weights.sum()))
    weights = 1 / (errors**2 + between)
    return float((weights * values).sum() / weights.sum()), float(weights.sum() ** -0.5), between**0.5
