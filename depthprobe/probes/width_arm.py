"""The walk of one seed of a width probe: cut, fine-tune, branch, cool, measure; narrower and narrower."""

import copy
import time
from typing import Any

from torch import Tensor, nn

from depthprobe.inputs import Split
from depthprobe.probes.alone import calibration
from depthprobe.probes.arms import CHECKPOINT_SECONDS, GiveUp, next_mark, run_control_arm, trace_distance, trace_point
from depthprobe.probes.bench import Arm, Bench, Notebook, Plan, begin_training, undisturbed
from depthprobe.probes.holds import measure, measure_as_it_is, measurement
from depthprobe.probes.profiles import skeleton
from depthprobe.probes.width_plan import WidthPlan
from depthprobe.schedules import Hold
from depthprobe.surgery import carry_state
from depthprobe.surgery.channels import find_channels
from depthprobe.surgery.narrowing import cut_to
from depthprobe.training.learner import Learner


def run_width_arm(
    bench: Bench[WidthPlan], arm: Arm, notebook: Notebook, state: dict[str, Any] | None, *, give_up: GiveUp
) -> Learner:
    """Down the stairs; at each one the channels that are missed least are cut from the network as it then is.

    state: of a checkpoint, to go on from; give_up: whether to end early, from what was measured so far. Raises
    TrainingError when the loss stops being finite.
    """
    split, plan = bench.split(arm.rank), bench.plan
    schedule = plan.schedule(arm.rank)
    percent = plan.base.opened if state is None else int(state["percent"])
    network = bench.build(arm.seed)
    if percent < plan.base.opened:
        network = skeleton(network, plan.units, plan.widths[percent], split.train.x[:2])
    learner = begin_training(network, bench, split, arm)
    if state is not None:
        learner.load(state)
    notebook.watch(learner)
    every, saved = trace_distance(schedule.steps), time.monotonic()
    for hold in schedule.holds:
        if hold.end <= learner.step:
            continue
        if give_up(notebook.measured(arm)):
            break
        if hold.opened < percent:
            learner, percent = narrow_learner(learner, bench, split, hold.opened), hold.opened
            notebook.watch(learner)
        while learner.step < hold.end:
            mark = next_mark(learner.step, every, [hold.end])
            loss = learner.run(mark, bench.rates.hold, None, lambda s, v: notebook.progress(arm, s, v, []))
            trace_point(arm, notebook, learner, split, loss, [], bench.metric)
            if mark < hold.end and time.monotonic() - saved > CHECKPOINT_SECONDS:
                notebook.checkpoint(arm, {**learner.state(), "percent": percent})
                saved = time.monotonic()
        measure_width(bench, arm, notebook, learner, split, hold)
        notebook.checkpoint(arm, {**learner.state(), "percent": percent})
        saved = time.monotonic()
    return learner


def run_width_control(bench: Bench[Plan], arm: Arm, notebook: Notebook, state: dict[str, Any] | None = None) -> Learner:
    """The whole network, measured as the checkpoint has it; then trained on as long as the narrowest, and measured."""
    if state is None:
        notebook.record(measure_as_it_is(bench, arm))
    return run_control_arm(bench, arm, notebook, state)


def narrow_learner(learner: Learner, bench: Bench[WidthPlan], split: Split, percent: int) -> Learner:
    """The training of a narrower network from where this one stands: momenta are cut as their weights are."""
    groups = find_channels(learner.net, split.train.x[:2].to(bench.accelerator.device), tried=())
    widths = bench.plan.widths[percent]
    narrowed = cut_to(learner.net, groups, widths, calibration(split, bench.accelerator.device))
    return continue_with(learner, narrowed.network, dict(narrowed.became))


def continue_with(learner: Learner, network: nn.Module, became: dict[str, Tensor]) -> Learner:
    """Another network trained on as `learner` would have been. became: name of a parameter -> flat indices of the old
    one's elements that it holds; parameters that are not named hold all.
    """
    twin = Learner(
        network, learner.batches, learner.config, learner.accelerator, learner.own, learner.rate, team=learner.team
    )
    new = dict(network.named_parameters())
    twins = [(old, new[name], became.get(name)) for name, old in learner.net.named_parameters()]
    carry_state(learner.optimizer, twin.optimizer, twins)
    twin.branch_from(learner)
    twin.samples, twin.updates = learner.samples, learner.updates
    return twin


def measure_width(
    bench: Bench[WidthPlan], arm: Arm, notebook: Notebook, learner: Learner, split: Split, hold: Hold
) -> None:
    """Branch, cool, score and record, at the end of a hold; the training goes on as if nothing had happened."""
    cool = bench.plan.cool
    with undisturbed(bench.accelerator.device):
        branch = continue_with(learner, copy.deepcopy(learner.net), {})
        begin = learner.step
        learner.team.seed(arm.seed, begin, 2)
        branch.run(begin + cool, lambda step: bench.rates.cool(step - begin, cool))
        scores = measure(branch, split, bench.metric)
    learner.samples, learner.updates = branch.samples, branch.updates
    notebook.keep(arm, hold.opened, branch.net)
    notebook.record(
        measurement(
            arm, learner, scores, walk=hold.walk, opened=hold.opened, depth=hold.opened, valid_id=split.valid_id
        )
    )
