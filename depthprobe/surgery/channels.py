"""Which channels hang together, by torch-pruning's dependency graph, and whether they can be cut."""

import copy
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from depthprobe.errors import EditError, GraphError
from depthprobe.graph.example import split_inputs

_LAYERS = (nn.modules.conv._ConvNd, nn.Linear)


@dataclass(frozen=True, kw_only=True)
class Reader:
    """A conv or linear layer that reads the channels. places: (width, S) positions in its input, S of each channel."""

    name: str
    places: torch.Tensor


@dataclass(frozen=True, kw_only=True)
class Channels:
    """Channels that can only be cut together. unit: the first of the weight layers that make them (members); width: how
    many there are; readers: layers that take them as input; reason: why they cannot be cut ("" when they can). root:
    the module from which torch-pruning finds the group.
    """

    unit: str
    members: tuple[str, ...]
    width: int
    readers: tuple[Reader, ...]
    reason: str
    root: str = field(repr=False)


def import_pruning() -> Any:
    """torch_pruning. Raises EditError with what to type where it is not installed."""
    try:
        import torch_pruning
    except ImportError as error:
        raise EditError(
            "channels are removed with torch-pruning, which is not installed",
            expected="the extra `width`",
            hint="pip install 'depthprobe[width]'",
        ) from error
    return torch_pruning


def find_channels(network: nn.Module, example_inputs: Any, tried: Collection[str] | None = None) -> list[Channels]:
    """The groups of channels of `network`, in the order of its modules; it is left as found.

    example_inputs: tensor, tuple or dict with a batch. tried: units whose groups are tried out (None: all): with one
    channel less the network must still run and give outputs of the same shape. Raises GraphError when autograd cannot
    follow the network.
    """
    network = copy.deepcopy(network)
    graph = dependencies(network, example_inputs)
    names = {id(module): name for name, module in network.named_modules()}
    order = {name: rank for rank, name in enumerate(names.values())}
    found = [_channels(graph, group, names, order) for group in graph.get_all_groups()]
    shapes = output_shapes(network, example_inputs)
    asked = [tried is None or not set(tried).isdisjoint(one.members) for one in found]
    judged = [
        _tried(network, one, example_inputs, shapes) if wanted and not one.reason else one
        for one, wanted in zip(found, asked, strict=True)
    ]
    return sorted(judged, key=lambda one: order[one.unit])


def dependencies(network: nn.Module, example_inputs: Any) -> Any:
    """torch-pruning's dependency graph of `network`, whose modes are put back."""
    pruning = import_pruning()
    args, kwargs = split_inputs(example_inputs)
    modes = [(module, module.training) for module in network.modules()]
    frozen = [parameter for parameter in network.parameters() if not parameter.requires_grad]
    try:
        with torch.enable_grad(), torch.random.fork_rng(devices=[]):
            for parameter in frozen:  # autograd is what it follows
                parameter.requires_grad_(True)
            return pruning.DependencyGraph().build_dependency(
                network, (args, kwargs), forward_fn=lambda net, inputs: net(*inputs[0], **inputs[1]), verbose=False
            )
    except (RuntimeError, ValueError, TypeError, AttributeError, KeyError, AssertionError) as error:
        raise GraphError("torch-pruning cannot follow this network", found=str(error)) from error
    finally:
        for parameter in frozen:
            parameter.requires_grad_(False)
        for module, mode in modes:
            module.training = mode


def cut(network: nn.Module, graph: Any, channels: Channels, kept: Sequence[int]) -> None:
    """Remove the other channels from `network`, in place. kept: indices into the channels as they are."""
    dropped = sorted(set(range(channels.width)) - set(kept))
    root = network.get_submodule(channels.root)
    if dropped:
        graph.get_pruning_group(root, graph.get_pruner_of_module(root).prune_out_channels, dropped).prune()


def output_shapes(network: nn.Module, example_inputs: Any) -> list[tuple[int, ...]]:
    """Shapes of all tensors that the network gives in eval mode."""
    from torch.utils._pytree import tree_leaves

    args, kwargs = split_inputs(example_inputs)
    modes = [(module, module.training) for module in network.modules()]
    network.eval()
    try:
        with torch.no_grad(), torch.random.fork_rng(devices=[]):
            outputs = tree_leaves(network(*args, **kwargs))
    finally:
        for module, mode in modes:
            module.training = mode
    return [tuple(value.shape) for value in outputs if isinstance(value, torch.Tensor)]


def _channels(graph: Any, group: Any, names: dict[int, str], order: dict[str, int]) -> Channels:
    root = group[0].dep.target.module
    made, readers, reason = [], [], ""
    for item in group:
        node, module = item.dep.target, item.dep.target.module
        makes = graph.is_out_channel_pruning_fn(item.dep.handler)
        if makes and not node.outputs:
            reason = "it is the model's output"
        if makes and isinstance(module, _LAYERS):
            made.append(names[id(module)])
        elif isinstance(module, _LAYERS):
            readers.append(Reader(name=names[id(module)], places=_places(item)))
        reason = reason or _refusal(graph, module)
    made = sorted(set(made), key=order.__getitem__) or [names[id(root)]]
    width = len(group[0].idxs)
    reason = reason or ("it has one channel" if width < 2 else "")
    return Channels(
        unit=made[0],
        members=tuple(made),
        width=width,
        readers=tuple(reader for reader in readers if len(reader.places) == width),
        reason=reason,
        root=names[id(root)],
    )


def _refusal(graph: Any, module: Any) -> str:
    """Channels that only go in blocks: grouped convolutions, GroupNorm, attention heads, recurrent gates."""
    if isinstance(module, (nn.MultiheadAttention, nn.RNNBase)):
        return f"it is coupled with a {type(module).__name__}"
    depthwise = isinstance(module, nn.modules.conv._ConvNd) and module.groups == module.out_channels
    blocks = max(getattr(module, "groups", 1), getattr(module, "num_groups", 1)) if isinstance(module, nn.Module) else 1
    if blocks > 1 and not depthwise:
        return f"its channels lie in {blocks} groups ({type(module).__name__})"
    return ""


def _places(item: Any) -> torch.Tensor:
    """(width, S) positions in a reader's input, by channel; (0, 0) where channels have different numbers of them."""
    by_channel: dict[int, list[int]] = {}
    for place, channel in zip(item.idxs, item.root_idxs, strict=True):
        by_channel.setdefault(channel, []).append(place)
    rows = [by_channel[channel] for channel in sorted(by_channel)]
    return torch.tensor(rows) if len({len(row) for row in rows}) == 1 else torch.empty(0, 0, dtype=torch.int64)


def _tried(network: nn.Module, one: Channels, example_inputs: Any, shapes: list[tuple[int, ...]]) -> Channels:
    """The same, with a reason when the network does not run with one channel less."""
    trial = copy.deepcopy(network)
    try:
        cut(trial, dependencies(trial, example_inputs), one, range(one.width - 1))
        found = output_shapes(trial, example_inputs)
    except (RuntimeError, ValueError, TypeError, IndexError, AssertionError, GraphError) as error:
        return _refused(one, f"the network does not run with a channel less ({' '.join(str(error).split())[:80]})")
    return one if found == shapes else _refused(one, "its width is that of the output")


def _refused(one: Channels, reason: str) -> Channels:
    fields = {name: getattr(one, name) for name in ("unit", "members", "width", "readers", "root")}
    return Channels(**fields, reason=reason)
