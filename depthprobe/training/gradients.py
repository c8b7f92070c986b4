"""Gradients of one update, added over the processes that computed its parts."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from depthprobe.training.team import Team


def add_gradients(parameters: Sequence[nn.Parameter], loss: Tensor, team: Team) -> Tensor:
    """Replace every gradient by the sum over the processes, in place; returns the sum of `loss` (a scalar).

    A parameter without a gradient anywhere (of a gate that is shut) stays without one, so that its optimizer leaves it
    alone; one that has a gradient in some processes only counts as zero in the others. Which those are is settled on
    the host, without waiting for the device; then everything is sent as one flat message.
    """
    if team.size == 1:
        return loss
    used = team.any_of([p.grad is not None for p in parameters])
    live = [p for p, anywhere in zip(parameters, used, strict=True) if anywhere]
    for parameter in live:
        if parameter.grad is None:
            parameter.grad = torch.zeros_like(parameter)
    grads = [p.grad for p in live if p.grad is not None]
    wide = torch.float32 if all(g.dtype.itemsize <= 4 for g in grads) else torch.float64
    flat = team.add(torch.cat([*(g.flatten().to(wide) for g in grads), loss.detach().reshape(1).to(wide)]))
    for grad, total in zip(grads, flat[:-1].split_with_sizes([g.numel() for g in grads]), strict=True):
        grad.copy_(total.view_as(grad))
    return flat[-1]
