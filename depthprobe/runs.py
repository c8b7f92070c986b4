"""The run folder: atomic writes, schema versions, resume."""

import datetime
import fcntl
import json
import os
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, Self

from depthprobe.errors import RunFolderError
from depthprobe.training.checkpoints import load_checkpoint, save_checkpoint, sync_folder, write_text, write_torch

RUN_SCHEMA = 1
RECORDS = "records.jsonl"


class RunFolder:
    """One run on disk: config.json, environment.json, records.jsonl, checkpoints/, and at the end the answer.

    `records.jsonl` is append-only; a checkpoint stores its length, and resuming cuts it back to that.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._records: IO[bytes] | None = None
        self._lock: IO[bytes] | None = None

    @classmethod
    def create(cls, out: Path | None, command: str, config: dict[str, Any], environment: dict[str, Any]) -> "RunFolder":
        """A new run folder, staged beside its place and renamed into it: it appears once it is resumable.

        out: the folder itself, which must not exist (None: runs/<command>-<time>-<id>).
        """
        path = Path(out) if out is not None else _default_path(command)
        check_out(path)
        staged = path.with_name(f".{path.name}.{secrets.token_hex(4)}.partial")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            (staged / "checkpoints").mkdir(parents=True)
            document = {"schema": RUN_SCHEMA, "command": command, **config}
            write_text(staged / "config.json", to_text(document))
            write_text(staged / "environment.json", to_text(environment))
            write_text(staged / RECORDS, "")
            save_checkpoint(staged / "checkpoints", {"arm": 0, "learner": None, "records": 0, "seconds": 0.0})
            staged.rename(path)
        except OSError as error:
            shutil.rmtree(staged, ignore_errors=True)
            raise _unwritable(path, error) from error
        sync_folder(path.parent)
        return cls(path)._locked()

    @classmethod
    def open(cls, path: Path, *, write: bool = False) -> "RunFolder":
        """An existing run folder. Raises RunFolderError when it is none, of another schema, or (write) in use."""
        folder = cls(Path(path))
        config = folder.read_json("config.json") if (folder.path / "config.json").exists() else None
        if config is None or "schema" not in config:
            raise RunFolderError(
                f"{path} is not a run folder",
                expected="a folder with config.json, as grow and train make them",
                found="no such folder" if not Path(path).is_dir() else "no config.json",
                hint="ls runs/",
            )
        if config["schema"] != RUN_SCHEMA:
            raise RunFolderError(
                "this run folder has another format",
                where=str(path),
                expected=str(RUN_SCHEMA),
                found=str(config["schema"]),
            )
        return folder._locked() if write else folder

    @property
    def config(self) -> dict[str, Any]:
        """What was asked for, resolved."""
        return self.read_json("config.json")

    @property
    def finished(self) -> bool:
        """Whether the answer is written; it is the last file of a run."""
        return (self.path / "recommendation.json").exists() or (self.path / "summary.json").exists()

    def append(self, record: dict[str, Any]) -> None:
        """Append one record to records.jsonl."""
        if self._records is None:
            self._records = (self.path / RECORDS).open("ab")
        self._records.write(json.dumps(record, separators=(",", ":")).encode() + b"\n")
        self._records.flush()

    def records(self) -> Iterator[dict[str, Any]]:
        """All whole records; a torn last line is left out."""
        with (self.path / RECORDS).open("rb") as file:
            for line in file:
                if line.endswith(b"\n"):
                    yield json.loads(line)

    def save(self, payload: dict[str, Any]) -> None:
        """The next checkpoint; the records up to here are on disk before it."""
        if self._records is not None:
            self._records.flush()
            os.fsync(self._records.fileno())
        size = (self.path / RECORDS).stat().st_size
        save_checkpoint(self.path / "checkpoints", {**payload, "records": size})

    def restore(self) -> dict[str, Any]:
        """The newest checkpoint; records.jsonl is cut back to where it was then."""
        payload = load_checkpoint(self.path / "checkpoints")
        if (self.path / RECORDS).stat().st_size < payload["records"]:
            raise RunFolderError("records.jsonl is shorter than its checkpoint says", where=str(self.path))
        os.truncate(self.path / RECORDS, payload["records"])
        return payload

    def write_json(self, name: str, document: Any) -> None:
        """A JSON file of the run, atomically."""
        write_text(self.path / name, to_text(document))

    def write_text(self, name: str, text: str) -> None:
        """A text file of the run, atomically."""
        write_text(self.path / name, text)

    def write_torch(self, name: str, payload: dict[str, Any]) -> None:
        """Tensors and plain values, atomically."""
        (self.path / name).parent.mkdir(exist_ok=True)
        write_torch(self.path / name, payload)

    def read_json(self, name: str) -> dict[str, Any]:
        """A JSON file of the run. Raises RunFolderError when it is missing or damaged."""
        try:
            return dict(json.loads((self.path / name).read_text(encoding="utf-8")))
        except (OSError, ValueError) as error:
            raise RunFolderError(f"{name} is missing or damaged", where=str(self.path), found=str(error)) from error

    def _locked(self) -> "RunFolder":
        self._lock = (self.path / "checkpoints" / ".lock").open("wb")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            self.close()
            raise RunFolderError("another process works in this run folder", where=str(self.path)) from error
        return self

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the records and the lock."""
        for file in (self._records, self._lock):
            if file is not None:
                file.close()
        self._records = self._lock = None


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
        raise RunFolderError("the output folder cannot be made", where=str(path), found=f"{parent} is not writable")


def _default_path(command: str) -> Path:
    now = datetime.datetime.now().astimezone().strftime("%Y%m%d-%H%M%S")
    return Path("runs") / f"{command}-{now}-{secrets.token_hex(2)}"


def _unwritable(path: Path, error: OSError) -> RunFolderError:
    return RunFolderError("the output folder cannot be made", where=str(path), found=error.strerror or str(error))
