"""A probe that fits into a time budget: how many seeds, candidates and steps."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from math import ceil

from depthprobe.config import GrowConfig
from depthprobe.counting import number_of
from depthprobe.errors import ConfigError
from depthprobe.probes.plan import GrowPlan, share_of, stair_lengths

FILL = 0.95  # of the budget is planned
SLACK = 1.15  # times the budget at which a slower machine ends the run early
LEAST_STEPS = 300
MOST_STEPS = 4.0  # times the default
# From the least honest probe to the largest: (seeds, candidates, least share of the default steps). Shrinking goes from
# the default down. Steps give way first, a little: a training 30 % shorter lowers all depths nearly alike, and their
# differences are what counts. Then candidates: the deepest and the shallowest stay, the answer gets coarser
# between them but every depth is measured as well as before. Then steps again. Seeds last: what can be resolved goes
# with one over the root of their number, one of two may fail, and one alone has no interval.
LADDER = (
    (2, 4, 0.4), (3, 4, 0.4), (3, 5, 0.4), (3, 5, 0.7), (3, 8, 0.7), (3, 8, 1.0),
    (4, 8, 1.0), (5, 8, 1.0), (6, 8, 1.0), (7, 8, 1.0),
)  # fmt: skip


@dataclass(frozen=True)
class Size:
    """How large a probe is. candidates: how many depths are measured; steps: updates of one conventional training."""

    seeds: int
    candidates: int
    steps: int


@dataclass(frozen=True)
class Fit:
    """A size that fits, its forecast in seconds, and the rung of the ladder it stands on."""

    size: Size
    seconds: float
    rung: int


def fit(price: Callable[[Size], float], default: Size, budget: float, *, fixed: Collection[str] = ()) -> Fit:
    """The best size whose price is at most 95 % of `budget` seconds: the highest rung that fits, as many steps as fit.

    price: seconds of a size, growing with each of its numbers. fixed: names of what the user set, which stay as in
    `default`. Raises ConfigError naming the least time when nothing fits.
    """
    rungs, target = ladder(default, fixed), FILL * budget
    affordable = [index for index, rung in enumerate(rungs) if price(rung) <= target]
    if not affordable:
        least = price(rungs[0])
        raise ConfigError(
            "the time budget is too small for an honest probe",
            where="--time-budget",
            expected=f"the smallest honest probe takes about {words(least / FILL)} here "
            f"({number_of(rungs[0].seeds, 'seed')}, {rungs[0].candidates} depths, {rungs[0].steps:,} steps)",
            found=words(budget),
            hint=f"--time-budget {words(ceil(1.1 * least / FILL)).replace(' ', '')}",
        )
    best = affordable[-1]
    size = rungs[best]
    if "steps" not in fixed:
        size = _fill(price, size, target, max(size.steps, round(MOST_STEPS * default.steps)))
    return Fit(size, price(size), best)


def ladder(default: Size, fixed: Collection[str] = ()) -> list[Size]:
    """Every rung at its fewest steps, from the least to the largest, what is fixed as it is, no rung twice."""
    rungs: dict[Size, None] = {}
    for seeds, candidates, share in LADDER:
        least = min(default.steps, max(LEAST_STEPS, ceil(share * default.steps)))
        rungs[
            Size(
                default.seeds if "seeds" in fixed else seeds,
                default.candidates if "candidates" in fixed else min(candidates, default.candidates),
                default.steps if "steps" in fixed else least,
            )
        ] = None
    return list(rungs)


def _fill(price: Callable[[Size], float], size: Size, target: float, most: int) -> Size:
    low, high = size.steps, most  # low is affordable
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if price(replace(size, steps=middle)) <= target else (low, middle - 1)
    return replace(size, steps=low)


def thin(opened: Sequence[int], count: int) -> tuple[int, ...]:
    """`count` of the candidates, evenly over their ranks, the first and the last among them."""
    if count >= len(opened):
        return tuple(opened)
    return tuple(opened[round(i * (len(opened) - 1) / (count - 1))] for i in range(count))


def resized(plan: GrowPlan, size: Size, config: GrowConfig) -> GrowPlan:
    """`plan` with fewer candidates and other steps, for pricing: nothing is traced anew. config: of the plan."""
    kept = thin(plan.opened, size.candidates)
    return replace(
        plan,
        candidates=tuple(candidate for candidate in plan.candidates if candidate.opened in kept),
        steps=size.steps,
        cool=share_of(config.cool_share, size.steps),
        up_cool=share_of(config.up_cool_share, size.steps),
        lengths=stair_lengths(config, size.steps, kept),
    )


def say_fit(found: Fit, default: Size, budget: float, spent: float) -> str:
    """The line that is printed: what the budget bought. spent: seconds that setting up took already."""
    size, changes = found.size, []
    for name, now, before in (
        ("seeds", size.seeds, default.seeds),
        ("depths", size.candidates, default.candidates),
        ("steps", size.steps, default.steps),
    ):
        changes.append(f"{now:,} {name}" + (f" (default {before:,})" if now != before else ""))
    line = f"time budget {words(budget)}: {', '.join(changes)}; {words(spent)} of it went into setting up"
    if found.seconds < 0.8 * FILL * budget:
        line += f"; the largest probe worth running takes about {words(found.seconds)} only"
    return line


def must_stop(elapsed: float, before: float, done: int, least: int, budget: float) -> bool:
    """Whether one more seed would overshoot `budget` by more than 15 %.

    elapsed: seconds so far, `before` of them before the first training; done: seeds finished (at each rate); least: how
    many are trained in any case.
    """
    if done < least:
        return False
    pace = (elapsed - before) / done
    return elapsed + pace > SLACK * budget


def words(seconds: float) -> str:
    """40 s, 2 m 30 s, 1 h 05 m: what `--time-budget` understands, without the spaces."""
    whole = max(1, round(seconds))
    hours, minutes, left = whole // 3600, whole // 60 % 60, whole % 60
    if hours:
        return f"{hours} h {minutes:02} m" if minutes else f"{hours} h"
    return (f"{minutes} m {left:02} s" if left else f"{minutes} m") if minutes else f"{left} s"
