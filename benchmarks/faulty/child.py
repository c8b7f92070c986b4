"""depthprobe in a child process, forked from one that has imported everything: a try costs no start of torch."""

import contextlib
import os
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Ended:
    """code: the exit code, minus the signal for a process that was killed; seconds: how long it lived."""

    code: int
    out: str
    err: str
    seconds: float

    @property
    def last_line(self) -> str:
        """Of stderr."""
        return (self.err.strip().splitlines() or [""])[-1]


@dataclass(frozen=True)
class Started:
    """A child that runs."""

    pid: int
    folder: Path
    began: float


def import_all() -> None:
    """What a run imports, imported before the first fork."""
    import sklearn.datasets  # noqa: F401
    import torch
    import torch_pruning  # noqa: F401

    import depthprobe.cli.app
    import depthprobe.cli.running
    import depthprobe.probes.grow
    import depthprobe.probes.shrink
    import depthprobe.probes.train
    import depthprobe.probes.width
    import depthprobe.reports.page
    import depthprobe.tuning.tune  # noqa: F401

    torch.set_num_threads(1)


def start(words: list[str], folder: Path, spoil: Callable[[], None] | None = None) -> Started:
    """Run the command line in `folder`. spoil: called in the child first."""
    sys.stdout.flush()
    number = time.monotonic_ns()
    pid = os.fork()
    if pid:
        return Started(pid, folder / f".said-{number}", time.monotonic())
    code = 70
    try:
        os.chdir(folder)
        for handle, name in ((1, "out"), (2, "err")):
            target = os.open(f".said-{number}.{name}", os.O_WRONLY | os.O_CREAT)
            os.dup2(target, handle)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        sys.argv = ["depthprobe", *words]
        if spoil is not None:
            spoil()
        from depthprobe.cli import main

        main()
    except SystemExit as stop:
        code = stop.code if isinstance(stop.code, int) else 0
    finally:
        with contextlib.suppress(OSError):
            sys.stdout.flush()
        os._exit(code)


def wait(
    child: Started, strike: Callable[[int], int | None] = lambda _: None, look: Callable[[], object] = lambda: None
) -> Ended:
    """Its end. strike: asked all the time with its id which process gets SIGKILL now; look: called as often."""
    while True:
        done, status = os.waitpid(child.pid, os.WNOHANG)
        if done:
            break
        victim = strike(child.pid)
        if victim is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(victim, signal.SIGKILL)
        look()
        time.sleep(0.002)
    files = [child.folder.with_name(f"{child.folder.name}.{name}") for name in ("out", "err")]
    out, err = (file.read_text(errors="replace") if file.exists() else "" for file in files)
    for file in files:
        file.unlink(missing_ok=True)
    return Ended(os.waitstatus_to_exitcode(status), out, err, time.monotonic() - child.began)


def run(words: list[str], folder: Path, spoil: Callable[[], None] | None = None) -> Ended:
    """Start and wait."""
    return wait(start(words, folder, spoil))
