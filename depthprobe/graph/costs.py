"""What a network costs: parameters, multiply-accumulates, measured latency, weight layers."""

import statistics
import time
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from depthprobe.graph.example import split_inputs
from depthprobe.graph.layer_types import count_weight_layers_in

WARM, LEAST_ROUNDS, LEAST_SECONDS = 2, 9, 0.5


def count_parameters(net: nn.Module) -> int:
    """Number of parameters, shared ones once."""
    return sum(parameter.numel() for parameter in net.parameters())


def count_bytes(net: nn.Module) -> int:
    """Memory of the network's parameters and buffers in bytes, shared ones once."""
    return sum(tensor.numel() * tensor.element_size() for tensor in (*net.parameters(), *net.buffers()))


def count_weight_layers(net: nn.Module) -> int:
    """Depth: conv, linear and recurrent layers, others with a matrix of their own; torch's attention counts as one."""
    return count_weight_layers_in(net, {})


def count_macs(net: nn.Module, example_inputs: Any) -> int:
    """Multiply-accumulates of one example's forward pass (matrix products and convolutions).

    example_inputs: a batch of any size; the count is divided by it.
    """
    args, kwargs = split_inputs(example_inputs)
    batch = next(len(value) for value in (*args, *kwargs.values()) if isinstance(value, torch.Tensor))
    with _evaluating(net), FlopCounterMode(display=False) as counter:
        net(*args, **kwargs)
    return int(counter.get_total_flops() // 2 // batch)


def count_macs_inside(net: nn.Module, parts: Sequence[nn.Module], example_inputs: Any) -> list[int]:
    """Multiply-accumulates of one example in each of `parts`, modules of `net` that do not contain one another."""
    args, kwargs = split_inputs(example_inputs)
    batch = next(len(value) for value in (*args, *kwargs.values()) if isinstance(value, torch.Tensor))
    found = [0] * len(parts)
    with ExitStack() as stack, _evaluating(net), FlopCounterMode(display=False) as counter:

        def add(rank: int, sign: int) -> None:
            found[rank] += sign * counter.get_total_flops()

        for rank, part in enumerate(parts):
            stack.callback(part.register_forward_pre_hook(lambda *_, rank=rank: add(rank, -1)).remove)
            stack.callback(part.register_forward_hook(lambda *_, rank=rank: add(rank, 1)).remove)
        net(*args, **kwargs)
    return [flops // 2 // batch for flops in found]


def measure_latencies_ms(nets: Sequence[nn.Module], example_inputs: Any) -> list[float]:
    """Median time of a forward pass of each network over the batch given, in milliseconds, on the inputs' device.

    The networks take turns, warmed up, nine times and until half a second has passed: what else the machine does hits
    them alike.
    """
    times: list[list[float]] = [[] for _ in nets]
    with ExitStack() as stack:
        for net in nets:
            stack.enter_context(_evaluating(net))
        end = time.perf_counter() + LEAST_SECONDS
        while nets and (len(times[0]) < WARM + LEAST_ROUNDS or time.perf_counter() < end):
            for net, mine in zip(nets, times, strict=True):
                mine.append(_forward_seconds(net, example_inputs))
    return [1000.0 * statistics.median(mine[WARM:]) for mine in times]


def measure_latency_ms(net: nn.Module, example_inputs: Any) -> float:
    """`measure_latencies_ms` of one network."""
    return measure_latencies_ms([net], example_inputs)[0]


def _forward_seconds(net: nn.Module, example_inputs: Any) -> float:
    args, kwargs = split_inputs(example_inputs)
    _wait()
    begin = time.perf_counter()
    net(*args, **kwargs)
    _wait()
    return time.perf_counter() - begin


def _wait() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()


class _evaluating:  # noqa: N801
    """Eval mode without gradients; flags put back."""

    def __init__(self, net: nn.Module) -> None:
        self.net = net
        self.modes = [(module, module.training) for module in net.modules()]
        self.grad = torch.no_grad()

    def __enter__(self) -> None:
        self.net.eval()
        self.grad.__enter__()

    def __exit__(self, *_: object) -> None:
        self.grad.__exit__(None, None, None)
        for module, mode in self.modes:
            module.training = mode
