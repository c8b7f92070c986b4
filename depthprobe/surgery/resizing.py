"""A Resize written out in plain torch calls, for graphs in which nothing of ours stays behind."""

from typing import Any

import torch
from torch import fx, nn

from depthprobe.layers.resize import Resize


def resize_nodes(
    graph: fx.Graph, attributes: dict[str, Any], name: str, value: fx.Node, here: tuple[int, ...], bypass: Resize
) -> fx.Node:
    """A Resize in plain torch calls: nothing of ours stays behind. name: of the channel choice, if there is one."""
    target = bypass.shape
    if here[1:] != target[1:]:
        value = _spatial(graph, value, here[1:], target[1:])
    if here[0] > target[0]:
        return graph.call_function(torch.narrow, (value, 1, 0, target[0]))
    if here[0] < target[0]:
        index = torch.cat((torch.arange(here[0]), bypass.choice.cpu()[here[0] :] % here[0]))
        attributes[name] = index.to(bypass.choice.device)
        value = graph.call_function(torch.index_select, (value, 1, graph.get_attr(name)))
    return value


def _spatial(graph: fx.Graph, value: fx.Node, here: tuple[int, ...], target: tuple[int, ...]) -> fx.Node:
    interpolate = nn.functional.interpolate
    down = tuple(min(a, b) for a, b in zip(here, target, strict=True))
    if down != here:
        value = graph.call_function(interpolate, (value,), {"size": down, "mode": "area"})
    if down != target:
        mode = {1: "linear", 2: "bicubic", 3: "trilinear"}[len(here)]
        value = graph.call_function(interpolate, (value,), {"size": target, "mode": mode, "align_corners": False})
    return value
