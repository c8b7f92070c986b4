"""The API reference is current, complete, and says what goes in, what comes out and what is raised."""

import inspect

import pytest
import torch

import depthprobe as dp
from depthprobe.errors import ConfigError, EditError


@pytest.fixture(scope="module")
def api(script):
    return script("api")


def test_the_page_is_current(api):
    assert api.write_page() == api.PAGE.read_text(), "docs/api.md is old: python docs/api.py"


def test_every_public_name_is_there_once(api):
    named = [name for _, _, names in api.SECTIONS for name in names]
    assert sorted(named) == sorted(dp.__all__)
    page = api.PAGE.read_text()
    assert all(page.count(f"### dp.{name}\n") == 1 for name in dp.__all__)


def test_every_function_says_what_it_raises():
    """All but the one that cannot fail."""
    functions = [name for name in dp.__all__ if inspect.isfunction(getattr(dp, name))]
    silent = [name for name in functions if "Raises" not in (getattr(dp, name).__doc__ or "")]
    assert silent == ["recipe_to_json"]


def test_every_parameter_is_explained():
    """By name in the docstring, or in the one it refers to: those of grow, DropIn (mode, granularity) and Duplicate."""
    shared = f"{dp.grow.__doc__} {dp.DropIn.__doc__} {dp.Duplicate.__doc__}"
    for name in dp.__all__:
        thing = getattr(dp, name)
        said = f"{thing.__doc__} {shared}"
        unsaid = {word for word in inspect.signature(thing).parameters if word not in said}
        assert unsaid <= {"unit", "edited", "generator", "params"}, f"{name}: {unsaid}"


def test_shapes_are_given_where_tensors_go_through():
    for name in ("DropIn", "Resize"):
        assert "(B, C" in getattr(dp, name).__doc__


def test_what_the_sections_say_is_raised():
    """Edits out of range: EditError; layers: ValueError; settings: ConfigError."""
    for make in (
        lambda: dp.Duplicate(unit="a", copies=0),
        lambda: dp.Gate(unit="a", ratio=2.0),
        lambda: dp.Narrow(unit="a", keep=0.0),
    ):
        with pytest.raises(EditError):
            make()
    with pytest.raises(ValueError, match="mode"):
        dp.DropIn(mode="no")
    with pytest.raises(ValueError, match="equal shapes"):
        dp.DropIn()(torch.zeros(2, 3), torch.zeros(2, 4))
    with pytest.raises(ValueError, match="positive"):
        dp.Resize((0,))
    with pytest.raises(ConfigError):
        dp.grow(torch.nn.Linear(2, 2), "digits", seeds=0)
