"""What all settings share: JSON both ways, and checks whose errors name the option."""

import dataclasses
import math
import operator
from collections.abc import Mapping
from typing import Any, Self

from depthprobe.errors import ConfigError

_NO_FLAG = ("momentum", "confidence", "overlap")


class Settings:
    """JSON both ways; unknown keys are an error that names the close ones."""

    def to_json(self) -> dict[str, Any]:
        """Plain values only."""
        return dataclasses.asdict(self)  # type: ignore[call-overload, no-any-return]

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Self:
        """Raises ConfigError on an unknown key or a value out of range."""
        known = {field.name for field in dataclasses.fields(cls)}  # type: ignore[arg-type]
        for key in document:
            if key not in known:
                raise unknown_key(key, known)
        return cls(**{k: tuple(v) if isinstance(v, list) else v for k, v in document.items()})


def unknown_key(key: str, known: set[str]) -> ConfigError:
    """The error for a setting that does not exist."""
    import difflib

    close = difflib.get_close_matches(key, known, n=1)
    return ConfigError(
        f"unknown config key {key!r}",
        expected=", ".join(sorted(known)),
        hint=f"did you mean {close[0]!r}?" if close else None,
    )


def check_choice(name: str, value: Any, allowed: tuple[str, ...]) -> None:
    """Raise ConfigError unless `value` is one of `allowed`."""
    if value not in allowed:
        raise ConfigError(f"{name} {value!r} is not known", expected=" | ".join(allowed))


def check_number(
    name: str,
    value: Any,
    *,
    at_least: float | None = None,
    at_most: float | None = None,
    above: float | None = None,
    below: float | None = None,
    whole: bool = False,
) -> None:
    """Raise ConfigError, naming the option, unless `value` is a finite number within the bounds."""
    bounds = [
        (at_least, "at least", operator.ge),
        (at_most, "at most", operator.le),
        (above, "above", operator.gt),
        (below, "below", operator.lt),
    ]
    right = isinstance(value, int if whole else (int, float)) and not isinstance(value, bool) and math.isfinite(value)
    if not right or not all(bound is None or holds(value, bound) for bound, _, holds in bounds):
        wanted = " and ".join(f"{word} {bound:g}" for bound, word, _ in bounds if bound is not None)
        raise ConfigError(
            f"{name.replace('_', '-')} is out of range",
            where=f"setting {name}" if name in _NO_FLAG or name.endswith("_share") else f"--{name.replace('_', '-')}",
            expected=("a whole number " if whole else "a number ") + wanted,
            found=repr(value),
        )


def check_optional(name: str, value: Any, **bounds: Any) -> None:
    """`check_number`, unless `value` is None."""
    if value is not None:
        check_number(name, value, **bounds)
