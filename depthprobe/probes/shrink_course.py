"""What a shrink probe trains next: a walk, then candidates from the smallest that may do, then the control."""

from collections.abc import Mapping, Sequence

from depthprobe.probes.bench import Arm
from depthprobe.probes.shrink_arms import branch_kind
from depthprobe.probes.shrink_scores import Measured, Records, decide_on, finished_arms, read_measured
from depthprobe.probes.shrink_setup import ShrinkSetup

REACH = 4.0  # tolerances that a network may lie below the best at its short look and still be worth a long branch


def next_arms(setup: ShrinkSetup, records: Records) -> list[Arm]:
    """The arms that follow those that ended; none when the probe is complete. A function of the records alone, so that
    a resumed run goes the same way.
    """
    measured, done = read_measured(setup, records), finished_arms(records, setup.seeds)
    if measured.walker is None:
        walked = {arm.seed for arm in done}
        left = [Arm(seed, rank, "shrink") for rank, seed in enumerate(setup.seeds) if seed not in walked]
        return left[:1]
    climbed = climb(setup, measured, done)
    return climbed or weigh_whole(setup, measured, done)


def climb(setup: ShrinkSetup, measured: Measured, done: Sequence[Arm]) -> list[Arm]:
    """The seeds that a candidate still lacks, from the smallest one that may do until one is as good as the present
    network; under a budget all of them.
    """
    ended = {(arm.seed, arm.kind) for arm in done}
    for opened in worth_training(setup, measured.looks):
        kind = branch_kind(setup.bench.plan, opened)
        missing = [seed for seed in measured.seeds if (seed, kind) not in ended]
        if missing:
            found = bool(measured.opened[:-1]) and decide_on(setup, measured).verdict == "shrink"
            if found and not setup.config.limits and len(missing) == len(measured.seeds):
                return []
            return [Arm(seed, setup.seeds.index(seed), kind) for seed in missing]
    return []


def weigh_whole(setup: ShrinkSetup, measured: Measured, done: Sequence[Arm]) -> list[Arm]:
    """The control, where a smaller network would win without it."""
    if any(arm.kind == "control" for arm in done) or not measured.opened[:-1] or measured.walker is None:
        return []
    if decide_on(setup, measured).verdict != "shrink" and not setup.config.limits:
        return []
    return [Arm(measured.walker, setup.seeds.index(measured.walker), "control")]


def compared_with(setup: ShrinkSetup, measured: Measured) -> int:
    """Open gates of the candidate that the control is trained as long as: the one that is advised without it."""
    decision = decide_on(setup, measured)
    return measured.opened[decision.depths.index(decision.best_guess)]


def worth_training(setup: ShrinkSetup, looks: Mapping[int, float]) -> list[int]:
    """Open gates of the candidates, ascending from the smallest whose look is within reach of the best; where none is,
    the largest. Under a budget all that were looked at.
    """
    whole = setup.bench.plan.base.opened
    smaller = sorted(opened for opened in looks if opened < whole)
    if setup.config.limits or not smaller:
        return smaller
    floor = max(looks.values()) - REACH * (setup.config.tolerance or 0.0)
    first = next((opened for opened in smaller if looks[opened] >= floor), smaller[-1])
    return [opened for opened in smaller if opened >= first]
