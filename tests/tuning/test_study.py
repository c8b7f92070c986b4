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


def test_a_study_begun_with_a_relative_folder_of_data_is_taken_up_from_another_folder(net, tmp_path, monkeypatch):
    import numpy
    from sklearn.datasets import load_digits

    from depthprobe.config import GrowConfig, TrainConfig
    from depthprobe.inputs import open_model
    from depthprobe.probes.setup import DataSource
    from depthprobe.runs import RunFolder
    from depthprobe.tuning.answer import config_text
    from depthprobe.tuning.config import TuneConfig
    from depthprobe.tuning.confirm import Contender
    from depthprobe.tuning.setup import create_tuning, reopen_tuning, set_up_tuning

    digits = load_digits()
    (tmp_path / "data").mkdir()
    (tmp_path / "elsewhere").mkdir()
    numpy.savez(tmp_path / "data" / "d.npz", x=digits.images[:300, None].astype("float32"), y=digits.target[:300])
    monkeypatch.chdir(tmp_path)
    setup = set_up_tuning(
        open_model(str(net)), DataSource(spec="d.npz", data_dir="data"), GrowConfig(copies=2),
        TrainConfig(steps=40, lr=0.05), TuneConfig(trials=2), {}, study="s", storage="run",
    )  # fmt: skip
    create_tuning(setup, tmp_path / "run").close()
    monkeypatch.chdir("elsewhere")
    again = reopen_tuning(RunFolder.open(tmp_path / "run"))
    assert again.base.data.fingerprint == setup.base.data.fingerprint
    best = Contender(slot=0, settings={"grow": {}, "train": {}}, cost=1.0, searched=0.9, values=(0.9,), gain=None)
    assert f"--dataset d.npz --data-dir {tmp_path / 'data'} --config best.toml" in config_text(again, best)
