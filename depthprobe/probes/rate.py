"""The learning-rate range test: the rate rises exponentially on a throw-away network, the loss tells how far it may.

After the range test of L. N. Smith (Cyclical learning rates for training neural networks, 2017, section 3.3).
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from statistics import median
from typing import Any

import torch
from torch import nn

from depthprobe.config import TrainConfig
from depthprobe.errors import ConfigError, TrainingError, UserCodeError
from depthprobe.inputs import Examples
from depthprobe.inputs.overrides import Overrides
from depthprobe.probes.bench import undisturbed
from depthprobe.probes.own import Own, short
from depthprobe.training.batches import Augment, Batches, mix_seed
from depthprobe.training.learner import Learner
from depthprobe.training.metrics import default_loss

SWEEPS = 3
UPDATES = 150
MEMORY = 0.85  # of the running mean of the loss, about seven updates long
LEAST_FALL = 0.01  # a loss that falls by less than this share of guessing says nothing
SHARE_OF_FALL = 0.9  # the rate at which so much of the fall has happened is taken
GUESSED = 10_000  # at most about twice so many targets are put into a loss of the user's
LOST = 1.25  # times the loss at which a sweep ends
LOW, HIGH = 1e-4, 10.0  # of SGD; Adam divides the gradient by its size and moves a hundred times as far
ADAM_SCALE = 0.01

Curve = tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class Reading:
    """What one sweep says, as rates. fell: where most of the fall has happened; lowest: where the loss was lowest;
    lost: where it was back at that of guessing (of the beginning, if that is unknown), None when it never came to that.
    """

    fell: float
    lowest: float
    lost: float | None


@dataclass(frozen=True, kw_only=True)
class RateChoice:
    """lr: to train with, None where an optimizer of the user's sets its own; note: in words, how it came about; curves:
    (rate, loss) of every sweep, () without a test.
    """

    lr: float | None
    note: str
    curves: tuple[Curve, ...] = ()

    def to_json(self) -> list[dict[str, list[float]]]:
        """The curves as plain values, 4 significant digits: [{"rates": [...], "losses": [...]}, ...]."""
        return [
            {"rates": [_digits(r, 4) for r, _ in curve], "losses": [_digits(loss, 4) for _, loss in curve]}
            for curve in self.curves
        ]


def find_rate(
    build: Callable[[int], nn.Module],
    examples: Examples,
    train: TrainConfig,
    *,
    augment: bool | Augment,
    accelerator: Any,
    seed: int = 0,
    own: Own | None = None,
) -> RateChoice:
    """The rate of `train`, or, where that is None, the one that range tests on `build(seed)` and its successors give.

    examples: the training part; own: the user's functions, which the test trains with; an optimizer among them sets its
    own rates, and there is no test. Deterministic for a seed; random states are left as found.
    """
    own = own or Own()
    if own.functions.optimizer:
        return RateChoice(lr=None, note=f"the optimizer of {short(own.origins['optimizer'])} sets its own rates")
    if train.lr is not None:
        return RateChoice(lr=train.lr, note=f"learning rate {train.lr:g} (as asked)")
    guess = guessing_loss(examples.y, own.functions)
    with undisturbed(accelerator.device):
        curves = tuple(
            sweep(
                build(seed + rank),
                Batches(examples, train.batch_size, mix_seed(seed, 5, rank), augment, accelerator.device),
                train,
                accelerator,
                guess=guess,
                seed=mix_seed(seed, 6, rank),
                own=own.functions,
            )
            for rank in range(SWEEPS)
        )
    return under_schedule(conclude_rate(curves, train, guess), own.rates.largest)


def under_schedule(choice: RateChoice, largest: float) -> RateChoice:
    """The choice divided by the largest factor of a schedule, at which a walk is held: it goes at the rate found.

    Raises ConfigError where that is no rate.
    """
    if largest == 1.0 or choice.lr is None:
        return choice
    lr = _digits(choice.lr / largest, 2)
    if not lr < 100.0:
        raise ConfigError(
            "the factors of the schedule are too small for a learning rate",
            where="schedule", expected="a largest factor of about 1", found=f"largest {largest:g}",
        )  # fmt: skip
    return replace(choice, lr=lr, note=f"learning rate {lr:g} x {largest:g}, the schedule's largest ({choice.note})")


def sweep(
    net: nn.Module,
    batches: Batches,
    train: TrainConfig,
    accelerator: Any,
    *,
    guess: float | None,
    seed: int = 0,
    own: Overrides | None = None,
) -> Curve:
    """Train `net` while the rate rises exponentially over the optimizer's range; (rate, loss) of every update.

    Ends early when the loss is lost: not finite, or clearly above both guessing (None: unknown) and the beginning. The
    net is used up.
    """
    torch.manual_seed(seed)
    low, high = sweep_range(train)
    learner = Learner(net, batches, replace(train, lr=1.0), accelerator, own)
    curve: list[tuple[float, float]] = []
    mean = Smoothed()
    for step in range(UPDATES):
        rate = low * (high / low) ** (step / (UPDATES - 1))
        try:
            loss = learner.run(step + 1, lambda _, rate=rate: rate)  # type: ignore[misc]
        except TrainingError:
            break
        curve.append((rate, loss))
        worst = curve[0][1] if guess is None else max(guess, curve[0][1])
        if mean.add(loss) > worst + (LOST - 1.0) * abs(worst):
            break
    return tuple(curve)


def sweep_range(train: TrainConfig) -> tuple[float, float]:
    """Lowest and highest rate of the test."""
    scale = 1.0 if train.optimizer == "sgd" else ADAM_SCALE
    return LOW * scale, HIGH * scale


def ceiling(train: TrainConfig) -> float:
    """The highest rate that is chosen: shallow networks tolerate more, their deeper candidates do not.

    0.05 for SGD with momentum 0.9 (in proportion to 1 - momentum), 0.003 for Adam: judged by the pilots of the ground
    truth (docs/methods/grow.md).
    """
    return 0.5 * (1.0 - train.momentum) if train.optimizer == "sgd" else 0.003


def fallback(train: TrainConfig) -> float:
    """The rate when the test finds nothing."""
    return 0.02 if train.optimizer == "sgd" else 0.001


def read_curve(rates: Sequence[float], losses: Sequence[float], guess: float | None) -> Reading | None:
    """Read one sweep; None when the loss never falls below guessing.

    rates: ascending; losses: of every update; guess: the loss of guessing (`guessing_loss`). A fall from a bad
    beginning down to guessing is not learning: it counts from `guess` on; where that is unknown, from the beginning.
    """
    mean = Smoothed()
    smooth = [mean.add(loss) for loss in losses]
    if not smooth:
        return None
    guess = smooth[0] if guess is None else guess
    start = min(guess, smooth[0])
    best = min(range(len(smooth)), key=smooth.__getitem__)
    fall = start - smooth[best]
    if not fall > LEAST_FALL * abs(guess):
        return None
    fell = next(i for i, loss in enumerate(smooth) if loss <= start - SHARE_OF_FALL * fall)
    lost = next((rates[i] for i in range(best, len(smooth)) if smooth[i] >= start), None)
    return Reading(rates[fell], rates[best], lost)


def choose(readings: Sequence[Reading | None], train: TrainConfig) -> float | None:
    """The rate, to two significant digits: the median over the sweeps of where the loss fell, at most `ceiling`.

    None when most sweeps saw nothing fall.
    """
    seen = [reading for reading in readings if reading is not None]
    if not seen or 2 * len(seen) <= len(readings):
        return None
    return _digits(min(median(reading.fell for reading in seen), ceiling(train)), 2)


def conclude_rate(curves: Sequence[Curve], train: TrainConfig, guess: float | None) -> RateChoice:
    """The choice and its words from the sweeps."""
    readings = [read_curve([r for r, _ in curve], [loss for _, loss in curve], guess) for curve in curves]
    lr = choose(readings, train)
    if lr is None:
        lr = fallback(train)
        note = f"learning rate {lr:g} (the range test found none: the loss of the base network did not fall)"
        return RateChoice(lr=lr, note=note, curves=tuple(curves))
    seen = [reading for reading in readings if reading is not None]
    fell = _digits(median(reading.fell for reading in seen), 2)
    lost = [reading.lost for reading in seen if reading.lost is not None]
    words = f"range test on the base network: the loss fell up to {fell:g}"
    words += f", lost at {_digits(median(lost), 2):g}" if 2 * len(lost) > len(seen) else ", never lost"
    words += f"; deeper networks tolerate less: at most {lr:g}" if lr < fell else ""
    return RateChoice(lr=lr, note=f"learning rate {lr:g} ({words})", curves=tuple(curves))


def guessing_loss(targets: torch.Tensor, own: Overrides | None = None) -> float | None:
    """The loss of an output that is the same for every example: the frequencies of classes (N,) int64, the mean of
    floating-point targets (N, ...). None where the user's loss does not take that, and for a training_step.
    """
    own = own or Overrides()
    if own.training_step:
        return None
    some = targets if own.loss is None else targets[:: max(1, len(targets) // GUESSED)]
    if some.is_floating_point():
        output = some.mean(0, keepdim=True).expand_as(some)
    else:
        shares = some.bincount().double() / len(some)
        if own.loss is None:
            return float(torch.special.entr(shares).sum())
        output = shares.clamp(min=1e-6).log().float().expand(len(some), -1)
    if own.loss is None:
        return float(default_loss(output.double(), some.double()))
    try:
        found = float(own.call("loss", output, some))
    except (UserCodeError, TypeError, ValueError, RuntimeError):
        return None
    return found if math.isfinite(found) else None


class Smoothed:
    """Running mean of a series, its start corrected for."""

    def __init__(self) -> None:
        self.total, self.weight = 0.0, 0.0

    def add(self, value: float) -> float:
        """The mean with `value` in."""
        self.total = MEMORY * self.total + (1 - MEMORY) * value
        self.weight = MEMORY * self.weight + (1 - MEMORY)
        return self.total / self.weight


def _digits(value: float, count: int) -> float:
    return float(f"{value:.{count}g}") if math.isfinite(value) else value
