"""The training itself: accuracy and ratios against the step, from the trace records."""

from depthprobe.reports.axis import axis_of
from depthprobe.reports.measured import Course, GateMap, Line, Mark
from depthprobe.reports.reading import Run


def view_course(run: Run) -> Course:
    """Lines of every training, ratios of every gate (once for all seeds that share them), cooled measurements."""
    seeds = run.recommendation["seeds"]
    lines = [_line(run, seed, arm) for seed in seeds for arm in (run.command, "control")]
    return Course(
        lines=tuple(line for line in lines if line.steps),
        gates=_gate_maps(run, seeds),
        marks=tuple(
            Mark(
                seed=int(r["seed"]),
                step=int(r["step"]),
                depth=int(r["depth"]),
                walk=str(r["walk"]),
                value=float(r["value"]),
            )
            for r in run.of("measurement")
            # others: of another network at the same step, or of a training with steps of its own
            if r["arm"] in (run.command, "control") and r["walk"] not in ("alone", "as it is")
        ),
        units=run.units,
        axis=axis_of(run.command),
    )


def _line(run: Run, seed: int, arm: str) -> Line:
    records = run.of("trace", seed=seed, arm=arm)
    return Line(
        seed=seed,
        arm=arm,
        failed=seed in run.recommendation["failed_seeds"],
        steps=tuple(int(record["step"]) for record in records),
        values=tuple(float(record["value"]) for record in records),
    )


def _gate_maps(run: Run, seeds: list[int]) -> tuple[GateMap, ...]:
    """The closing order differs between seeds; of equal ones a map is drawn once.

    A seed that failed early shares the map that goes on where its own ends.
    """
    tables: list[tuple[list[int], list[tuple[int, tuple[float, ...]]]]] = []
    for seed in seeds:
        rows = [(int(r["step"]), tuple(map(float, r["ratios"]))) for r in run.of("trace", seed=seed, arm=run.command)]
        for index, (known, table) in enumerate(tables):
            short, long = sorted((rows, table), key=len)
            if long[: len(short)] == short:
                tables[index] = ([*known, seed], long)
                break
        else:
            tables.append(([seed], rows))
    return tuple(_gate_map(known, table) for known, table in tables if table and table[0][1])


def _gate_map(seeds: list[int], table: list[tuple[int, tuple[float, ...]]]) -> GateMap:
    steps, columns = zip(*table, strict=True)
    return GateMap(seeds=tuple(seeds), steps=steps, ratios=tuple(zip(*columns, strict=True)))
