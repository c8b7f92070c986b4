"""The tolerance that is fixed before training."""

import pytest

from depthprobe.analysis.tolerance import auto_tolerance, resolvable
from depthprobe.errors import ConfigError


@pytest.mark.parametrize("folds", [True, False])
def test_more_data_resolve_more(folds):
    assert resolvable(5000, 3, folds=folds) < resolvable(1000, 3, folds=folds) < resolvable(1000, 2, folds=folds)


def test_a_fold_per_seed_resolves_more_than_one_fold_for_all():
    assert resolvable(360, 3, folds=True) < resolvable(360, 3, folds=False)


@pytest.mark.parametrize("folds", [True, False])
@pytest.mark.parametrize(("examples", "seeds"), [(360, 3), (1080, 5), (5000, 3), (100_000, 2)])
def test_what_the_target_would_take_is_enough_and_not_too_much(examples, seeds, folds):
    answer = auto_tolerance(examples, seeds, folds=folds)
    assert answer.value == max(0.005, answer.resolvable)
    if answer.examples_needed is not None:
        assert resolvable(answer.examples_needed, seeds, folds=folds) <= 0.005 + 1e-9
        if answer.examples_needed > examples:
            assert resolvable(answer.examples_needed - 1, seeds, folds=folds) > 0.005
    if answer.seeds_needed is not None:
        assert resolvable(examples, answer.seeds_needed, folds=folds) <= 0.005 + 1e-9
    if answer.both_needed is not None:
        assert resolvable(answer.both_needed[0], answer.both_needed[1], folds=folds) <= 0.005 + 1e-9


def test_enough_data_keep_the_target():
    answer = auto_tolerance(50_000, 8, folds=False)
    assert (answer.value, answer.both_needed) == (0.005, None)


def test_no_data_is_an_error():
    with pytest.raises(ConfigError):
        resolvable(0, 3, folds=False)
    with pytest.raises(ConfigError):
        auto_tolerance(100, 3, folds=False, target=0.0)
