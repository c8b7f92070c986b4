"""From what a sampler proposes to the settings of a grow run, at a fixed number of updates."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

from depthprobe.config import GrowConfig, TrainConfig
from depthprobe.errors import ConfigError
from depthprobe.schedules import Schedule, StairLengths
from depthprobe.tuning.space import OFF

TRAIN_KEYS = ("optimizer", "lr", "new_lr_scale", "momentum", "weight_decay", "clip")
SHARES = ("start", "hold", "cool")


@dataclass(frozen=True, kw_only=True)
class Budget:
    """What every trial has. updates: up to and with the measurement of the deepest candidate, its cooling included;
    steps: of one conventional training; opened: gates that are open at the candidates.
    """

    updates: int
    steps: int
    opened: tuple[int, ...]

    @property
    def stairs(self) -> tuple[int, ...]:
        """Gates that open at each stair."""
        return tuple(high - low for low, high in pairwise(self.opened))


def climb(schedule: Schedule) -> Schedule:
    """The way up of a probe's stairs: it ends at the hold of the deepest candidate."""
    holds = tuple(hold for hold in schedule.holds if hold.walk == "up")
    top = holds[-1]
    ramps = tuple(ramp for ramp in schedule.ramps if ramp.start < top.start)
    return Schedule(gates=schedule.gates, ramps=ramps, steps=top.end, holds=holds)


def budget_of(schedule: Schedule, cool: int, steps: int, opened: Sequence[int]) -> Budget:
    """The budget that a plan's own stairs take. cool: updates of the cooled branch at the top."""
    return Budget(updates=climb(schedule).steps + cool, steps=steps, opened=tuple(opened))


def shares_of(lengths: StairLengths, cool: int, budget: Budget) -> dict[str, float]:
    """The lengths of some stairs as the shares that a sampler proposes."""
    return {
        "start": lengths.first / budget.updates,
        "hold": lengths.up_hold / budget.updates,
        "cool": cool / budget.updates,
    }


def fit_stairs(shares: Mapping[str, float], budget: Budget, lengths: StairLengths) -> tuple[StairLengths, int]:
    """Stairs that take the whole budget: a start, a hold on each stair and a cooled end of these shares of it, the
    ramps as long as the rest allows; and the updates of the cooled end.

    lengths: of which `together`, `overlap` and `opening` are taken. Raises ConfigError when the budget is too short for
    one update of each.
    """
    stairs, steepest = budget.stairs, replace(lengths, up=1)
    least = sum(map(steepest.climb, stairs)) + len(stairs)
    spare = budget.updates - least - 2
    if spare < 0:
        raise ConfigError(
            "too few updates for these stairs",
            where="--steps",
            expected=f"at least {least + 2} up to the deepest candidate",
            found=str(budget.updates),
        )
    wanted = {name: shares[name] * budget.updates * (len(stairs) if name == "hold" else 1) for name in SHARES}
    scale = min(1.0, spare / max(1.0, sum(wanted.values())))
    start, hold, cool = _whole(wanted, scale, len(stairs), round)
    if start + hold * len(stairs) + cool > budget.updates - least + len(stairs):
        start, hold, cool = _whole(wanted, scale, len(stairs), int)
    room = budget.updates - cool - start - hold * len(stairs)
    up = _longest_ramp(replace(lengths, up_hold=hold), stairs, room)
    found = replace(lengths, up=up, up_hold=hold)
    taken = sum(map(found.climb, stairs)) + hold * len(stairs)
    return replace(found, first=budget.updates - cool - taken), cool


def _whole(
    wanted: Mapping[str, float], scale: float, stairs: int, rounded: Callable[[float], int]
) -> tuple[int, int, int]:
    """Updates of the start, of one hold and of the cooled end, each at least 1."""
    parts = (wanted["start"], wanted["hold"] / stairs, wanted["cool"])
    start, hold, cool = (max(1, rounded(scale * part)) for part in parts)
    return start, hold, cool


def _longest_ramp(lengths: StairLengths, stairs: Sequence[int], room: int) -> int:
    """The longest ramp of one gate with which all stairs together take at most `room` updates; at least 1."""
    low, high = 1, max(1, room)
    while low < high:
        middle = (low + high + 1) // 2
        fits = sum(replace(lengths, up=middle).climb(count) for count in stairs) <= room
        low, high = (middle, high) if fits else (low, middle - 1)
    return low


def settings_of(values: Mapping[str, Any], budget: Budget, lengths: StairLengths, cool: int) -> dict[str, Any]:
    """What `values` change of the settings of a grow run: {"grow": {...}, "train": {...}}, plain values.

    lengths, cool: of the stairs that are not searched. Shares are written so that rounding gives the same updates back.
    """
    chosen = replace(
        lengths,
        together=values.get("schedule", "together" if lengths.together else "staggered") == "together",
        overlap=int(values.get("overlap", lengths.overlap)),
        opening=str(values.get("opening", lengths.opening)),
    )
    shares = {**shares_of(lengths, cool, budget), **{name: values[name] for name in SHARES if name in values}}
    fitted, cooled = fit_stairs(shares, budget, chosen)
    scale = values.get("max_scale")
    grow: dict[str, Any] = {
        "schedule": "together" if fitted.together else "staggered",
        "overlap": fitted.overlap,
        "opening": fitted.opening,
        **{name: values[name] for name in ("mode", "granularity", "init") if name in values},
        **({"max_scale": None if scale == OFF else float(scale)} if scale is not None else {}),
        "first_share": fitted.first / budget.steps,
        "up_share": fitted.up / budget.steps,
        "up_hold_share": fitted.up_hold / budget.steps,
        "cool_share": cooled / budget.steps,
    }
    return {"grow": grow, "train": {name: values[name] for name in TRAIN_KEYS if name in values}}


def configured(
    settings: Mapping[str, Mapping[str, Any]], grow: GrowConfig, train: TrainConfig
) -> tuple[GrowConfig, TrainConfig]:
    """The default's settings with those of a trial in their place."""
    return replace(grow, **settings["grow"]), replace(train, **settings["train"])
