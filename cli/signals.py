"""Signals that ask a run to end: SIGTERM and a closed terminal end it as Ctrl-C does."""

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType

ASKING = [number for name in ("SIGTERM", "SIGHUP") if (number := getattr(signal, name, None)) is not None]


@contextlib.contextmanager
def interrupted_by_signals() -> Iterator[None]:
    """In the block these signals raise KeyboardInterrupt: files are closed, and the last line says how to go on.

    A signal that is ignored (nohup) stays so, and one that someone else handles too.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    mine = [number for number in ASKING if signal.getsignal(number) is signal.SIG_DFL]
    for number in mine:
        signal.signal(number, _interrupt)
    try:
        yield
    finally:
        for number in mine:
            signal.signal(number, signal.SIG_DFL)


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt
