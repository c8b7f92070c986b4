"""Runs the command line in this process: (exit code, stdout, stderr)."""

import sys

import pytest


@pytest.fixture
def cli(capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)

    def run(*words):
        from depthprobe.cli import main

        monkeypatch.setattr(sys, "argv", ["depthprobe", *map(str, words)])
        with pytest.raises(SystemExit) as stop:
            main()
        out, err = capsys.readouterr()
        return stop.value.code or 0, out, err

    return run
