"""Networks made narrower: channels are removed for good, so that what is measured is what is handed over."""

import copy
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from torch import Tensor, nn

from depthprobe.errors import EditError
from depthprobe.surgery.channels import Channels, cut, dependencies, find_channels
from depthprobe.surgery.choosing import choose_channels, measure_moments
from depthprobe.surgery.edits import Edit, Narrow

Chooser = Callable[[Channels, int], Sequence[int]]


@dataclass(frozen=True, eq=False, kw_only=True)
class Narrowed:
    """network: the narrower one; kept: unit -> channels of the old network that stayed."""

    network: nn.Module
    kept: Mapping[str, tuple[int, ...]]


def narrow(model: nn.Module, edits: Iterable[Narrow], example_inputs: Any) -> nn.Module:
    """A narrower copy of `model`, plain and of the same class; the model is left as found.

    example_inputs: tensor, tuple or dict with a batch; which channels stay is chosen on their activations, so many and
    typical ones choose best. How many stay does not depend on them. Raises EditError for a unit that cannot be cut.
    """
    recipe, widths = list(edits), dict[str, int]()
    groups = find_channels(model, _two(example_inputs), [edit.unit for edit in recipe])
    for edit in recipe:
        group = pick(groups, edit.unit)
        widths[group.unit] = edit.width(widths.get(group.unit, group.width))
    return cut_to(model, groups, widths, example_inputs).network


def pick(groups: Sequence[Channels], unit: str) -> Channels:
    """The group that `unit` belongs to. Raises EditError when there is none that can be cut."""
    group = next((one for one in groups if unit in one.members), None)
    if group is None or group.reason:
        raise EditError(
            f"unit {unit!r} cannot be narrowed" if group else f"there is no unit {unit!r} with channels",
            where="Narrow",
            expected=", ".join(one.unit for one in groups if not one.reason) or "a unit whose width is its own",
            found=group.reason if group else None,
        )
    return group


def cut_to(
    network: nn.Module,
    groups: Sequence[Channels],
    widths: Mapping[str, int],
    inputs: Any,
    choose: Chooser | None = None,
) -> Narrowed:
    """A copy of `network` with so many channels left in the units named in `widths`; the network is left as found.

    groups: of `find_channels` for this network; inputs: what channels are chosen on, typical and on its device. choose:
    another choice, without handing over what the others carried.
    """
    asked = [group for group in groups if widths.get(group.unit, group.width) < group.width]
    narrower = copy.deepcopy(network)
    kept = {group.unit: tuple(range(group.width)) for group in groups}
    moments = measure_moments(narrower, asked, inputs) if choose is None else {}
    graph = dependencies(narrower, _two(inputs))
    for group in asked:
        if choose is None:
            chosen = choose_channels(narrower, group, moments, widths[group.unit])
            for name, weight in chosen.weights.items():
                narrower.get_submodule(name).get_parameter("weight").data.copy_(weight)
            kept[group.unit] = chosen.kept
        else:
            kept[group.unit] = tuple(sorted(choose(group, widths[group.unit])))
        cut(narrower, graph, group, kept[group.unit])
    for (_, parameter), old in zip(narrower.named_parameters(), network.parameters(), strict=True):
        parameter.grad = None
        parameter.requires_grad_(old.requires_grad)
    return Narrowed(network=narrower, kept=kept)


def _two(inputs: Any) -> Any:
    """Enough examples to follow the network."""
    return inputs[:2] if isinstance(inputs, Tensor) else inputs


def split_recipe(recipe: Sequence[Edit]) -> tuple[list[list[Edit]], tuple[Edit, ...]]:
    """(stretches of edits up to the last Narrow, each only Narrows or none; the edits after it)."""
    last = max((rank + 1 for rank, edit in enumerate(recipe) if isinstance(edit, Narrow)), default=0)
    stretches = [list(stretch) for _, stretch in groupby(recipe[:last], lambda edit: isinstance(edit, Narrow))]
    return stretches, tuple(recipe[last:])
