"""Settings: frozen keyword-only dataclasses, validated at birth, JSON both ways."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from depthprobe.errors import ConfigError
from depthprobe.settings import Settings as _Settings
from depthprobe.settings import check_choice as _one_of
from depthprobe.settings import check_number as _number
from depthprobe.settings import check_optional as _optional
from depthprobe.settings import unknown_key as unknown_key

OPTIMIZERS = ("sgd", "adam", "adamw")
LR_SHAPES = ("constant", "cosine", "step")
PRECISIONS = ("no", "bf16", "fp16")
CLOSINGS = ("alternate", "reverse", "forward")
OPENINGS = ("forward", "reverse")
SCHEDULES = ("staggered", "together")
PLACES = ("stage", "site")
PROFILES = ("auto", "equal", "uneven")
_SHARES = ("first_share", "up_share", "up_hold_share", "down_share", "down_hold_share", "cool_share", "up_cool_share")


@dataclass(frozen=True, kw_only=True)
class TrainConfig(_Settings):
    """How a network is trained. lr: per step, None is "auto" (a range test before training chooses it); weight_decay:
    L2; clip: norm of the gradient, None for none.

    new_lr_scale: factor on the learning rate of added layers. steps: updates of one conventional training (None: chosen
    from the size of the data). lr_shape: of a whole
    conventional training; probes hold it constant and cool their branches. augment: None means for colour images.
    accumulate: parts that a batch is computed in, one after another, before an update. workers: local processes that
    train the arms of a probe side by side. compile: units run code that torch.compile makes of them.
    log: names of trackers that hear what is recorded.
    """

    optimizer: str = "sgd"
    lr: float | None = None
    momentum: float = 0.9
    weight_decay: float = 5e-4
    new_lr_scale: float = 1.0
    lr_shape: str = "cosine"
    clip: float | None = None
    batch_size: int = 64
    steps: int | None = None
    device: str = "auto"
    precision: str = "no"
    augment: bool | None = None
    threads: int = 0
    accumulate: int = 1
    workers: int = 1
    compile: bool = False
    log: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        _one_of("optimizer", self.optimizer, OPTIMIZERS)
        _one_of("lr_shape", self.lr_shape, LR_SHAPES)
        _one_of("precision", self.precision, PRECISIONS)
        _optional("lr", self.lr, above=0.0, below=100.0)
        _number("momentum", self.momentum, at_least=0.0, below=1.0)
        _number("weight_decay", self.weight_decay, at_least=0.0)
        _number("new_lr_scale", self.new_lr_scale, above=0.0, at_most=1000.0)
        _number("batch_size", self.batch_size, at_least=2, whole=True)
        _number("threads", self.threads, at_least=0, whole=True)
        if not isinstance(self.compile, bool):
            raise ConfigError("compile is on or off", where="--compile", found=repr(self.compile))
        _number("workers", self.workers, at_least=1, at_most=1000, whole=True)
        _number("accumulate", self.accumulate, at_least=1, whole=True)
        _optional("clip", self.clip, above=0.0)
        _optional("steps", self.steps, at_least=20, whole=True)

    @property
    def rate(self) -> float:
        """The learning rate. Raises ConfigError while it is still "auto"."""
        if self.lr is None:
            raise ConfigError("the learning rate is not chosen yet", where="setting lr", expected="a number")
        return self.lr


@dataclass(frozen=True, kw_only=True)
class GrowthConfig(_Settings):
    """What is added where. copies: per site (None: the depth doubles). sites: unit names (None: all growable).
    kernel, init: of new layers; "auto": the identity where there is one, else the layer's own.
    metric: a built-in name or file.py:name (None: accuracy, or r2 for floats). mode, granularity: of their gates.
    overlap: gates ramping at a time. max_scale: cap of the Bernoulli path scales (None: paths are not scaled).
    """

    copies: int | None = None
    sites: tuple[str, ...] | None = None
    kernel: int | None = None
    init: str = "default"
    mode: str = "prefix"
    granularity: str = "sample"
    overlap: int = 3
    max_scale: float | None = None
    seed: int = 0
    split_seed: int = 0
    metric: str | None = None

    def __post_init__(self) -> None:
        if self.metric is not None and not (isinstance(self.metric, str) and self.metric):
            raise ConfigError("metric is not a name", where="--metric", expected="accuracy, r2, ..., file.py:name")
        _one_of("mode", self.mode, ("prefix", "bernoulli", "blend"))
        _one_of("granularity", self.granularity, ("sample", "channel", "activation"))
        _number("overlap", self.overlap, at_least=1, whole=True)
        _number("seed", self.seed, at_least=0, whole=True)
        _number("split_seed", self.split_seed, at_least=0, whole=True)
        _optional("copies", self.copies, at_least=1, at_most=MOST_COPIES, whole=True)
        _optional("kernel", self.kernel, at_least=1, at_most=MOST_KERNEL, whole=True)
        _optional("max_scale", self.max_scale, at_least=1.0, at_most=1e6)
        _init(self.init)


MOST_COPIES, MOST_KERNEL = 1000, 1023
BUDGETS = ("max_params", "max_macs", "max_latency_ms", "keep_accuracy")


@dataclass(frozen=True, kw_only=True)
class BudgetConfig(_Settings):
    """What the advised network may cost, and what it has to keep; None: no limit. max_latency_ms: of one batch on this
    machine; keep_accuracy: least value of the metric.
    """

    max_params: int | None = None
    max_macs: int | None = None
    max_latency_ms: float | None = None
    keep_accuracy: float | None = None

    def _check_budget(self) -> None:
        _optional("max_params", self.max_params, at_least=1, whole=True)
        _optional("max_macs", self.max_macs, at_least=1, whole=True)
        _optional("max_latency_ms", self.max_latency_ms, above=0.0)
        _optional("keep_accuracy", self.keep_accuracy)

    @property
    def limits(self) -> dict[str, float]:
        """The limits that were set."""
        return {name: getattr(self, name) for name in BUDGETS if getattr(self, name) is not None}


@dataclass(frozen=True, kw_only=True)
class GrowConfig(GrowthConfig, BudgetConfig):
    """A grow probe. seeds: how many; seed: the first; split_seed: of the data split. tolerance: in units of the metric,
    None is "auto". candidates: numbers of added layers to measure, 0 always among them (None: at most 8,
    log-spaced). max_depth: most weight layers. by: "stage" or "site": also what the copies of each one are worth
    alone. sensitivity: the answer is repeated at a third and three times the rate. verify: the advised and the
    present architecture are also trained from scratch. time_budget: seconds that everything
    may take (None: no limit). Lengths of the stairs are shares of `steps`; first_share is longer where the way up is
    short. schedule: the gates of one stair open one after another ("staggered") or "together"; opening: which of them
    first, from the input on ("forward") or from the output ("reverse").
    """

    seeds: int = 3
    tolerance: float | None = None
    confidence: float = 0.95
    init: str = "auto"
    candidates: tuple[int, ...] | None = None
    max_depth: int | None = None
    by: str | None = None
    sensitivity: bool = False
    verify: bool = False
    time_budget: float | None = None
    closing: str = "alternate"
    schedule: str = "staggered"
    opening: str = "forward"
    first_share: float = 0.25
    up_share: float = 0.06
    up_hold_share: float = 0.02
    down_share: float = 0.04
    down_hold_share: float = 0.02
    cool_share: float = 0.10
    up_cool_share: float = 0.02

    def __post_init__(self) -> None:
        super().__post_init__()
        self._check_budget()
        _one_of("closing", self.closing, CLOSINGS)
        _one_of("schedule", self.schedule, SCHEDULES)
        _one_of("opening", self.opening, OPENINGS)
        if self.by is not None:
            _one_of("by", self.by, PLACES)
        _number("seeds", self.seeds, at_least=1, at_most=100, whole=True)
        _number("confidence", self.confidence, above=0.5, below=1.0)
        for name in _SHARES:
            _number(name, getattr(self, name), above=0.0, at_most=2.0)
        _optional("max_depth", self.max_depth, at_least=1, whole=True)
        _check_tolerance(self.tolerance, self.metric)
        if not isinstance(self.sensitivity, bool):
            raise ConfigError("sensitivity is on or off", where="--sensitivity", found=repr(self.sensitivity))
        _optional("time_budget", self.time_budget, at_least=1.0)
        for count in self.candidates or ():
            _number("candidates", count, at_least=0, at_most=1000, whole=True)

    @property
    def rates(self) -> int:
        """How many learning rates the answer is asked at."""
        return 3 if self.sensitivity else 1


@dataclass(frozen=True, kw_only=True)
class TrainedConfig(BudgetConfig):
    """What the probes of a trained network have in common, as `ShrinkConfig` says it."""

    seeds: int = 3
    seed: int = 0
    split_seed: int | None = None
    tolerance: float | None = None
    confidence: float = 0.95
    metric: str | None = None
    units: tuple[str, ...] | None = None

    def _check_probe(self) -> None:
        self._check_budget()
        _number("seeds", self.seeds, at_least=1, at_most=100, whole=True)
        _number("seed", self.seed, at_least=0, whole=True)
        _optional("split_seed", self.split_seed, at_least=0, whole=True)
        _number("confidence", self.confidence, above=0.5, below=1.0)


@dataclass(frozen=True, kw_only=True)
class ShrinkConfig(TrainedConfig):
    """A shrink probe. seeds: how many; seed: the first; split_seed: None takes the checkpoint's. tolerance: in units of
    the metric, None is "auto". units: names of those that may leave (None: all that can). candidates: numbers of
    removed units to measure, 0 always among them (None: at most 8). lengths: ramp of a unit in updates, by name, where
    it is not the common one. lr_share: of the learning rate of training, for fine-tuning. distill: share of the loss
    that is the distance to the whole network's outputs. Lengths (before the first removal, ramp, hold, its look, long
    branch) are shares of `steps`. beyond: a loss that ends the walk. verify: advised and present also from scratch.
    """

    candidates: tuple[int, ...] | None = None
    lengths: Mapping[str, int] = dataclasses.field(default_factory=dict)
    mode: str = "prefix"
    granularity: str = "sample"
    overlap: int = 3
    lr_share: float = 1.0
    distill: float = 0.5
    first_share: float = 0.02
    down_share: float = 0.03
    down_hold_share: float = 0.01
    cool_share: float = 0.10
    branch_share: float = 1.0
    beyond: float = 0.05
    verify: bool = False

    def __post_init__(self) -> None:
        self._check_probe()
        _number("overlap", self.overlap, at_least=1, whole=True)
        _number("beyond", self.beyond, above=0.0)
        _one_of("mode", self.mode, ("prefix", "bernoulli", "blend"))
        _one_of("granularity", self.granularity, ("sample", "channel", "activation"))
        _number("distill", self.distill, at_least=0.0, at_most=1.0)
        for name in ("lr_share", "first_share", "down_share", "down_hold_share", "cool_share", "branch_share"):
            _number(name, getattr(self, name), above=0.0, at_most=2.0)
        _check_tolerance(self.tolerance, self.metric)
        for count in self.candidates or ():
            _number("candidates", count, at_least=0, at_most=1000, whole=True)
        for name, length in self.lengths.items():
            _number(f"lengths of {name}", length, at_least=1, whole=True)


@dataclass(frozen=True, kw_only=True)
class WidthConfig(TrainedConfig):
    """A width probe. seeds, seed, split_seed, tolerance, metric, lr_share, beyond, verify: as for `ShrinkConfig`.
    units: names of those that may become narrower (None: all that can). ratios: shares of the channels to measure, 1
    always among them. round_to: widths are rounded up to a multiple of it, in units that are wider than it. profile:
    "equal" shares in all units, or "uneven" ones at as many multiply-accumulates, each unit as narrow as its readers
    can do with; "auto" takes what is worth more before any training. tune_share: length of every fine-tuning, of
    `steps`. distill: as for `ShrinkConfig`.
    """

    ratios: tuple[float, ...] = (0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1)
    round_to: int = 1
    profile: str = "auto"
    lr_share: float = 0.3
    tune_share: float = 0.25
    distill: float = 0.5
    beyond: float = 0.05
    verify: bool = False

    def __post_init__(self) -> None:
        self._check_probe()
        _number("round_to", self.round_to, at_least=1, whole=True)
        _one_of("profile", self.profile, PROFILES)
        _number("beyond", self.beyond, above=0.0)
        _number("distill", self.distill, at_least=0.0, at_most=1.0)
        for name in ("lr_share", "tune_share"):
            _number(name, getattr(self, name), above=0.0, at_most=2.0)
        for ratio in self.ratios:
            _number("ratios", ratio, at_least=0.01, at_most=1.0)
        _check_tolerance(self.tolerance, self.metric)

    @property
    def percents(self) -> list[int]:
        """The shares in percent, ascending, the last one 100."""
        return sorted({100, *(round(100 * ratio) for ratio in self.ratios)})


@dataclass(frozen=True, kw_only=True)
class TrainingConfig(GrowthConfig):
    """One training. grow: with the added layers growing in by `schedule` within `length_share` of the steps; deep: with
    them in from the start (the conventional way); neither: the network as it is.
    """

    grow: bool = False
    deep: bool = False
    schedule: str = "staggered"
    length_share: float = 0.8

    def __post_init__(self) -> None:
        super().__post_init__()
        _one_of("schedule", self.schedule, SCHEDULES)
        _number("length_share", self.length_share, above=0.0, at_most=1.0)
        if not (self.grow or self.deep) and (self.copies or self.sites or self.kernel):
            raise ConfigError(
                "layers are added with --grow or --deep only", where="--copies, --sites, --kernel", hint="--grow"
            )
        if self.grow and self.deep:
            raise ConfigError("--grow and --deep exclude each other", hint="--grow")


def _check_tolerance(tolerance: float | None, metric: str | None) -> None:
    if tolerance is None:
        return
    if metric in (None, "accuracy", "top5"):
        refuse_large_tolerance(tolerance)
    _number("tolerance", tolerance, above=0.0)


def refuse_large_tolerance(value: Any) -> None:
    """Raise ConfigError for a tolerance above 0.2 of a metric that is a fraction."""
    if isinstance(value, (int, float)) and value > 0.2:
        raise ConfigError(
            f"tolerance {value:g} is larger than 0.2",
            where="--tolerance",
            expected="a share of the metric: accuracy is a fraction, 0.005 is half a point",
            hint="did you mean 0.005?",
        )


def _init(init: str) -> None:
    plain = ("auto", "default", "copy", "identity", "xavier", "he")
    name, _, deviation = init.partition(":")
    try:
        right = init in plain or (name == "gaussian" and float(deviation) > 0.0)
    except ValueError:
        right = False
    if not right:
        raise ConfigError(f"init {init!r} is not known", where="--init", expected=" | ".join((*plain, "gaussian:STD")))
