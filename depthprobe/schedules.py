"""Schedules: the ratio of every gate as a function of the step; plain data, printable, plottable."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import pairwise
from typing import Any

from depthprobe.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class Ramp:
    """One gate moves linearly from `begin` to `end` within `length` steps from step `start` on."""

    gate: str
    start: int
    length: int
    begin: float = 0.0
    end: float = 1.0

    def ratio(self, step: int) -> float:
        """Ratio at `step` >= start; paper: p = step/length."""
        if step >= self.start + self.length:
            return self.end
        return self.begin + (self.end - self.begin) * (step - self.start) / self.length


@dataclass(frozen=True, kw_only=True)
class Hold:
    """A plateau: gates at rest in steps [start, start + length), measured at its end.

    opened: how many gates are fully in; walk: "up" or "down".
    """

    start: int
    length: int
    opened: int
    walk: str

    @property
    def end(self) -> int:
        """The step at which the measurement is taken."""
        return self.start + self.length


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """Ramps and holds of named gates over `steps` steps; gates start at 0 unless `initial` says otherwise."""

    gates: tuple[str, ...]
    ramps: tuple[Ramp, ...]
    steps: int
    holds: tuple[Hold, ...] = ()
    initial: float = 0.0

    def __post_init__(self) -> None:
        free: dict[str, int] = dict.fromkeys(self.gates, 0)
        for ramp in sorted(self.ramps, key=lambda ramp: ramp.start):
            last = self.steps - ramp.length
            if ramp.gate not in free or ramp.length < 1 or not free[ramp.gate] <= ramp.start <= last:
                raise ConfigError("malformed ramp in the schedule", found=repr(ramp))
            free[ramp.gate] = ramp.start + ramp.length

    def ratio(self, gate: str, step: int) -> float:
        """Ratio of `gate` at `step`: its latest ramp that has begun."""
        begun = [ramp for ramp in self.ramps if ramp.gate == gate and ramp.start <= step]
        return max(begun, key=lambda ramp: ramp.start).ratio(step) if begun else self.initial

    def ratios(self, step: int) -> dict[str, float]:
        """Ratio of every gate at `step`."""
        return {gate: self.ratio(gate, step) for gate in self.gates}

    def points(self, gate: str) -> list[tuple[int, float]]:
        """Corners (step, ratio) of one gate's line, for plotting."""
        corners = [(0, self.ratio(gate, 0))]
        for ramp in sorted((r for r in self.ramps if r.gate == gate), key=lambda r: r.start):
            corners += [(ramp.start, ramp.begin), (ramp.start + ramp.length, ramp.end)]
        return [*corners, (self.steps, self.ratio(gate, self.steps))]

    def mean_ratio(self, gate: str) -> float:
        """Mean ratio of one gate over all steps: the share of its cost that is paid."""
        corners = self.points(gate)
        area = sum((b[0] - a[0]) * (a[1] + b[1]) / 2 for a, b in pairwise(corners))
        return area / max(1, self.steps)

    def describe(self) -> str:
        """One line per ramp and hold, in order of time."""
        rows = [
            (r.start, f"{r.gate}: {r.begin:g} -> {r.end:g} in steps {r.start}-{r.start + r.length}") for r in self.ramps
        ]
        rows += [(h.start, f"hold ({h.walk}, {h.opened} open) in steps {h.start}-{h.end}") for h in self.holds]
        return "\n".join(text for _, text in sorted(rows, key=lambda row: row[0]))

    def to_json(self) -> dict[str, Any]:
        """Plain values; `from_json` gives an equal schedule."""
        return asdict(self)

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> "Schedule":
        """The schedule that `to_json` wrote."""
        return cls(
            gates=tuple(document["gates"]),
            ramps=tuple(Ramp(**ramp) for ramp in document["ramps"]),
            steps=document["steps"],
            holds=tuple(Hold(**hold) for hold in document["holds"]),
            initial=document["initial"],
        )


def together(gates: Sequence[str], length: int, *, start: int = 0, steps: int | None = None) -> Schedule:
    """All gates ramp over one length (the paper's schedule). start, length, steps: in training steps."""
    ramps = tuple(Ramp(gate=gate, start=start, length=length) for gate in gates)
    return Schedule(gates=tuple(gates), ramps=ramps, steps=max(steps or 0, start + length))


def staggered(
    gates: Sequence[str],
    length: int,
    *,
    overlap: int = 3,
    start: int = 0,
    steps: int | None = None,
    lengths: Mapping[str, int] | None = None,
) -> Schedule:
    """Gates open one after another, `overlap` ramping at a time, all within `length` steps.

    lengths: own ramp length for some gates, in steps (their start stays).
    """
    if overlap < 1:
        raise ConfigError("overlap out of range", expected="at least 1 gate ramping at a time", found=str(overlap))
    ramps = _windows(gates, start, length, overlap, 0.0, 1.0)
    known = lengths or {}
    if set(known) - set(gates):
        raise ConfigError("length for an unknown gate", found=", ".join(sorted(set(known) - set(gates))))
    ramps = [Ramp(gate=r.gate, start=r.start, length=known.get(r.gate, r.length)) for r in ramps]
    end = max((r.start + r.length for r in ramps), default=start)
    return Schedule(gates=tuple(gates), ramps=tuple(ramps), steps=max(steps or 0, end))


