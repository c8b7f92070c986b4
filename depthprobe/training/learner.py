"""One network in training: the loop, its state, and measuring."""

import math
import random
from collections.abc import Callable, Iterable, Sequence
from contextlib import nullcontext
from functools import partial
from typing import Any, cast

import numpy as np
import torch
from accelerate import Accelerator
from torch import Tensor, nn

from depthprobe.config import TrainConfig
from depthprobe.errors import TrainingError, UserCodeError
from depthprobe.inputs.overrides import Overrides, call_user, move_modules
from depthprobe.layers.part import Part, taking
from depthprobe.surgery import Edited
from depthprobe.surgery.optimizer import new_parameters
from depthprobe.training.batches import Batches
from depthprobe.training.compiling import compile_units, compiled_units
from depthprobe.training.gradients import add_gradients
from depthprobe.training.metrics import default_loss
from depthprobe.training.optimizers import make_optimizer, make_own_optimizer, scale_new
from depthprobe.training.outputs import main_output
from depthprobe.training.parts import parts_of, synchronise_norms
from depthprobe.training.teacher import Teacher
from depthprobe.training.team import ALONE, Team

CHECK_EVERY = 20

Hook = Callable[[int], None]


class Learner:
    """A network, its optimizer and its batches.

    own: the user's functions that replace parts of the training; rate: factor on the rate of every parameter group,
    whoever made the optimizer. new: parameters of added layers, whose rate is scaled (None: those in an edited
    network's gates). teacher: a trained network whose outputs are learned beside the targets. step: where it stands;
    updates, samples: what was computed for it, measured branches included.
    """

    def __init__(
        self,
        net: nn.Module,
        batches: Batches,
        config: TrainConfig,
        accelerator: Accelerator,
        own: Overrides | None = None,
        rate: float = 1.0,
        new: Sequence[nn.Parameter] | None = None,
        teacher: Teacher | None = None,
        team: Team = ALONE,
    ) -> None:
        self.net, self.teacher = net.to(accelerator.device), teacher
        self.team, self.parts = team, parts_of(batches.size, team, config.accumulate, accelerator.device)
        if team.size > 1 and accelerator.device.type == "cuda":
            synchronise_norms(net)
        self.batches, self.config, self.accelerator, self.rate = batches, config, accelerator, rate
        self.own = move_modules(own or Overrides(), accelerator.device)
        self.optimizer = (
            make_own_optimizer(net.parameters(), self.own)
            if self.own.optimizer
            else make_optimizer(net.parameters(), config)
        )
        self.new = (new_parameters(net) if isinstance(net, Edited) else []) if new is None else list(new)
        scale_new(self.optimizer, self.new, config.new_lr_scale)
        self._rates = [rate * group["lr"] for group in self.optimizer.param_groups]
        self._parameters = [p for p in net.parameters() if p.requires_grad]
        if not net.training:  # given in eval mode as a whole; single frozen modules keep their flag
            net.train()
        if config.compile:
            compile_units(net)
        fp16 = config.precision == "fp16"
        self.scaler = torch.amp.GradScaler(accelerator.device.type) if fp16 else None
        self._part: Part | None = None
        self.step = 0
        self.updates = 0
        self.samples = 0

    def run(
        self,
        until: int,
        lr_factor: Callable[[int], float],
        before: Hook | None = None,
        progress: Callable[[int, float], None] | None = None,
    ) -> float:
        """Train up to step `until`; `before(step)` sets ratios, `progress(step, loss)` hears of every check.

        lr_factor: step -> factor on every group's own rate. Returns the mean loss since the last check. Raises
        TrainingError when the loss is not finite.
        """
        total, count, mean = torch.zeros((), device=self.accelerator.device), 0, float("nan")
        while self.step < until:
            if before is not None:
                before(self.step)
            factor = lr_factor(self.step)
            for group, rate in zip(self.optimizer.param_groups, self._rates, strict=True):
                group["lr"] = rate * factor
            total += self._update()
            count += 1
            self.step += 1
            if count == CHECK_EVERY or self.step == until:
                mean = float(total) / count
                if not math.isfinite(mean):
                    raise TrainingError(
                        f"the loss is no longer finite at step {self.step}",
                        found=f"loss {mean}",
                        hint=smaller_rate(self.config, self.own, self.rate),
                    )
                total, count = torch.zeros_like(total), 0
                if progress is not None:
                    progress(self.step, mean)
        self.team.even_out(self.net)
        return mean

    def _update(self) -> Tensor:
        """One update on the mean loss of a batch, which is computed in parts."""
        self.samples += self.batches.size
        self.updates += 1
        self.optimizer.zero_grad(set_to_none=True)
        losses = [self._backward(part) for part in self.parts]
        loss = losses[0] if len(losses) == 1 else torch.stack(losses).sum()
        loss = add_gradients(self._parameters, loss, self.team)
        if self.scaler is not None:
            self.scaler.unscale_(self.optimizer)
        if self.config.clip is not None:
            torch.nn.utils.clip_grad_norm_(self._parameters, self.config.clip)
        step = self.optimizer.step if self.scaler is None else partial(self.scaler.step, self.optimizer)
        if self.own.optimizer:
            call_user(step, "optimizer.step", path=self.own.path, error=UserCodeError)
        else:
            step()
        if self.scaler is not None:
            self.scaler.update()
        return loss

    def _backward(self, part: Part | None) -> Tensor:
        """Gradients of one part, in `.grad`; returns what it adds to the loss of the batch."""
        self._part = part
        x, y = self.batches.at(self.step, part=part)
        with taking(part), compiled_units() if self.config.compile else nullcontext():
            with nullcontext() if self.config.precision == "no" else self.accelerator.autocast():
                loss = self.loss(x, y)
            if part is not None:
                loss = loss * (part.size / part.batch)
            torch.autograd.backward(loss if self.scaler is None else self.scaler.scale(loss))
        return loss.detach()

    def loss(self, x: Tensor, y: Tensor) -> Tensor:
        """Loss of a batch, a scalar: the user's training_step or loss, else the default of the targets."""
        if self.own.training_step:
            return cast(Tensor, self.own.call("training_step", self.net, (x, y)))
        output = self.net(x)
        loss = cast(Tensor, self.own.call("loss", output, y)) if self.own.loss else default_loss(main_output(output), y)
        if self.teacher is None:
            return loss
        return self.teacher.mix(loss, main_output(output), x, self.batches, self.step, self._part)

    def state(self) -> dict[str, Any]:
        """Everything a resumed training needs, tensors and plain values only."""
        return {
            "step": self.step,
            "samples": self.samples,
            "updates": self.updates,
            "net": self.net.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "rng": random_state(),
            **({} if self.scaler is None else {"scaler": self.scaler.state_dict()}),
        }

    def branch_from(self, trunk: "Learner") -> None:
        """Go on from where `trunk` stands, whose weights and momenta are here already."""
        self.step = trunk.step
        if self.scaler is not None and trunk.scaler is not None:
            self.scaler.load_state_dict(trunk.scaler.state_dict())

    def load(self, state: dict[str, Any]) -> None:
        """Continue from what `state` gave, bit for bit."""
        self.net.load_state_dict(state["net"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.step, self.samples, self.updates = state["step"], state["samples"], state["updates"]
        if self.scaler is not None and "scaler" in state:
            self.scaler.load_state_dict(state["scaler"])
        restore_random_state(state["rng"])
        if self.team.rank:  # drawn from what all have restored: draws of its own
            self.team.seed(int(torch.randint(2**62, ())))


def smaller_rate(config: TrainConfig, own: Overrides, rate: float = 1.0) -> str:
    """What to type after a divergence at `rate` times the learning rate."""
    if own.optimizer:
        return "a smaller rate in your optimizer(parameters)"
    return f"a smaller rate: --lr {rate * config.rate / 3:.2g}"


@torch.no_grad()
def predict(net: nn.Module, x: Tensor, device: torch.device, batch_size: int = 1024) -> Tensor:
    """Outputs of `net` in eval mode for all of `x` (N, ...), on the CPU; training flags are put back."""
    modes = [(module, module.training) for module in net.modules()]
    net.eval()
    try:
        return torch.cat([main_output(net(part.to(device))).float().cpu() for part in torch.split(x, batch_size)])
    finally:
        for module, mode in modes:
            module.training = mode


def predict_together(learner: Learner, x: Tensor) -> Tensor:
    """`predict` of the learner's network, each process computing its share; the same outputs come to all."""
    team, device = learner.team, learner.accelerator.device
    if len(x) < team.size:
        return predict(learner.net, x, device)
    return team.join(predict(learner.net, x[team.rank :: team.size], device), len(x))


@torch.no_grad()
def refresh_batch_norm(net: nn.Module, batches: Iterable[Tensor]) -> None:
    """BatchNorm statistics anew: the plain average over `batches`, in train mode. Frozen norms stay."""
    norms = [m for m in net.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm) and m.training]
    norms = [m for m in norms if m.track_running_stats]
    if not norms:
        return
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None
    for x in batches:
        net(x)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum


def random_state() -> dict[str, Any]:
    """State of the generators of torch, numpy and Python (a user's functions may draw from any): plain values."""
    _, keys, *numpy_rest = np.random.get_state()
    version, internal, gauss = random.getstate()
    state: dict[str, Any] = {
        "cpu": torch.get_rng_state(),
        "numpy": [torch.from_numpy(np.asarray(keys, np.int64)), *(float(value) for value in numpy_rest)],
        "python": [version, torch.tensor(internal, dtype=torch.int64), gauss],
    }
    if torch.cuda.is_available():
        state["cuda"] = [torch.cuda.get_rng_state()]  # of this process's device: another machine may have fewer
    return state


def restore_random_state(state: dict[str, Any]) -> None:
    """Undo of `random_state`."""
    torch.set_rng_state(state["cpu"])
    if "numpy" in state:
        keys, position, has_gauss, cached = state["numpy"]
        np.random.set_state(("MT19937", keys.numpy().astype(np.uint32), int(position), int(has_gauss), cached))
        version, internal, gauss = state["python"]
        random.setstate((version, tuple(internal.tolist()), gauss))
    if "cuda" in state and torch.cuda.is_available():
        torch.cuda.set_rng_state(state["cuda"][0])
