"""Models as graphs: tracing, units and sites, costs."""

from depthprobe.graph.trace import Traced, trace
from depthprobe.graph.units import Unit, find_units, units

__all__ = ["Traced", "Unit", "find_units", "trace", "units"]
