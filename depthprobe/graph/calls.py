"""Every call of every module in one forward: when, with which tensor, returning which one."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import torch
from torch import Tensor, nn

from depthprobe.graph.example import Example, evaluating, resize_batch
from depthprobe.graph.purity import tensors_of


@dataclass
class Call:
    """One call. begun, ended: on the clock of the forward. taken, given: shapes of the one tensor that it takes and of
    the one that it returns, None for anything else. overwritten: what it returned was changed in place later;
    is_output: that is what the model returns.
    """

    begun: int
    ended: int = -1
    taken: torch.Size | None = None
    given: torch.Size | None = None
    overwritten: bool = False
    is_output: bool = False


@dataclass
class Recording:
    """The calls of one forward, by the module's id."""

    calls: dict[int, list[Call]] = field(default_factory=dict)

    def of(self, module: nn.Module) -> list[Call]:
        """The calls of `module`, in order; none when it was not called."""
        return self.calls.get(id(module), [])


def record_calls(model: nn.Module, example: Example, size: int, watched: Iterable[nn.Module]) -> Recording:
    """One forward in eval mode at batch size `size`. The model is left as found. Raises whatever forward raises."""
    recording, returned = Recording(), list[tuple[Call, Tensor, int]]()
    args, kwargs = resize_batch(example[0], size), resize_batch(example[1], size)
    with evaluating(model):
        with _watching(watched, recording, returned):
            output = model(*args, **kwargs)
        outputs = {id(tensor) for _, tensor in tensors_of(output)}
        for call, tensor, version in returned:
            call.overwritten = _version(tensor) != version
            call.is_output = id(tensor) in outputs
    return recording


@contextmanager
def _watching(
    watched: Iterable[nn.Module], recording: Recording, returned: list[tuple[Call, Tensor, int]]
) -> Iterator[None]:
    clock, running = count(), list[Call]()

    def before(module: nn.Module, args: Any, kwargs: Any) -> None:
        given = only_tensor(args, kwargs)
        running.append(Call(next(clock), taken=None if given is None else given.shape))
        recording.calls.setdefault(id(module), []).append(running[-1])

    def after(_: nn.Module, args: Any, output: Any) -> None:
        call = running.pop()
        call.ended = next(clock)
        if isinstance(output, Tensor):
            call.given = output.shape
            returned.append((call, output, _version(output)))

    with ExitStack() as stack:
        for module in watched:
            stack.callback(module.register_forward_pre_hook(before, with_kwargs=True).remove)
            stack.callback(module.register_forward_hook(after, always_call=True).remove)
        yield


def only_tensor(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Tensor | None:
    """The one tensor that a layer is called with, by position or as `input`, torch's name for it; None for others."""
    given = [*args, *(kwargs[name] for name in kwargs if name == "input")]
    return given[0] if len(given) == len(args) + len(kwargs) == 1 and isinstance(given[0], Tensor) else None


def _version(tensor: Tensor) -> int:
    return 0 if tensor.is_inference() else tensor._version
