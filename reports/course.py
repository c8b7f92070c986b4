"""The training itself: metric, loss and ratios against the step, from the trace records."""

import math

from depthprobe.reports.axis import axis_of
from depthprobe.reports.measured import Course, GateMap, Line, Mark
from depthprobe.reports.reading import Run
from depthprobe.reports.thinning import MOST_CELLS, evenly, extremes, pick, points_each

Table = list[tuple[int, list[float]]]


def view_course(run: Run) -> Course:
    """Lines of every training, ratios of every gate (once for all seeds that share them), cooled measurements."""
    seeds, arms = run.seeds, [(seed, arm) for seed in run.seeds for arm in run.arms(seed)]
    return Course(
        lines=tuple(_line(run, seed, arm, len(arms)) for seed, arm in arms),
        gates=_gate_maps(run, seeds),
        names=tuple(str(name) for name in run.config.get("gates") or ()),
        marks=tuple(
            Mark(
                seed=int(r["seed"]),
                step=int(r["step"]),
                depth=int(r["depth"]),
                walk=str(r["arm"] if r["arm"].startswith("at ") else r["walk"]),
                value=float(r["value"]),
                hold=r["arm"] == run.command,
            )
            for r in run.everything
            # others: of another network at the same step, or before the first one; from scratch has its own section
            if r["kind"] == "measurement"
            and "rate" not in r
            and r["walk"] not in ("alone", "as it is")
            and not str(r["arm"]).startswith("verify")
        ),
        units=run.units,
        axis=axis_of(run.command),
    )


def _line(run: Run, seed: int, arm: str, lines: int) -> Line:
    records, most = run.traces(seed, arm), points_each(lines)
    steps, values = [int(r["step"]) for r in records], [float(r["value"]) for r in records]
    known = [(step, float(r["loss"])) for step, r in zip(steps, records, strict=True) if math.isfinite(r["loss"])]
    shown, lost = extremes(values, most), extremes([loss for _, loss in known], most)
    return Line(
        seed=seed,
        arm=arm,
        failed=seed in run.recommendation.get("failed_seeds", ()),
        steps=pick(steps, shown),
        values=pick(values, shown),
        loss_steps=tuple(known[index][0] for index in lost),
        losses=tuple(known[index][1] for index in lost),
    )


def _gate_maps(run: Run, seeds: list[int]) -> tuple[GateMap, ...]:
    """The closing order differs between seeds; of equal ones a map is drawn once.

    A seed that failed early shares the map that goes on where its own ends.
    """
    tables: list[tuple[list[int], Table]] = []
    for seed in seeds:
        rows = [(int(r["step"]), r["ratios"]) for r in run.traces(seed, run.command)]
        if not rows:  # of a shrink probe one seed walks
            continue
        for index, (known, table) in enumerate(tables):
            short, long = sorted((rows, table), key=len)
            if long[: len(short)] == short:
                tables[index] = ([*known, seed], long)
                break
        else:
            tables.append(([seed], rows))
    drawn = [(known, table) for known, table in tables if table and table[0][1]]
    cells = sum(len(table[0][1]) for _, table in drawn)
    return tuple(_gate_map(known, table, MOST_CELLS // max(1, cells)) for known, table in drawn)


def _gate_map(seeds: list[int], table: Table, most: int) -> GateMap:
    steps, columns = zip(*pick(table, evenly(len(table), max(50, most))), strict=True)
    ratios = tuple(tuple(map(float, row)) for row in zip(*columns, strict=True))
    return GateMap(seeds=tuple(seeds), steps=steps, ratios=ratios)
