"""Who is confirmed, and when a search's winner is believed."""

import numpy as np
import optuna
import pytest
from optuna.trial import TrialState

from depthprobe.tuning.confirm import choose_top, confirmation_jobs, lost_note, pick, weigh

EXAMPLES = 400
TOLERANCE = 0.005


def searched(slot, *values, default=False, settings=None, cost=1.0, state=TrialState.COMPLETE):
    attributes = {"slot": slot, "settings": settings or {"grow": {}, "train": {"lr": slot}}, "cost": cost}
    if default:
        attributes["default"] = True
    return optuna.trial.create_trial(
        state=state, values=list(values) if state == TrialState.COMPLETE else None, user_attrs=attributes
    )


def trained(of, rank, right):
    """A confirmation training whose examples are `right` (N,) bool; None: it diverged."""
    run = {"failed": "diverged"}
    if right is not None:
        bits = np.packbits(right).tobytes().hex()
        run = {"failed": None, "value": float(right.mean()), "examples": len(right), "valid_id": "a", "scores": bits}
    return optuna.trial.create_trial(
        state=TrialState.COMPLETE, value=run.get("value", 0.0), user_attrs={"of": of, "rank": rank, "runs": [run]}
    )


def draw_world(rng, accuracies, seeds=3, seed_sd=0.003):
    """Confirmation trials of contenders with these true accuracies; examples are as hard for all of them."""
    hard = rng.random(EXAMPLES)
    return [
        trained(of, rank, hard + 0.02 * rng.standard_normal(EXAMPLES) < accuracy + seed_sd * rng.standard_normal())
        for rank in range(1, seeds + 1)
        for of, accuracy in enumerate(accuracies)
    ]


def decide(accuracies, trials, costs=None, **options):
    top = [searched(i, a, default=i == 0, cost=(costs or [1.0] * 9)[i]) for i, a in enumerate(accuracies)]
    contenders = weigh(top, trials, confidence=0.95, fraction=True)
    return pick(contenders, **{"pareto": False, "tolerance": TOLERANCE, **options}), contenders


def test_the_top_are_the_best_of_different_settings_beside_the_default():
    same = {"grow": {}, "train": {"lr": 9}}
    trials = [
        searched(0, 0.7, default=True), searched(1, 0.9, settings=same), searched(2, 0.9, settings=same),
        searched(3, 0.8), searched(4, 0.85), searched(5, 0.1), searched(6, state=TrialState.PRUNED),
        searched(7, state=TrialState.FAIL),
    ]  # fmt: skip
    assert [t.user_attrs["slot"] for t in choose_top(trials, 3, pareto=False)] == [0, 1, 4, 3]
    assert [t.user_attrs["slot"] for t in choose_top(trials, 9, pareto=False)] == [0, 1, 4, 3, 5]


def test_of_two_objectives_the_top_are_beaten_by_none():
    trials = [
        searched(0, 0.9, 1.0, default=True), searched(1, 0.95, 2.0), searched(2, 0.94, 2.5), searched(3, 0.9, 0.5),
        searched(4, 0.8, 0.9),
    ]  # fmt: skip
    assert [t.user_attrs["slot"] for t in choose_top(trials, 3, pareto=True)] == [0, 1, 3]


def test_every_contender_is_trained_on_every_fresh_seed():
    jobs = confirmation_jobs([searched(0, 0.7, default=True), searched(5, 0.8)], [1, 2], [1, 0])
    assert [(job["of"], job["rank"], job["fold"]) for job in jobs] == [(0, 1, 1), (5, 1, 1), (0, 2, 0), (5, 2, 0)]


@pytest.mark.parametrize(("seeds", "seed_sd"), [(1, 0.03), (2, 0.03), (3, 0.003), (3, 0.03), (5, 0.01)])
def test_equal_schedules_leave_the_default_in_place(seeds, seed_sd):
    """The winner of three equal ones is believed seldom: at most one time in twenty, up to chance."""
    rng = np.random.default_rng(0)
    believed = 0
    for _ in range(200):
        accuracies = [0.95] * 4
        best, _ = decide(accuracies, draw_world(rng, accuracies, seeds, seed_sd))
        believed += best.slot != 0
    assert believed <= 16  # 5 % of 200, and two standard deviations


def test_a_real_gain_is_found_and_covered():
    rng = np.random.default_rng(1)
    found, covered = 0, 0
    for _ in range(100):
        accuracies = [0.93, 0.93, 0.97, 0.94]
        best, contenders = decide(accuracies, draw_world(rng, accuracies, seeds=5))
        found += best.slot == 2
        covered += contenders[2].gain["low"] <= 0.04 <= contenders[2].gain["high"]
    assert found >= 80
    assert covered >= 90


def test_a_collapsed_default_is_left():
    rng = np.random.default_rng(2)
    best, _ = decide([0.1, 0.95, 0.1, 0.1], draw_world(rng, [0.1, 0.95, 0.1, 0.1]))
    assert best.slot == 1


