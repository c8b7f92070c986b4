"""Learning-rate factors of a training: held during a walk, cooled along a branch."""

import math
from dataclasses import dataclass

from depthprobe.errors import ConfigError
from depthprobe.inputs.overrides import Overrides
from depthprobe.training.optimizers import lr_factor

POINTS = 1000  # a user's schedule is looked up at so many places, and at its end


@dataclass(frozen=True, kw_only=True)
class Rates:
    """own: a user's schedule, or none: constant 1 and half a cosine. peak: the last share of a training at which the
    schedule is at its largest factor, `largest`.
    """

    own: Overrides | None = None
    peak: float = 0.0
    largest: float = 1.0

    def hold(self, step: int) -> float:
        """Factor of a walk: the largest."""
        return self.largest

    def cool(self, step: int, steps: int) -> float:
        """Factor at `step` of a branch of `steps`: half a cosine from 1 to 0, or the user's schedule after its peak."""
        done = min(1.0, step / steps)
        if self.own is None:
            return 0.5 * (1.0 + math.cos(math.pi * done))
        return self._at(self.peak + done * (1.0 - self.peak))

    def whole(self, shape: str, step: int, steps: int) -> float:
        """Factor at `step` of a conventional training: the user's schedule, or the one called `shape`."""
        return lr_factor(shape, step, steps) if self.own is None else self._at(min(1.0, step / max(1, steps)))

    def _at(self, done: float) -> float:
        return float(self.own.call("schedule", done)) if self.own is not None else 1.0


def make_rates(own: Overrides) -> Rates:
    """The rates of a user's schedule. Raises ConfigError unless its factors are finite, not negative, and end below
    their largest.
    """
    if own.schedule is None:
        return Rates()
    factors = []
    for point in range(POINTS + 1):
        found = own.call("schedule", point / POINTS, error=ConfigError)
        try:
            factor = float(found)
        except (TypeError, ValueError, RuntimeError):
            factor = math.nan
        if not (math.isfinite(factor) and factor >= 0.0):
            raise ConfigError(
                f"schedule({point / POINTS:g}) is no factor on the learning rate",
                where=str(own.path) if own.path else None,
                expected="a finite number, 0 or more",
                found=repr(found),
            )
        factors.append(factor)
    largest = max(factors)
    if factors[-1] >= largest:
        raise ConfigError(
            "the schedule does not end below its peak: nothing would be cooled before it is measured",
            where=str(own.path) if own.path else None,
            expected="schedule(1.0) below the largest factor",
            found=f"schedule(1.0) = {factors[-1]:g}, largest {largest:g}",
        )
    peak = max(point for point, factor in enumerate(factors) if factor == largest) / POINTS
    return Rates(own=own, peak=peak, largest=largest)
