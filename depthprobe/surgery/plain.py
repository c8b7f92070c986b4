"""What stands where a block stood once the network is settled: plain torch modules, called like the block."""

import inspect
import operator
from collections.abc import Mapping, Sequence
from types import SimpleNamespace
from typing import Any

import torch
from torch import fx, nn

from depthprobe.errors import EditError
from depthprobe.layers.resize import Resize
from depthprobe.layers.wiring import Path, Wiring, map_leaves
from depthprobe.surgery.resizing import resize_nodes

_PLAIN = (bool, int, float, str, type(None), tuple, torch.dtype)
_KEPT = "_user_preserved_attributes"  # what a GraphModule takes along when it is copied


def plain_site(
    unit: nn.Module, wiring: Wiring, shape: tuple[int, ...], removed: bool, bypass: Resize | None,
    copies: Sequence[tuple[str, nn.Module]], fresh: bool,
) -> nn.Module:  # fmt: skip
    """The unit (unless removed), then its copies, in place of the unit.

    shape: of the stream that comes in; fresh: what goes out must not be what comes in, since it is overwritten later.

    One tensor in and out gives an Identity or a Sequential, anything else a small GraphModule that passes the unit's
    arguments on. Plain attributes of the unit are carried over.
    """
    if not removed and not copies:
        return unit
    if wiring.plain and bypass is None and not (fresh and removed and not copies):
        named = {} if removed else {"unit": unit}
        named.update((f"copy{number}", copy) for number, (_, copy) in enumerate(copies, 1))
        site: nn.Module = nn.Identity()
        if named:
            site = nn.Sequential()
            for name, module in named.items():
                site.add_module(name, module)
        for key, value in attributes_of(unit).items():
            site.__dict__.setdefault(key, value)
    else:
        site = _Plain(unit, wiring, shape, removed, bypass, copies, fresh).build()
    site.training = unit.training
    return site


def attributes_of(unit: nn.Module) -> dict[str, Any]:
    """The unit's plain attributes, and those of its children, for models that read them from outside."""
    own = {k: v for k, v in vars(unit).items() if _is_plain(k, v)}
    below = {n: SimpleNamespace(**{k: v for k, v in vars(m).items() if _is_plain(k, v)}) for n, m in
             unit.named_children() if n.isidentifier()}  # fmt: skip
    return {**below, **own}


def _is_plain(key: str, value: Any) -> bool:
    return not key.startswith("_") and key != "training" and isinstance(value, _PLAIN)


