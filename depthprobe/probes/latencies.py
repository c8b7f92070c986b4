"""Latencies of the candidates of a run: measured once, so that a resumed run decides as it did before."""

from collections.abc import Mapping, Sequence
from typing import Any

from depthprobe.runs import RunFolder

LATENCIES = "checkpoints/latencies.json"  # not among the records, which are the same in every run of one seed


def as_first_measured(
    folder: RunFolder, limits: Mapping[str, float], keys: Sequence[int], rows: Sequence[Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """The candidates' rows with the latencies that this run measured first, where a limit on them chooses; those of
    `rows` are written down where they are the first.

    keys: what names each candidate (open gates, percent). Without this the trainings of `--verify` could be of one
    network before an interruption and of another one after it. Raises RunFolderError when the file is damaged.
    """
    if "max_latency_ms" not in limits:
        return [dict(row) for row in rows]
    names = [str(key) for key in keys]
    known = folder.read_json(LATENCIES) if (folder.path / LATENCIES).exists() else {}
    if not set(names) <= set(known):
        known = {name: row["latency_ms"] for name, row in zip(names, rows, strict=True)}
        folder.write_json(LATENCIES, known)
    return [{**row, "latency_ms": known[name]} for name, row in zip(names, rows, strict=True)]
