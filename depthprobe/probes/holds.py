"""What is measured at a hold: a settled copy, cooled, scored, recorded and thrown away."""

import base64
import copy
from typing import Any

import numpy as np
import torch

from depthprobe.errors import TrainingError
from depthprobe.inputs import Split
from depthprobe.probes.bench import Arm, Bench, Notebook, Plan, RatioDriver, begin_training, undisturbed
from depthprobe.probes.places import Place, leave_alone
from depthprobe.probes.plan import grown
from depthprobe.schedules import Hold
from depthprobe.surgery import Edited, settle_with_map
from depthprobe.training.learner import Learner, predict, predict_together, refresh_batch_norm
from depthprobe.training.metrics import ACCURACY, Metric, Scored
from depthprobe.training.rates import Rates

NORM_BATCHES = 40
AS_IT_IS = "as it is"  # a measurement of the checkpoint, before any training
UNTOUCHED = "as the checkpoint has it"  # the same in a sentence
CONTROL, AGAIN = (
    "control",
    "control, once more",
)  # AGAIN: of the network that the first one made, where that is cut down


def measure_hold(
    bench: Bench[Plan], arm: Arm, notebook: Notebook, learner: Learner, edited: Edited, split: Split, hold: Hold
) -> None:
    """Branch, cool, score and record, at the end of a hold; at the deepest candidate the places alone as well."""
    rank = bench.plan.opened.index(hold.opened)
    # The deepest candidate is the end of the way up and the start of the way down.
    turning = hold.walk == "up" and hold.opened == bench.plan.opened[-1]
    walks = ["up", "down"] if turning else [hold.walk]
    length = bench.plan.cool if "down" in walks else bench.plan.up_cool
    with undisturbed(bench.accelerator.device):
        branch = branch_and_cool(learner, edited, length, arm.seed, bench.rates)
        scores = measure(branch, split, bench.metric)
    learner.samples += branch.samples
    learner.updates += branch.updates
    for walk in walks:
        notebook.record(
            measurement(
                arm,
                learner,
                scores,
                walk=walk,
                opened=hold.opened,
                depth=bench.plan.depths[rank],
                valid_id=split.valid_id,
            )
        )
    if "down" in walks:
        notebook.keep(arm, hold.opened, branch.net)
    if len(walks) == 2 and arm.rate == 1.0:
        for place in bench.plan.places:
            with undisturbed(bench.accelerator.device):
                notebook.record(measure_alone(bench, arm, learner, split, place))


def measure_as_it_is(bench: Bench[Plan], arm: Arm) -> dict[str, Any]:
    """The record of the network before any training."""
    split, base = bench.split(arm.rank), bench.plan.base
    network = bench.build(arm.seed).to(bench.accelerator.device)
    scored = bench.metric.score(predict(network, split.valid.x, bench.accelerator.device), split.valid.y)
    return {
        "kind": "measurement",
        "arm": arm.kind,
        "seed": arm.seed,
        "walk": AS_IT_IS,
        "opened": base.opened,
        "depth": base.depth,
        "step": 0,
        "samples": 0,
        "value": scored.value,
        "examples": scored.examples,
        "valid_id": split.valid_id[:16],
        **pack_scores(scored),
    }


