"""One training of a row, as its TOML file has it."""

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Arm:
    """One training of a row.

    steps: factor on the row's; gates: what their ratios do (ramps.py), none | together | staggered | growing | fixed |
    closing; delay, length: shares of the steps before they begin, and in which they do it; mode, granularity,
    max_scale: of the mix; ratio: of fixed gates; units: the gated ones (none named: those that the paper added); start:
    the arm whose trained weights it begins with; width: none | thin | dropout | reverse; model, args: in place of the
    row's, and over them.
    """

    name: str
    steps: float = 1.0
    gates: str = "none"
    delay: float = 0.0
    length: float = 1.0
    mode: str = "prefix"
    granularity: str = "sample"
    max_scale: float | None = None
    ratio: float = 0.0
    units: tuple[str, ...] = ()
    start: str = ""
    width: str = "none"
    model: str = ""
    args: dict[str, Any] = field(default_factory=dict)
