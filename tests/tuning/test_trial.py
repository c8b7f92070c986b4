"""One trial: the same value whoever trains it, whole or from a checkpoint, and the same as grow itself measures."""

import pytest

from depthprobe.errors import TrainingError
from depthprobe.probes.bench import Arm
from depthprobe.tuning.climb import TrialNotebook, cost_of, train_up


class KilledError(Exception):
    pass


def stop_at(hold):
    def at_hold(rank, value):
        if rank == hold:
            raise KilledError

    return at_hold


@pytest.fixture
def bench(make_setup):
    return make_setup().place({"grow": {"mode": "bernoulli", "init": "he"}, "train": {"lr": 0.03}})


def test_a_training_from_its_checkpoint_ends_bit_for_bit_where_the_whole_one_does(bench, tmp_path):
    arm = Arm(0, 0, "trial")
    whole = train_up(bench, arm, 0, TrialNotebook(None))
    place = tmp_path / "checkpoints"
    with pytest.raises(KilledError):
        train_up(bench, arm, 0, TrialNotebook(place), stop_at(2))
    assert list(place.glob("*.pt"))
    heard = []
    again = train_up(bench, arm, 0, TrialNotebook(place), lambda rank, value: heard.append((rank, value)))
    assert again == whole
    assert [value for _, value in heard] == [value for _, value in whole["curve"]]
    assert not place.exists()  # of no use any more


def test_a_checkpoint_of_another_training_is_left_alone(bench, tmp_path, caplog):
    arm, place = Arm(0, 0, "trial"), tmp_path / "checkpoints"
    with pytest.raises(KilledError):
        train_up(bench, arm, 0, TrialNotebook(place, "another"), stop_at(2))
    notebook, heard = TrialNotebook(place, "this one"), []
    with pytest.raises(KilledError):
        train_up(bench, arm, 0, notebook, lambda rank, value: heard.append(rank) or stop_at(1)(rank, value))
    assert notebook.resumed_at == 0
    assert heard == [0, 1]
    assert "of another training" in caplog.text
    again = TrialNotebook(place, "this one")
    assert again.restore() is not None  # its own, behind the other's


@pytest.fixture
def keys(monkeypatch):
    """Keys of the trainings that were asked for; none is trained."""
    found = []

    def train(bench, arm, fold, notebook, at_hold):
        found.append(notebook.key)
        return {"failed": None, "value": 0.5}

    monkeypatch.setattr("depthprobe.tuning.trial.train_up", train)
    return found


def test_the_key_of_a_checkpoint_is_that_of_the_study_its_settings_and_data(make_setup, keys):
    import optuna

    from depthprobe.tuning.queue import IDENTITY, SLOT
    from depthprobe.tuning.trial import Runner

    def run(setup, identity="first", **settings):
        study = optuna.create_study(direction="maximize")
        study.set_user_attr(IDENTITY, identity)
        study.enqueue_trial({}, user_attrs={SLOT: 1, "settings": {"grow": {}, "train": settings}})
        Runner(setup, None)(study.ask())

    setup = make_setup()
    for change in ({}, {}, {"identity": "second"}, {"lr": 0.01}):
        run(setup, **change)
    run(make_setup(train={"batch_size": 32}))
    assert keys[0] == keys[1]
    assert len(set(keys)) == 4


@pytest.mark.parametrize("settings", [{"grow": {"overlap": 0}}, {"grow": {"init": "copy"}}])
def test_settings_that_do_not_go_together_are_the_end_of_a_trial_and_not_of_the_study(make_setup, keys, settings):
    """The first are refused as settings, the second by the model: 1 -> 6 channels cannot be copied."""
    import optuna

    from depthprobe.errors import UsageError
    from depthprobe.tuning.queue import FAILED, IDENTITY, SLOT, TrialFailed
    from depthprobe.tuning.trial import DEFAULT, Runner

    study = optuna.create_study(direction="maximize")
    study.set_user_attr(IDENTITY, "one")
    known = {"settings": {"train": {}, **settings}}
    study.enqueue_trial({}, user_attrs={SLOT: 1, **known})
    study.enqueue_trial({}, user_attrs={SLOT: 0, DEFAULT: True, **known})
    runner, trial = Runner(make_setup(), None), study.ask()
    with pytest.raises(TrialFailed):
        runner(trial)
    assert trial.user_attrs[FAILED].startswith("infeasible: ")
    with pytest.raises(UsageError):
        runner(study.ask())
    assert not keys


