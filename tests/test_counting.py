"""One seed is no seeds: whoever writes a number with a noun in an f-string has to ask `number_of`."""

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from depthprobe.counting import number_of

ROOT = Path(__file__).parents[1]
COUNTED = "seeds|fresh seeds|units|labels|records|threads|cores|gates|sweeps|processes|weight layers|training examples"
PLURAL = re.compile(r"\} (?:" + COUNTED + r")\b")  # analysis and probes/shrink* have words of their own
PART = re.compile(r"\} of \{[^{}]*\} \w+")  # 1 of 3 seeds


@given(number=st.integers(0, 10**6))
def test_a_number_agrees_with_its_noun(number):
    text = number_of(number, "copy", "copies")
    assert text.endswith("copy" if number == 1 else "copies")
    assert int(text.split()[0].replace(",", "")) == number


@pytest.mark.parametrize("package", ["depthprobe", "cli", "reports"])
def test_no_plural_stands_behind_a_bare_number(package):
    for path in sorted((ROOT / package).rglob("*.py")):
        where = str(path.relative_to(ROOT))
        if "/analysis/" not in where and "/shrink" not in where:
            assert not PLURAL.findall(PART.sub("", path.read_text())), where


def test_one_seed_is_said_in_the_tolerance_note():
    from depthprobe.analysis.tolerance import auto_tolerance
    from depthprobe.config import GrowConfig
    from depthprobe.probes.grow_setup import say_tolerance
    from depthprobe.training.metrics import ACCURACY

    config, auto = GrowConfig(seeds=1, tolerance=0.02), auto_tolerance(360, 1, folds=False)
    said = say_tolerance(config, auto, 360, 1, ACCURACY)
    assert "360 validation examples and 1 seed resolve" in said
