"""The method's layers: DropIn, Resize, Gate; thin modules over `depthprobe.ops`."""

from depthprobe.layers.dropin import DropIn
from depthprobe.layers.gate import Gate, GateChain
from depthprobe.layers.resize import Resize

__all__ = ["DropIn", "Gate", "GateChain", "Resize"]
