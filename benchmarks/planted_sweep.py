"""From scratch: how many layers do the networks of planted.py need, and does `shrink` keep them?

Run: python benchmarks/planted_sweep.py --data-dir DATA [--cases digits-conv-1 ...] (after planted.py). Resumable.
One JSON line per depth and seed in results/planted_sweep.jsonl. A depth is needed where every smaller one is more than
the tolerance of the case behind the best, in validation accuracy over three seeds.
"""

import json
from pathlib import Path

import torch
from planted import NETWORKS, STORE, WIDTH, body, join
from planting import open_data, run_cases, train

from depthprobe.training.learner import predict

SWEEP = STORE.with_name("planted_sweep.jsonl")
SEEDS = range(3)
# an MLP whose data have as many features as a hidden layer may lose all of those; a first conv makes the channels
LEAST = {("digits", "mlp"): 0}
CASES = [
    (data, net, depth, seed, rate)
    for data, net, deepest, rate in NETWORKS
    for depth in range(LEAST.get((data, net), 1), deepest + 1)
    for seed in SEEDS
]


def run_case(case, data_dir: Path | None, tolerance: float | None) -> dict:
    """Train one depth with one seed."""
    data_name, net, depth, seed, rate = case
    _, split = open_data(data_name, data_dir)
    torch.manual_seed(seed)
    network = train(join(net, body(net, depth, tuple(split.train.x.shape[1:]), WIDTH), WIDTH), split, rate, seed)
    guess = predict(network, split.valid.x, torch.device("cpu")).argmax(1)
    valid = float((guess == split.valid.y).double().mean())
    return {"case": name_of(case), "network": f"{data_name}-{net}", "depth": depth, "seed": seed, "valid": valid}


def name_of(case) -> str:
    """data-network-layers/seed."""
    return f"{case[0]}-{case[1]}-{case[2]}/{case[3]}"


def needed(rows: list[dict], network: str, tolerance: float) -> int:
    """The smallest depth that is within the tolerance of the best."""
    means: dict[int, list[float]] = {}
    for row in rows:
        if row["network"] == network:
            means.setdefault(row["depth"], []).append(row["valid"])
    values = {depth: sum(found) / len(found) for depth, found in means.items()}
    return min(depth for depth, value in values.items() if value >= max(values.values()) - tolerance)


def main() -> None:
    rows = run_cases(
        __doc__, SWEEP, CASES, name_of, "data-network-layers/seed", run_case,
        lambda row: f"{row['case']:24s} {row['valid']:.4f}",
    )  # fmt: skip
    if not STORE.exists():
        return
    missed: dict[bool, list[int]] = {True: [], False: []}  # by whether anything was planted
    for probe in map(json.loads, STORE.read_text().splitlines()):
        network, _, layers = probe["case"].rpartition("-")
        trained = int(layers.partition("+")[0])
        wanted, kept = needed(rows, network, probe["tolerance"]), trained - probe["others"]
        missed[bool(probe["planted"])].append(max(0, wanted - kept))
        print(f"{probe['case']:24s} {trained} trained, {wanted} needed within {probe['tolerance']:.4f}, {kept} kept")
    for planted, what in ((True, "planted"), (False, "nothing planted")):
        none, one = (sum(gone <= bar for gone in missed[planted]) for bar in (0, 1))
        count = len(missed[planted])
        print(f"{what}: of the needed layers all are kept in {none}, all but at most one in {one} of {count}")


if __name__ == "__main__":
    main()
