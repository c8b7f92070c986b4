"""The outline of the network that a run asks about: what a report draws it from."""

from typing import Any

from torch import Tensor, nn

from depthprobe.errors import GraphError
from depthprobe.graph import find_units, trace


def outline(network: nn.Module, example: Tensor) -> list[dict[str, Any]]:
    """One row per unit in order of the data flow: name, kind, layers (in words), in_shape and out_shape (of the stream,
    without the batch), params. Empty where the network cannot be traced.

    example: (B, ...) inputs. The network is left as found.
    """
    try:
        units = find_units(trace(network, example))
    except GraphError:
        return []
    return [
        {
            "name": unit.name,
            "kind": unit.kind,
            "layers": unit.layers,
            "in_shape": list(unit.in_shape),
            "out_shape": list(unit.out_shape),
            "params": unit.params,
        }
        for unit in units
    ]
