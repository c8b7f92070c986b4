"""Wiring: how a unit with several arguments or outputs is called, and which of its tensors follow the batch."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

Path = tuple[Any, ...]
Arguments = tuple[tuple[Any, ...], dict[str, Any]]


@dataclass(frozen=True)
class Wiring:
    """One call of a unit, as recorded at two batch sizes.

    stream: path of the stream in (args, kwargs); batch: its batch dimension, in and out. batched: dimension of the
    batch of every tensor argument that has one (the stream's included); folds: entries per sample where that is not one
    (a bias per sample and head); whole: tensor arguments that can have none. A tensor in neither was None when
    recorded, or the same for all samples (1, ...): each call decides. out: path of the stream in what the unit returns;
    out_batched: as `batched`. handed: returned value that is an argument -> that argument. carried: argument made of
    numbers -> where the unit returns it changed (the size of a map, after pooling). made: returned tensors,
    beside the stream, that only the unit can make. blank: what it returns, with `...` for every tensor. states: `made`
    is a recurrent state, which a sample that skips leaves as it was. named: the keyword arguments; positional: how many
    others. caches: an argument remembers earlier tokens.
    """

    stream: Path
    batch: int = 0
    batched: Mapping[Path, int] = field(default_factory=dict)
    folds: Mapping[Path, int] = field(default_factory=dict)
    whole: frozenset[Path] = frozenset()
    out: Path = ()
    out_batched: Mapping[Path, int] = field(default_factory=dict)
    handed: Mapping[Path, Path] = field(default_factory=dict)
    carried: Mapping[Path, Path] = field(default_factory=dict)
    made: tuple[Path, ...] = ()
    blank: Any = None
    states: bool = False
    positional: int = 1
    named: tuple[str, ...] = ()
    caches: bool = False

    @property
    def plain(self) -> bool:
        """Whether the unit takes one tensor, batch first, and nothing else, and returns one tensor."""
        return self.stream == (0, 0) and self.positional == 1 and not (self.batch or self.out or self.named)

    def split(self, arguments: Arguments, begin: int, count: int) -> Arguments:
        """The arguments for samples `begin` to `begin + count`; what has no batch passes whole."""
        batch = get_leaf(arguments, self.stream).shape[self.batch]

        def narrow(path: Path, leaf: Any) -> Any:
            dim = self._batch_dim(path, leaf, batch) if isinstance(leaf, Tensor) and path not in self.whole else None
            fold = self.folds.get(path, 1)
            return leaf if dim is None else leaf.narrow(dim, fold * begin, fold * count)

        args, kwargs = map_leaves(narrow, arguments)
        return args, kwargs

    def _batch_dim(self, path: Path, leaf: Tensor, batch: int) -> int | None:
        """The batch dimension of an argument in this call; None for one that broadcasts over the batch."""
        known = self.batched.get(path)
        if known is not None:
            size, wanted = leaf.shape[known], batch * self.folds.get(path, 1)
            if size not in (1, wanted):
                raise ValueError(f"the unit got a tensor {tuple(leaf.shape)} at {say_path(path)}, a batch of {batch}")
            return known if size == wanted else None
        if batch not in leaf.shape or leaf.shape[0] == 1:
            return None
        if leaf.shape[0] != batch or tuple(leaf.shape) == (batch, batch):
            raise ValueError(
                f"the unit got a tensor {tuple(leaf.shape)} at {say_path(path)} that was not there when it was traced, "
                f"and which dimension is the batch of {batch} is not clear: trace with an example input that has it"
            )
        return 0

    def join(self, skipping: Any, entering: Any) -> Any:
        """Two parts of the batch as one output; what has no batch comes from `entering`."""

        def cat(path: Path, leaf: Any) -> Any:
            dim, other = self.out_batched.get(path), get_leaf(skipping, path)
            return leaf if dim is None or not isinstance(other, Tensor) else torch.cat((other, leaf), dim)

        return map_leaves(cat, entering)

    def following(self, arguments: Arguments, output: Any) -> Arguments:
        """The arguments for a copy behind the unit: the unit's own, with what it returned of them."""
        for path, source in {**self.carried, self.stream: self.out}.items():
            arguments = put_argument(arguments, path, get_leaf(output, source))
        return arguments

    def around(self, stream: Tensor, arguments: Arguments) -> Any:
        """What a skipped unit returns: `stream`, and arguments that the unit hands on."""
        output = put_leaf(self.blank, self.out, stream)
        for path, source in self.handed.items():
            output = put_leaf(output, path, get_leaf(arguments, source))
        return output


def leaves_of(tree: Any, path: Path = ()) -> Iterator[tuple[Path, Any]]:
    """(path, leaf) of nested tuples, lists and mappings, in order."""
    if isinstance(tree, (tuple, list)):
        for index, item in enumerate(tree):
            yield from leaves_of(item, (*path, index))
    elif isinstance(tree, Mapping):
        for key, item in tree.items():
            yield from leaves_of(item, (*path, key))
    else:
        yield path, tree


def map_leaves(change: Callable[[Path, Any], Any], tree: Any, path: Path = ()) -> Any:
    """The same nesting with every leaf changed by `change(path, leaf)`."""
    if isinstance(tree, (tuple, list)):
        items = [map_leaves(change, item, (*path, index)) for index, item in enumerate(tree)]
        return type(tree)(*items) if hasattr(tree, "_fields") else type(tree)(items)
    if isinstance(tree, Mapping):
        changed = {key: map_leaves(change, item, (*path, key)) for key, item in tree.items()}
        return changed if type(tree) is dict else type(tree)(**changed)
    return change(path, tree)


def get_leaf(tree: Any, path: Path) -> Any:
    """What lies at `path`; None where there is nothing."""
    for key in path:
        try:
            tree = tree[key]
        except (KeyError, IndexError, TypeError):
            return None
    return tree


def put_leaf(tree: Any, path: Path, leaf: Any) -> Any:
    """`tree` with `leaf` at `path`."""
    if not path:
        return leaf
    return map_leaves(lambda place, old: leaf if place == path else old, tree)


def put_argument(arguments: Arguments, path: Path, leaf: Any) -> Arguments:
    """The arguments with another stream; `path` is (0, position) or (1, name)."""
    args, kwargs = arguments
    if path[0] == 0:
        return (*args[: path[1]], leaf, *args[path[1] + 1 :]), kwargs
    return args, {**kwargs, path[1]: leaf}


def say_path(path: Path) -> str:
    """A path of an argument in words."""
    return f"argument {path[1]}" + "".join(f"[{key!r}]" for key in path[2:])
