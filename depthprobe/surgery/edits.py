"""Edits: one frozen, JSON-able record per change of a network; a list of them is a recipe."""

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from depthprobe.errors import EditError

RECIPE_SCHEMA = 1
_MODES = ("prefix", "bernoulli", "blend")
_GRANULARITIES = ("sample", "channel", "activation")
INITS = ("default", "copy", "identity", "xavier", "he", "gaussian:STD")


@dataclass(frozen=True, kw_only=True)
class Edit:
    """Base of all edits. unit: the module path of the unit that is changed."""

    unit: str

    def __post_init__(self) -> None:
        for name, allowed in (("mode", _MODES), ("granularity", _GRANULARITIES)):
            value = getattr(self, name, allowed[0])
            if value not in allowed:
                raise EditError(f"{name} {value!r} is not known", where=str(self), expected=" | ".join(allowed))
        ratio = getattr(self, "ratio", 0.0)
        if not isinstance(ratio, (int, float)) or not 0.0 <= ratio <= 1.0:
            raise EditError("ratio out of range", where=self.unit, expected="0..1", found=repr(ratio))


@dataclass(frozen=True, kw_only=True)
class Duplicate(Edit):
    """Insert `copies` gated copies right after the unit: out -> out channels, stride 1, same padding.

    kernel: their kernel size (None: the unit's own). init: default | copy | identity | xavier | he |
    gaussian:STD. ratio: where their gates start (0: skipped). max_scale: cap of the Bernoulli path scales (None: off).
    """

    copies: int = 1
    kernel: int | None = None
    init: str = "default"
    mode: str = "prefix"
    granularity: str = "sample"
    ratio: float = 0.0
    max_scale: float | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if not isinstance(self.copies, int) or self.copies < 1:
            raise EditError("copies out of range", where=self.unit, expected="at least 1", found=repr(self.copies))
        if self.kernel is not None and (not isinstance(self.kernel, int) or self.kernel < 1):
            raise EditError("kernel out of range", where=self.unit, expected="at least 1", found=repr(self.kernel))
        if self.init not in INITS[:-1] and not _is_gaussian(self.init):
            raise EditError(f"init {self.init!r} is not known", where=self.unit, expected=" | ".join(INITS))
        scale = self.max_scale
        if scale is not None and not (isinstance(scale, (int, float)) and math.isfinite(scale) and scale >= 1.0):
            raise EditError("max_scale out of range", where=self.unit, expected="at least 1", found=repr(scale))


def _is_gaussian(init: object) -> bool:
    """Whether `init` reads gaussian:STD with a finite STD above zero."""
    if not isinstance(init, str) or not init.startswith("gaussian:"):
        return False
    try:
        std = float(init.removeprefix("gaussian:"))
    except ValueError:
        return False
    return math.isfinite(std) and std > 0.0


@dataclass(frozen=True, kw_only=True)
class Gate(Edit):
    """Put a gate around the unit itself, with a Resize in the bypass where shapes differ; starts fully in."""

    mode: str = "prefix"
    granularity: str = "sample"
    ratio: float = 1.0


@dataclass(frozen=True, kw_only=True)
class Remove(Edit):
    """Take the unit (or one copy, by its name) out; a Resize takes its place where shapes differ."""


@dataclass(frozen=True, kw_only=True)
class Narrow(Edit):
    """Cut channels of the unit, and of all that is coupled with it (what it is added to, what reads it), for good.

    keep: a whole number is how many channels stay; a fraction above 0, up to 1.0, is their share, rounded up. Which
    ones stay is chosen on the weights it finds and the activations of the example inputs.
    """

    keep: float | int = 0.5

    def __post_init__(self) -> None:
        super().__post_init__()
        number = isinstance(self.keep, (int, float)) and not isinstance(self.keep, bool)
        if not number or not (self.keep >= 1 if isinstance(self.keep, int) else 0.0 < self.keep <= 1.0):
            raise EditError(
                "keep out of range",
                where=self.unit,
                expected="a share in 0..1 such as 0.5, or a whole number of channels",
                found=repr(self.keep),
            )

    def width(self, now: int) -> int:
        """Channels that stay of `now`."""
        return min(now, self.keep) if isinstance(self.keep, int) else max(1, math.ceil(self.keep * now - 1e-9))


_KINDS: dict[str, type[Edit]] = {"duplicate": Duplicate, "gate": Gate, "remove": Remove, "narrow": Narrow}


def recipe_to_json(edits: Iterable[Edit]) -> str:
    """The recipe as JSON text; equal edits give equal text."""
    names = {kind: name for name, kind in _KINDS.items()}
    rows = [{"kind": names[type(edit)], **asdict(edit)} for edit in edits]
    return json.dumps({"schema": RECIPE_SCHEMA, "edits": rows}, indent=2) + "\n"


def recipe_from_json(text: str) -> list[Edit]:
    """The edits of a recipe text. Raises EditError on anything that is not one."""
    try:
        document = json.loads(text)
    except (ValueError, TypeError, RecursionError) as error:
        raise EditError("the recipe is not JSON", found=str(error)) from error
    if not isinstance(document, Mapping) or document.get("schema") != RECIPE_SCHEMA:
        found = document.get("schema") if isinstance(document, Mapping) else type(document).__name__
        raise EditError("unknown recipe format", expected=f"schema {RECIPE_SCHEMA}", found=repr(found))
    rows = document.get("edits")
    if not isinstance(rows, list):
        raise EditError("unknown recipe format", expected="a list of edits", found=repr(rows))
    return [_edit(row) for row in rows]


def _edit(row: Any) -> Edit:
    kind = _KINDS.get(str(row.get("kind"))) if isinstance(row, Mapping) else None
    if kind is None:
        raise EditError("unknown edit in the recipe", expected=" | ".join(_KINDS), found=repr(row))
    values = {name: value for name, value in row.items() if name != "kind"}
    unknown = set(values) - {field.name for field in fields(kind)}
    if unknown or "unit" not in values:
        raise EditError("malformed edit in the recipe", where=repr(row), found=", ".join(sorted(unknown)) or "no unit")
    return kind(**values)
