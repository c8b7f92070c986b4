"""A trained network as a teacher: its outputs are learned beside the targets (Hinton, Vinyals, Dean 2015)."""

import copy
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from depthprobe.layers.part import Part
from depthprobe.training.batches import Batches
from depthprobe.training.outputs import main_output

TEMPERATURE = 2.0  # a higher one gives gradients that a network at the rate of training may not survive
MOST_KEPT = 2**26  # numbers of outputs that are computed once for all examples; beyond that, batch by batch


@dataclass(frozen=True, eq=False, kw_only=True)
class Teacher:
    """network: trained, in eval mode. classes: whether outputs are logits of classes, (N, C, ...), else numbers; share:
    of the loss, 0..1; kept: (N, ...) outputs for all training examples as they are, however batches are augmented; None
    where those are too many numbers, and the teacher sees every batch.
    """

    network: nn.Module
    classes: bool
    share: float
    kept: Tensor | None = None

    def mix(
        self, loss: Tensor, output: Tensor, x: Tensor, batches: Batches, step: int, part: Part | None = None
    ) -> Tensor:
        """`loss` of the targets and the distance to the teacher's outputs, by share. x, output: of the batch of `step`,
        or of its `part`.
        """
        if self.kept is not None:
            index = batches.index(step)
            taught = self.kept[index if part is None else index[part.select]]
        else:
            with torch.no_grad():
                taught = main_output(self.network(x))
        return (1.0 - self.share) * loss + self.share * self._distance(output, taught)

    def _distance(self, output: Tensor, taught: Tensor) -> Tensor:
        if not self.classes:
            return F.mse_loss(output, taught.to(output.dtype))
        soft, known = (F.log_softmax(each.float() / TEMPERATURE, 1) for each in (output, taught))
        apart = F.kl_div(soft, known, reduction="none", log_target=True).sum(1).mean()
        return apart * TEMPERATURE**2  # gradients at most TEMPERATURE times as large as those of the targets


def make_teacher(network: nn.Module, x: Tensor, share: float, *, classes: bool) -> Teacher:
    """A teacher of `network`, which is left as it is. x: (N, ...) training inputs, on the network's device."""
    network = copy.deepcopy(network).eval().requires_grad_(False)
    return Teacher(network=network, classes=classes, share=share, kept=_outputs(network, x))


@torch.no_grad()
def _outputs(network: nn.Module, x: Tensor) -> Tensor | None:
    """Outputs for all of x, on its device; None where they are too many numbers to keep."""
    first, *rest = torch.split(x, 1024)
    outputs = [main_output(network(first))]
    if outputs[0][0].numel() * len(x) > MOST_KEPT:
        return None
    return torch.cat([*outputs, *(main_output(network(part)) for part in rest)])
