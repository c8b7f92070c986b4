"""The README's blocks run: shell blocks as typed (a small budget appended), Python blocks as they are."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BLOCK = re.compile(r"```(\w+)\n(.*?)```", re.DOTALL)
SMALL = ["--seeds", "1", "--steps", "60", "--quiet"]


def blocks(name, language):
    return [text for kind, text in BLOCK.findall((ROOT / name).read_text()) if kind == language]


def commands(name):
    lines = [line for text in blocks(name, "bash") for line in text.splitlines()]
    return [line.split("  #")[0].strip() for line in lines if line.strip() and not line.startswith("#")]


def test_the_readme_sets_up_with_two_commands():
    setup = [line for line in commands("README.md") if line.startswith("make ")]
    assert setup == ["make demo", "make test"]
    for line in setup:
        assert re.search(rf"^{line.split()[1]}:", (ROOT / "Makefile").read_text(), re.MULTILINE)


def test_readme_commands_run(tmp_path):
    """Every `depthprobe` line of the README, in order, in one folder; RUN stands for the first run made."""
    ran = 0
    for line in commands("README.md"):
        words = shlex.split(line)
        if words[0] != "depthprobe" or "mnist" in line or "cifar" in line:
            continue
        words = [f"{ROOT}/{word}" if word.startswith("examples/") else word for word in words]
        runs = sorted((tmp_path / "runs").glob("grow-*")) if (tmp_path / "runs").exists() else []
        words = [str(runs[0]) if word == "RUN" else word for word in words]
        if words[1] in ("grow", "train", "shrink", "width"):
            words += SMALL if words[1] != "train" else SMALL[2:]
            if "--out" in words:  # what is shrunk afterwards has to have learned something
                words[words.index("--steps") + 1] = "700"
        words += ["--trials", "2", "--confirm-seeds", "1", *SMALL[2:]] if words[1] == "tune" else []
        done = subprocess.run(
            [sys.executable, "-m", *words],
            cwd=tmp_path,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"{line}\n{done.stderr}"
        ran += 1
    assert ran >= 4


@pytest.mark.parametrize(
    "name", ["README.md", *sorted(str(p.relative_to(ROOT)) for p in (ROOT / "docs").rglob("*.md"))]
)
def test_python_blocks_run(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found = blocks(name, "python")
    if name == "README.md":
        assert found
    for text in found:
        exec(compile(text, name, "exec"), {"__name__": "readme"})


def test_documents_name_existing_files():
    for name in ("README.md", "ARCHITECTURE.md", "CONTRIBUTING.md"):
        for path in re.findall(r"\]\((?!http)([^)#]+)\)", (ROOT / name).read_text()):
            assert (ROOT / path).exists(), f"{name} links to {path}"
