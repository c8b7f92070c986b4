"""How an arm begins: its network, what moves in it, its optimizer and its batches."""

from pathlib import Path

import torch

from depthprobe.config import TrainConfig
from depthprobe.inputs import Split
from depthprobe.inputs.overrides import Overrides
from depthprobe.runs import RunFolder
from depthprobe.training.batches import Batches, mix_seed
from depthprobe.training.device import open_device
from depthprobe.training.learner import Learner
from examples.paper.arm import Arm
from examples.paper.rows import Row
from examples.paper.solver import make_optimizer
from examples.paper.walks import Walk, make_walk


def begin_arm(row: Row, arm: Arm, seed: int, split: Split, start: Path | None) -> tuple[Walk, Learner]:
    """The walk and its training at step 0. The same seed draws the same weights and the same batches in every arm."""
    torch.manual_seed(mix_seed(seed, 1))
    net = row.build(arm, tuple(split.train.x.shape[1:]))
    net.to(memory_format=torch.channels_last)  # sooner; the same but for rounding
    if start is not None:
        known = RunFolder.open(start).read_torch("model.pt")["state_dict"]
        fitting = {name: v for name, v in known.items() if net.state_dict().get(name, v[:0]).shape == v.shape}
        net.load_state_dict(fitting, strict=False)
    walk = make_walk(net, arm, row.steps(arm), split.train.x[:2])
    device = open_device("auto", "no")
    augment = bool(row.settings.get("augment", False))
    batches = Batches(split.train, row.solver["batch"], mix_seed(seed, 2), augment, device.device)
    own = Overrides(optimizer=make_optimizer(row.solver))
    torch.manual_seed(mix_seed(seed, 3))
    return walk, Learner(walk.net, batches, TrainConfig(lr=row.solver["lr"], clip=row.solver.get("clip")), device, own)
