"""Where an interrupted run can go on: the newest sound checkpoint, and whether the networks beside it are sound."""

import hashlib
import json
import logging
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from depthprobe.errors import RunFolderError
from depthprobe.training.checkpoints import checkpoints, read_checkpoint, read_seal, read_unsealed

CONFIG, RECORDS, CHECKPOINTS = "config.json", "records.jsonl", "checkpoints"

_log = logging.getLogger("depthprobe")


def find_checkpoint(path: Path, *, unsealed: bool) -> tuple[int, dict[str, Any]]:
    """Number and payload of the newest sound checkpoint of the run at `path`; a line is logged for one passed over.

    unsealed: whether those without a manifest count, as in the first format. Raises RunFolderError when none is sound.
    """
    problems: list[str] = []
    for number in checkpoints(path / CHECKPOINTS):
        try:
            payload, seal = read_checkpoint(path / CHECKPOINTS, number)
            check_seal(path, seal)
        except ValueError as error:
            problems.append(f"checkpoint {number:08d} is damaged: {error}")
            continue
        for problem in problems:
            _log.warning("%s: %s; going on from the one before", path, problem)
        return number, payload
    for number in checkpoints(path / CHECKPOINTS, sealed=False) if unsealed else []:
        try:
            payload = read_unsealed(path / CHECKPOINTS, number)
            if payload["records"] <= (path / RECORDS).stat().st_size:
                return number, payload
            problems.append(f"{RECORDS} is shorter than checkpoint {number:08d} says")
        except ValueError as error:
            problems.append(f"checkpoint {number:08d} is damaged: {error}")
    raise RunFolderError(
        "no checkpoint of this run is sound", where=str(path), expected="one of two that are as they were written",
        found="; ".join(problems) or "no checkpoint", hint=command_of(path),
    )  # fmt: skip


def seal_of(path: Path, records: int, digest: str) -> dict[str, Any]:
    """What a checkpoint rests on: the configuration, and the records up to here (bytes, SHA-256)."""
    return {"files": {CONFIG: sha256_of(path / CONFIG)}, "records": {"bytes": records, "sha256": digest}}


def check_seal(path: Path, seal: Mapping[str, Any]) -> None:
    """Raise ValueError when the configuration or the records are no longer what they were."""
    try:
        files, size, digest = dict(seal["files"]), int(seal["records"]["bytes"]), seal["records"]["sha256"]
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError("its manifest is damaged") from error
    if sha256_of(path / CONFIG) != files.get(CONFIG):
        raise ValueError(f"{CONFIG} is not what it was when the run began")
    content = (path / RECORDS).read_bytes()[:size] if (path / RECORDS).exists() else b""
    if len(content) != size or hashlib.sha256(content).hexdigest() != digest:
        raise ValueError(f"{RECORDS} is not what was written")


def check_config(path: Path) -> None:
    """Raise RunFolderError when the configuration is not that of any checkpoint, before anything is made from it."""
    known: list[Any] = []
    for number in checkpoints(path / CHECKPOINTS):
        try:
            known.append(read_seal(path / CHECKPOINTS, number)["files"][CONFIG])
        except (ValueError, KeyError, TypeError):
            continue
    if known and sha256_of(path / CONFIG) not in known:
        raise RunFolderError(
            f"{CONFIG} is not what it was when the run began", where=str(path), expected=f"sha256 {str(known[0])[:12]}",
            found=f"sha256 {str(sha256_of(path / CONFIG))[:12]}", hint=f"put it back, or: {command_of(path)}",
        )  # fmt: skip


def before_damage(path: Path, kept: Mapping[str, Mapping[str, Any]]) -> dict[str, Any] | None:
    """Where the first arm of which a kept network is missing or damaged began; None when all of them are sound."""
    lost = {name: row for name, row in kept.items() if sha256_of(path / name) != row["sha256"]}
    if not lost:
        return None
    _log.warning("%s is damaged; training again what made it", path / min(lost))
    return dict(min((row["begun"] for row in lost.values()), key=lambda begun: int(begun["arm"])))


def sha256_of(path: Path) -> str | None:
    """Hex digest of a file; None when it cannot be read."""
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError:
        return None


def command_of(path: Path) -> str:
    """What to type to start the run at `path` again: the command that made it, without its --out."""
    try:
        words = [str(word) for word in json.loads((path / "environment.json").read_text("utf-8"))["command_line"]]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return "start a new run"
    return shlex.join(w for at, w in enumerate(words) if not {"--out", "-o"} & {w, *words[max(0, at - 1) : at]})
