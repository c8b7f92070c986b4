"""The Python blocks of the method cards run as they are."""

import re
from pathlib import Path

import pytest

CARDS = Path(__file__).parents[2] / "docs" / "methods"


@pytest.mark.parametrize("card", sorted(path.name for path in CARDS.glob("*.md")))
def test_blocks_run(card, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```python\n(.*?)```", (CARDS / card).read_text(), re.DOTALL)
    assert blocks, card
    names: dict = {}
    for block in blocks:
        exec(compile(block, card, "exec"), names)