def test_a_trial_that_is_run_again_tells_the_pruner_of_the_seeds_it_had(make_setup, keys):
    import optuna

    from depthprobe.tuning.queue import IDENTITY, SLOT
    from depthprobe.tuning.trial import Runner

    study = optuna.create_study(direction="maximize", pruner=optuna.pruners.NopPruner())
    study.set_user_attr(IDENTITY, "one")
    had = [{"failed": None, "value": 0.25}, {"failed": "diverged"}]
    study.enqueue_trial({}, user_attrs={SLOT: 1, "settings": {"grow": {}, "train": {}}, "runs": had})
    trial = study.ask()
    assert Runner(make_setup(pruner="wilcoxon"), None)(trial) == (0.25 + 0.0 + 0.5 + 0.5) / 4
    assert len(keys) == 2
    assert study.trials[0].intermediate_values == {0: 0.25, 1: 0.0, 2: 0.5, 3: 0.5}


def test_the_value_is_what_grow_measures_at_the_deepest_candidate(make_setup):
    from depthprobe.probes.arms import run_grow_arm

    setup = make_setup()
    notebook = TrialNotebook(None)
    run_grow_arm(setup.bench, Arm(0, 0, "grow"), notebook)
    found = train_up(setup.place({"grow": {}, "train": {}}), Arm(0, 0, "trial"), 0, TrialNotebook(None))
    grown = notebook.measurements(0, "grow")
    assert [record["value"] for record in grown] == [value for _, value in found["curve"]]
    assert grown[-1]["scores"] == found["scores"]


def test_the_settings_of_a_proposal_keep_the_updates(make_setup):
    setup = make_setup()
    for shares in ({"start": 0.02, "cool": 0.3}, {"start": 0.4, "hold": 0.02}, {"schedule": "together"}):
        plan = setup.place(setup.settings(shares)).plan
        from depthprobe.tuning.stairs import climb

        assert climb(plan.schedule(0)).steps + plan.cool == setup.budget.updates


def test_later_gates_cost_less(make_setup):
    setup = make_setup()
    early, late = (setup.place(setup.settings({"start": start, "cool": 0.05})).plan for start in (0.02, 0.4))
    assert cost_of(late, 0) < cost_of(early, 0)


def test_a_divergence_is_a_result(make_setup):
    setup = make_setup()
    found = train_up(setup.place({"grow": {}, "train": {"lr": 99.0}}), Arm(0, 0, "trial"), 0, TrialNotebook(None))
    assert "finite" in found["failed"]
    assert "value" not in found


def test_fresh_seeds_have_fresh_examples_where_there_are_any(make_setup):
    setup = make_setup(confirm_seeds=3)
    searched = setup.bench.split(0).valid_id
    assert [setup.bench.split(fold).valid_id == searched for fold in setup.confirm_folds()] == [False] * 3


def test_an_init_that_the_model_refuses_is_left_out_or_an_error(make_setup):
    from depthprobe.errors import ConfigError
    from depthprobe.tuning.space import Choices

    assert make_setup().space["init"] == Choices(("auto", "default", "he", "xavier"))  # 1 -> 6 channels: no copy
    with pytest.raises(ConfigError, match="refuses init 'copy'"):
        make_setup(changes={"init": Choices(("auto", "copy"))})


def test_what_is_no_trial_is_refused(make_setup):
    from depthprobe.errors import ConfigError

    for grow in ({"sensitivity": True}, {"by": "site"}, {"time_budget": 60.0}, {"max_params": 10**6}):
        with pytest.raises(ConfigError):
            make_setup(grow=grow)


@pytest.mark.parametrize(
    ("settings", "culprit"),
    [
        ({"pruner": "hyperband", "objective": "accuracy,cost"}, "--objective accuracy"),
        ({"pruner": "wilcoxon", "objective": "accuracy,cost"}, "--objective accuracy"),
        ({"pruner": "hyperband", "trial_seeds": 3}, "wilcoxon"),
        ({"pruner": "wilcoxon", "trial_seeds": 2}, "at least 4"),
        ({"trials": 1}, "--trials"),
        ({"workers": 0}, "--workers"),
        ({"sampler": "magic"}, "tpe"),
        ({"objective": "cost"}, "accuracy,cost"),
        ({"heartbeat": 0}, "--heartbeat"),
    ],
)
def test_settings_of_a_study_are_checked(settings, culprit):
    from depthprobe.errors import ConfigError
    from depthprobe.tuning.config import TuneConfig

    with pytest.raises(ConfigError) as error:
        TuneConfig(**settings)
    assert culprit in str(error.value)


def test_training_errors_alone_are_results(make_setup, monkeypatch):
    import depthprobe.tuning.climb as module

    def broken(*_):
        raise TrainingError("the loss is no longer finite")

    setup = make_setup()
    monkeypatch.setattr(module, "run_stairs", broken)
    assert train_up(setup.bench, Arm(0, 0, "trial"), 0, TrialNotebook(None))["failed"]
