"""Replays a transcript: writes its files, types its commands, compares what is printed.

Run: python docs/replay.py docs/first-hour.md     (prints what differs, and writes the outputs of now into the file)

A block ```python title=NAME is a file that is written. In a ```console block a line "$ COMMAND" is typed, and what
stands below is its output; a line "..." there stands for any lines. Numbers, times and the names of run folders may
differ. In a ```console answer block, what was trained may differ with the machine: the verdict counts, and the lines.
"""

import contextlib
import difflib
import importlib
import io
import os
import re
import runpy
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

HOME = "/home/you/first-hour"  # what the reader's folder is called
WIDTH = "100"  # columns of the reader's terminal
ANY = "..."
_BLOCK = re.compile(r"^```(\w+)(?: (?:title=)?(\S+))?\n(.*?)^```$", re.DOTALL | re.MULTILINE)
_RUN = re.compile(r"\b(grow|shrink|width|train|tune)-\d{8}-\d{6}-[0-9a-f]{4}\b")
_SAID = (
    "Deepen", "Keep", "Shrink", "Narrow", "layers", "channels", "control", "test", "cost:", "report:", "next:", "What",
    ANY,
)  # fmt: skip
_MARKS = re.compile(r"(current|recommended|beaten)(, )?")  # which of two equal candidates is named is rounding
_NUMBER = re.compile(r"[+-]?\d[\d,.:]*")


@dataclass(frozen=True)
class Typed:
    """One command of a transcript. expected: the output in the document, with its line ends; answer: it trains."""

    command: str
    expected: str
    answer: bool


@dataclass(frozen=True)
class File:
    """One file that the reader writes."""

    name: str
    text: str


def read_steps(document: str) -> list[File | Typed]:
    """The files and commands of a document, in order."""
    steps: list[File | Typed] = []
    for kind, title, body in _BLOCK.findall(document):
        if kind == "python" and title:
            steps.append(File(title, body))
        if kind == "console":
            parts = re.split(r"^\$ (.*)\n", body, flags=re.MULTILINE)[1:]
            steps += [Typed(*pair, title == "answer") for pair in zip(parts[::2], parts[1::2], strict=True)]
    return steps


def run_steps(steps: list[File | Typed], folder: Path) -> Iterator[tuple[Typed, str]]:
    """Write and type everything in `folder`; each command with what it printed."""
    for step in steps:
        if isinstance(step, File):
            (folder / step.name).write_text(step.text)
        else:
            yield step, type_command(step.command, folder)


def type_command(command: str, folder: Path) -> str:
    """What a command prints, both streams. `depthprobe` and `python FILE` run in this process: starts take long."""
    words, said = command.split(), io.StringIO()
    with _in(folder, words), contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        if words[0] == "depthprobe":
            from depthprobe.cli import main

            with contextlib.suppress(SystemExit):
                main(words[1:])
        elif words[0] == "python":
            runpy.run_path(words[1], run_name="__main__")
        else:
            done = subprocess.run(command, shell=True, capture_output=True, text=True, check=False)
            said.write(done.stdout + done.stderr)
    lines = said.getvalue().replace(str(folder), HOME).splitlines()
    return "".join(f"{line.rstrip()}\n" for line in lines)


@contextlib.contextmanager
def _in(folder: Path, words: list[str]) -> Iterator[None]:
    """As if python had been started there, by a reader with a terminal of WIDTH columns."""
    before, path, modules, argv = os.environ.copy(), list(sys.path), set(sys.modules), sys.argv
    os.environ.update(COLUMNS=WIDTH)
    sys.argv = words
    sys.path.insert(0, str(folder))
    importlib.invalidate_caches()  # files appear between two commands faster than folders change their times
    try:
        with contextlib.chdir(folder):
            yield
    finally:
        os.environ.clear()
        os.environ.update(before)
        sys.path[:], sys.argv = path, argv
        for name in set(sys.modules) - modules:  # the reader's own files, which may change between two commands
            if str(getattr(sys.modules[name], "__file__", "")).startswith(str(folder)):
                del sys.modules[name]


def difference(step: Typed, found: str) -> str:
    """Empty when the output is the expected one, but for what may differ; else both, line by line."""
    expected = step.expected
    if step.answer:
        expected, found = (
            "".join(f"{line.split()[0]}\n" for line in text.splitlines() if line.startswith(_SAID))
            for text in (expected, found)
        )
    pattern = "".join(
        r"(?:.*\n)*?" if line == ANY else re.escape(line) + r"\n" for line in map(mask, expected.splitlines())
    )
    masked = [mask(line) for line in found.splitlines()]
    if re.fullmatch(pattern, "".join(f"{line}\n" for line in masked)):
        return ""
    return "\n".join(difflib.ndiff([mask(line) for line in expected.splitlines()], masked))


def mask(line: str) -> str:
    """A line without what differs from run to run: numbers, run folders, marks in tables, widths of columns."""
    return " ".join(_NUMBER.sub("#", _MARKS.sub("", _RUN.sub(r"\1-RUN", line))).split())


def renew(document: str, folder: Path) -> tuple[str, list[str]]:
    """The document with the outputs of now, and what differed; outputs that are cut ("...") stay where they match."""
    complaints: list[str] = []
    done, rest = "", document
    for step, found in run_steps(read_steps(document), folder):
        wrong = difference(step, found)
        if wrong:
            complaints.append(f"$ {step.command}\n{wrong}")
        before, typed, rest = rest.partition(f"$ {step.command}\n{step.expected}")
        keep = not wrong and (step.answer or ANY in step.expected.splitlines())
        done += before + (typed if keep else f"$ {step.command}\n{found}")
    return done + rest, complaints


def main() -> None:
    """Renew the document that is named."""
    path = Path(sys.argv[1])
    with tempfile.TemporaryDirectory() as folder:
        document, complaints = renew(path.read_text(), Path(folder).resolve())
    path.write_text(document)
    print("\n\n".join(complaints) or "nothing differs")


if __name__ == "__main__":
    main()
