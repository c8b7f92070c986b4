"""Recipes: frozen records that cross JSON, and refusals that say what is wrong."""

import dataclasses
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import depthprobe as dp
from depthprobe.errors import EditError

units = st.text(min_size=1, max_size=12)
placing = {
    "mode": st.sampled_from(["prefix", "bernoulli", "blend"]),
    "granularity": st.sampled_from(["sample", "channel", "activation"]),
    "ratio": st.floats(0.0, 1.0),
}
inits = st.sampled_from(["default", "copy", "identity", "xavier", "he", "gaussian:0.01", "gaussian:1e-3"])
duplicates = st.builds(
    dp.Duplicate,
    unit=units,
    copies=st.integers(1, 9),
    kernel=st.none() | st.integers(1, 9),
    init=inits,
    **placing,
)
edits = st.one_of(duplicates, st.builds(dp.Gate, unit=units, **placing), st.builds(dp.Remove, unit=units))


@settings(max_examples=200, deadline=None, derandomize=True)
@given(recipe=st.lists(edits, max_size=5))
def test_round_trip_is_equal_and_stable(recipe):
    text = dp.recipe_to_json(recipe)
    assert dp.recipe_from_json(text) == recipe
    assert dp.recipe_to_json(dp.recipe_from_json(text)) == text
    assert [row["kind"] for row in json.loads(text)["edits"]] == [type(edit).__name__.lower() for edit in recipe]


def test_edits_are_frozen_hashable_and_keyword_only():
    edit = dp.Duplicate(unit="conv", copies=2)
    with pytest.raises(dataclasses.FrozenInstanceError):
        edit.copies = 3
    with pytest.raises(TypeError):
        dp.Gate("conv")
    assert len({edit, dp.Duplicate(unit="conv", copies=2), dp.Gate(unit="conv"), dp.Remove(unit="conv")}) == 3


@pytest.mark.parametrize(
    ("kind", "settings", "words"),
    [
        (dp.Duplicate, {"copies": 0}, ["copies out of range", "at least 1", "0"]),
        (dp.Duplicate, {"copies": 1.5}, ["copies out of range", "1.5"]),
        (dp.Duplicate, {"kernel": 0}, ["kernel out of range"]),
        (dp.Duplicate, {"kernel": "3"}, ["kernel out of range", "'3'"]),
        (dp.Duplicate, {"ratio": 1.5}, ["ratio out of range", "0..1", "1.5"]),
        (dp.Gate, {"ratio": -0.1}, ["ratio out of range", "-0.1"]),
        (dp.Gate, {"ratio": float("nan")}, ["ratio out of range", "nan"]),
        (dp.Gate, {"ratio": "half"}, ["ratio out of range", "half"]),
        (dp.Gate, {"mode": "mean"}, ["mode 'mean'", "prefix | bernoulli | blend"]),
        (dp.Gate, {"granularity": "pixel"}, ["granularity 'pixel'", "sample | channel | activation"]),
        *[
            (dp.Duplicate, {"init": init}, ["is not known", str(init), "gaussian:STD"])
            for init in ("zeros", "gaussian:", "gaussian:-1", "gaussian:1e", "gaussian:nan", "gaussian:STD", 5, None)
        ],
    ],
)
def test_settings_are_checked_at_birth(kind, settings, words):
    with pytest.raises(EditError) as caught:
        kind(unit="conv7", **settings)
    assert all(word in str(caught.value) for word in [*words, "conv7"]), str(caught.value)


def recipe(*rows, schema=1, **more):
    return json.dumps({"schema": schema, "edits": list(rows), **more})


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", ["not JSON"]),
        ("[]", ["unknown recipe format", "schema 1", "list"]),
        (recipe(schema=2), ["unknown recipe format", "schema 1", "2"]),
        ('{"schema": 1}', ["unknown recipe format", "list of edits"]),
        ('{"schema": 1, "edits": null}', ["list of edits", "None"]),
        ('{"schema": 1, "edits": {"kind": "gate"}}', ["list of edits"]),
        (recipe({"kind": "widen", "unit": "a"}), ["unknown edit", "duplicate | gate | remove", "widen"]),
        (recipe({"unit": "a"}), ["unknown edit"]),
        (recipe({"kind": ["gate"], "unit": "a"}), ["unknown edit"]),
        (recipe("gate"), ["unknown edit", "gate"]),
        (recipe({"kind": "gate"}), ["malformed edit", "no unit"]),
        (recipe({"kind": "gate", "unit": "a", "copies": 2, "x": 1}), ["malformed edit", "copies, x"]),
        (recipe({"kind": "gate", "unit": "a", "ratio": 2}), ["ratio out of range", "a"]),
        (recipe({"kind": "duplicate", "unit": "a", "init": "zeros"}), ["'zeros'"]),
    ],
)
def test_texts_that_are_no_recipe_are_refused(text, words):
    with pytest.raises(EditError) as caught:
        dp.recipe_from_json(text)
    assert all(word in str(caught.value) for word in words), str(caught.value)
