"""What a report shows, as frozen values: no HTML, no drawing. Metric values are fractions."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """A value with the two ends of its interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """One measured depth. depth: weight layers, head included; macs: of one example; latency_ms: of one batch."""

    depth: int
    added: int
    accuracy: Estimate
    params: int
    macs: int
    latency_ms: float


@dataclass(frozen=True, kw_only=True)
class SeedWalk:
    """Cooled measurements of one seed: (depth, accuracy), ascending; control: None when it was not trained."""

    seed: int
    failed: bool
    up: tuple[tuple[int, float], ...]
    down: tuple[tuple[int, float], ...]
    control: float | None


@dataclass(frozen=True, kw_only=True)
class DepthCurve:
    """Accuracy against depth. up: mean of the way up; floor: best of the curve minus the tolerance.

    fitted: the smoothed curve that decided, None when the means did.
    """

    candidates: tuple[Candidate, ...]
    fitted: tuple[float, ...] | None
    up: tuple[tuple[int, float], ...]
    walks: tuple[SeedWalk, ...]
    control: Estimate
    floor: float
    tolerance: float
    confidence: float
    current: int
    recommended: int | None
    best_guess: int


@dataclass(frozen=True, kw_only=True)
class Line:
    """Uncooled accuracy of one training at the recorded steps. arm: "grow" or "control"."""

    seed: int
    arm: str
    steps: tuple[int, ...]
    values: tuple[float, ...]


@dataclass(frozen=True, kw_only=True)
class GateMap:
    """Ratio of every gate (rows, in order of the data flow) at the recorded steps, for seeds that share it."""

    seeds: tuple[int, ...]
    steps: tuple[int, ...]
    ratios: tuple[tuple[float, ...], ...]


@dataclass(frozen=True, kw_only=True)
class Mark:
    """A hold at whose end a branch was cooled and measured. walk: "up", "down", or "control" at its end."""

    seed: int
    step: int
    depth: int
    walk: str
    value: float


@dataclass(frozen=True, kw_only=True)
class Course:
    """The training itself, against the step."""

    lines: tuple[Line, ...]
    gates: tuple[GateMap, ...]
    marks: tuple[Mark, ...]


@dataclass(frozen=True, kw_only=True)
class Certainty:
    """How sure the answer is. shares: (depth, share of resamples that name it); gains: by what they are over."""

    shares: tuple[tuple[int, float], ...]
    range95: tuple[int, int] | None
    resolution: float
    tolerance: float
    confidence: float
    gains: tuple[tuple[str, Estimate], ...]


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
    """The answer in words. warnings: failed seeds; notes: other facts to know."""

    verdict: str
    sentence: str
    meaning: str
    additions: tuple[Addition, ...]
    steps: tuple[Step, ...]
    warnings: tuple[str, ...]
    notes: tuple[str, ...]
    tiles: tuple[Tile, ...]


@dataclass(frozen=True, kw_only=True)
class Fact:
    """One line of the provenance; code: to be set as typed text."""

    label: str
    value: str
    code: bool = False


@dataclass(frozen=True, kw_only=True)
class RunView:
    """One run. latency_note: batch, device and threads of the measured latencies."""

    name: str
    model: str
    data: str
    answer: Answer
    curve: DepthCurve
    course: Course
    certainty: Certainty
    latency_note: str
    facts: tuple[Fact, ...]
    config: str
