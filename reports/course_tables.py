"""The numbers behind the training itself, at every tenth of its steps."""

from collections.abc import Sequence

from depthprobe.reports.holding import RateTest
from depthprobe.reports.measured import Course, GateMap, Line
from depthprobe.reports.numbers import fraction, listed
from depthprobe.reports.tables import Table, plain
from depthprobe.reports.thinning import evenly

TENTHS = [f"{10 * tenth}\u00a0%" for tenth in range(11)]
RATES = 12  # rows of the range test


def lines_table(course: Course) -> Table:
    """The uncooled metric of every training."""
    rows = [(name_of(line), *_tenths(line.steps, line.values, course)) for line in course.lines]
    return plain(f"{course.units.metric} while training, at shares of the steps", ["Training", *TENTHS], rows)


def losses_table(course: Course) -> Table:
    """The training loss of every training."""
    rows = [
        (name_of(line), *[f"{line.losses[i]:.3g}" for i in _places(line.loss_steps)])
        for line in course.lines
        if line.losses
    ]
    return plain("Training loss, at shares of the steps", ["Training", *TENTHS], rows)


def ratios_table(course: Course, gates: GateMap) -> Table:
    """The ratio of every gate."""
    rows = [
        (name, *(f"{ratios[i]:.2g}" for i in _places(gates.steps)))
        for name, ratios in zip(gate_names(course, gates), gates.ratios, strict=True)
    ]
    which = f"seed{'' if len(gates.seeds) == 1 else 's'} {listed(gates.seeds)}"
    return plain(f"Ratio p of every gate, {which}, at shares of the steps", ["Gate", *TENTHS], rows, code=True)


def holds_table(course: Course) -> Table:
    """What was measured on the holds, cooled."""
    units, axis = course.units, course.axis
    rows = [
        (f"seed {one.seed}", one.walk, f"{one.step:,}", axis.name(one.depth), fraction(one.value, units))
        for one in course.marks
    ]
    heads = ["Seed", "Walk", "Step", axis.column, units.metric]
    return plain("Measured on the holds, cooled", heads, rows)


def range_table(test: RateTest) -> Table:
    """Losses of the range test at a dozen of its rates."""
    rates, _ = max(test.sweeps, key=lambda sweep: len(sweep[0]))
    rows = []
    for index in evenly(len(rates), RATES):
        losses = [losses[index] if index < len(losses) else None for _, losses in test.sweeps]
        rows.append((f"{rates[index]:.2g}", *(f"{loss:.3g}" if loss is not None else "ended" for loss in losses)))
    heads = ["Learning rate", *(f"Sweep {rank}" for rank in range(1, len(test.sweeps) + 1))]
    return plain("Training loss while the rate rises", heads, rows)


def name_of(line: Line) -> str:
    """A training in words."""
    return f"seed {line.seed}, {line.arm}{' (failed)' if line.failed else ''}"


def gate_names(course: Course, gates: GateMap) -> tuple[str, ...]:
    """Names of the gates; numbers where an older run does not say them."""
    count = len(gates.ratios)
    return course.names if len(course.names) == count else tuple(f"gate {n}" for n in range(1, count + 1))


def _tenths(steps: Sequence[int], values: Sequence[float], course: Course) -> list[str]:
    return [fraction(values[i], course.units) for i in _places(steps)]


def _places(steps: Sequence[int]) -> list[int]:
    """Indices of the recorded steps nearest to every tenth of the last one."""
    marks = [steps[-1] * tenth / 10 for tenth in range(11)]
    return [min(range(len(steps)), key=lambda i: abs(steps[i] - mark)) for mark in marks]
