"""Runs of a model that has no graph: in its Sequentials, and in what its forward calls one by one."""

from collections.abc import Collection

from torch import nn

from depthprobe.graph.calls import record_calls
from depthprobe.graph.chains import find_chains
from depthprobe.graph.example import Example
from depthprobe.graph.layer_types import is_weight_layer
from depthprobe.graph.roles import role_of
from depthprobe.graph.run import Runs
from depthprobe.graph.stacks import UNSEEN, StackSearch


def find_runs(model: nn.Module, example: Example, blocks: Collection[str]) -> Runs:
    """The runs of `model` outside its blocks, with the reason where nothing can be done with one.

    blocks: names of the units that are one module. The model is left as found. Raises whatever forward raises.
    """
    whole = {name: model.get_submodule(name) for name in blocks}
    hidden = {id(part) for block in whole.values() for part in block.modules()}
    watched = [*(m for m in model.modules() if id(m) not in hidden and _is_watched(m)), *whole.values()]
    small, large = (record_calls(model, example, size, watched) for size in (2, 3))
    found = sorted(StackSearch(model, hidden, small, large).run(), key=lambda run: run.begun)
    chains = find_chains(model, example, [run for run in found if run.reason == UNSEEN], blocks)
    begun = {name: calls[0].begun for name, module in whole.items() if (calls := small.of(module))}
    return Runs({run.name: chains.get(run.name, run) for run in found}, begun)


def _is_watched(module: nn.Module) -> bool:
    """Whether the module can be, or hold, a part of a run: nothing else is kept in memory."""
    leaf = not any(True for _ in module.children())
    return leaf or isinstance(module, nn.Sequential) or is_weight_layer(module) or role_of(module) is not None
