"""What the candidates of a run differ in: depth in weight layers, or width in percent of the channels."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from depthprobe.reports.numbers import layers


@dataclass(frozen=True, kw_only=True)
class Axis:
    """noun: "depth" or "width"; title, short: what a drawn axis says; column, detail: the head of a table's column."""

    noun: str
    title: str
    short: str
    column: str
    detail: str

    @property
    def counted(self) -> str:
        """What stands behind a number on the axis."""
        return "layers" if self.noun == "depth" else "%"

    def name(self, number: int) -> str:
        """One candidate: "3 layers", "40 %"."""
        return layers(number) if self.noun == "depth" else f"{number}\u00a0%"

    def span(self, low: int, high: int) -> str:
        """A range of candidates: "3 to 5 layers", "30 to 40 %"."""
        return self.name(low) if low == high else f"{low} to {self.name(high)}"


DEPTH = Axis(
    noun="depth",
    title="depth (weight layers, head included)",
    short="depth (weight layers)",
    column="Depth",
    detail="weight layers",
)
WIDTH = Axis(
    noun="width",
    title="width (% of the channels)",
    short="width (% of the channels)",
    column="Width",
    detail="of the channels",
)


def axis_of(command: str) -> Axis:
    """The axis of a verb's candidates."""
    return WIDTH if command == "width" else DEPTH


def candidates_of(answer: Mapping[str, Any]) -> dict[str, Any]:
    """The part of a recommendation that holds its candidates, each with its place on the axis as "depth"."""
    if answer["command"] != "width":
        return dict(answer["depth"])
    part = answer["width"]
    whole = {name: _percent(part[name]) for name in ("current", "recommended", "best_guess")}
    return {
        **part,
        **whole,
        "range95": [_percent(ratio) for ratio in part["range95"]] if part["range95"] else None,
        "resamples": {str(_percent(float(ratio))): share for ratio, share in part["resamples"].items()},
        "candidates": [{**row, "depth": _percent(row["ratio"])} for row in part["candidates"]],
    }


def _percent(ratio: float | None) -> int | None:
    return None if ratio is None else round(100 * ratio)