@pytest.mark.parametrize("fraction", [True, False])
def test_a_default_that_diverged_is_left(fraction):
    rng = np.random.default_rng(3)
    trials = [
        *[trained(0, rank, None) for rank in (1, 2)],
        *[trained(1, rank, rng.random(EXAMPLES) < 0.9) for rank in (1, 2)],
    ]
    contenders = weigh([searched(0, 0.5, default=True), searched(1, 0.9)], trials, confidence=0.95, fraction=fraction)
    assert contenders[0].failed
    assert pick(contenders, pareto=False, tolerance=TOLERANCE).slot == 1


@pytest.mark.parametrize("fraction", [True, False])
def test_no_bound_of_a_gain_of_a_fraction_lies_beyond_a_hundred_points(fraction):
    """Two seeds that differ by half of all examples: the interval alone is wider than the metric."""
    right = {share: np.arange(EXAMPLES) < share * EXAMPLES for share in (0.3, 0.5, 0.8)}
    shares = {(0, 1): 0.5, (0, 2): 0.8, (1, 1): 0.8, (1, 2): 0.3}
    trials = [trained(of, rank, right[share]) for (of, rank), share in shares.items()]
    contenders = weigh([searched(0, 0.5, default=True), searched(1, 0.9)], trials, confidence=0.95, fraction=fraction)
    gain = contenders[1].gain
    assert gain["value"] == pytest.approx(-0.1)
    assert (gain["low"], gain["high"]) == (-1.0, 1.0) if fraction else gain["low"] < -1.0 < 1.0 < gain["high"]


def test_a_contender_that_diverged_on_one_seed_is_not_chosen():
    rng = np.random.default_rng(4)
    trials = draw_world(rng, [0.5, 0.95])
    trials = [trained(1, 2, None) if (t.user_attrs["of"], t.user_attrs["rank"]) == (1, 2) else t for t in trials]
    contenders = weigh([searched(0, 0.5, default=True), searched(1, 0.95)], trials, confidence=0.95, fraction=True)
    assert contenders[1].values[1] is None
    assert pick(contenders, pareto=False, tolerance=TOLERANCE).slot == 0


def lost(of, rank):
    """A confirmation training whose worker was killed, twice."""
    return optuna.trial.create_trial(state=TrialState.FAIL, user_attrs={"of": of, "rank": rank})


def without(world, *places):
    """The same confirmation trials, those of (contender, rank) lost."""
    return [
        lost(*at) if (at := (trial.user_attrs["of"], trial.user_attrs["rank"])) in places else trial for trial in world
    ]


@pytest.mark.parametrize("fraction", [True, False])
def test_a_lost_training_is_no_divergence_and_turns_no_verdict(fraction):
    """Its seed is left out for all, and a note says so."""
    rng = np.random.default_rng(6)
    world = without(draw_world(rng, [0.9, 0.9, 0.97], seeds=5), (2, 3))
    top = [searched(i, a, default=i == 0) for i, a in enumerate([0.9, 0.9, 0.97])]
    contenders = weigh(top, world, confidence=0.95, fraction=fraction)
    four = weigh(top, [t for t in world if t.user_attrs["rank"] != 3], confidence=0.95, fraction=fraction)
    assert not contenders[2].failed
    assert contenders[2].lost == (3,)
    assert [one.gain for one in contenders] == [one.gain for one in four]
    assert pick(contenders, pareto=False, tolerance=TOLERANCE).slot == 2
    assert "trial 2 on seed 103" in lost_note(contenders, 100)
    assert lost_note(four, 100) is None


def test_a_lost_training_of_the_default_gives_nobody_a_gain():
    rng = np.random.default_rng(7)
    world = draw_world(rng, [0.95, 0.95], seeds=3)
    best, contenders = decide([0.95, 0.95], without(world, (0, 1), (0, 2)))
    assert best.slot == 0  # taken for collapses, two of three seeds would have made trial 1 the better one
    assert len(contenders[0].values) == 1
    best, contenders = decide([0.95, 0.95], without(world, (0, 1), (0, 2), (0, 3)))
    assert best.slot == 0
    assert [one.gain for one in contenders] == [None, None]


def test_one_that_is_lost_altogether_leaves_the_others_their_seeds():
    rng = np.random.default_rng(8)
    world = draw_world(rng, [0.9, 0.97, 0.9], seeds=5)
    best, contenders = decide([0.9, 0.97, 0.9], without(world, *((2, rank) for rank in range(1, 6))))
    assert best.slot == 1
    assert contenders[2].gain is None


def test_with_two_objectives_a_cheaper_one_no_worse_is_chosen():
    rng = np.random.default_rng(5)
    accuracies = [0.95, 0.95, 0.95]
    world = draw_world(rng, accuracies, seed_sd=0.0)
    best, _ = decide(accuracies, world, costs=[1.0, 0.6, 1.4], pareto=True, tolerance=0.05)
    assert best.slot == 1
    best, _ = decide(accuracies, world, costs=[1.0, 0.6, 1.4], pareto=False, tolerance=0.05)
    assert best.slot == 0