class _Plain:
    """Writes the graph of one settled site."""

    def __init__(
        self, unit: nn.Module, wiring: Wiring, shape: tuple[int, ...], removed: bool, bypass: Resize | None,
        copies: Sequence[tuple[str, nn.Module]], fresh: bool,
    ) -> None:  # fmt: skip
        self.unit, self.wiring, self.shape, self.removed, self.bypass = unit, wiring, shape, removed, bypass
        self.copies, self.fresh = copies, fresh
        self.graph, self.attributes = fx.Graph(), dict[str, Any]()

    def build(self) -> nn.Module:
        inputs = self._placeholders()
        stream_in = inputs[self._name_of(self.wiring.stream)]
        whole = None if self.removed else self._call("unit", self.unit, inputs)
        stream = self._resized(stream_in) if whole is None else self._pick(whole, self.wiring.out)
        states = self._states(whole, inputs) if self.wiring.states else ()
        for number, (_, copy) in enumerate(self.copies, 1):
            given = {} if self.wiring.states else {**inputs, **self._carried(whole, inputs)}
            out = self._call(f"copy{number}", copy, {**given, self._name_of(self.wiring.stream): stream})
            stream = self._pick(out, self.wiring.out)
            tails = self._tails() if self.wiring.states else []
            states = [self._last_layer(old, (1, *tail), out, copy) for old, tail in zip(states, tails, strict=True)]
        self.graph.output(self._output(whole, stream, states, inputs))
        self.graph.lint()
        site = fx.GraphModule(self.attributes, self.graph, type(self.unit).__name__)
        carried = {k: v for k, v in attributes_of(self.unit).items() if not hasattr(site, k)}
        for key, value in carried.items():
            setattr(site, key, value)
        site.meta[_KEPT] = carried
        return site

    def _parameters(self) -> Mapping[str, inspect.Parameter]:
        return inspect.signature(self.unit.forward).parameters

    def _placeholders(self) -> dict[str, fx.Node]:
        """One per parameter of the unit's forward, with its default; then what it got through ** as well."""
        found: dict[str, Any] = {}
        for name, parameter in self._parameters().items():
            if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
                continue
            found[name] = parameter.default
        for name in self.wiring.named:
            found.setdefault(name, None)
        if self.wiring.positional > len(found):
            raise EditError("a unit that takes *args cannot be settled", where=type(self.unit).__name__)
        late = any(value is not inspect.Parameter.empty for value in found.values())
        return {
            name: self.graph.placeholder(name, default_value=value)
            for name, value in sorted(found.items(), key=lambda item: item[1] is not inspect.Parameter.empty and late)
        }

    def _name_of(self, path: Path) -> str:
        names = [n for n, p in self._parameters().items() if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
        return str(path[1]) if path[0] == 1 else names[path[1]]

    def _call(self, name: str, module: nn.Module, inputs: Mapping[str, fx.Node]) -> fx.Node:
        self.attributes[name] = module
        stream = self._name_of(self.wiring.stream)
        kinds = self._parameters()
        if self.wiring.stream[0] == 0 and stream == next(iter(kinds)):  # the usual call: the stream by position
            return self.graph.call_module(name, (inputs[stream],), {k: v for k, v in inputs.items() if k != stream})
        return self.graph.call_module(name, (), dict(inputs))

    def _pick(self, value: Any, path: Path) -> Any:
        for key in path:
            value = self.graph.call_function(operator.getitem, (value, key))
        return value

    def _resized(self, value: fx.Node) -> fx.Node:
        if self.bypass is None:
            return self.graph.call_function(torch.clone, (value,)) if self.fresh else value
        return resize_nodes(self.graph, self.attributes, "choice", value, self.shape, self.bypass)

    def _tails(self) -> list[Path]:
        return [path[1:] for path in self.wiring.made]

    def _carried(self, whole: fx.Node | None, inputs: Mapping[str, fx.Node]) -> dict[str, Any]:
        """Arguments that the unit returns changed: a copy gets what it returned."""
        blank = self.wiring.blank
        return {
            self._name_of(path): self._beside(whole, source[0], blank[source[0]], inputs)
            for path, source in self.wiring.carried.items()
        }

    def _states(self, whole: fx.Node | None, inputs: Mapping[str, fx.Node]) -> list[fx.Node]:
        """The recurrent state that comes out: the unit's, or what was handed in, or zeros."""
        if whole is not None:
            return [self._pick(whole, path) for path in self.wiring.made]
        if any(path != self.wiring.stream for path in self.wiring.batched):
            return [self._pick(inputs["hx"], tail) for tail in self._tails()]
        rnn: Any = self.unit
        x, count = inputs[self._name_of(self.wiring.stream)], rnn.num_layers * (2 if rnn.bidirectional else 1)
        batch = self.graph.call_method("size", (x, self.wiring.batch))
        sizes = [getattr(rnn, "proj_size", 0) or rnn.hidden_size, rnn.hidden_size][: len(self.wiring.made)]
        return [self.graph.call_method("new_zeros", (x, (count, batch, size))) for size in sizes]

    def _last_layer(self, old: fx.Node, path: Path, out: fx.Node, copy: nn.Module) -> fx.Node:
        rnn: Any = self.unit
        new, directions = self._pick(out, path), 2 if rnn.bidirectional else 1
        kept = directions * (rnn.num_layers - int(copy.num_layers))  # type: ignore[arg-type]
        if not kept:
            return new  # type: ignore[no-any-return]
        return self.graph.call_function(torch.cat, ((self.graph.call_function(torch.narrow, (old, 0, 0, kept)), new),))

    def _output(self, whole: fx.Node | None, stream: Any, states: Sequence[fx.Node], inputs: Any) -> Any:
        wiring, blank = self.wiring, self.wiring.blank
        if not wiring.out:
            return stream
        if wiring.states:
            return (stream, tuple(states) if len(states) > 1 else states[0])
        items = list(blank.items()) if isinstance(blank, Mapping) else list(enumerate(blank))
        values: dict[Any, Any] = {
            key: stream if wiring.out == (key,) else self._beside(whole, key, leaf, inputs) for key, leaf in items
        }
        if isinstance(blank, Mapping):
            return self.graph.call_function(type(blank), (), values)
        return list(values.values()) if isinstance(blank, list) else tuple(values.values())

    def _beside(self, whole: fx.Node | None, key: Any, blank: Any, inputs: Mapping[str, fx.Node]) -> Any:
        """A returned value beside the stream: the unit's, or, without the unit, the argument it would hand on."""
        if whole is not None:
            return self._pick(whole, (key,))
        return map_leaves(lambda path, leaf: self._handed(path, leaf, inputs), blank, (key,))

    def _handed(self, path: Path, leaf: Any, inputs: Mapping[str, fx.Node]) -> Any:
        source = self.wiring.handed.get(path)
        if source is not None:
            return self._pick(inputs[self._name_of(source[:2])], source[2:])
        if leaf is not None and not isinstance(leaf, _PLAIN):
            raise EditError("a unit that returns objects cannot be left out", found=type(leaf).__name__)
        return leaf
