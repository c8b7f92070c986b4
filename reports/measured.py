"""What was measured, as a report shows it: frozen values, in units of the metric."""

from dataclasses import dataclass, field

from depthprobe.analysis.units import Units
from depthprobe.reports.axis import DEPTH, Axis


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """A value with the two ends of its interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """One measured depth, or width. depth: weight layers with the head, or percent of the channels; macs: of one
    example; latency_ms: of one batch; weight_bytes: of its parameters and buffers; pareto: no other is as good with
    fewer parameters and MACs (None: runs of older versions do not say).
    """

    depth: int
    added: int
    score: Estimate
    params: int
    macs: int
    latency_ms: float
    weight_bytes: int | None = None
    pareto: bool | None = None

    @property
    def beaten(self) -> bool:
        """Whether another candidate is as good with fewer parameters and MACs."""
        return self.pareto is False


@dataclass(frozen=True, kw_only=True)
class SeedWalk:
    """Cooled measurements of one seed: (depth, metric), ascending; control: None when it was not trained."""

    seed: int
    failed: bool
    up: tuple[tuple[int, float], ...]
    down: tuple[tuple[int, float], ...]
    control: float | None


@dataclass(frozen=True, kw_only=True)
class DepthCurve:
    """The metric against depth. up: mean of the way up; floor: best of the curve minus the tolerance.

    fitted: the smoothed curve that decided, None when the means did. apart: the network as it is, the last
    candidate, is no point of that curve.
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
    units: Units = field(default_factory=Units)
    axis: Axis = DEPTH
    apart: bool = False


@dataclass(frozen=True, kw_only=True)
class Line:
    """Uncooled metric and loss of one training at the recorded steps, thinned where they are many. arm: "grow",
    "shrink", "width", "control", "at 3 layers" ...; loss_steps: the steps of `losses`, which are thinned by themselves.
    """

    seed: int
    arm: str
    failed: bool
    steps: tuple[int, ...]
    values: tuple[float, ...]
    loss_steps: tuple[int, ...]
    losses: tuple[float, ...]


@dataclass(frozen=True, kw_only=True)
class GateMap:
    """Ratio of every gate (rows, in order of the data flow) at the recorded steps, for seeds that share it."""

    seeds: tuple[int, ...]
    steps: tuple[int, ...]
    ratios: tuple[tuple[float, ...], ...]


@dataclass(frozen=True, kw_only=True)
class Mark:
    """A measurement, the learning rate at 0. walk: "up", "down", "look", or the training at whose end it is; hold:
    whether one of the walk's ended there.
    """

    seed: int
    step: int
    depth: int
    walk: str
    value: float
    hold: bool


@dataclass(frozen=True, kw_only=True)
class Course:
    """The training itself, against the step. names: of the gates, in order of the data flow; none in older runs."""

    lines: tuple[Line, ...]
    gates: tuple[GateMap, ...]
    names: tuple[str, ...]
    marks: tuple[Mark, ...]
    units: Units = field(default_factory=Units)
    axis: Axis = DEPTH


@dataclass(frozen=True, kw_only=True)
class Certainty:
    """How sure the answer is. shares: (depth, share of resamples that name it); gains: by what they are over."""

    shares: tuple[tuple[int, float], ...]
    range95: tuple[int, int] | None
    resolution: float
    tolerance: float
    confidence: float
    gains: tuple[tuple[str, Estimate], ...]
    units: Units = field(default_factory=Units)
    axis: Axis = DEPTH
