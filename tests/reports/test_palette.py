"""Contrast of all colours by day, by night and on paper: texts at least 4.5 (AA), lines of figures at least 3."""

import re
from pathlib import Path

import pytest

from depthprobe.reports import palette

CSS = (Path(__file__).parents[2] / "reports" / "report.css").read_text(encoding="utf-8")
TEXTS = [
    *[(ink, ground) for ink in ("ink", "muted", "keep") for ground in ("page", "card", "code")],
    *[(name, f"{name}-wash") for name in ("good", "keep", "open", "bad")],
    *[(ink, f"{name}-wash") for ink in ("ink", "muted") for name in ("good", "bad")],
    *[(name, "card") for name in ("good", "bad")],
]
LINES = ("BLUE", "ORANGE", "GREEN", "PINK", "GOLD", "SKY", "INK", "MUTED")
WORDS = ("INK", "MUTED", "GOOD")


def schemes():
    """Name -> colours of report.css, in order: light, dark, print."""
    blocks = re.findall(r":root \{(.*?)\}", CSS, re.DOTALL)
    found = [dict(re.findall(r"--([\w-]+): (#[0-9a-f]+)", block)) for block in blocks]
    return dict(zip(("light", "dark", "print"), found, strict=True))


def lightness(colour):
    """Relative luminance of "#rrggbb" or "#rgb", as WCAG 2 has it."""
    digits = colour[1:] if len(colour) == 7 else "".join(2 * digit for digit in colour[1:])
    parts = [int(digits[i : i + 2], 16) / 255 for i in (0, 2, 4)]
    red, green, blue = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one, other):
    """From 1 (the same) to 21 (black on white)."""
    low, high = sorted((lightness(one), lightness(other)))
    return (high + 0.05) / (low + 0.05)


def test_contrast_of_black_and_white():
    assert contrast("#000", "#ffffff") == pytest.approx(21)
    assert contrast("#777777", "#fff") == pytest.approx(4.48, abs=0.01)


@pytest.mark.parametrize("scheme", ["light", "dark", "print"])
@pytest.mark.parametrize(("ink", "ground"), TEXTS)
def test_words_of_the_page(scheme, ink, ground):
    colours = schemes()[scheme]
    assert contrast(colours[ink], colours[ground]) >= 4.5


@pytest.mark.parametrize("name", LINES)
def test_lines_of_figures(name):
    day = getattr(palette, name)
    assert contrast(day, schemes()["light"]["card"]) >= 3
    assert contrast(palette.NIGHT[day], schemes()["dark"]["card"]) >= 3


@pytest.mark.parametrize("name", WORDS)
def test_words_of_figures(name):
    day = getattr(palette, name)
    assert contrast(day, schemes()["light"]["card"]) >= 4.5
    assert contrast(palette.NIGHT[day], schemes()["dark"]["card"]) >= 4.5


def test_every_colour_has_a_night():
    colours = {value for name, value in vars(palette).items() if name.isupper() and isinstance(value, str)}
    assert colours <= set(palette.NIGHT)
