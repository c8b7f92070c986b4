"""Stacks: weight layers with their norm, activation and dropout in an nn.Sequential, found by running it.

What one member of a Sequential returns the next one takes, and nobody else sees it: so the two can be parted.
"""

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import nn

from depthprobe.graph.calls import Call, Recording
from depthprobe.graph.layer_types import WEIGHT_LAYERS, is_container, is_weight_layer
from depthprobe.graph.roles import fits, has_weights, role_of, squashes
from depthprobe.graph.run import Place, Run, Shape

UNSEEN = "no activation behind it in an nn.Sequential: without a graph it is not seen what reads it"


@dataclass(frozen=True)
class _Turn:
    """A member of a Sequential and its calls there, with 2 and with 3 examples."""

    place: Place
    small: Call
    large: Call


class StackSearch:
    """The runs of one model. hidden: ids of the modules in its blocks; small, large: calls with 2 and 3 examples."""

    def __init__(self, model: nn.Module, hidden: set[int], small: Recording, large: Recording) -> None:
        self.model, self.hidden, self.small, self.large = model, hidden, small, large
        weighing = [m for m in model.modules() if id(m) in hidden or is_weight_layer(m)]
        self.mixes = sorted(call.begun for module in weighing for call in small.of(module))

    def run(self) -> Iterator[Run]:
        """Every run in a Sequential, and every other weight layer by itself, refused as UNSEEN unless for worse."""
        inside = set(self.hidden)
        for path, module in self.model.named_modules():
            if id(module) not in inside and self._is_stack(module):
                turns = list(self._turns(module, list(self._members(path, module))))
                inside.update(id(part) for part in self._nested(module))
                inside.update(id(turn.place.module) for turn in turns if turn is not None)
                yield from self._in_stack(turns, self.small.of(module)[0])
        for path, module in self.model.named_modules():
            if isinstance(module, WEIGHT_LAYERS) and id(module) not in inside and self.small.of(module):
                turn = _Turn(Place.of(path, module), self.small.of(module)[0], self.large.of(module)[0])
                yield self._judged([turn], [own_role(module)], UNSEEN)

    def _is_stack(self, module: nn.Module) -> bool:
        """Whether the module hands its input from member to member, once in a forward."""
        own = isinstance(module, nn.Sequential) and is_container(module) and "forward" not in vars(module)
        return own and id(module) not in self.hidden and len(self.small.of(module)) == 1

    def _members(self, path: str, stack: nn.Module) -> Iterator[Place]:
        """The members of the Sequential, those of Sequentials in it in their place."""
        for name, part in stack._modules.items():
            if part is not None:
                place = Place(path, name, part)
                yield from self._members(place.path, part) if self._is_stack(part) else (place,)

    def _nested(self, stack: nn.Module) -> Iterator[nn.Module]:
        """The Sequential and those in it."""
        yield stack
        for part in stack.children():
            if self._is_stack(part):
                yield from self._nested(part)

    def _in_stack(self, turns: Sequence[_Turn | None], whole: Call) -> Iterator[Run]:
        seen: set[int] = set()
        for rank, turn in enumerate(turns):
            if turn is not None and isinstance(turn.place.module, WEIGHT_LAYERS) and id(turn.place.module) not in seen:
                seen.add(id(turn.place.module))
                yield self._run(turn, turns[rank + 1 :], whole)

    def _turns(self, stack: nn.Module, members: Sequence[Place]) -> Iterator[_Turn | None]:
        """The members with their calls; None for one that somebody else calls meanwhile."""
        often: dict[int, int] = {}
        for place in members:
            often[id(place.module)] = often.get(id(place.module), 0) + 1
        turn: dict[int, int] = {}
        for place in members:
            at = turn[id(place.module)] = turn.get(id(place.module), -1) + 1
            calls = [_within(r.of(place.module), r.of(stack)) for r in (self.small, self.large)]
            alone = all(len(made) == often[id(place.module)] for made in calls)
            yield _Turn(place, calls[0][at], calls[1][at]) if alone else None

    def _run(self, first: _Turn, behind: Sequence[_Turn | None], whole: Call) -> Run:
        taken, roles, keep = [first], [own_role(first.place.module)], 1
        for turn in behind:
            role = None if turn is None else role_of(turn.place.module)
            if turn is None or role is None or not fits(role, roles) or self._is_shared(turn.place.module):
                break
            taken.append(turn)
            roles.append(role)
            keep = keep if role == "pooling" else len(roles)
        read = self._mixes_between(taken[keep - 1].small.ended, whole.ended)
        return self._judged(taken[:keep], roles[:keep], "" if read or squashes(roles[:keep]) else UNSEEN)

    def _is_shared(self, module: nn.Module) -> bool:
        return has_weights(module) and len(self.small.of(module)) > 1

    def _mixes_between(self, begin: int, end: int) -> bool:
        """Whether something that mixes features begins in this time."""
        return bisect_left(self.mixes, begin) < bisect_left(self.mixes, end)

    def _judged(self, turns: Sequence[_Turn], roles: Sequence[str], reason: str) -> Run:
        first, last = turns[0], turns[-1]
        shapes = (
            without_batch(first.small.taken, first.large.taken),
            without_batch(last.small.given, last.large.given),
        )
        count = len(self.small.of(first.place.module))
        if count > 1:
            reason = f"shared: called {count} times in forward"
        elif first.small.taken is None:
            reason = "forward calls it with something else than one tensor"
        elif None in shapes:
            reason = "its first dimension is not the batch"
        elif last.small.is_output or not self._mixes_between(last.small.ended, 1 << 62):
            reason = "it is the model's output"
        return Run(
            name=first.place.path,
            layers=tuple(turn.place.module for turn in turns),
            roles=tuple(roles),
            places=tuple(turn.place for turn in turns),
            in_shape=shapes[0] or (),
            out_shape=shapes[1] or (),
            reason=reason,
            overwritten=last.small.overwritten,
            begun=first.small.begun,
        )


def _within(calls: Sequence[Call], whole: Sequence[Call]) -> list[Call]:
    """The calls made during the only call of the Sequential."""
    return [call for call in calls if whole[0].begun < call.begun < whole[0].ended]


def own_role(layer: nn.Module) -> str:
    """What a weight layer is in its own unit."""
    return "linear" if isinstance(layer, nn.Linear) else "conv"


def without_batch(small: torch.Size | None, large: torch.Size | None) -> Shape | None:
    """The shape without its first dimension, the batch: 2 in the one, 3 in the other; None where that is not it."""
    if not small or not large or (small[0], large[0]) != (2, 3) or small[1:] != large[1:]:
        return None
    return tuple(small[1:])
