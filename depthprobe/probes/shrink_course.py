"""What a shrink probe trains next: the whole network on, a walk, candidates from the smallest that may do, and, where
the network that the first one made is shrunk, that one once more.
"""

import math
from collections.abc import Mapping, Sequence

from depthprobe.analysis.choice import POINT_SHARE
from depthprobe.probes.bench import Arm
from depthprobe.probes.holds import AGAIN
from depthprobe.probes.shrink_arms import AT, branch_kind, branched
from depthprobe.probes.shrink_scores import Measured, better_kind, decide_on, finished_arms, read_measured
from depthprobe.probes.shrink_setup import REACH, Records, ShrinkSetup
from depthprobe.probes.shrink_whole import read_whole

HOPELESS = 1.5  # tolerances below the present network with the first seed: the other seeds are not asked
WORTHLESS = 2.0  # tolerances below the best at its short look: new weights are tried before the walk's


def next_arms(setup: ShrinkSetup, records: Records) -> list[Arm]:
    """The arms that follow those that ended; none when the probe is complete. A function of the records alone, so that
    a resumed run goes the same way.
    """
    whole = read_whole(setup, records)
    if whole.arm is not None:
        return [whole.arm]
    measured, done = read_measured(setup, records), finished_arms(records, setup.seeds)
    if measured.walker is None:
        walked = {arm.seed for arm in done if arm.kind == "shrink"}
        left = [Arm(seed, rank, "shrink") for rank, seed in enumerate(setup.seeds) if seed not in walked]
        return left[:1]
    climbed = climb(setup, measured, done)
    return climbed or (weigh_again(setup, measured, done) if whole.better else [])


def climb(setup: ShrinkSetup, measured: Measured, done: Sequence[Arm]) -> list[Arm]:
    """What the next candidate lacks, from the smallest one that may do until one is as good as the present network;
    under a budget all of them.
    """
    candidates, plan = worth_training(setup, measured.looks, measured.tolerance), setup.bench.plan
    begun = max((branched(plan, arm.kind) for arm in done if arm.kind.startswith(AT)), default=0)
    for opened in candidates:
        if opened < begun and not setup.config.limits:
            continue  # given up before the larger one was begun
        kinds = {branch_kind(plan, opened, anew=anew) for anew in (False, True)}
        first = not any(arm.kind in kinds for arm in done)
        if first and not setup.config.limits and does(setup, measured):
            return []
        final = opened == candidates[-1] or bool(setup.config.limits)
        if lacking := train_candidate(setup, measured, done, opened, final=final):
            return lacking
    return []


def does(setup: ShrinkSetup, measured: Measured) -> bool:
    """Whether a smaller network that every seed measured is as good as the present one."""
    return len(measured.opened) > 1 and decide_on(setup, measured).verdict == "shrink"


def train_candidate(
    setup: ShrinkSetup, measured: Measured, done: Sequence[Arm], opened: int, *, final: bool
) -> list[Arm]:
    """What a candidate lacks: with the first seed a branch from one start and, where that is not good enough, one from
    the other; then, unless both were hopeless, the better one with the other seeds; the other start last where the
    first was good enough for the first seed only. Starts are the walk's weights and new ones: new ones first where the
    look says that the walk's are worth little. final: hope or not.
    """
    plan, tolerance = setup.bench.plan, measured.tolerance
    ended, walker = {(arm.seed, arm.kind) for arm in done}, measured.walker or 0
    rank = setup.seeds.index(walker)
    worthless = measured.looks[opened] < max(measured.looks.values()) - WORTHLESS * tolerance
    first, other = (Arm(walker, rank, branch_kind(plan, opened, anew=anew)) for anew in (worthless, not worthless))
    if (walker, first.kind) not in ended:
        return [first]
    values = {kind: float(scores.mean()) for kind, scores in measured.tried.items()}
    tried = (walker, other.kind) in ended
    if not tried and values.get(first.kind, -math.inf) < measured.whole - POINT_SHARE * tolerance:
        return [other]
    kind = better_kind(plan, measured.tried, opened)
    if kind is None or (values[kind] < measured.whole - HOPELESS * tolerance and not final):
        return []
    missing = [seed for seed in measured.seeds if (seed, kind) not in ended]
    if not missing and not tried and not does(setup, measured):
        return [other]
    return [Arm(seed, setup.seeds.index(seed), kind) for seed in missing]


def weigh_again(setup: ShrinkSetup, measured: Measured, done: Sequence[Arm]) -> list[Arm]:
    """The control of a network that was trained on first, where a smaller one would win without it."""
    if any(arm.kind == AGAIN for arm in done) or measured.walker is None or len(measured.opened) < 2:
        return []
    if not does(setup, measured) and not setup.config.limits:
        return []
    return [Arm(measured.walker, setup.seeds.index(measured.walker), AGAIN)]


def compared_with(setup: ShrinkSetup, measured: Measured) -> int:
    """Open gates of the candidate that the control is trained as long as: the one that is advised without it."""
    decision = decide_on(setup, measured)
    return measured.opened[decision.depths.index(decision.best_guess)]


def worth_training(setup: ShrinkSetup, looks: Mapping[int, float], tolerance: float) -> list[int]:
    """Open gates of the candidates, ascending from the smallest whose look is within reach of the best; where none is,
    the largest. Under a budget all that were looked at.
    """
    whole = setup.bench.plan.base.opened
    smaller = sorted(opened for opened in looks if opened < whole)
    if setup.config.limits or not smaller:
        return smaller
    floor = max(looks.values()) - REACH * tolerance
    first = next((opened for opened in smaller if looks[opened] >= floor), smaller[-1])
    return [opened for opened in smaller if opened >= first]
