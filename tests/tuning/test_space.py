"""The search space: files that narrow and widen it, what depends on what, and errors that name the key."""

import optuna
import pytest

from depthprobe.errors import ConfigError
from depthprobe.tuning.space import (
    Choices,
    Range,
    change_space,
    default_space,
    draw,
    parse_space,
    read_space,
    space_json,
)

SETTLED = {"schedule": "staggered", "mode": "prefix"}


def test_a_space_survives_json():
    space = default_space(0.02)
    assert parse_space(space_json(space)) == space


def test_a_file_narrows_widens_and_leaves_out(tmp_path):
    path = tmp_path / "space.toml"
    path.write_text(
        'init = ["auto", "he"]\nmax_scale = false\nmode = "prefix"\nclip = {low = 0.1, high = 10, log = true}\n'
    )
    space = change_space(default_space(0.02), read_space(path))
    assert space["init"] == Choices(("auto", "he"))
    assert space["mode"] == Choices(("prefix",))
    assert space["clip"] == Range(0.1, 10, True)
    assert "max_scale" not in space
    assert "overlap" in space


@pytest.mark.parametrize(
    ("text", "culprits"),
    [
        ("overlaps = [1]", ["overlaps", "did you mean 'overlap'"]),
        ("overlap = [0]", ["overlap", "whole numbers from 1"]),
        ("overlap = [1.5]", ["overlap", "1.5"]),
        ("overlap = {low = 3, high = 1}", ["overlap", "low"]),
        ("lr = {low = 0.1}", ["lr", "low"]),
        ("lr = {low = 0.1, high = 1, step = 2}", ["lr", "step"]),
        ("lr = {low = 0.001, high = inf}", ["lr", "inf"]),
        ("lr = true", ["lr", "True"]),
        ("lr = []", ["lr", "empty"]),
        ("momentum = {low = 0.0, high = 0.9, log = true}", ["momentum"]),
        ('mode = ["prefix", "magic"]', ["mode", "magic", "bernoulli"]),
        ('mode = ["prefix", "prefix"]', ["mode", "twice"]),
        ("mode = {low = 1, high = 2}", ["mode", "prefix"]),
        ("init = [3]", ["init", "identity"]),
        ("start = [nan]", ["start", "nan"]),
        ("lr = = 2", ["no TOML", "space.toml"]),
    ],
)
def test_bad_files_name_the_key(tmp_path, text, culprits):
    path = tmp_path / "space.toml"
    path.write_text(text)
    with pytest.raises(ConfigError) as error:
        read_space(path)
    for culprit in culprits:
        assert culprit in str(error.value)
    assert len(str(error.value).splitlines()) <= 6


def test_a_missing_file_and_an_empty_search_are_refused(tmp_path):
    with pytest.raises(ConfigError, match="cannot be read"):
        read_space(tmp_path / "none.toml")
    nothing = dict.fromkeys(default_space(0.02))
    with pytest.raises(ConfigError, match="nothing to search"):
        change_space(default_space(0.02), {**nothing, "lr": Choices((0.1,))})


@pytest.mark.parametrize(
    ("fixed", "absent"),
    [
        ({"schedule": "together", "mode": "prefix"}, {"overlap", "opening", "max_scale"}),
        ({"schedule": "staggered", "mode": "blend"}, {"granularity", "max_scale"}),
        ({"schedule": "staggered", "mode": "bernoulli"}, set()),
    ],
)
def test_what_means_nothing_together_is_not_drawn(fixed, absent):
    space = default_space(0.02)
    values = {
        **{name: domain.values[0] if isinstance(domain, Choices) else domain.low for name, domain in space.items()},
        **fixed,
    }
    drawn = draw(optuna.trial.FixedTrial(values), space, SETTLED)
    assert set(space) - set(drawn) == absent


def test_what_is_not_searched_settles_what_depends_on_it():
    space = {name: domain for name, domain in default_space(0.02).items() if name != "schedule"}
    values = {name: domain.values[0] if isinstance(domain, Choices) else domain.low for name, domain in space.items()}
    drawn = draw(optuna.trial.FixedTrial(values), space, {"schedule": "together", "mode": "prefix"})
    assert "overlap" not in drawn
