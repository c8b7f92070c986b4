"""Steps: what a forward does between its layers, function by function: which value each reads and which it gives."""

import random
from collections.abc import Collection, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy
import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from depthprobe.graph.calls import only_tensor
from depthprobe.graph.example import Example, evaluating
from depthprobe.graph.purity import tensors_of

_LOOKS = ("size", "dim", "numel", "ndimension", "stride", "is_floating_point", "is_contiguous", "__len__", "__get__")


@dataclass
class Step:
    """One call that forward makes: of a layer, of a function, or (neither) of something that only torch's core saw.

    module: the layer; function, args, kwargs: the function and what it got, the first tensor left out. reads: numbers
    of the values that it reads; gives: of the one it returns, None for anything but one tensor. taken, given: shapes of
    the one tensor it takes and of the one it gives. overwritten: what it gave was changed in place later.
    """

    reads: tuple[int, ...]
    module: nn.Module | None = None
    function: Any = None
    args: tuple[Any, ...] = ()
    kwargs: Mapping[str, Any] = field(default_factory=dict)
    gives: int | None = None
    taken: torch.Size | None = None
    given: torch.Size | None = None
    overwritten: bool = False


@dataclass
class Trail:
    """One forward, in train or eval mode. calls: the steps of a layer, by its id. readers: number of a value -> the
    steps that read it. outputs: values that the model returns; touched: ids of the tensors that functions read
    (weights among them).
    """

    training: bool
    calls: dict[int, list[Step]] = field(default_factory=dict)
    readers: dict[int, list[Step]] = field(default_factory=dict)
    outputs: set[int] = field(default_factory=set)
    touched: set[int] = field(default_factory=set)

    def of(self, module: nn.Module) -> list[Step]:
        """The calls of a layer, in order."""
        return self.calls.get(id(module), [])


def follow(model: nn.Module, example: Example, layers: Collection[nn.Module], training: bool) -> Trail:
    """The trail of one forward in train or eval mode; what layers do inside is not looked at.

    The model is left as found. Raises whatever forward raises.
    """
    notes = _Notes(training)
    with evaluating(model), _other_generators(), ExitStack() as stack:
        model.train(training)
        torch.manual_seed(0)
        for layer in layers:
            stack.callback(layer.register_forward_pre_hook(notes.enter, prepend=True, with_kwargs=True).remove)
            stack.callback(layer.register_forward_hook(notes.leave, always_call=True).remove)
        with _Core(notes), _Functions(notes):
            output = model(*example[0], **example[1])
    return notes.close(output)


@contextmanager
def _other_generators() -> Iterator[None]:
    """Python's and numpy's random states are put back: in train mode some forwards draw from them."""
    python, arrays = random.getstate(), numpy.random.get_state()
    try:
        yield
    finally:
        random.setstate(python)
        numpy.random.set_state(arrays)


class _Notes:
    """Numbers values by the tensor that holds them; a tensor that is written to, or handed on, holds a new one."""

    def __init__(self, training: bool) -> None:
        self.trail = Trail(training)
        self.numbers: dict[int, int] = {}
        self.alive: list[Tensor] = []  # ids are good as long as the tensors live
        self.given: list[tuple[Step, Tensor, int]] = []
        self.running: list[Step | None] = []

    def enter(self, module: nn.Module, args: Any, kwargs: Any) -> None:
        """A layer begins; one inside another is none of our business."""
        step = None
        if not self.running:
            step = Step(self._read((args, kwargs)), module)
            given = only_tensor(args, kwargs)
            step.taken = None if given is None else given.shape
            self.trail.calls.setdefault(id(module), []).append(step)
            self._note(step)
        self.running.append(step)

    def leave(self, _: nn.Module, args: Any, output: Any) -> None:
        """A layer ends."""
        step = self.running[-1]
        if step is not None:
            self._give(step, output)
        self.running.pop()

    def call(self, function: Any, args: Any, kwargs: Any) -> Any:
        """A function of torch that forward calls by itself."""
        reads = self._read((args, kwargs))
        step = Step(reads, None, function, args[1:], kwargs)
        with self.inside(step):
            output = function(*args, **kwargs)
        tensors = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
        self.trail.touched.update(map(id, tensors))
        if not any(isinstance(leaf, Tensor) for leaf in tree_leaves(output)) and _name(function) in _LOOKS:
            return output
        self._note(step)
        self._give(step, args[0] if _name(function) == "__setitem__" else output)
        return output

    def see(self, operation: Any, args: Any, kwargs: Any) -> Any:
        """An operation that torch's core runs while no function is known to: its inputs have another reader."""
        step = Step(self._read((args, kwargs)))
        self._note(step)
        with self.inside(step):
            output = operation(*args, **kwargs)
            self._give(step, output)
        return output

    @contextmanager
    def inside(self, step: Step) -> Iterator[None]:
        """While it lasts nothing is noted."""
        self.running.append(step)
        try:
            yield
        finally:
            self.running.pop()

    def close(self, output: Any) -> Trail:
        """The trail of the forward that returned `output`."""
        for step, tensor, version in self.given:
            step.overwritten = _version(tensor) != version
        found = [tensor for _, tensor in tensors_of(output)]
        self.trail.outputs = {self.numbers[id(tensor)] for tensor in found if id(tensor) in self.numbers}
        return self.trail

    def _note(self, step: Step) -> None:
        for number in step.reads:
            self.trail.readers.setdefault(number, []).append(step)

    def _read(self, values: Any) -> tuple[int, ...]:
        tensors = [leaf for leaf in tree_leaves(values) if isinstance(leaf, Tensor)]
        return tuple(dict.fromkeys(self.numbers.get(id(t)) or self._number(t) for t in tensors))

    def _give(self, step: Step, output: Any) -> None:
        numbers = [self._number(leaf) for leaf in tree_leaves(output) if isinstance(leaf, Tensor)]
        if isinstance(output, Tensor):
            step.gives, step.given = numbers[0], output.shape
            self.given.append((step, output, _version(output)))

    def _number(self, tensor: Tensor) -> int:
        self.alive.append(tensor)
        self.numbers[id(tensor)] = len(self.alive)
        return len(self.alive)


class _Functions(TorchFunctionMode):
    def __init__(self, notes: _Notes) -> None:
        super().__init__()
        self.notes = notes

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if self.notes.running:
            return func(*args, **(kwargs or {}))
        return self.notes.call(func, args, kwargs or {})


class _Core(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Sees what functions do not announce, scripted ones for instance."""

    def __init__(self, notes: _Notes) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.notes = notes

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if self.notes.running:
            return func(*args, **(kwargs or {}))
        return self.notes.see(func, args, kwargs or {})


def _name(function: Any) -> str:
    return str(getattr(function, "__name__", ""))


def _version(tensor: Tensor) -> int:
    return 0 if tensor.is_inference() else tensor._version
