"""Where, not only how many: the copies of one stage, or of one site, alone in the network (`--by stage|site`)."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from depthprobe.analysis.places import PlaceValue
from depthprobe.analysis.scores import SeedScores
from depthprobe.analysis.units import Units
from depthprobe.errors import ConfigError
from depthprobe.graph.units import Unit
from depthprobe.schedules import Schedule, StairLengths, close_gates
from depthprobe.surgery import Duplicate

_LAYERS = ("conv", "linear")  # kinds of units that are no block


@dataclass(frozen=True, kw_only=True)
class Place:
    """A site, or a stage: neighbouring sites of one kind whose outputs have the same shape. gates: of its copies.

    name: of the module that holds the stage and no other (layer1), else of the first and the last unit.
    """

    name: str
    units: tuple[str, ...]
    gates: tuple[str, ...]


def stage_sites(sites: Sequence[Unit]) -> list[Unit]:
    """The sites that stages are made of: the blocks where there are any, since residual stages grow by whole blocks."""
    return [site for site in sites if site.kind not in _LAYERS] or list(sites)


def find_places(
    by: str | None, edits: Sequence[Duplicate], gates: Sequence[str], units: Sequence[Unit]
) -> tuple[Place, ...]:
    """The places of a plan, in order of the data flow; none when `by` is None.

    by: "stage" or "site". Raises ConfigError when there is one place only: nothing to compare.
    """
    if by is None:
        return ()
    alike = {unit.name: (unit.kind, unit.out_shape) for unit in units}
    groups: list[list[Duplicate]] = []
    for edit in edits:
        if by == "stage" and groups and alike[groups[-1][-1].unit] == alike[edit.unit]:
            groups[-1].append(edit)
        else:
            groups.append([edit])
    if len(groups) < 2:
        raise ConfigError(
            f"one {by} only: there is nothing to compare",
            where="--by",
            expected="sites of different output shapes" if by == "stage" else "several sites",
            found=", ".join(edit.unit for edit in edits),
            hint="--by site" if by == "stage" and len(edits) > 1 else "leave --by out",
        )
    places, begin = [], 0
    everyone = [edit.unit for edit in edits]
    for group in groups:
        end = begin + sum(edit.copies for edit in group)
        names = tuple(edit.unit for edit in group)
        places.append(Place(name=_name_of(names, everyone), units=names, gates=tuple(gates[begin:end])))
        begin = end
    return tuple(places)


def _name_of(names: Sequence[str], everyone: Sequence[str]) -> str:
    if len(names) == 1:
        return names[0]
    holders = [name.rpartition(".")[0] for name in names]
    inside = [name for name in everyone if name.startswith(f"{holders[0]}.")]
    own = bool(holders[0]) and len(set(holders)) == 1 and inside == list(names)
    return holders[0] if own else f"{names[0]} to {names[-1]}"


def leave_alone(
    place: Place, gates: Sequence[str], closing: Sequence[str], start: int, lengths: StairLengths
) -> Schedule:
    """From step `start`, with all `gates` open, close those of the other places in the order `closing`, then hold."""
    leaving = [gate for gate in closing if gate not in place.gates]
    return close_gates(gates, leaving, start, lengths)


def read_places(
    records: Sequence[Mapping[str, Any]], places: Sequence[Place], scores: Sequence[SeedScores], unpack: Any
) -> list[SeedScores]:
    """What `value_places` takes: the network without copies, then each place alone, of every seed of `scores` in which
    no place failed.

    unpack: record -> scores of its examples.
    """
    read = []
    for one in scores:
        mine = {r["place"]: r for r in records if r.get("walk") == "alone" and r["seed"] == one.seed}
        if len(mine) < len(places):
            continue
        table = [one.candidates[0], *(unpack(mine[place.name]) for place in places)]
        read.append(SeedScores(seed=one.seed, candidates=np.stack(table), control=one.control, examples=one.examples))
    return read


def places_json(places: Sequence[Place], values: Sequence[PlaceValue]) -> list[dict[str, Any]]:
    """The `places` part of a recommendation."""
    return [
        {
            "place": place.name,
            "units": list(place.units),
            "copies": len(place.gates),
            **asdict(value.estimate),
            "gain": asdict(value.gain),
            "gain_over_control": asdict(value.gain_over_control),
            "pays": value.pays,
        }
        for place, value in zip(places, values, strict=True)
    ]


def say_places(rows: Sequence[Mapping[str, Any]], units: Units) -> list[str]:
    """What the sentence ends with: which places profit from copies of their own, which do not."""
    parts = []
    for pays, words in (("yes", "copies pay at"), ("no", "not at"), ("unclear", "unclear at")):
        named = [f"{row['place']} ({units.signed(row['gain']['value'])})" for row in rows if row["pays"] == pays]
        parts += [f"{words} {', '.join(named)}"] if named else []
    text = ", ".join(parts)
    return [
        "alone, " + text.replace("not at", "copies do not pay at", 1) if text.startswith("not") else "alone, " + text
    ]
