"""Run: a weight layer with the layers that serve it, where there is no graph to say so."""

from collections.abc import Mapping
from dataclasses import dataclass

from torch import nn

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Place:
    """A module in its place: the path of its holder, its name in it, the module itself."""

    holder: str
    name: str
    module: nn.Module

    @classmethod
    def of(cls, path: str, module: nn.Module) -> "Place":
        """The place at a module path."""
        holder, _, name = path.rpartition(".")
        return cls(holder, name, module)

    @property
    def path(self) -> str:
        """The module path."""
        return f"{self.holder}.{self.name}" if self.holder else self.name


@dataclass(frozen=True)
class Run:
    """A weight layer with the layers that serve it. name: of the weight layer; layers, roles: in order of the data
    flow, a function that forward calls as the module it stands for.

    places: of the layers that are this run's alone; in a Sequential, of all. loose: forward calls them one by one. Of
    a loose run, `head` places come before anything else, and the last `tail` layers are forward's own. in_shape,
    out_shape: of the places, without the batch. reason: why nothing can be done with it ("" when it can). overwritten:
    what it returns is changed in place later. begun: when it is called, on the clock of the recorded forward.
    """

    name: str
    layers: tuple[nn.Module, ...]
    roles: tuple[str, ...]
    places: tuple[Place, ...]
    in_shape: Shape
    out_shape: Shape
    reason: str
    overwritten: bool
    begun: int
    loose: bool = False
    head: int = 0
    tail: int = 0

    @property
    def gated(self) -> tuple[Place, ...]:
        """What a gate around the run can take in, and leave out: a function in between stays where it is."""
        return self.places[: self.head] if self.loose else self.places


@dataclass(frozen=True)
class Runs:
    """found: by name, in order of their calls. begun: name of a block -> when it is called, on the same clock."""

    found: Mapping[str, Run]
    begun: Mapping[str, int]


NO_RUNS = Runs({}, {})
