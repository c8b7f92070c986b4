"""What happens in a forward, seen through hooks: who is called, in which order, with what, returning what."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from depthprobe.graph.example import Example, evaluating, resize_batch
from depthprobe.layers.wiring import Path, Wiring, get_leaf, leaves_of, map_leaves


@dataclass
class Seen:
    """The calls of one module in one forward. order: when it was first called; ended: when that call was over.

    arguments, output: of the last call; the tensors live as long as the record. alike: all calls had arguments of the
    same shapes. spoiled: a call changed an argument.
    """

    order: int
    calls: int = 0
    ended: int = -1
    arguments: Example = ((), {})
    output: Any = None
    alike: bool = True
    spoiled: bool = False
    versions: list[int] = field(default_factory=list)
    given: list[int] = field(default_factory=list)

    @property
    def overwritten(self) -> bool:
        """Whether a tensor that the module returned has been changed since."""
        return self.given != _versions(self.output)


def record(
    net: nn.Module, example: Example, size: int, watched: dict[str, nn.Module], timed: dict[str, nn.Module]
) -> dict[str, Seen]:
    """One forward in eval mode at batch size `size`; what the watched modules saw, by their names.

    timed: modules of which only the order and the number of calls are wanted. The network is left as found. Raises
    whatever forward raises.
    """
    seen: dict[str, Seen] = {}
    args, kwargs = resize_batch(example[0], size), resize_batch(example[1], size)
    with evaluating(net), _watching(watched, timed, seen):
        net(*args, **kwargs)
    return seen


@contextmanager
def _watching(watched: dict[str, nn.Module], timed: dict[str, nn.Module], seen: dict[str, Seen]) -> Iterator[None]:
    clock = iter(range(10**9))

    def before(name: str, arguments: Example) -> None:
        entry = seen.setdefault(name, Seen(next(clock)))
        entry.calls += 1
        if name not in watched:
            return
        entry.alike = entry.alike and (entry.calls == 1 or _shapes(arguments) == _shapes(entry.arguments))
        entry.arguments = arguments
        entry.versions = _versions(arguments)

    def after(name: str, arguments: Example, output: Any) -> None:
        entry = seen[name]
        entry.ended = next(clock)
        if name not in watched:
            return
        entry.output, entry.spoiled = output, entry.spoiled or _versions(arguments) != entry.versions
        entry.given = _versions(output)

    with ExitStack() as stack:
        for name, module in {**timed, **watched}.items():
            pre = module.register_forward_pre_hook(lambda _, a, k, n=name: before(n, (a, k)), with_kwargs=True)
            post = module.register_forward_hook(lambda _, a, k, o, n=name: after(n, (a, k), o), with_kwargs=True)
            stack.callback(pre.remove)
            stack.callback(post.remove)
        yield


def _shapes(arguments: Example) -> list[tuple[Path, Any]]:
    return [(path, leaf.shape if isinstance(leaf, Tensor) else type(leaf)) for path, leaf in leaves_of(arguments)]


def _versions(tree: Any) -> list[int]:
    tensors = [leaf for _, leaf in leaves_of(tree) if isinstance(leaf, Tensor)]
    return [0 if tensor.is_inference() else tensor._version for tensor in tensors]


def find_wiring(small: Seen, large: Seen) -> Wiring | str:
    """How a module is called, from forwards with 2 and with 3 examples; or why no gate fits around it."""
    dims = {path: batch_dim(leaf, get_leaf(large.arguments, path)) for path, leaf in leaves_of(small.arguments)}
    batched = {path: dim for path, dim in dims.items() if isinstance(dim, int)}
    single = dict(batched)
    folds = _folds(small.arguments, large.arguments)
    batched.update({path: dim for path, (dim, _) in folds.items()})
    fixed = [path for path, leaf in leaves_of(small.arguments) if isinstance(leaf, Tensor) and leaf.shape[:1] != (1,)]
    out_dims = {path: batch_dim(leaf, get_leaf(large.output, path)) for path, leaf in leaves_of(small.output)}
    out = _stream_out(small.output, out_dims)
    if out is None:
        return "it returns no floating-point tensor whose batch dimension is found"
    stream = _stream_in(small.arguments, single, get_leaf(small.output, out))
    if stream is None:
        return "it takes no floating-point tensor whose batch dimension is found"
    if batched[stream] != out_dims[out]:
        return f"its batch is dimension {batched[stream]} of the input and {out_dims[out]} of the output"
    handed = _handed(small, out)
    made = [p for p, leaf in leaves_of(small.output) if isinstance(leaf, Tensor) and p != out and p not in handed]
    return Wiring(
        stream=stream,
        batch=batched[stream],
        batched=batched,
        folds={path: fold for path, (_, fold) in folds.items()},
        whole=frozenset(path for path in fixed if path not in batched),
        out=out,
        out_batched={path: dim for path, dim in out_dims.items() if isinstance(dim, int)},
        handed=handed,
        carried=_carried(small, out),
        made=tuple(made),
        blank=map_leaves(lambda _, leaf: ... if isinstance(leaf, Tensor) else leaf, small.output),
        positional=len(small.arguments[0]),
        named=tuple(small.arguments[1]),
        caches=small.arguments[1].get("use_cache") is True
        or any(hasattr(leaf, "get_seq_length") for _, leaf in leaves_of(small.arguments)),
    )


def batch_dim(small: Any, large: Any) -> int | None:
    """The one dimension that goes from 2 to 3 while all others stay; None when there is none."""
    if not isinstance(small, Tensor) or not isinstance(large, Tensor) or small.ndim != large.ndim:
        return None
    changed = [dim for dim, (a, b) in enumerate(zip(small.shape, large.shape, strict=True)) if a != b]
    return changed[0] if len(changed) == 1 and small.shape[changed[0]] == 2 and large.shape[changed[0]] == 3 else None


def _folds(small: Any, large: Any) -> dict[Path, tuple[int, int]]:
    """Tensors with a dimension of several entries per sample, sample by sample: (dimension, entries)."""
    found = {}
    for path, leaf in leaves_of(small):
        other = get_leaf(large, path)
        if isinstance(leaf, Tensor) and isinstance(other, Tensor) and leaf.ndim == other.ndim:
            changed = [dim for dim, (a, b) in enumerate(zip(leaf.shape, other.shape, strict=True)) if a != b]
            if len(changed) == 1 and (two := leaf.shape[changed[0]]) > 2 and 3 * two == 2 * other.shape[changed[0]]:
                found[path] = changed[0], two // 2
    return found


def _stream_out(output: Any, dims: dict[Path, int | None]) -> Path | None:
    for path, leaf in leaves_of(output):
        if len(path) <= 1 and dims[path] is not None and leaf.is_floating_point():
            return path
    return None


def _stream_in(arguments: Example, batched: dict[Path, int], out: Tensor) -> Path | None:
    """The first tensor like the one that comes out, else the first; position before name."""
    direct = [path for path in batched if len(path) == 2 and get_leaf(arguments, path).is_floating_point()]
    alike = [path for path in direct if get_leaf(arguments, path).shape == out.shape]
    return next(iter(alike or direct), None)


def _handed(seen: Seen, out: Path) -> dict[Path, Path]:
    """Outputs, beside the stream, that are arguments themselves."""
    sources = {id(leaf): path for path, leaf in leaves_of(seen.arguments) if not isinstance(leaf, _PLAIN)}
    return {p: sources[id(leaf)] for p, leaf in leaves_of(seen.output) if p != out and id(leaf) in sources}


def _carried(seen: Seen, out: Path) -> dict[Path, Path]:
    """Arguments of numbers that come back at the same position with other values."""
    if not isinstance(seen.output, (tuple, list)):
        return {}
    pairs = {index: (get_leaf(seen.arguments, (0, index)), part) for index, part in enumerate(seen.output)}
    return {
        (0, index): (index,)
        for index, (given, part) in pairs.items()
        if (index,) != out and _are_numbers(given) and _are_numbers(part) and given != part
    }


def _are_numbers(value: Any) -> bool:
    leaves = [leaf for _, leaf in leaves_of(value)]
    return bool(leaves) and all(type(leaf) is int for leaf in leaves)


_PLAIN = (bool, int, float, str, type(None), torch.dtype, torch.device)
