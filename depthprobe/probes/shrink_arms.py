"""The arms of a shrink probe: the walk with a look at every hold, the long branch that decides."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import nn

from depthprobe.analysis.ahead import is_ahead, is_beyond
from depthprobe.config import TrainConfig
from depthprobe.errors import TrainingError
from depthprobe.inputs import Split
from depthprobe.probes.answer import unpack_scores
from depthprobe.probes.arms import begin_arm, run_stairs, trace_distance, train_on
from depthprobe.probes.bench import Arm, Bench, undisturbed
from depthprobe.probes.holds import branch_and_cool, measure, measurement
from depthprobe.probes.notebook import RunNotebook
from depthprobe.probes.setup import recipe_network
from depthprobe.probes.shrink_plan import ShrinkPlan
from depthprobe.runs import RunFolder
from depthprobe.schedules import Hold
from depthprobe.surgery import Edited, settle
from depthprobe.training.learner import Learner

AT = "at "  # an arm's kind: a long branch at so many layers
ANEW = ", drawn anew"  # its end, where the weights are not the walk's
LOOK, DOWN = "look", "down"  # ways in which a network was measured
WALK = "checkpoints/walk"


Fresh = Callable[[int, int], nn.Module]


def branch_kind(plan: ShrinkPlan, opened: int, *, anew: bool = False) -> str:
    """Kind of the arms that train the candidate with `opened` open gates, from the walk's weights or from new ones."""
    return f"{AT}{plan.depth_of(opened)} layers{ANEW if anew else ''}"


def branched(plan: ShrinkPlan, kind: str) -> int:
    """Open gates of the candidate that arms of this kind train."""
    return next(opened for opened in plan.opened if branch_kind(plan, opened) == kind.removesuffix(ANEW))


def run_walk_arm(
    bench: Bench[ShrinkPlan], arm: Arm, notebook: RunNotebook, state: dict[str, Any] | None, *, beyond: float | None
) -> Learner:
    """Down the stairs while the network is fine-tuned, until it has lost more than `beyond` (None: never) twice in a
    row, or diverges; what was measured before counts. At every hold a short branch is looked at and the network kept.
    """
    at_hold = partial(look_at_hold, bench, arm, notebook)
    schedule = bench.plan.schedule(arm.rank)
    try:
        return run_stairs(
            bench,
            arm,
            notebook,
            state,
            schedule,
            at_hold,
            None if beyond is None else lambda values: is_beyond(values, beyond),
        )
    except TrainingError as error:
        looks = len(notebook.measured(arm))
        if looks < 2 or notebook.learner is None:
            raise
        what = f"seed {arm.seed}: the walk ended after {looks} measurements: {error.what}"
        notebook.record({"kind": "note", "arm": arm.kind, "seed": arm.seed, "what": what})
        return notebook.learner


def look_at_hold(
    bench: Bench[ShrinkPlan],
    arm: Arm,
    notebook: RunNotebook,
    learner: Learner,
    edited: Edited,
    split: Split,
    hold: Hold,
) -> None:
    """Branch, cool shortly, score and record; the uncooled network is kept for the long branches."""
    with undisturbed(bench.accelerator.device):
        branch = branch_and_cool(learner, edited, bench.plan.cool, arm.seed, bench.rates)
        scores = measure(branch, split, bench.metric)
    learner.samples += branch.samples
    learner.updates += branch.updates
    notebook.folder.write_torch(f"{WALK}/{hold.opened}.pt", {"state_dict": settle(edited).state_dict()})
    depth = bench.plan.depth_of(hold.opened)
    notebook.record(
        measurement(arm, learner, scores, walk=LOOK, opened=hold.opened, depth=depth, valid_id=split.valid_id)
    )


def run_branch_arm(
    bench: Bench[ShrinkPlan],
    arm: Arm,
    notebook: RunNotebook,
    state: dict[str, Any] | None,
    *,
    fresh: Fresh,
    scratch: TrainConfig,
) -> Learner:
    """A candidate, as long as a conventional training: from where the walk had so many layers left, or drawn anew; then
    measured. A divergence is noted, and there is no measurement.

    fresh: (open gates, seed) -> the candidate with new weights; scratch: settings of a training from scratch.
    """
    plan, split = bench.plan, bench.split(arm.rank)
    opened, steps, anew = branched(plan, arm.kind), plan.branch, arm.kind.endswith(ANEW)
    if anew:
        network, bench = fresh(opened, arm.seed), replace(bench, train=scratch, slowed=1.0)
    else:
        network = recipe_network(bench.build(arm.seed), plan.recipe(opened, arm.rank), split.train.x[:2])
        network.load_state_dict(read_walk(notebook.folder, opened))
    learner = begin_arm(network, bench, split, arm, notebook, state)
    try:
        train_on(
            bench, arm, notebook, learner, split,
            lambda step: bench.rates.cool(step, steps), [steps], every=trace_distance(steps),
        )  # fmt: skip
        scores = measure(learner, split, bench.metric)
    except TrainingError as error:
        what = f"seed {arm.seed}, {plan.depth_of(opened)} layers: {error.what}"
        notebook.record({"kind": "note", "arm": arm.kind, "seed": arm.seed, "what": what})
        return learner
    depth = plan.depth_of(opened)
    record = measurement(arm, learner, scores, walk=DOWN, opened=opened, depth=depth, valid_id=split.valid_id)
    mine, others = unpack_scores(record), notebook.measurements(arm.seed, branch_kind(plan, opened, anew=not anew))
    theirs = [unpack_scores(other) for other in others]
    # New weights are taken unless the walk's are ahead: the luck of new ones averages out over the seeds.
    if all((not is_ahead(other, mine)) if anew else is_ahead(mine, other) for other in theirs):
        notebook.keep(arm, opened, learner.net)
    notebook.record(record)
    return learner


def read_walk(folder: RunFolder, opened: int) -> dict[str, torch.Tensor]:
    """Weights of the walk's network with `opened` open gates, as it was before its look."""
    saved = folder.read_torch(f"{WALK}/{opened}.pt")
    state: dict[str, torch.Tensor] = saved["state_dict"]
    return state
