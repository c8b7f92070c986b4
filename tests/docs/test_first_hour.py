"""The first hour, replayed: every command of the transcript prints what the document shows, but for numbers."""

from pathlib import Path

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "first-hour.md"


@pytest.fixture(scope="module")
def replay(script):
    return script("replay")


def test_the_transcript_is_what_is_printed(replay, tmp_path):
    document = PAGE.read_text()
    steps = replay.read_steps(document)
    assert sum(isinstance(step, replay.Typed) for step in steps) > 25
    for step, found in replay.run_steps(steps, tmp_path):
        assert not replay.difference(step, found), f"$ {step.command}\n{replay.difference(step, found)}"


def test_every_error_says_what_to_type(replay):
    """What is wrong, and what to do about it: no error of the transcript ends without."""
    commands = [step for step in replay.read_steps(PAGE.read_text()) if hasattr(step, "command")]
    errors = [step.expected for step in commands if step.expected.startswith("error:")]
    assert len(errors) > 12
    for text in errors:
        assert text.splitlines()[-1].startswith("  try:"), text


def test_differences_are_seen(replay):
    """Numbers, names of runs and what was trained may differ; words and lines may not."""

    def same(expected, found, answer=False):
        return not replay.difference(replay.Typed("x", expected, answer), found)

    assert same("accuracy 0.93, 12 s\n", "accuracy 0.1, 1,000 s\n")
    assert same("runs/grow-20261121-144825-c11a/x\n", "runs/grow-20261122-000000-ffff/x\n")
    assert same("a\n...\nz\n", "a\nb\nc\nz\n")
    assert not same("a\n...\nz\n", "a\nb\nc\n")
    assert not same("accuracy 0.93\n", "loss 0.93\n")
    assert not same("a\n", "a\nb\n")
    assert same("Keep 2 layers: x\nnote: one\nnext: y\n", "Keep 3 layers: y\nnext: z\n", answer=True)
    assert not same("Keep 2 layers: x\nnext: y\n", "Deepen from 2\nnext: z\n", answer=True)
    assert not same("Keep 2 layers: x\nnext: y\n", "Keep 2 layers: x\n", answer=True)
