"""Chains: weight layers that forward calls one by one, with the layers and functions that it calls behind them.

Several forwards are followed (two batch sizes, train and eval mode, the input's sign turned): what all of them do alike
is taken, and nothing else. What forward does with yet other inputs is not seen.
"""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import takewhile

from torch import Tensor, nn

from depthprobe.graph.example import Example, copy_model, resize_batch
from depthprobe.graph.functional import is_dropping, module_for
from depthprobe.graph.layer_types import WEIGHT_LAYERS
from depthprobe.graph.roles import fits, has_weights, role_of, squashes
from depthprobe.graph.run import Place, Run
from depthprobe.graph.stacks import own_role, without_batch
from depthprobe.graph.steps import Step, Trail, follow
from depthprobe.layers.wiring import map_leaves


@dataclass(frozen=True)
class _Link:
    """A layer of a chain, or a function as the layer it stands for (made)."""

    step: Step
    made: nn.Module
    role: str

    def alike(self, other: "_Link") -> bool:
        """Whether another forward has the same link here."""
        return self.step.module is other.step.module and repr(self.made) == repr(other.made)


def find_chains(model: nn.Module, example: Example, lone: Sequence[Run], blocks: Collection[str]) -> dict[str, Run]:
    """Name -> what the lone weight layers are with what follows them, or why nothing can be done with one.

    blocks: names of what is looked at from outside only. The model is left as found.
    """
    if not lone:
        return {}
    scratch = copy_model(model)  # in train mode a forward may change more than can be put back
    whole = [scratch.get_submodule(name) for name in blocks]
    known = [m for m in scratch.modules() if isinstance(m, WEIGHT_LAYERS) or role_of(m) is not None]
    paths: dict[int, list[str]] = {}
    for path, module in scratch.named_modules(remove_duplicate=False):
        paths.setdefault(id(module), []).append(path)
    try:
        trails = list(_trails(scratch, example, list({id(m): m for m in (*known, *whole)}.values())))
    except Exception as error:  # noqa: BLE001  # a forward may raise anything in train mode
        reason = f"its forward cannot be followed in train mode: {str(error) or type(error).__name__}"
        return {run.name: replace(run, reason=reason) for run in lone}
    return {run.name: _Chain(model, scratch.get_submodule(run.name), run, trails, paths).run() for run in lone}


def _trails(model: nn.Module, example: Example, layers: Collection[nn.Module]) -> Iterator[Trail]:
    """Forwards with 2 and 3 examples, in train mode, and where it runs at all with the sign of the input turned."""
    small, large = ((resize_batch(example[0], n), resize_batch(example[1], n)) for n in (2, 3))
    yield follow(model, small, layers, False)
    yield follow(model, large, layers, False)
    yield follow(model, small, layers, True)
    try:
        yield follow(model, _turned(small), layers, False)
    except Exception:  # noqa: BLE001  # an input that nobody said the model takes
        return


def _turned(example: Example) -> Example:
    args, kwargs = map_leaves(
        lambda _, leaf: -leaf if isinstance(leaf, Tensor) and leaf.is_floating_point() else leaf, example
    )
    return args, kwargs


class _Chain:
    """One weight layer. model: whose modules the run names; layer: the same in the copy that was followed."""

    def __init__(
        self, model: nn.Module, layer: nn.Module, run: Run, trails: Sequence[Trail], paths: dict[int, list[str]]
    ) -> None:
        self.model, self.layer, self.bare, self.trails, self.paths = model, layer, run, trails, paths

    def run(self) -> Run:
        reason = self._refusal()
        if reason:
            return replace(self.bare, reason=reason)
        links, agreed = self._links(self.trails[0]), True
        for trail in self.trails[1:]:
            if trail.of(self.layer):
                pairs = zip(links, self._links(trail), strict=False)
                alike = [one for one, _ in takewhile(lambda pair: pair[0].alike(pair[1]), pairs)]
                agreed = agreed and len(alike) == len(links)
                links = alike
        if not agreed and not squashes([link.role for link in links]):
            return replace(self.bare, reason="forward goes on in another way in train mode, or for other inputs")
        return self._judged(self._held(links))

    def _refusal(self) -> str:
        counts = [len(trail.of(self.layer)) for trail in self.trails]
        names = self.paths[id(self.layer)]
        if max(counts) > 1:
            return f"shared: called {max(counts)} times in forward"
        if not all(counts[:3]):
            return "forward does not call it in train mode"
        if len(names) > 1:
            return f"reached as {names[0]} and as {names[1]}"
        weights = {id(p) for p in self.layer.parameters()}
        if any(weights & trail.touched for trail in self.trails):
            return "forward reads its weight besides calling it"
        return ""

    def _links(self, trail: Trail) -> list[_Link]:
        """The layer and what follows it, one reader after another, as long as each serves the layer before."""
        step = trail.of(self.layer)[0]
        links = [_Link(step, self.layer, own_role(self.layer))]
        while step.gives is not None and step.gives not in trail.outputs:
            readers = trail.readers.get(step.gives, [])
            if len(readers) != 1 or readers[0].reads != (step.gives,):
                break
            step = readers[0]
            made = step.module or module_for(step.function, step.args, step.kwargs)
            role = role_of(made)
            if made is None or role is None or not fits(role, [link.role for link in links]):
                break
            if role == "dropout" and step.module is None and is_dropping(step.args, step.kwargs) != trail.training:
                break  # it does not know its mode
            links.append(_Link(step, made, role))
        return links

    def _is_own(self, module: nn.Module) -> bool:
        """Whether the module serves this layer alone: called once, under one name, and never without the layer."""
        counts = [(len(trail.of(module)), len(trail.of(self.layer))) for trail in self.trails]
        return len(self.paths.get(id(module), [])) == 1 and all(count <= with_layer for count, with_layer in counts)

    def _held(self, links: list[_Link]) -> list[tuple[_Link, Place | None]]:
        """The links with their places; None for what forward does by itself. Pooling at the end is left to forward."""
        found: list[tuple[_Link, Place | None]] = []
        free = pooled = False
        for link in links:
            own = self._is_own(link.made) and not pooled and not (free and link.role == "pooling")
            if not own and has_weights(link.made):
                break
            found.append((link, self._place(link.made) if own else None))
            free = free or not own
            pooled = pooled or (not own and link.role == "pooling")
        keep = max(n for n, (link, _) in enumerate(found, 1) if link.role != "pooling")
        return found[:keep]

    def _place(self, module: nn.Module) -> Place:
        path = self.paths[id(module)][0]
        return Place.of(path, self.model.get_submodule(path))

    def _judged(self, held: list[tuple[_Link, Place | None]]) -> Run:
        owned = [place for _, place in held if place is not None]
        flags = [place is not None for _, place in held]
        head = flags.index(False) if False in flags else len(flags)
        last = max(n for n, flag in enumerate(flags) if flag)
        gated, final = held[head - 1][0].step, held[last][0].step
        larger = self.trails[1].of(held[last][0].made)[0]
        shape = without_batch(final.given, larger.given)
        values = {link.step.gives for link, _ in held}
        reason = "it is the model's output" if values & self.trails[0].outputs else ""
        reason = reason or ("its first dimension is not the batch" if shape is None else "")
        return replace(
            self.bare,
            layers=tuple(place.module if place is not None else link.made for link, place in held),
            roles=tuple(link.role for link, _ in held),
            places=tuple(owned),
            out_shape=shape or (),
            reason=reason,
            overwritten=gated.overwritten,
            loose=True,
            head=head,
            tail=len(flags) - 1 - last,
        )
