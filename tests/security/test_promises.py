"""What SECURITY.md promises and no table holds: no network, names that are only names, files only where asked for."""

import json
import re
import socket
import tempfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SHORT = ["-d", "digits", "--steps", "20", "--lr", "0.05", "--threads", "1", "--quiet"]
MARKUP = "<img src=x onerror=alert(1)>"
ESCAPE = "\x1b]0;owned\x07\x1b[31m[/red]"


def test_every_promise_names_a_test_that_exists():
    text = " ".join((ROOT / "SECURITY.md").read_text().split())
    named = re.findall(r"\((tests/[\w/]+\.py):([^)]+)\)", text)
    assert len(named) >= 10
    for path, names in named:
        source = (ROOT / path).read_text()
        for name in re.findall(r"`([^`]+)`", names):
            assert f"def {name}" in source or f'"{name}"' in source, f"{path}: {name}"


def test_no_network_is_used_unless_a_download_was_asked_for(cli, place, monkeypatch):
    def refuse(*_):
        pytest.fail("went to the network")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    code, _, err = cli("train", "net.py", *SHORT, "--out", "run")
    assert code == 0, err
    assert cli("export", "run", "--out", "network.py")[0] == 0
    assert cli("resume", "run")[0] == 0
    assert cli("grow", "net.py", "-d", "mnist", "--data-dir", ".")[0] == 2
    assert cli("doctor")[0] == 0


def test_files_are_written_where_they_were_asked_for_and_nowhere_else(cli, place, monkeypatch, tmp_path_factory):
    scratch = tmp_path_factory.mktemp("scratch")
    monkeypatch.setattr(tempfile, "tempdir", str(scratch))
    monkeypatch.setenv("HOME", str(scratch))
    code, _, err = cli("grow", "net.py", *SHORT, "--seeds", "1", "--copies", "1", "--out", "run")
    assert code == 0, err
    assert sorted(path.name for path in place.iterdir()) == ["net.py", "run"]
    assert list(scratch.iterdir()) == []


def test_units_named_for_the_terminal_are_only_names(cli, place):
    (place / "odd.py").write_text(
        "from torch import nn\nmodel = nn.Sequential()\n"
        f"model.add_module({ESCAPE!r}, nn.Conv2d(1, 4, 3))\nmodel.add_module('[/x]', nn.ReLU())\n"
        "model.add_module('flat', nn.Flatten())\nmodel.add_module('head', nn.Linear(144, 10))\n"
    )
    code, out, err = cli("inspect", "odd.py", "-d", "digits")
    assert code == 0, err
    assert "\\x1b]0;owned" in out
    assert "\x1b" not in out + err
    assert "[/red]" in out
    code, out, err = cli("grow", "odd.py", "-d", "digits", "--sites", "nothing")
    assert code == 2
    assert "\x1b" not in out + err


def test_a_foreign_run_says_nothing_to_the_terminal_or_the_browser(cli, place):
    name = MARKUP.replace("/", "")
    code, _, err = cli("grow", "net.py", *SHORT, "--seeds", "1", "--copies", "1", "--out", name)
    assert code == 0, err
    answer = place / name / "recommendation.json"
    document = json.loads(answer.read_text())
    document["sentence"] = document["notes"][0] = f"{ESCAPE} {MARKUP}"
    answer.write_text(json.dumps(document))
    code, out, err = cli("resume", name)
    assert code == 0
    assert "\x1b" not in out + err
    assert "\\x1b]0;owned" in out
    code, _, err = cli("report", name, "--out", "page.html")
    assert code == 0, err
    page = (place / "page.html").read_text()
    assert MARKUP not in page
    assert "&lt;img src=x" in page
