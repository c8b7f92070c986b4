"""The two studies of a run in a storage that others use too: names, and what an earlier study left behind."""

import optuna
import pytest

from depthprobe.errors import ConfigError
from depthprobe.tuning.queue import SLOT
from depthprobe.tuning.quiet import quietly
from depthprobe.tuning.storage import open_storage
from depthprobe.tuning.study import (
    check_name,
    create_confirmation,
    ensure_study,
    open_confirmation,
    open_search,
    refuse_taken,
)

JOB = {"of": 0, "settings": {"grow": {}, "train": {}}, "rank": 1, "fold": 1}


@pytest.fixture
def storage(tmp_path):
    return open_storage(f"sqlite:///{tmp_path / 'shared.db'}", 60)


def delete(storage, name):
    with quietly():
        optuna.delete_study(study_name=name, storage=storage)


def test_a_confirmation_is_found_again_and_completed_by_its_own_study(make_setup, storage, tmp_path):
    setup = make_setup()
    ensure_study(setup, storage, tmp_path)
    for _ in range(2):
        create_confirmation(setup, storage, [JOB, JOB])
    queue = open_confirmation(setup, storage)
    assert [trial.user_attrs[SLOT] for trial in queue.trials] == [0, 1]
    ensure_study(setup, storage, tmp_path)  # as resuming does
    assert open_confirmation(setup, storage) is not None
    assert len(open_search(setup, storage).trials) == setup.config.trials


def test_the_confirmation_of_an_earlier_study_of_the_same_name_is_not_taken_for_this_ones(
    make_setup, storage, tmp_path
):
    setup = make_setup()
    ensure_study(setup, storage, tmp_path)
    create_confirmation(setup, storage, [JOB])
    delete(storage, "study")
    with pytest.raises(ConfigError, match="earlier study") as error:
        refuse_taken(setup, storage)
    assert "delete-study --study-name study-confirm" in str(error.value)
    ensure_study(setup, storage, tmp_path)
    for takes in (lambda: create_confirmation(setup, storage, [JOB]), lambda: open_confirmation(setup, storage)):
        with pytest.raises(ConfigError, match="earlier study"):
            takes()
    delete(storage, "study-confirm")
    create_confirmation(setup, storage, [JOB])
    assert open_confirmation(setup, storage) is not None


def test_a_name_that_a_confirmation_would_have_is_refused():
    check_name("confirm")
    with pytest.raises(ConfigError, match="-confirm"):
        check_name("deep-confirm")
