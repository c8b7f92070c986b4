"""What the smaller networks of a probe start from and learn from: the whole one, as the checkpoint has it or trained
on.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, TypeVar

from torch import Tensor, nn

from depthprobe.probes.bench import Bench, Plan
from depthprobe.probes.own import Own
from depthprobe.probes.trained import TrainedModel
from depthprobe.training.batches import Batches
from depthprobe.training.learner import predict
from depthprobe.training.teacher import Teacher, make_teacher

FORWARD = 1.0 / 3.0  # of an update: what the teacher's outputs for a batch cost
P = TypeVar("P", bound=Plan)


def choose_teacher(network: nn.Module, batches: Batches, share: float, own: Own, classes: int) -> Teacher | None:
    """The whole network as a teacher, where its outputs can be learned: not in a training step of the user's, nor, for
    numbers (no classes), beside a loss of the user's, whose scale nobody knows. share: of the loss, 0..1.
    """
    functions = own.functions
    if share == 0.0 or functions.training_step or (functions.loss and not classes):
        return None
    if classes and predict(network, batches.x[:2], batches.device).shape[1:2] < (classes,):
        return None  # no logits of the classes
    return make_teacher(network, batches.x, share, classes=classes > 0)


def start_from(bench: Bench[P], model: TrainedModel, state: Mapping[str, Tensor]) -> Bench[P]:
    """The same bench, its networks made of the whole one with the weights of `state`, which also teaches."""

    def build(seed: int) -> nn.Module:
        network = model.build()
        network.load_state_dict(state)
        return network

    teacher, device = bench.teacher, bench.accelerator.device
    if teacher is not None:
        x = bench.split(0).train.x.to(device)
        teacher = make_teacher(build(0).to(device), x, teacher.share, classes=teacher.classes)
    return replace(bench, build=build, teacher=teacher)


def taught_macs(bench: Bench[Any]) -> float:
    """What the teacher costs in an update, in multiply-accumulates of one example's training; 0 where its outputs were
    computed once.
    """
    return 0.0 if bench.teacher is None or bench.teacher.kept is not None else FORWARD * bench.plan.base.macs


def prepared_macs(bench: Bench[Any]) -> float:
    """What computing the teacher's outputs once cost: multiply-accumulates of one example's training, times updates."""
    if bench.teacher is None or bench.teacher.kept is None:
        return 0.0
    return FORWARD * float(bench.plan.base.macs) * len(bench.teacher.kept) / bench.train.batch_size
