"""What the candidates of a run cost: counted, and latencies measured in turns; once, so that a resumed run decides as
it did before.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import nn

from depthprobe.graph.costs import count_bytes, count_macs, count_parameters, measure_latencies_ms
from depthprobe.probes.bench import Bench, Plan
from depthprobe.probes.plan import candidate_net, grown
from depthprobe.runs import RunFolder

LATENCIES = "checkpoints/latencies.json"  # not among the records, which are the same in every run of one seed
MOST_BYTES = 2**30  # of weights that are held at a time for measuring


def candidate_nets(bench: Bench[Plan], seed: int, rank: int, opened_gates: Sequence[int]) -> Iterator[nn.Module]:
    """Candidates as the seed number `rank` had them, one at a time."""
    example = bench.split(0).train.x[:2]
    edited, closing = grown(bench.build(seed), bench.plan.edits, example, 0), bench.plan.closing_gates(rank)
    for opened in opened_gates:
        yield candidate_net(edited, closing[len(closing) - opened :])


def network_costs(bench: Bench[Plan], nets: Iterable[nn.Module]) -> list[dict[str, Any]]:
    """Parameters, MACs, latency (one batch, this device) and memory of the weights of networks, in their order.

    Latencies are measured in turns, of as many networks at a time as do not need much memory.
    """
    x, device = bench.split(0).train.x[: bench.train.batch_size], bench.accelerator.device
    rows: list[dict[str, Any]] = []
    for some in batched(nets):
        latencies = measure_latencies_ms([net.to(device) for net in some], x.to(device))
        rows += [
            {
                "params": count_parameters(net),
                "macs": count_macs(net, x[:2].to(device)),
                "latency_ms": round(latency, 4),
                "weight_bytes": count_bytes(net),
            }
            for net, latency in zip(some, latencies, strict=True)
        ]
    return rows


def batched(nets: Iterable[nn.Module]) -> Iterator[list[nn.Module]]:
    """The networks in order, in lists that end with the one whose weights make them more than `MOST_BYTES`."""
    some: list[nn.Module] = []
    for net in nets:
        some.append(net)
        if sum(map(count_bytes, some)) > MOST_BYTES:
            yield some
            some = []
    if some:
        yield some


def latency_facts(bench: Bench[Plan]) -> dict[str, Any]:
    """What `latency_ms` was measured with."""
    batch = min(bench.train.batch_size, len(bench.split(0).train))
    return {"batch": batch, "device": str(bench.accelerator.device), "threads": torch.get_num_threads()}


def as_first_measured(
    folder: RunFolder, limits: Mapping[str, float], keys: Sequence[int], rows: Sequence[Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """The candidates' rows with the latencies that this run measured first, where a budget chooses: its sentence names
    them; those of `rows` are written down where they are the first.

    keys: what names each candidate (open gates, percent). Without this the trainings of `--verify` could be of one
    network before an interruption and of another one after it. Raises RunFolderError when the file is damaged.
    """
    if not limits:
        return [dict(row) for row in rows]
    names = [str(key) for key in keys]
    known = folder.read_json(LATENCIES) if (folder.path / LATENCIES).exists() else {}
    if not set(names) <= set(known):
        known = {name: row["latency_ms"] for name, row in zip(names, rows, strict=True)}
        folder.write_json(LATENCIES, known)
    return [{**row, "latency_ms": known[name]} for name, row in zip(names, rows, strict=True)]
