"""The README's commands run as typed (a small budget appended), the Python blocks of every document as they are."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
SMALL = ["--seeds", "1", "--steps", "60", "--quiet"]
DOCUMENTS = ["README.md", *sorted(str(path.relative_to(ROOT)) for path in (ROOT / "docs").rglob("*.md"))]
CARDS = [name for name in DOCUMENTS if name.startswith("docs/methods/")]
PROBES = [f"docs/methods/{verb}.md" for verb in ("grow", "shrink", "width", "tune")]


def blocks(name, language):
    return [text for kind, text in BLOCK.findall((ROOT / name).read_text()) if kind == language]


def commands(name):
    lines = [line for text in blocks(name, "bash") for line in text.splitlines()]
    return [line.split("  #")[0].strip() for line in lines if line.strip() and not line.startswith("#")]


def typed(words):
    """Run the command line in this process; its exit code."""
    from depthprobe.cli import main

    with pytest.raises(SystemExit) as stop:
        main(words)
    return stop.value.code or 0


def test_the_readme_sets_up_with_two_commands():
    setup = [line for line in commands("README.md") if line.startswith("make ")]
    assert setup == ["make demo", "make test"]
    for line in setup:
        assert re.search(rf"^{line.split()[1]}:", (ROOT / "Makefile").read_text(), re.MULTILINE)


def test_readme_commands_run(tmp_path, monkeypatch, capsys):
    """Every `depthprobe` line of the README, in order, in one folder; RUN stands for the first run made."""
    monkeypatch.chdir(tmp_path)
    ran = 0
    for line in commands("README.md"):
        words = shlex.split(line)
        if words[0] != "depthprobe" or "mnist" in line or "cifar" in line:
            continue
        words = [f"{ROOT}/{word}" if word.startswith("examples/") else word for word in words[1:]]
        runs = sorted((tmp_path / "runs").glob("grow-*")) if (tmp_path / "runs").exists() else []
        words = [str(runs[0]) if word == "RUN" else word for word in words]
        if words[0] in ("grow", "train", "shrink", "width"):
            words += SMALL if words[0] != "train" else SMALL[2:]
            if "--out" in words:  # what is shrunk afterwards has to have learned something
                words[words.index("--steps") + 1] = "700"
        words += ["--trials", "2", "--confirm-seeds", "1", *SMALL[2:]] if words[0] == "tune" else []
        code = typed(words)
        assert code == 0, f"{line}\n{capsys.readouterr().err}"
        ran += 1
    assert ran >= 14


@pytest.mark.slow
def test_the_first_screen_is_what_the_commands_print(tmp_path):
    """As typed, from an empty folder: the answers, numbers apart (they
    differ with the processor), and the rows below them.
    """
    screen, table = re.findall(r"^```\n(.*?)^```$", (ROOT / "README.md").read_text(), re.MULTILINE | re.DOTALL)[:2]
    steps = re.split(r"^\$ (.*?)(?: +#.*)?\n", screen, flags=re.MULTILINE)[1:]
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    printed = []
    for line, answer in zip(steps[::2], steps[1::2], strict=True):
        words = [str(next(tmp_path.glob(w.replace("...", "*")))) if "..." in w else w for w in shlex.split(line)[1:]]
        done = subprocess.run(
            [sys.executable, "-m", "depthprobe", *words, "--quiet"],
            cwd=tmp_path, capture_output=True, text=True, check=True, env={**os.environ, "COLUMNS": "100"},
        )  # fmt: skip
        printed.append(done.stdout)
        assert without_numbers(answer) in without_numbers(done.stdout), line
    for row in table.splitlines():
        name = re.split(r" {2,}|[:(\d]", row.strip())[0]
        assert any(name in found for found in printed[0].splitlines()), row


def without_numbers(text):
    """One line, a number (or a range of them) being #, without the names of units and their widths."""
    flat = re.sub(r"[+-]?\d[\d,.]*(-\d[\d.]*)?", "#", " ".join(text.split()))
    return re.sub(r"; (without [^.]*|#: .*)", ";", flat).rstrip(". ")


