"""The run folder: atomic writes, schema versions, one process at a time, resume."""

import contextlib
import datetime
import glob
import hashlib
import json
import os
import secrets
import shlex
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, Self

from depthprobe.errors import DepthprobeError, RunFolderError
from depthprobe.locking import FolderLock, is_held, lock_run
from depthprobe.recovery import (
    CHECKPOINTS,
    CONFIG,
    RECORDS,
    before_damage,
    check_config,
    command_of,
    find_checkpoint,
    seal_of,
)
from depthprobe.training.checkpoints import remove_after, save_checkpoint
from depthprobe.training.writing import PARTIAL, read_torch, sync_folder, write_text, write_torch

RUN_SCHEMA = 2  # 1: checkpoints without a manifest
READABLE = (1, 2)


class RunFolder:
    """One run on disk: config.json, environment.json, records.jsonl, checkpoints/, and at the end the answer.

    `records.jsonl` is append-only; a checkpoint stores its length, and resuming cuts it back to that. size: its
    bytes so far; kept: the networks saved beside the checkpoints, by file name, with their SHA-256 and the beginning of
    the arm that made them.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.kept: dict[str, dict[str, Any]] = {}
        self._records: IO[bytes] | None = None
        self.size, self._digest = 0, hashlib.sha256()  # of the records so far
        self._lock: FolderLock | None = None

    @classmethod
    def create(cls, out: Path | None, command: str, config: dict[str, Any], environment: dict[str, Any]) -> "RunFolder":
        """A new run folder, staged beside its place and renamed into it: it appears once it is resumable, and locked.

        out: the folder itself, which must not exist (None: runs/<command>-<time>-<id>).
        """
        path = Path(out) if out is not None else _default_path(command)
        check_out(path)
        staged = path.with_name(f".{path.name}.{secrets.token_hex(4)}{PARTIAL}")
        folder = cls(staged)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            _remove_stale_stages(path)
            (staged / CHECKPOINTS).mkdir(parents=True)
            folder._lock = FolderLock(staged / CHECKPOINTS)
            write_text(staged / CONFIG, to_text({"schema": RUN_SCHEMA, "command": command, **config}))
            write_text(staged / "environment.json", to_text(environment))
            write_text(staged / RECORDS, "")
            folder.save({"arm": 0, "learner": None, "seconds": 0.0})
            staged.rename(path)
        except BaseException as error:
            folder.close()
            shutil.rmtree(staged, ignore_errors=True)
            cause = error.__cause__ if isinstance(error, DepthprobeError) else error
            if isinstance(cause, OSError):
                check_out(path)  # another process may have been faster
                raise _unwritable(path, cause) from error
            raise
        folder.path = path
        with contextlib.suppress(OSError):  # the run is there, only its name might not outlive a loss of power
            sync_folder(path.parent)
        return folder

    @classmethod
    def open(cls, path: Path, *, write: bool = False) -> "RunFolder":
        """An existing run folder. Raises RunFolderError when it is none, of another schema, or (write) in use."""
        folder = cls(Path(path))
        config = folder.read_json(CONFIG) if (folder.path / CONFIG).exists() else None
        if config is None or "schema" not in config:
            raise RunFolderError(
                f"{path} is not a run folder",
                expected="a folder with config.json, as grow and train make them",
                found="no such folder" if not Path(path).is_dir() else "no config.json",
                hint="ls runs/",
            )
        check_schema(config["schema"], path)
        if write:
            folder._lock = lock_run(folder.path)
            folder._sweep()
            folder._measure((folder.path / RECORDS).read_bytes() if (folder.path / RECORDS).exists() else b"")
        return folder

    @property
    def config(self) -> dict[str, Any]:
        """What was asked for, resolved."""
        return self.read_json(CONFIG)

    def check_config(self) -> None:
        """Raise RunFolderError when config.json is not what the checkpoints were made with."""
        check_config(self.path)

    @property
    def finished(self) -> bool:
        """Whether the answer is written; it is the last file of a run."""
        return (self.path / "recommendation.json").exists() or (self.path / "summary.json").exists()

    def append(self, record: dict[str, Any]) -> None:
        """Append one record to records.jsonl, whole or not at all."""
        line = json.dumps(record, separators=(",", ":")).encode() + b"\n"
        with self._writing(RECORDS):
            if self._records is None:
                self._records = (self.path / RECORDS).open("ab", buffering=0)
            begin = (self.path / RECORDS).stat().st_size
            try:
                written = self._records.write(line)
                while written < len(line):  # a full disk takes a part first, and refuses the rest
                    written += self._records.write(line[written:])
            except BaseException:
                os.truncate(self.path / RECORDS, begin)
                raise
        self._digest.update(line)
        self.size += len(line)

    def records(self) -> Iterator[dict[str, Any]]:
        """All whole records; a torn last line is left out. Raises RunFolderError for a line that is none."""
        with (self.path / RECORDS).open("rb") as file:
            for number, line in enumerate(file, 1):
                if line.endswith(b"\n"):
                    try:
                        yield dict(json.loads(line))
                    except (ValueError, TypeError, RecursionError) as error:
                        raise self._damaged(f"{RECORDS}, line {number},", str(error)) from error

    def save(self, payload: dict[str, Any]) -> None:
        """The next checkpoint; the records up to here are on disk before it."""
        with self._writing(CHECKPOINTS):
            if self._records is not None:
                os.fsync(self._records.fileno())
            seal = {"schema": RUN_SCHEMA, **seal_of(self.path, self.size, self._digest.hexdigest())}
            whole = {**payload, "records": self.size, "kept": self.kept}
            save_checkpoint(self.path / CHECKPOINTS, whole, seal)

    def restore(self) -> dict[str, Any]:
        """The newest checkpoint that is sound; records.jsonl is cut back to where it was then.

        A damaged one is passed over, and a line says so. When a network kept beside it is damaged, the payload is that
        of the beginning of the arm that made it. Raises RunFolderError when no checkpoint is sound.
        """
        number, payload = find_checkpoint(self.path, unsealed=self.config["schema"] == 1)
        self.kept = dict(payload.get("kept", {}))
        begun = before_damage(self.path, self.kept)
        payload = {**begun, "learner": None} if begun else payload
        with self._writing(CHECKPOINTS):
            remove_after(self.path / CHECKPOINTS, number)
            self._measure((self.path / RECORDS).read_bytes()[: payload["records"]])
            if begun:
                self.save(payload)  # the records of a later checkpoint are cut off now: it would be none
            os.truncate(self.path / RECORDS, payload["records"])
        return payload

    def _measure(self, records: bytes) -> None:
        self.size, self._digest = len(records), hashlib.sha256(records)

    def keep(self, name: str, payload: dict[str, Any], seed: int, begun: dict[str, Any]) -> None:
        """Save a measured network. begun: arm, records and seconds at the beginning of the arm that made it."""
        digest = self.write_torch(name, payload)
        self.kept[name] = {"sha256": digest, "seed": seed, "begun": begun}

    def forget(self, seed: int) -> None:
        """The networks of a seed that failed are no longer needed: the next seed's take their names."""
        self.kept = {name: row for name, row in self.kept.items() if row["seed"] != seed}

    def read_torch(self, name: str) -> dict[str, Any]:
        """Tensors and plain values of a file of the run. Raises RunFolderError when it is missing or damaged."""
        try:
            content = (self.path / name).read_bytes()
            if name in self.kept and hashlib.sha256(content).hexdigest() != self.kept[name]["sha256"]:
                raise ValueError("its bytes are not those that were written")
            return read_torch(content)
        except (OSError, ValueError) as error:
            raise self._damaged(name, str(error)) from error

    def write_json(self, name: str, document: Any) -> None:
        """A JSON file of the run, atomically."""
        self.write_text(name, to_text(document))

    def write_text(self, name: str, text: str) -> None:
        """A text file of the run, atomically."""
        with self._writing(name):
            write_text(self.path / name, text)

    def write_torch(self, name: str, payload: dict[str, Any]) -> str:
        """Tensors and plain values, atomically; returns the SHA-256."""
        with self._writing(name):
            (self.path / name).parent.mkdir(exist_ok=True)
            return write_torch(self.path / name, payload)

    def read_json(self, name: str) -> dict[str, Any]:
        """A JSON file of the run. Raises RunFolderError when it is missing or damaged."""
        try:
            return dict(json.loads((self.path / name).read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError, RecursionError) as error:
            raise RunFolderError(
                f"{name} is missing or damaged", where=str(self.path), found=str(error), hint=command_of(self.path)
            ) from error

    @property
    def resume_command(self) -> str:
        """What to type to go on."""
        return f"depthprobe resume {shlex.quote(str(self.path))}"

    @contextlib.contextmanager
    def _writing(self, name: str) -> Iterator[None]:
        """An error that says what could not be written, and how to go on; the last checkpoint is intact."""
        try:
            yield
        except OSError as error:
            raise DepthprobeError(
                "the run stopped: a file of it cannot be written", where=str(self.path / name),
                found=error.strerror or str(error), hint=self.resume_command,
            ) from error  # fmt: skip

    def _damaged(self, name: str, found: str) -> RunFolderError:
        return RunFolderError(f"{name} is damaged", where=str(self.path), found=found, hint=self.resume_command)

    def _sweep(self) -> None:
        """Remove what a killed process left half-written."""
        for folder in (self.path, self.path / CHECKPOINTS, *(p for p in (self.path / CHECKPOINTS).glob("*/"))):
            for path in folder.glob(f".*{PARTIAL}"):
                with contextlib.suppress(OSError):
                    path.unlink()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the records and the lock."""
        if self._records is not None:
            self._records.close()
        if self._lock is not None:
            self._lock.release()
        self._records = self._lock = None


def check_schema(found: object, path: Path) -> None:
    """Raise RunFolderError for a run folder of a format that this version does not read."""
    if found not in READABLE:
        newer = isinstance(found, int) and found > RUN_SCHEMA
        raise RunFolderError(
            "this run folder has another format" + (": it was made by a newer depthprobe" if newer else ""),
            where=str(path),
            expected=f"schema {' or '.join(map(str, READABLE))}",
            found=f"schema {found}",
            hint="pip install --upgrade depthprobe" if newer else None,
        )


def _remove_stale_stages(path: Path) -> None:
    """Remove what processes that were killed while they made a folder of this name left beside it."""
    for stage in path.parent.glob(f".{glob.escape(path.name)}.*{PARTIAL}"):
        if not is_held(stage / CHECKPOINTS):
            shutil.rmtree(stage, ignore_errors=True)


def to_text(document: Any) -> str:
    """JSON text, indented, with a final newline."""
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def check_out(path: Path) -> None:
    """Raise RunFolderError when `path` exists or cannot be made; creates nothing."""
    if path.exists() or path.is_symlink():
        raise RunFolderError(
            "the output folder exists already",
            where=str(path),
            expected="a new folder: nothing is overwritten",
            hint=f"another --out, or depthprobe resume {path}",
        )
    parent = path.absolute().parent
    while not parent.exists():
        parent = parent.parent
    if not parent.is_dir() or not os.access(parent, os.W_OK | os.X_OK):
        raise RunFolderError(
            "the output folder cannot be made", where=str(path), found=f"{parent} is not writable", hint="another --out"
        )


def _default_path(command: str) -> Path:
    now = datetime.datetime.now().astimezone().strftime("%Y%m%d-%H%M%S")
    return Path("runs") / f"{command}-{now}-{secrets.token_hex(2)}"


def _unwritable(path: Path, error: OSError) -> RunFolderError:
    found = error.strerror or str(error)
    return RunFolderError("the output folder cannot be made", where=str(path), found=found, hint="another --out")