def measure_alone(bench: Bench[Plan], arm: Arm, learner: Learner, split: Split, place: Place) -> dict[str, Any]:
    """The record of a place's copies alone: in a twin of the training the other gates close, then it is cooled.

    The training itself is left as it is, but pays: updates and samples are added. A twin that diverges is noted,
    nothing else. Random states are the caller's.
    """
    edited = grown(bench.build(arm.seed), bench.plan.edits, split.train.x[:2], arm.seed)
    twin = begin_training(edited, bench, split, arm)
    twin.load(copy.deepcopy(learner.state()))
    closing, lengths = bench.plan.closing_gates(arm.rank), bench.plan.lengths
    schedule = leave_alone(place, bench.plan.gates, closing, learner.step, lengths)
    driver = RatioDriver(edited, schedule)
    try:
        twin.run(schedule.steps, bench.rates.hold, driver)
        driver(twin.step)
        branch = branch_and_cool(twin, edited, bench.plan.cool, arm.seed, bench.rates)
        scores = measure(branch, split, bench.metric)
    except TrainingError as error:
        what = f"seed {arm.seed}, the copies at {place.name} alone: {error.what}"
        return {"kind": "note", "arm": arm.kind, "seed": arm.seed, "what": what}
    finally:
        learner.samples, learner.updates = twin.samples, twin.updates
    learner.samples += branch.samples
    learner.updates += branch.updates
    opened, base = len(place.gates), bench.plan.depths[0]
    record = measurement(
        arm, learner, scores, walk="alone", opened=opened, depth=base + opened, valid_id=split.valid_id
    )
    return {**record, "place": place.name}


def measurement(
    arm: Arm, learner: Learner, scored: Scored, *, walk: str, opened: int, depth: int, valid_id: str
) -> dict[str, Any]:
    """The record of one measurement."""
    return {
        "kind": "measurement",
        "arm": arm.kind,
        "seed": arm.seed,
        "walk": walk,
        "opened": opened,
        "depth": depth,
        "step": learner.step,
        "samples": learner.samples,
        "value": scored.value,
        "examples": scored.examples,
        "valid_id": valid_id[:16],
        **pack_scores(scored),
    }


def pack_scores(scored: Scored) -> dict[str, str]:
    """Scores as text: a bit for each where all are 0 or 1, else float32 (little-endian, base64)."""
    scores = scored.scores
    if len(scores) == scored.examples and ((scores == 0.0) | (scores == 1.0)).all():
        return {"scores": np.packbits(scores.astype(bool)).tobytes().hex()}
    return {"scores32": base64.b64encode(scores.astype("<f4").tobytes()).decode()}


def measure(learner: Learner, split: Split, metric: Metric = ACCURACY) -> Scored:
    """Re-estimate BatchNorm on batches as those of the training, then score the validation examples. Raises
    TrainingError when a score is not finite.
    """
    refresh_batch_norm(learner.net, (learner.batches.at(learner.step + i)[0] for i in range(NORM_BATCHES)))
    return metric.score(predict_together(learner, split.valid.x), split.valid.y)


def branch_and_cool(learner: Learner, edited: Edited, steps: int, seed: int, rates: Rates | None = None) -> Learner:
    """A settled copy of the network with its optimizer state, its rate annealed over `steps` updates.

    Parameter groups are made anew, by the same rule; what the trunk's groups hold beside parameters and rates is taken
    over where there are as many. The trunk's weights and optimizer are left as they are; the random state is the
    caller's to put back.
    """
    plain, became = settle_with_map(edited)
    new = [became[parameter] for parameter in learner.new if parameter in became]
    branch = Learner(
        plain,
        learner.batches,
        learner.config,
        learner.accelerator,
        learner.own,
        learner.rate,
        new,
        learner.teacher,
        learner.team,
    )
    for parameter, twin in became.items():
        state = learner.optimizer.state.get(parameter)
        if state:
            branch.optimizer.state[twin] = {
                key: value.clone() if isinstance(value, torch.Tensor) else copy.deepcopy(value)
                for key, value in state.items()
            }
    groups, old = branch.optimizer.param_groups, learner.optimizer.param_groups
    for group, other in zip(groups, old, strict=True) if len(groups) == len(old) else []:
        group.update({key: copy.deepcopy(value) for key, value in other.items() if key not in ("params", "lr")})
    branch.branch_from(learner)
    begin = branch.step
    learner.team.seed(seed, begin, 2)
    shape = rates or Rates()
    branch.run(begin + steps, lambda step: shape.cool(step - begin, steps))
    return branch