def test_commands_of_the_report_page_run(tmp_path, monkeypatch, capsys):
    shutil.copytree(ROOT / "tests" / "reports" / "finished", tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    names = {"RUN": "full", "RUN1": "grow", "RUN2": "shrink"}
    lines = commands("docs/report.md")
    assert len(lines) == 4
    for line in lines:
        assert typed([names.get(word, word) for word in shlex.split(line)[1:]]) == 0, line
    assert all((tmp_path / made).exists() for made in ("full/report.html", "both.html", "records.csv"))


@pytest.mark.parametrize("name", [name for name in DOCUMENTS if commands(name)])
def test_every_command_can_be_typed(name):
    """Verbs, options and numbers of arguments are known; nothing runs."""
    import typer

    from depthprobe.cli.app import app

    group = typer.main.get_command(app)
    for line in commands(name):
        words = shlex.split(line)
        if words[0] != "depthprobe":
            continue
        context = group.make_context("depthprobe", words[1:], resilient_parsing=False)
        _, command, rest = group.resolve_command(context, [*context._protected_args, *context.args])
        command.make_context(command.name, rest, parent=context)


def test_unknown_options_are_seen():
    """The test above can fail."""
    import typer
    from typer.exceptions import TyperException

    from depthprobe.cli.app import app

    group = typer.main.get_command(app)
    context = group.make_context("depthprobe", ["grow", "x.py", "--no-such"])
    _, command, rest = group.resolve_command(context, [*context._protected_args, *context.args])
    with pytest.raises(TyperException, match="no-such"):
        command.make_context(command.name, rest, parent=context)


@pytest.mark.parametrize("name", DOCUMENTS)
def test_python_blocks_run(name, tmp_path, monkeypatch):
    """One after another, with the names of those before; the first hour's files are run by its own test."""
    monkeypatch.chdir(tmp_path)
    found = blocks(name, "python")
    assert found or name not in ("README.md", *CARDS)
    names = {"__name__": "document"}
    for text in found:
        exec(compile(text, name, "exec"), names)


@pytest.mark.parametrize("name", PROBES)
def test_a_card_says_how_what_when_and_where(name):
    """How to use it, what it costs (with date and versions), when not to, where it deviates: first, in this order."""
    text = (ROOT / name).read_text()
    wanted = ["How to use", "What it costs", "When not to use it", "Where we deviate from the paper"]
    assert re.findall(r"^## (.*)$", text, re.MULTILINE)[:4] == wanted
    costs = text.split("## What it costs\n")[1].split("\n## ")[0]
    assert "torch 2.13.0" in costs
    assert re.search(r"2026-\d\d-\d\d", costs)


def test_documents_name_existing_files():
    """Links between files, and to headings of the same or another one."""
    for name in ("ARCHITECTURE.md", "CONTRIBUTING.md", *DOCUMENTS):
        for path, anchor in re.findall(r"\]\((?!http)([^)#]*)(#[^)]*)?\)", (ROOT / name).read_text()):
            target = (ROOT / name).parent / path if path else ROOT / name
            assert target.exists(), f"{name} links to {path}"
            if anchor:
                headings = re.findall(r"^#+ (.*)$", target.read_text(), re.MULTILINE)
                slugs = {"#" + re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in headings}
                assert anchor in slugs, f"{name} links to {path}{anchor}"


def test_pictures_of_the_gallery_are_small_and_shown():
    page = (ROOT / "docs" / "gallery.md").read_text()
    pictures = sorted((ROOT / "docs" / "gallery").glob("*.png"))
    assert sorted(re.findall(r"\]\(gallery/(.*\.png)\)", page)) == [path.name for path in pictures]
    assert all(path.stat().st_size < 150_000 for path in pictures)
    assert all(len(text) > 40 for text in re.findall(r"!\[(.*?)\]", page))  # for those who do not see them