@dataclass(frozen=True, kw_only=True)
class StairLengths:
    """Lengths of a probe's stairs in steps. first: before the first hold; up, down: one gate's ramp; overlap: how many
    gates of one stair ramp at a time. together: on the way up all gates of one stair ramp at once; opening: which of
    them is first on the way up, "forward" the one nearest to the input, "reverse" the one nearest to the output.
    """

    first: int
    up: int
    up_hold: int
    down: int
    down_hold: int
    overlap: int = 3
    together: bool = False
    opening: str = "forward"

    def climb(self, count: int) -> int:
        """Steps in which `count` gates of one stair open."""
        return self.up if self.together else window_length(count, self.up, self.overlap)

    def open(self, gates: Sequence[str], start: int) -> list[Ramp]:
        """The ramps with which `gates`, one stair, open from step `start` on."""
        if self.together:
            return [Ramp(gate=gate, start=start, length=self.up) for gate in gates]
        order = gates if self.opening == "forward" else gates[::-1]
        return _windows(order, start, self.climb(len(gates)), self.overlap, 0.0, 1.0)


def stairs(
    gates: Sequence[str], opened: Sequence[int], lengths: StairLengths, *, closing: Sequence[str] | None = None
) -> Schedule:
    """Up one stair per candidate with a hold on each, then down again.

    opened: ascending numbers of open gates at the candidates, the first one 0. closing: the order in which gates
    close (default: the last opened first).
    """
    if list(opened) != sorted({0, *opened}) or opened[-1] > len(gates) or lengths.overlap < 1:
        raise ConfigError(
            "these stairs cannot be climbed",
            expected=f"candidates ascending from 0 to at most {len(gates)}, overlap at least 1",
            found=f"candidates {list(opened)}, overlap {lengths.overlap}",
        )
    order = list(closing or reversed(gates[: opened[-1]]))
    if sorted(order) != sorted(gates[: opened[-1]]):
        raise ConfigError(
            "the closing order is not one of the opened gates",
            expected=", ".join(gates[: opened[-1]]),
            found=", ".join(order),
        )
    ramps, holds = [], [Hold(start=0, length=lengths.first, opened=0, walk="up")]
    now = lengths.first
    for low, high in pairwise(opened):
        ramps += lengths.open(gates[low:high], now)
        now += lengths.climb(high - low)
        holds.append(Hold(start=now, length=lengths.up_hold, opened=high, walk="up"))
        now += lengths.up_hold
    down, descent = _descend(order, opened, lengths, now, {})
    ramps, holds = [*ramps, *down], [*holds, *descent]
    return Schedule(gates=tuple(gates), ramps=tuple(ramps), steps=holds[-1].end, holds=tuple(holds))


def stairs_down(
    gates: Sequence[str],
    opened: Sequence[int],
    lengths: StairLengths,
    *,
    closing: Sequence[str],
    ramps: Mapping[str, int] | None = None,
) -> Schedule:
    """All gates open; a hold of `lengths.first` steps, then down one stair per candidate with a hold on each.

    opened: ascending numbers of open gates at the candidates, the last one all. closing: the order in which they close;
    ramps: own length for some gates, in steps.
    """
    first = Hold(start=0, length=lengths.first, opened=opened[-1], walk="down")
    moves, holds = _descend(closing, opened, lengths, first.end, ramps or {})
    holds = [first, *holds]
    return Schedule(gates=tuple(gates), ramps=tuple(moves), steps=holds[-1].end, holds=tuple(holds), initial=1.0)


def _descend(
    closing: Sequence[str], opened: Sequence[int], lengths: StairLengths, now: int, own: Mapping[str, int]
) -> tuple[list[Ramp], list[Hold]]:
    """Ramps and holds from the most open candidate to the least, from step `now` on."""
    ramps: list[Ramp] = []
    holds: list[Hold] = []
    order = list(closing)
    for high, low in pairwise(list(reversed(opened))):
        leaving = order[: high - low]
        order = order[high - low :]
        window = window_length(high - low, lengths.down, lengths.overlap)
        moves = _windows(leaving, now, window, lengths.overlap, 1.0, 0.0)
        moves = [replace(move, length=own.get(move.gate, move.length)) for move in moves]
        now = max([now + window, *(move.start + move.length for move in moves)]) if own else now + window
        ramps += moves
        holds.append(Hold(start=now, length=lengths.down_hold, opened=low, walk="down"))
        now += lengths.down_hold
    return ramps, holds


def close_gates(gates: Sequence[str], leaving: Sequence[str], start: int, lengths: StairLengths) -> Schedule:
    """All `gates` open at step `start`; those in `leaving` close one after another, then a hold, as on the way down."""
    length = window_length(len(leaving), lengths.down, lengths.overlap) if leaving else 0
    ramps = tuple(_windows(leaving, start, length, lengths.overlap, 1.0, 0.0))
    return Schedule(gates=tuple(gates), ramps=ramps, steps=start + length + lengths.down_hold, initial=1.0)


def window_length(count: int, ramp: int, overlap: int) -> int:
    """Steps that `count` staggered ramps of `ramp` steps take with `overlap` of them at a time."""
    return ramp if count <= 1 else ramp + -(-(count - 1) * ramp // min(overlap, count))


def _windows(gates: Sequence[str], start: int, length: int, overlap: int, begin: float, end: float) -> list[Ramp]:
    """Overlapping ramps in order, the first from `start`, the last ending at `start + length`."""
    count = len(gates)
    if count == 0:
        return []
    width = length if count == 1 else max(1, round(length / ((count - 1) / min(overlap, count) + 1)))
    shift = 0.0 if count == 1 else (length - width) / (count - 1)
    return [
        Ramp(gate=gate, start=start + round(rank * shift), length=width, begin=begin, end=end)
        for rank, gate in enumerate(gates)
    ]
