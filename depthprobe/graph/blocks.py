"""Blocks: the modules of a model that are units as a whole, found from its module tree and one recorded forward."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import torch
from torch import nn

from depthprobe.graph.beside import serves_beside
from depthprobe.graph.example import Example
from depthprobe.graph.layer_types import (
    CONVS,
    KNOWN_BLOCKS,
    count_weight_layers_in,
    is_container,
    is_weight_layer,
)
from depthprobe.graph.own_graph import is_plain_chain, kind_of, own_graphs
from depthprobe.graph.record import Seen, find_wiring, record
from depthprobe.layers.wiring import Wiring, get_leaf

Shape = tuple[int, ...]
_SEPARABLE = 3  # most weight layers of a plain chain that counts as one depthwise-separable block
_STAGE = 3  # so many members of one class, held as attributes, make a module a stage


@dataclass(frozen=True)
class Block:
    """A module that is a unit. kind: "residual", "transformer", "recurrent" or "block" (any other).

    in_shape, out_shape: of the stream, without the batch; wiring: how it is called; spoils: it overwrites its input;
    overwritten: what it returns is overwritten later; calls: how often in one forward; begun, ended: when first, on the
    clock of the recorded forward; last: nothing with weights comes after it; beside: a parameter that serves only what
    is returned beside the stream ("" when there is none).
    """

    name: str
    kind: str
    in_shape: Shape
    out_shape: Shape
    wiring: Wiring
    spoils: bool
    overwritten: bool
    calls: int
    begun: int
    ended: int
    last: bool
    beside: str = ""

    @property
    def plain(self) -> bool:
        """Whether a graph can take it for one layer: called once, with one tensor, returning one."""
        return self.wiring.plain and self.calls == 1


@dataclass(frozen=True)
class Blocks:
    """found: the blocks in order of their calls. refused: other modules that would be units -> why they are not."""

    found: tuple[Block, ...] = ()
    refused: tuple[tuple[str, str], ...] = ()


def find_blocks(model: nn.Module, example: Example) -> Blocks:
    """The blocks of `model`, from forwards with 2 and 3 examples. Raises whatever forward raises.

    The model is left as found.
    """
    counts: dict[int, int] = {}
    named = dict(model.named_modules())
    composite = {n: m for n, m in named.items() if n and not is_container(m) and _is_composite(m, counts)}
    if not composite:
        return Blocks()
    weights = {n: m for n, m in named.items() if n not in composite and is_weight_layer(m)}
    small, large = (record(model, example, size, composite, weights) for size in (2, 3))
    return _Choice(model, counts, composite, small, large).run()


def _is_composite(module: nn.Module, counts: dict[int, int]) -> bool:
    return isinstance(module, KNOWN_BLOCKS) or count_weight_layers_in(module, counts) >= 2


class _Choice:
    def __init__(
        self,
        model: nn.Module,
        counts: dict[int, int],
        composite: dict[str, nn.Module],
        small: dict[str, Seen],
        large: dict[str, Seen],
    ) -> None:
        self.model, self.counts, self.composite, self.small, self.large = model, counts, composite, small, large
        self.graphs = own_graphs(composite)
        self.wirings = {name: self._wiring(name) for name in composite}
        self.stages = {type(m) for n, m in composite.items() if not isinstance(m, KNOWN_BLOCKS) and self._repeats(n, m)}
        self.branched = {type(m) for n, m in composite.items() if not self._is_chain(n)}
        self.refused: dict[str, str] = {}

    def run(self) -> Blocks:
        names = self._descend("", self.model)
        blocks = sorted((self._block(name) for name in names), key=lambda block: block.begun)
        return Blocks(tuple(blocks), tuple(self.refused.items()))

    def _visit(self, name: str, module: nn.Module) -> list[str]:
        """Names of the blocks at or below `name`."""
        if name not in self.composite:
            return self._descend(name, module) if is_container(module) else []
        if name not in self.small:
            return self._descend(name, module)  # never called by itself
        if not isinstance(module, KNOWN_BLOCKS):
            if type(module) not in self.branched:
                return self._descend(name, module)
            found = self._descend(name, module) if type(module) in self.stages else []
            if found:
                return found
        if isinstance(self.wirings[name], Wiring):
            return [name]
        found = self._descend(name, module)
        if not found:
            self.refused[name] = str(self.wirings[name])
        return found

    def _descend(self, name: str, module: nn.Module) -> list[str]:
        prefix = f"{name}." if name else ""
        return [found for child, part in module.named_children() for found in self._visit(prefix + child, part)]

    def _wiring(self, name: str) -> Wiring | str:
        small, large = self.small.get(name), self.large.get(name)
        if small is None or large is None or small.ended < 0 or large.ended < 0:
            return "it is not called in forward"
        if not (small.alike and large.alike):
            return f"shared: called {small.calls} times in forward, with arguments of different shapes"
        wiring = find_wiring(small, large)
        if isinstance(wiring, Wiring) and isinstance(self.composite[name], nn.RNNBase):
            return Wiring(**{**vars(wiring), "states": True})
        return wiring

    def _repeats(self, name: str, module: nn.Module) -> bool:
        """Whether the module is a stage: it holds a row of composite members of one class, one behind the other."""
        prefix = f"{name}." if name else ""
        for path, part in [("", module), *_inner(module)]:
            inside = prefix + path
            members = [(f"{inside}.{n}" if path else prefix + n, m) for n, m in part.named_children()]
            if isinstance(part, nn.ModuleList) and len(members) == 1 and self._counts_as_member(*members[0]):
                return True  # a stage that happens to have one block
            enough = 2 if is_container(part) else _STAGE
            for row in _by_class(members):
                names = [n for n, m in row if self._counts_as_member(n, m)]
                if len(names) >= 2 and (self._linked(names) or (len(names) >= enough and self._behind(names, part))):
                    return True
        return False

    def _counts_as_member(self, name: str, module: nn.Module) -> bool:
        if name in self.composite:
            return isinstance(self.wirings[name], Wiring)
        return is_container(module) and any(f"{name}.{n}" in self.composite for n, _ in module.named_modules() if n)

    def _linked(self, names: list[str]) -> bool:
        """Whether the very tensor that one returns goes into another."""
        given = {id(get_leaf(self.small[n].output, w.out)) for n in names if (w := self._known(n))}
        return any(id(get_leaf(self.small[n].arguments, w.stream)) in given for n in names if (w := self._known(n)))

    def _behind(self, names: list[str], holder: nn.Module) -> bool:
        """Whether the members follow one another: not all on the same input, as branches are."""
        if isinstance(holder, nn.Sequential):
            return True
        taken = [id(get_leaf(self.small[n].arguments, w.stream)) for n in names if (w := self._known(n))]
        return len(set(taken)) > 1

    def _known(self, name: str) -> Wiring | None:
        wiring = self.wirings.get(name)
        return wiring if isinstance(wiring, Wiring) else None

    def _is_chain(self, name: str) -> bool:
        """Whether the module is nothing but one layer after another, so that its layers are the units."""
        module, graph = self.composite[name], self.graphs[name]
        if graph is None or not is_plain_chain(graph):
            return False
        depthwise = any(isinstance(m, CONVS) and 1 < m.groups == m.in_channels for m in module.modules())
        return not (depthwise and self.counts[id(module)] <= _SEPARABLE)

    def _block(self, name: str) -> Block:
        seen, wiring = self.small[name], self.wirings[name]
        if not isinstance(wiring, Wiring):
            raise TypeError(f"{name} has no wiring")
        shapes = [_without(get_leaf(tree, path).shape, wiring.batch) for tree, path in
                  ((seen.arguments, wiring.stream), (seen.output, wiring.out))]  # fmt: skip
        last = not any(other.order > seen.ended for other in self.small.values())
        return Block(
            name=name, kind=kind_of(self.composite[name], self.graphs[name]), in_shape=shapes[0], out_shape=shapes[1],
            wiring=wiring, spoils=seen.spoiled, overwritten=seen.overwritten, calls=seen.calls, begun=seen.order,
            ended=seen.ended, last=last, beside=serves_beside(self.composite[name], seen, wiring),
        )  # fmt: skip


def _inner(module: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    return ((name, part) for name, part in module.named_modules() if name)


def _by_class(members: Iterable[tuple[str, nn.Module]]) -> list[list[tuple[str, nn.Module]]]:
    rows: dict[type, list[tuple[str, nn.Module]]] = {}
    for name, module in members:
        rows.setdefault(type(module), []).append((name, module))
    return [row for row in rows.values() if len(row) > 1]


def _without(shape: torch.Size, dim: int) -> Shape:
    return tuple(shape[:dim] + shape[dim + 1 :])
