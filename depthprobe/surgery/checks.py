"""An edited network is tried before it is given out: gates are reached, copies fit, nothing has changed."""

from contextlib import ExitStack
from typing import TYPE_CHECKING

import torch
from torch import nn

from depthprobe.errors import EditError
from depthprobe.graph.example import Example, evaluating, resize_batch
from depthprobe.graph.purity import same_output
from depthprobe.graph.trace import Traced
from depthprobe.layers.gate import Gate

if TYPE_CHECKING:
    from depthprobe.surgery.edited import Edited


def check_edited(edited: "Edited") -> None:
    """Raise EditError unless the network runs with every gate open, every gate is reached, and, with copies shut and
    units in, a network made of blocks, or without a graph, computes what the model does.

    edited: it is left as found.
    """
    gates, traced = edited.gates, edited._traced
    ratios = {name: gate.ratio for name, gate in gates.items()}
    try:
        edited.set_ratio(1.0)
        reached = _run_open(edited, gates)
        lost = [name for name in gates if name not in reached]
        if lost:
            raise EditError(
                f"the gate {lost[0]!r} is never reached",
                where=type(traced.original).__name__,
                expected="a model that finds its layers through its own attributes at every call",
                found="a reference to the layer kept elsewhere (a list, a bound method, a closure)",
                hint="--tracer fx" if traced.tracer == "modules" else None,
            )
        if (traced.blocks or traced.runs.found) and not any(plan.removed for plan in edited._plans.values()):
            _check_same(edited, traced)
    finally:
        edited.set_ratios(ratios)


def _run_open(edited: "Edited", gates: dict[str, Gate]) -> set[str]:
    reached: set[str] = set()
    args, kwargs = edited._traced.example
    with ExitStack() as stack:
        for name, gate in gates.items():
            hook = gate.inside.register_forward_pre_hook(lambda *_, name=name: reached.add(name))
            stack.callback(hook.remove)
        try:
            with evaluating(edited):
                edited(*args, **kwargs)
        except (RuntimeError, ValueError, TypeError, IndexError, AttributeError, KeyError) as error:
            raise EditError("the edited network does not run on the example input", found=str(error)) from error
    return reached


def _check_same(edited: "Edited", traced: Traced) -> None:
    copies = {name for plan in edited._plans.values() for name, _ in plan.copies}
    edited.set_ratios({name: float(name not in copies) for name in edited.gates})
    small = resize_batch(traced.example[0], 2), resize_batch(traced.example[1], 2)
    if not same_output(_output(edited, small), _output(traced.original, small)):
        raise EditError(
            "with its copies shut the network does not compute what the model does",
            where=type(traced.original).__name__,
            expected="a forward that gives the same output for the same input",
            found="another output",
        )


def _output(model: nn.Module, example: Example) -> object:
    with evaluating(model):
        torch.manual_seed(0)
        return model(*example[0], **example[1])
