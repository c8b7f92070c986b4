"""A large made-up run folder, for the size and the speed of reports: nothing in it was trained.

big_run(Path("big"), seeds=8, units=40, records=200_000)
"""

import json
import math

CANDIDATES = (0, 1, 2, 4, 8, 16, 28, 40)


def big_run(folder, seeds=8, units=40, records=200_000):
    """Write a finished grow run of a network of `units` units, a gate behind each, with at least that many records."""
    folder.mkdir(parents=True)
    opened = [count for count in CANDIDATES if count < units] + [units]
    documents = {
        "config.json": config(units, seeds),
        "environment.json": environment(),
        "recommendation.json": answer(opened, units, seeds),
    }
    for name, document in documents.items():
        (folder / name).write_text(json.dumps(document, indent=2))
    measured = list(measurements(opened, units, seeds))
    with (folder / "records.jsonl").open("w") as file:
        for record in traces(-(-(records - len(measured)) // (2 * seeds)), units, seeds):
            file.write(json.dumps(record, separators=(",", ":")) + "\n")
        for record in measured:
            file.write(json.dumps(record, separators=(",", ":")) + "\n")
    return folder


def config(units, seeds):
    """config.json, with 40 points of each of three sweeps of a range test."""
    sweep = {"rates": [10 ** (-4 + i / 10) for i in range(40)], "losses": [2.3 - i / 30 for i in range(40)]}
    return {
        "schema": 1,
        "command": "grow",
        "model": {"spec": "big.py", "args": {}, "sha256": "0" * 64},
        "data": {"spec": "digits", "data_dir": None, "limit_train": None, "image_size": None, "fingerprint": "0" * 64},
        "train": {"optimizer": "sgd", "lr": 0.02, "batch_size": 64, "steps": 1500, "precision": "no", "augment": False},
        "grow": {"copies": 1, "split_seed": 0, "seeds": seeds},
        "lr_note": "learning rate 0.02 (range test)",
        "lr_range_test": [sweep] * 3,
        "tolerance_note": "tolerance 0.005: made up",
        "gates": [f"stage.{i}_copy1" for i in range(units)],
        "units": [
            {"name": f"stage.{i}", "kind": "conv", "layers": "conv + norm + activation", "params": 9216,
             "in_shape": [16 * (1 + i // 10), 16, 16], "out_shape": [16 * (1 + i // 10), 16, 16]}
            for i in range(units)
        ],
    }  # fmt: skip


def environment():
    """environment.json."""
    facts = {"python": "3.11", "platform": "none", "processor": "none", "cores": 1, "device": "cpu", "gpu": None}
    return {"command_line": ["depthprobe", "grow", "big.py"], **facts, "threads": 1, "packages": {"depthprobe": "0"}}


def answer(opened, units, seeds):
    """recommendation.json: deeper by the second candidate."""
    rows = [
        {
            "depth": units + count,
            **interval(curve(count)),
            "params": 9216 * (units + count),
            "macs": 2**20 * (units + count),
            "latency_ms": 0.3 * (units + count),
            "weight_bytes": 36864 * (units + count),
            "pareto": True,
        }
        for count in opened
    ]
    shares = {str(row["depth"]): 1 / len(rows) for row in rows}
    return {
        "schema": 1, "command": "grow", "verdict": "deepen", "sentence": f"Deepen from {units} to {units + 2} layers.",
        "metric": "accuracy", "tolerance": 0.005, "confidence": 0.95, "resolution": 0.004,
        "seeds": list(range(seeds)), "failed_seeds": [],
        "depth": {
            "current": units, "recommended": units + 2, "best_guess": units + 2, "range95": [units + 1, units + 4],
            "resamples": shares, "fitted": None, "candidates": rows, "latency": {"batch": 64},
        },
        "width": {"units": []}, "add": [{"after": "stage.0", "copies": 2}], "remove": [],
        "control": interval(0.9), "verified": None, "test": {"value": 0.95, "examples": 1000}, "notes": [],
        "cost": {"steps": 10**6, "sample_passes": 64 * 10**6, "wall_seconds": 3600.0, "trainings": 9.0},
        "gain": {"over_current": interval(0.03), "over_control": interval(0.02)},
    }  # fmt: skip


def interval(value):
    """A value with its ends."""
    return {"value": value, "low": value - 0.01, "high": value + 0.01}


def curve(opened):
    """Accuracy with so many added layers."""
    return 0.97 - 0.05 * math.exp(-opened)


def traces(each, units, seeds):
    """`each` trace records of every arm; gates open one after another, in every seed at other steps."""
    for seed in range(seeds):
        for arm in ("grow", "control"):
            for step in range(1, each + 1):
                done = step / each
                noise = 0.02 * math.sin(12.9898 * step + seed)
                yield {
                    "kind": "trace", "arm": arm, "seed": seed, "step": step, "loss": 2.3 * math.exp(-5 * done) + noise,
                    "value": min(1.0, 0.97 - 0.8 * math.exp(-9 * done) + noise),
                    "ratios": [round(min(1.0, max(0.0, (units + seed / 2) * done - gate)), 4) for gate in range(units)]
                    if arm == "grow" else [],
                }  # fmt: skip


def measurements(opened, units, seeds):
    """The cooled measurements of every seed: up, down, control."""
    for seed in range(seeds):
        for walk in ("up", "down"):
            for place, count in enumerate(opened):
                value = curve(count) + 0.001 * seed
                yield measurement(seed, "grow", walk, count, units, 100 * (1 + place), value)
        yield measurement(seed, "control", "control", 0, units, 12000, 0.9)


def measurement(seed, arm, walk, count, units, step, value):
    """One record."""
    where = {"walk": walk, "opened": count, "depth": units + count, "step": step}
    return {"kind": "measurement", "arm": arm, "seed": seed, **where, "value": value, "examples": 1000, "valid_id": "0"}
