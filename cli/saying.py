"""Words to whoever listens: progress on stderr and answers on stdout, which may go to a pipe that nobody reads."""

import contextlib
import os
import sys
from collections.abc import Iterator
from typing import TextIO


def say(text: str) -> None:
    """A line on stderr. Where nobody reads any more (`2>&1 | head`), it is dropped: the work goes on."""
    try:
        print(text, file=sys.stderr, flush=True)
    except OSError:
        forget(sys.stderr)


@contextlib.contextmanager
def answering() -> Iterator[None]:
    """While it lasts, a reader of stdout who has had enough ends the printing and nothing else.

    Other failures to write raise OSError: an answer that was asked for and is not there is an error.
    """
    try:
        yield
        sys.stdout.flush()
    except BrokenPipeError:
        forget(sys.stdout)
    except SystemExit as ended:  # rich makes one of a broken pipe
        if not isinstance(ended.__context__, BrokenPipeError):
            raise
        forget(sys.stdout)


def forget(stream: TextIO) -> None:
    """What could not be written to `stream` is not tried again, not even when Python ends."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
