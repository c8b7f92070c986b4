"""One process per run folder: a lock of the kernel's, which goes with its process, and a note of who holds it."""

import contextlib
import datetime
import json
import os
import shlex
import socket
from pathlib import Path

from filelock import FileLock, Timeout

from depthprobe.errors import RunFolderError

LOCK, OWNER = ".lock", ".owner.json"


class FolderLock:
    """A lock held on a folder (its `checkpoints/`). A process that is killed lets go of it: nothing is ever stale.

    Where a file system knows no such locks, filelock says so and makes do with a marker file.
    """

    def __init__(self, folder: Path) -> None:
        """Take the lock at once. Raises OSError when it cannot be made, filelock.Timeout when another one holds it."""
        self._lock = FileLock(folder / LOCK, timeout=0, thread_local=False)
        self._lock.acquire()
        try:
            (folder / OWNER).write_text(json.dumps(_me()) + "\n", encoding="utf-8")
        except BaseException:
            self.release()
            raise

    def release(self) -> None:
        """Let go."""
        self._lock.release()


def lock_run(path: Path) -> FolderLock:
    """The lock of the run folder at `path`. Raises RunFolderError naming who holds it, or why there can be none."""
    try:
        return FolderLock(path / "checkpoints")
    except Timeout:
        raise _taken(path) from None
    except OSError as error:
        raise RunFolderError(
            "the run folder cannot be written", where=str(path), found=error.strerror or str(error),
            hint=f"cp -r {shlex.quote(str(path))} NEW, where you may write, and depthprobe resume NEW",
        ) from error  # fmt: skip


def is_held(folder: Path) -> bool:
    """Whether a process holds the lock of `folder`, so that it must be left alone."""
    lock = FileLock(folder / LOCK, timeout=0, thread_local=False)
    try:
        lock.acquire()
    except (Timeout, OSError):
        return (folder / LOCK).exists()
    lock.release()
    return False


def _me() -> dict[str, object]:
    since = datetime.datetime.now().astimezone().isoformat(timespec="seconds")
    return {"pid": os.getpid(), "host": socket.gethostname(), "since": since}


def _taken(path: Path) -> RunFolderError:
    """The error of a second process. The note of the first may not be written yet, or be read on another machine."""
    owner: dict[str, object] = {}
    with contextlib.suppress(OSError, ValueError, TypeError):
        owner = dict(json.loads((path / "checkpoints" / OWNER).read_text(encoding="utf-8")))
    here = owner.get("host") == socket.gethostname()
    pid, resume = owner.get("pid"), f"depthprobe resume {shlex.quote(str(path))}"
    return RunFolderError(
        "another process works in this run folder",
        where=str(path),
        expected="one process at a time",
        found=f"process {pid} on {owner.get('host')}, since {owner.get('since')}" if pid else "its lock is held",
        hint=f"wait for it, or: kill {pid} && {resume}" if here and pid else f"{resume}, once it has ended",
    )
