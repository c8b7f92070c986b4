"""What becomes of one unit: the one record that planning writes and building reads."""

from dataclasses import dataclass, field

from torch import nn

from depthprobe.graph.blocks import Block
from depthprobe.graph.units import Unit
from depthprobe.layers.gate import Gate
from depthprobe.layers.resize import Resize


@dataclass
class UnitPlan:
    """What becomes of one unit: kept as it is, wrapped by `gate`, or left out with `bypass`; then its copies.

    block: of a unit that is one module. fresh: what it returns is overwritten later, a bypass must copy. copies: (name,
    module) in order of the data flow; a module is a Gate, or a plain one once settled.
    """

    unit: Unit
    block: Block | None = None
    gate: Gate | None = None
    removed: bool = False
    bypass: Resize | None = None
    fresh: bool = False
    copies: list[tuple[str, nn.Module]] = field(default_factory=list)

    @property
    def idle(self) -> bool:
        """Whether nothing becomes of the unit."""
        return self.gate is None and not self.removed and not self.copies
