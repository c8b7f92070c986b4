"""What a report shows, as frozen values: no HTML, no drawing."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from depthprobe.reports.holding import PlaceGain, RateAnswer, RateTest, Verified
from depthprobe.reports.measured import Certainty, Course, DepthCurve
from depthprobe.reports.network import Network


@dataclass(frozen=True, kw_only=True)
class Tile:
    """One key number. detail: the small print below it."""

    label: str
    value: str
    detail: str


@dataclass(frozen=True, kw_only=True)
class Step:
    """One thing to do next; code: what to type, if anything."""

    text: str
    code: str | None = None


@dataclass(frozen=True, kw_only=True)
class Addition:
    """A unit that gets copies right after it."""

    after: str
    copies: int


@dataclass(frozen=True, kw_only=True)
class Answer:
    """The answer in words. warnings: what should make a reader careful; notes: other facts to know; costs: key numbers
    before and after; tiles: how sure they are.
    """

    verdict: str
    sentence: str
    meaning: str
    additions: tuple[Addition, ...]
    removals: tuple[str, ...]
    steps: tuple[Step, ...]
    warnings: tuple[str, ...]
    notes: tuple[str, ...]
    costs: tuple[Tile, ...]
    tiles: tuple[Tile, ...]


@dataclass(frozen=True, kw_only=True)
class Fact:
    """One line of the provenance; code: to be set as typed text."""

    label: str
    value: str
    code: bool = False


@dataclass(frozen=True, kw_only=True)
class Ranking:
    """What a trained network loses without one unit alone. influence: 1 - cosine of its input and output; None: not
    measured, or shapes differ. order: when it left, from 1 (None: it stayed); removed: by the advice.
    """

    unit: str
    loss: float | None
    influence: float | None
    order: int | None
    removed: bool


@dataclass(frozen=True, kw_only=True)
class UnitWidth:
    """One unit of a width run. enough: the least width that costs no more than the tolerance, alone and without
    training; advised: None when inconclusive. narrowest: what it is worth at its least width, alone and untrained.
    """

    unit: str
    coupled: tuple[str, ...]
    current: int
    advised: int | None
    enough: int
    narrowest: tuple[int, float] | None


@dataclass(frozen=True, kw_only=True)
class Untrained:
    """The whole network at one width without training: channels chosen at equal shares or uneven ones (None: not
    measured), or drawn as dropout draws them (bernoulli).
    """

    percent: int
    equal: float | None
    uneven: float | None
    drawn: float


@dataclass(frozen=True, kw_only=True)
class Widths:
    """What a width run says of every unit; fixed: (unit, reason) of those that stay."""

    units: tuple[UnitWidth, ...]
    fixed: tuple[tuple[str, str], ...]
    untrained: tuple[Untrained, ...]


@dataclass(frozen=True, kw_only=True)
class RunView:
    """One run. latency_note: batch, device and threads of the measured latencies; trainings: its cost in conventional
    ones of the deepest candidate; numbers: the answer and its measurements as plain values, for a download.
    """

    name: str
    command: str
    model: str
    data: str
    answer: Answer
    curve: DepthCurve
    course: Course
    certainty: Certainty
    latency_note: str
    network: Network | None
    ranking: tuple["Ranking", ...]
    widths: Widths | None
    rates: tuple[RateAnswer, ...]
    places: tuple[PlaceGain, ...]
    verified: Verified | None
    rate_test: RateTest | None
    trainings: float
    facts: tuple[Fact, ...]
    config: str
    numbers: Mapping[str, Any]
