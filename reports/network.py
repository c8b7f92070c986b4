"""The network before and after the advice: what a drawing shows, in order of the data flow."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

from depthprobe.reports.boxes import Box, fold
from depthprobe.reports.reading import Run

SHOWN = 14  # boxes that stand side by side before neighbours share one
NAMED = 6  # changes that are named in the sentence
CHANGES = {"added": "added", "removed": "removed", "narrowed": "narrower"}


@dataclass(frozen=True, kw_only=True)
class Network:
    """boxes: in order of the data flow; widest: channels of the widest; summary: the drawing in a sentence."""

    boxes: tuple[Box, ...]
    widest: int
    summary: str

    @property
    def before(self) -> tuple[Box, ...]:
        """Those of the network as it is."""
        return tuple(box for box in self.boxes if box.before)

    @property
    def changed(self) -> bool:
        """Whether the advice changes anything."""
        return any(box.change for box in self.boxes)


def view_network(run: Run) -> Network | None:
    """The drawing of a run; None where its folder does not say the units, as older ones do not."""
    boxes = _of_width(run) if run.command == "width" else _of_depth(run)
    if not boxes:
        return None
    widest = max(max(box.before, box.after) for box in boxes)
    noun = "layers" if run.command == "width" else "units"
    return Network(boxes=fold(boxes, SHOWN), widest=widest, summary=_summary(boxes, noun))


def _of_depth(run: Run) -> list[Box]:
    """Units of the base network, copies behind theirs, removed ones at their place."""
    copies = {str(row["after"]): int(row["copies"]) for row in run.recommendation["add"]}
    gone = set(map(str, run.recommendation["remove"]))
    boxes = []
    for unit in run.config.get("units") or ():
        name, kind, width = str(unit["name"]), str(unit["kind"]), channels(unit["out_shape"])
        boxes.append(Box(name=name, kind=kind, before=width, after=0 if name in gone else width))
        copy = Box(name=f"copy of {name}", kind=kind, before=0, after=width)
        boxes += [copy] * copies.get(name, 0)
    return boxes


def _of_width(run: Run) -> list[Box]:
    """Every layer whose channels were looked at, and those that stay, in order of the units that hold them."""
    part, layers = run.recommendation["width"], []
    kinds = {str(unit["name"]): str(unit["kind"]) for unit in run.config.get("units") or ()}
    for row in part["units"]:
        widths = int(row["current"]), int(row["recommended"] or row["current"])
        layers += [(str(name), *widths) for name in row["members"]]
    layers += [(str(row["name"]), int(row["current"]), int(row["current"])) for row in part["fixed"]]
    ordered = sorted(layers, key=lambda layer: _place(layer[0], list(kinds)))
    return [
        Box(name=name, kind=kinds.get(name, "layer"), before=before, after=after) for name, before, after in ordered
    ]


def _place(name: str, units: Sequence[str]) -> int:
    """Rank of the unit that is or holds the layer; behind all of them where there is none."""
    return next((i for i, unit in enumerate(units) if name == unit or name.startswith(f"{unit}.")), len(units))


def channels(shape: Sequence[int]) -> int:
    """Width of an output: channels of an image (C, H, W), features of a vector (F) or of tokens (T, D)."""
    if not shape:
        return 1
    return int(shape[0]) if len(shape) in (3, 4) else int(shape[-1])


def _summary(boxes: Sequence[Box], noun: str) -> str:
    parts = [f"{sum(box.before > 0 for box in boxes)} {noun} now"]
    for change, word in CHANGES.items():
        names = _names([box for box in boxes if box.change == change])
        if names:
            more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
            parts.append(f"{word}: {', '.join(names[:NAMED])}{more}")
    return "; ".join(parts if len(parts) > 1 else [*parts, "nothing changes"]) + "."


def _names(boxes: Sequence[Box]) -> list[str]:
    """Names, equal ones counted, with both widths of those that become narrower."""
    names = []
    for name, group in groupby(boxes, key=lambda box: box.name):
        found = list(group)
        widths = f" ({found[0].width} channels)" if found[0].change == "narrowed" else ""
        names.append(f"{len(found)} x {name}" if len(found) > 1 else f"{name}{widths}")
    return names
