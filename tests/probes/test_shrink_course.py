"""The course of a shrink probe: from the smallest candidate that may do, upwards; nothing is trained that decides
nothing; whatever was interrupted goes on the same way. Measurements are made up here, arms are not trained.
"""

import itertools
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from depthprobe.analysis.ahead import is_beyond
from depthprobe.cli.live import Watcher
from depthprobe.config import ShrinkConfig
from depthprobe.errors import ConfigError
from depthprobe.inputs import InMemoryModel, as_dataset
from depthprobe.probes import latencies
from depthprobe.probes.bench import Arm, begin_training
from depthprobe.probes.holds import AGAIN, AS_IT_IS, CONTROL
from depthprobe.probes.notebook import WHOLE as KEPT_WHOLE
from depthprobe.probes.setup import IN_MEMORY, DataSource
from depthprobe.probes.shrink_answer import _trained_on_stays, kept_network, weigh_shrink
from depthprobe.probes.shrink_arms import ANEW, DOWN, LOOK, branch_kind, branched
from depthprobe.probes.shrink_cost import forecast_shrink, shrink_cost
from depthprobe.probes.shrink_course import REACH, compared_with, next_arms, worth_training
from depthprobe.probes.shrink_scores import PRESENT, decide_on, read_measured, search_tolerance
from depthprobe.probes.shrink_setup import set_up_shrink
from depthprobe.probes.shrink_whole import SHARES, Whole, first_kind, read_whole, take_up
from depthprobe.probes.trained import TrainedModel
from depthprobe.runs import RunFolder

WHOLE = 5  # units that may leave
AS_GIVEN = 0.9  # what the whole network has before any training


@pytest.fixture(scope="module")
def setup():
    torch.manual_seed(0)
    x = torch.randn(2000, 8)
    y = (x[:, 0] * x[:, 1] > 0).long()
    layers = [nn.Linear(8, 16), nn.ReLU()]
    for _ in range(WHOLE):
        layers += [nn.Linear(16, 16), nn.ReLU()]
    net = nn.Sequential(*layers, nn.Linear(16, 2))
    optimizer = torch.optim.Adam(net.parameters(), lr=0.01)
    for _ in range(150):
        optimizer.zero_grad()
        nn.functional.cross_entropy(net(x), y).backward()
        optimizer.step()
    model = TrainedModel(source=InMemoryModel(net), example=x[:2])
    source = DataSource(spec=IN_MEMORY, memory=as_dataset({"train": (x, y)}))
    names = tuple(str(2 * rank) for rank in range(1, WHOLE + 1))
    config = ShrinkConfig(units=names, tolerance=0.02)
    made = set_up_shrink(model, source, config, {"lr": 0.01, "steps": 200, "threads": 1, "device": "cpu"})
    assert made.bench.plan.opened == tuple(range(WHOLE + 1))
    return made


def measured(setup, arm, walk, opened, value):
    """A record: so many of the validation examples are right, the first ones."""
    plan, split = setup.bench.plan, setup.bench.split(0)
    count = len(split.valid)
    right = np.arange(count) < round(value * count)
    return {
        "kind": "measurement", "arm": arm.kind, "seed": arm.seed, "walk": walk, "opened": opened,
        "depth": plan.depth_of(opened), "value": float(right.mean()), "examples": count, "valid_id": split.valid_id,
        "scores": np.packbits(right).tobytes().hex(),
    }  # fmt: skip


def write(setup, arm, looks, longs, controls):
    """What an arm would have recorded. A value of None: it diverged. controls: by kind."""
    plan = setup.bench.plan
    ended = [{"kind": "arm", "arm": arm.kind, "seed": arm.seed, "updates": 10, "samples": 640}]
    if arm.kind == "shrink":
        mine = looks(arm.seed) if callable(looks) else looks
        if mine is None:
            return [{"kind": "failure", "arm": arm.kind, "seed": arm.seed, "what": "diverged"}, *ended]
        walked = [measured(setup, arm, LOOK, opened, mine[opened]) for opened in sorted(mine, reverse=True)]
        return [*walked, *ended]
    if arm.kind.startswith(CONTROL):
        walk, value = AGAIN if arm.kind == AGAIN else CONTROL, controls.get(arm.kind)
        before = [measured(setup, arm, AS_IT_IS, plan.base.opened, AS_GIVEN)] if arm.kind == CONTROL else []
        after = [] if value is None else [measured(setup, arm, walk, plan.base.opened, value)]
        return [*before, *after, *ended]
    opened = branched(plan, arm.kind)
    walked, anew = longs[opened] if isinstance(longs[opened], tuple) else (longs[opened], 0.5)
    value = anew if arm.kind.endswith(ANEW) else walked(arm.seed) if callable(walked) else walked
    return ended if value is None else [measured(setup, arm, DOWN, opened, value), *ended]


def play(setup, looks, longs, **controls):
    """(kinds in the order in which they ran, seeds left out; records) of a whole probe. controls: what the whole
    network has after training on: first, again, and others by kind.
    """
    kinds, records, arms = [], [], []
    first, again, slower = controls.get("first", AS_GIVEN), controls.get("again"), controls.get("slower", {})
    control = {CONTROL: first, AGAIN: again, **slower}
    while coming := next_arms(setup, records):
        for arm in coming:
            arms.append((arm, list(records)))
            kinds += [arm.kind] if not kinds or kinds[-1] != arm.kind else []
            records += write(setup, arm, looks, longs, control)
    for arm, before in arms:  # a run that was interrupted here, whatever the arm had written
        torn = [r for r in write(setup, arm, looks, longs, control) if r["kind"] != "arm"]
        for left in (before, before if arm.kind in ("shrink", CONTROL) else [*before, *torn]):
            assert next_arms(setup, left)[0] == arm
    return kinds, records


def at(setup, opened, anew=False):
    return branch_kind(setup.bench.plan, opened, anew=anew)


def count(records, kind):
    return sum(r["kind"] == "arm" and r["arm"] == kind for r in records)


def test_from_the_smallest_within_reach_upwards_until_one_will_do(setup):
    looks = {5: 0.9, 4: 0.89, 3: 0.87, 2: 0.87, 1: 0.7, 0: 0.5}
    kinds, records = play(setup, looks, {2: 0.88, 3: 0.9, 4: 0.9})
    assert kinds == ["control", "shrink", at(setup, 2), at(setup, 2, True), at(setup, 2), at(setup, 3)]
    assert count(records, at(setup, 2)) == count(records, at(setup, 3)) == setup.config.seeds
    assert count(records, at(setup, 2, True)) == 1
    decision = decide_on(setup, read_measured(setup, records))
    assert (decision.verdict, decision.recommended) == ("shrink", setup.bench.plan.depth_of(3))


def test_the_first_that_will_do_ends_the_search(setup):
    kinds, _ = play(setup, {5: 0.9, 4: 0.9, 3: 0.9, 2: 0.88, 1: 0.87, 0: 0.5}, {1: 0.9})
    assert kinds == ["control", "shrink", at(setup, 1)]


def test_new_weights_are_tried_where_the_walks_are_not_good_enough_and_the_better_count(setup):
    kinds, records = play(setup, {5: 0.9, 4: 0.9, 3: 0.88, 2: 0.87}, {2: (0.88, 0.9)})
    assert kinds == ["control", "shrink", at(setup, 2), at(setup, 2, True)]
    assert count(records, at(setup, 2)) == 1
    assert count(records, at(setup, 2, True)) == setup.config.seeds
    decision = decide_on(setup, read_measured(setup, records))
    assert (decision.verdict, decision.recommended) == ("shrink", setup.bench.plan.depth_of(2))


def test_new_weights_are_tried_too_where_the_walks_were_good_with_the_first_seed_only(setup):
    longs = {2: lambda seed: 0.89 if seed == 0 else 0.87, 3: 0.9}
    kinds, _ = play(setup, {5: 0.9, 4: 0.9, 3: 0.88, 2: 0.87}, longs)
    assert kinds == ["control", "shrink", at(setup, 2), at(setup, 2, True), at(setup, 3)]


def test_new_weights_are_taken_unless_the_walks_are_clearly_better(setup):
    """Of what is equal but for noise the one whose luck differs from seed to seed."""
    looks = {5: 0.9, 4: 0.9, 3: 0.88, 2: 0.87}
    for walked, anew, chosen in ((0.88, 0.88, True), (0.883, 0.88, True), (0.885, 0.84, False)):
        _, records = play(setup, looks, {2: (walked, anew), 3: 0.9})
        assert count(records, at(setup, 2, chosen)) == setup.config.seeds
        assert count(records, at(setup, 2, not chosen)) == 1


def test_new_weights_come_first_where_the_look_says_that_the_walks_are_worth_little(setup):
    kinds, records = play(setup, {5: 0.9, 4: 0.9, 3: 0.88, 2: 0.85}, {2: (0.5, 0.9)})
    assert kinds == ["control", "shrink", at(setup, 2, True)]
    kinds, records = play(setup, {5: 0.9, 4: 0.9, 3: 0.88, 2: 0.85}, {2: (0.9, 0.85)})
    assert kinds == ["control", "shrink", at(setup, 2, True), at(setup, 2)]
    assert count(records, at(setup, 2)) == setup.config.seeds


def test_the_other_seeds_are_not_asked_about_what_is_hopeless(setup):
    kinds, records = play(setup, {5: 0.9, 4: 0.9, 3: 0.88, 2: 0.87}, {2: 0.8, 3: 0.9})
    assert kinds == ["control", "shrink", at(setup, 2), at(setup, 2, True), at(setup, 3)]
    assert count(records, at(setup, 2)) == count(records, at(setup, 2, True)) == 1
    assert read_measured(setup, records).opened == [3, 5]


def test_where_nothing_can_go_one_candidate_is_asked(setup):
    kinds, records = play(setup, {5: 0.9, 4: 0.6, 3: 0.5}, {4: 0.8})
    assert kinds == ["control", "shrink", at(setup, 4, True), at(setup, 4)]
    assert decide_on(setup, read_measured(setup, records)).verdict == "keep"


def test_a_whole_network_that_longer_training_makes_better_is_what_counts(setup):
    """Beside the checkpoint 2 would do; beside what it becomes only 4 does."""
    looks, longs = {5: 0.95, 4: 0.95, 3: 0.93, 2: 0.93}, {2: 0.9, 3: 0.91, 4: 0.95}
    kinds, records = play(setup, looks, longs, first=0.95, again=0.95)
    tried = [at(setup, opened, anew) for opened in (2, 3) for anew in (False, True)]
    assert kinds == ["control", "shrink", *tried, at(setup, 4), AGAIN]
    found = read_measured(setup, records)
    assert "control" in found.present
    assert decide_on(setup, found).recommended == setup.bench.plan.depth_of(4)


def test_a_network_that_was_trained_on_first_has_a_control_of_its_own(setup):
    """It is what is made smaller: what that one becomes by still longer training is the bar."""
    looks, longs = dict.fromkeys((5, 4, 3, 2), 0.93), {2: 0.93, 3: 0.94, 4: 0.96}
    kinds, records = play(setup, looks, longs, first=0.93, again=0.96)
    assert kinds[kinds.index(AGAIN) - 1] == at(setup, 2)
    assert kinds[-1] == at(setup, 4)
    assert "twice" in read_measured(setup, records).present
    assert read_whole(setup, records).better


def test_a_network_that_training_on_does_not_help_needs_no_second_control(setup):
    for first in (0.88, 0.9, 0.901):
        kinds, records = play(setup, dict.fromkeys((5, 4, 3, 2), 0.9), {2: 0.9}, first=first)
        assert AGAIN not in kinds
        assert not read_whole(setup, records).better


def test_a_rate_that_loses_the_whole_network_is_lowered_until_it_survives(setup):
    """Lost: on the way (nothing measured), or measured far below what it was."""
    slower = {first_kind(0.3): AS_GIVEN - setup.lost - 0.01, first_kind(0.1): AS_GIVEN - 0.01}
    kinds, records = play(setup, dict.fromkeys((5, 4, 3), 0.9), {3: 0.9}, first=None, slower=slower)
    assert kinds[:4] == [*(first_kind(share) for share in (1.0, 0.3, 0.1)), "shrink"]
    whole = read_whole(setup, records)
    assert (whole.arm, whole.share, whole.better) == (None, 0.1, False)


def test_a_network_that_survives_no_rate_goes_on_at_the_lowest(setup):
    kinds, records = play(setup, dict.fromkeys((5, 4, 3), 0.9), {3: 0.9}, first=None)
    assert kinds[: len(SHARES) + 1] == [*map(first_kind, SHARES), "shrink"]
    assert read_whole(setup, records).share == SHARES[-1]
    assert decide_on(setup, read_measured(setup, records)).verdict == "shrink"


def test_what_follows_has_the_rate_and_the_weights_that_were_found(setup, tmp_path):
    changed = setup.model.build()
    with torch.no_grad():
        changed[0].weight.mul_(2.0)
    with RunFolder.create(tmp_path / "run", "shrink", {}, {}) as folder:
        folder.write_torch(KEPT_WHOLE, {"state_dict": changed.state_dict()})
        kept = take_up(setup, folder, Whole(arm=None, share=0.3, better=False))
        taken = take_up(setup, folder, Whole(arm=None, share=1.0, better=True))
    assert kept.bench.slowed == 0.3
    assert kept.bench.teacher is setup.bench.teacher
    assert torch.equal(kept.bench.build(0)[0].weight, setup.model.build()[0].weight)
    assert torch.equal(taken.bench.build(0)[0].weight, changed[0].weight)
    assert torch.equal(taken.bench.teacher.network[0].weight, changed[0].weight)
    split = setup.bench.split(0)
    arm = Arm(0, 0, "shrink")
    rates = [begin_training(bench.build(0), bench, split, arm).rate for bench in (kept.bench, taken.bench)]
    assert rates == [0.3, 1.0]


def test_the_control_is_as_long_as_what_would_be_advised_saw(setup):
    _, records = play(setup, {5: 0.95, 4: 0.9, 3: 0.93, 2: 0.92}, {2: 0.93, 3: 0.95}, first=0.95, again=0.95)
    before = [r for r in records if r["arm"] != AGAIN]
    assert compared_with(setup, read_measured(setup, before)) == 3
    plan = setup.bench.plan
    assert plan.seen(3) == plan.reached(3) + plan.branch < plan.seen(2)


def test_a_candidate_that_was_given_up_is_not_asked_again(setup):
    """1 would do but for the upper bound, then 2 does; after the second control nothing smaller is tried again."""
    looks, longs = {5: 0.95, 4: 0.95, 3: 0.95, 2: 0.95, 1: 0.93}, {1: 0.935, 2: 0.95, 3: 0.98}
    kinds, _ = play(setup, looks, longs, first=0.95, again=0.98)
    assert kinds.count(at(setup, 1)) == 1
    after = kinds[kinds.index(AGAIN) :]
    assert at(setup, 1, True) not in after


def test_a_candidate_that_diverges_is_passed_over(setup):
    kinds, records = play(setup, {5: 0.9, 4: 0.9, 3: 0.9, 2: 0.88}, {2: (None, None), 3: 0.9})
    assert kinds == ["control", "shrink", at(setup, 2), at(setup, 2, True), at(setup, 3)]
    assert read_measured(setup, records).opened == [3, 5]


def test_a_control_that_diverges_leaves_the_present_network_as_it_was_measured(setup):
    kinds, records = play(setup, {5: 0.9, 4: 0.9, 3: 0.9, 2: 0.88}, {2: 0.9}, first=None)
    found = read_measured(setup, records)
    assert kinds.count("control") == 1
    assert (found.walker, found.whole) == (0, pytest.approx(0.9, abs=0.002))
    assert decide_on(setup, found).verdict == "shrink"


def test_a_walk_that_fails_is_walked_with_the_next_seed(setup):
    _, records = play(setup, {1: {5: 0.9, 4: 0.9, 3: 0.5}}.get, {4: 0.9})
    found = read_measured(setup, records)
    assert (found.walker, found.seeds) == (1, [1, 2])
    assert [r["seed"] for r in records if r["kind"] == "arm" and r["arm"] == "shrink"] == [0, 1]
    assert {r["seed"] for r in records if r["arm"].startswith("at ")} == {1, 2}


def test_a_limit_on_latency_chooses_the_same_network_after_an_interruption(setup, tmp_path, monkeypatch):
    """The second process measures other latencies, but the trainings of --verify began with the first one's choice."""
    setup = replace(setup, config=replace(setup.config, max_latency_ms=1.0, verify=True))
    _, records = play(setup, dict.fromkeys(range(WHOLE + 1), 0.9), dict.fromkeys(range(WHOLE), 0.9))
    choices, found = [], []
    with RunFolder.create(tmp_path / "run", "shrink", {}, {}) as folder:
        for record in records:
            folder.append(record)
        for slow in (0.3, 0.9):
            taken = itertools.count(1)
            slower = lambda nets, _, by=slow, taken=taken: [by * next(taken) for _ in nets]  # noqa: E731
            monkeypatch.setattr(latencies, "measure_latencies_ms", slower)
            weighed = weigh_shrink(setup, folder)
            choices.append(weighed.kept)
            found.append([row["latency_ms"] for row in weighed.depth["candidates"]])
    assert choices[0] < WHOLE
    assert choices == [choices[0]] * 2
    assert found == [found[0]] * 2


@pytest.mark.parametrize(
    ("limits", "kept", "said"),
    [
        (lambda macs: {"keep_accuracy": 0.79}, 1, "Within --keep-accuracy 0.79 shrink from 7 to 3 layers: "),
        (lambda macs: {"max_macs": macs[1]}, 1, "Within --max-macs {} shrink from 7 to 3 layers: "),
        (lambda macs: {"keep_accuracy": 0.895}, 4, "Within --keep-accuracy 0.895 shrink from 7 to 6 layers: "),
        (lambda macs: {"max_macs": macs[1], "keep_accuracy": 0.85}, WHOLE, "the closest: 3 layers, "),
        (lambda macs: {"max_macs": macs[WHOLE]}, 3, None),
    ],
    ids=["kept", "ceiling", "kept well", "both", "not binding"],
)
def test_a_budget_has_every_candidate_trained_and_chooses_among_them(setup, tmp_path, limits, kept, said):
    """The rule itself would leave 5 layers; under a ceiling the best that fits, else the least that keeps enough."""
    limits = limits([candidate.macs for candidate in setup.bench.plan.candidates])
    setup = replace(setup, config=replace(setup.config, **limits))
    looks, longs = {5: 0.9, 4: 0.9, 3: 0.89, 2: 0.7, 1: 0.6, 0: 0.5}, {4: 0.9, 3: 0.89, 2: 0.85, 1: 0.8, 0: 0.7}
    _, records = play(setup, looks, longs)  # without a budget nobody would train the smallest three
    with RunFolder.create(tmp_path / "run", "shrink", {}, {}) as folder:
        for record in records:
            folder.append(record)
        weighed = weigh_shrink(setup, folder)
    assert len(weighed.depth["candidates"]) == WHOLE + 1
    assert weighed.kept == kept
    assert weighed.removed == list(setup.bench.plan.removed(kept))
    if said is None:  # the rule's own advice fits
        assert weighed.sentence is None
    else:
        assert said.format(f"{limits.get('max_macs', 0):,}") in weighed.sentence
        assert weighed.sentence.endswith("; without a budget these measurements say: shrink from 7 to 5 layers.")


@pytest.mark.parametrize(("name", "what"), [("macs", "multiply-accumulates"), ("params", "parameters")])
def test_a_budget_below_the_smallest_candidate_is_refused_and_that_one_is_named(setup, name, what):
    least = getattr(setup.bench.plan.candidates[0], name)
    config, typed = ShrinkConfig(**{f"max_{name}": least - 1}), {"lr": 0.01, "steps": 200, "threads": 1}
    with pytest.raises(ConfigError, match="no network of this probe fits the budget") as refused:
        set_up_shrink(setup.model, setup.data_source, replace(config, units=setup.config.units), typed)
    assert f"the smallest, of 2 layers, has {least:,} {what}" in str(refused.value)


def test_only_what_a_look_leaves_within_reach_is_worth_training(setup):
    edge = 0.9 - REACH * 0.02
    assert worth_training(setup, {5: 0.9, 4: 0.8, 3: edge + 1e-6, 2: edge - 1e-6}, 0.02) == [3, 4]
    assert worth_training(setup, {5: 0.9, 4: edge - 0.1, 3: edge - 0.2}, 0.02) == [4]
    assert worth_training(setup, {5: 0.9}, 0.02) == []


def test_where_two_trainings_of_the_whole_network_differ_a_lot_the_search_reaches_further(setup):
    """An automatic tolerance was planned for networks that differ on one example in fifty."""
    automatic, count = replace(setup, tolerance_auto=True), len(setup.bench.split(0).valid)
    dice = np.random.default_rng(0)
    before = (dice.random(count) < 0.6).astype(float)
    alike = np.where(dice.random(count) < 0.01, 1 - before, before)
    other = (dice.random(count) < 0.6).astype(float)
    tolerances = [
        search_tolerance(automatic, {AS_IT_IS: before, **way}) for way in ({}, {CONTROL: alike}, {CONTROL: other})
    ]
    assert tolerances == [0.02, 0.02, 0.03]
    assert search_tolerance(setup, {AS_IT_IS: before, CONTROL: other}) == 0.02


def test_two_looks_beyond_recovery_end_a_walk():
    assert is_beyond([0.9, 0.8, 0.7], 0.05)
    assert not is_beyond([0.9, 0.8], 0.05)
    assert not is_beyond([0.9, 0.8, 0.87], 0.05)


def test_the_bill_counts_every_multiply_accumulate(setup):
    plan = setup.bench.plan
    schedule, looks = plan.schedule(0), list(reversed(plan.opened))
    macs = {candidate.opened: candidate.macs for candidate in plan.candidates}
    shut = macs[WHOLE] - sum(plan.gate_macs)
    walked = sum(
        shut + sum(p * m for p, m in zip(schedule.ratios(step).values(), plan.gate_macs, strict=True))
        for step in range(schedule.steps)
    )
    updates = schedule.steps + plan.cool * len(looks)
    records = [{"kind": "measurement", "arm": "shrink", "seed": 0, "walk": LOOK, "opened": count} for count in looks]
    records += [
        {"kind": "arm", "arm": kind, "seed": 0, "updates": count, "samples": 0}
        for kind, count in (("shrink", updates), (branch_kind(plan, 2), plan.branch), ("control", plan.seen(2)))
    ]
    bill = shrink_cost(setup.bench, records, 1.0, verified={})
    teacher = macs[WHOLE] * len(setup.bench.split(0).train) / (3 * setup.bench.train.batch_size)
    work = walked + plan.cool * sum(macs.values()) + plan.branch * macs[2] + plan.seen(2) * macs[WHOLE] + teacher
    assert bill["trainings"] == pytest.approx(work / (plan.steps * macs[WHOLE]), abs=0.02)
    assert bill["steps"] == updates + plan.branch + plan.seen(2)


def test_the_forecast_grows_with_the_seeds(setup):
    few, many = (forecast_shrink(setup.bench.plan, seeds, 0.0) for seeds in (1, 3))
    assert 0 < few.trainings < many.trainings
    assert few.updates < many.updates


def test_what_is_handed_back_where_nothing_leaves():
    """The network that was trained on, unless it lacks idle units that the answer keeps (a budget's)."""

    def stays(present, idle, removed):
        setup = SimpleNamespace(model=SimpleNamespace(idle=idle))
        return _trained_on_stays(setup, SimpleNamespace(present=present, removed=removed))

    assert stays(PRESENT[CONTROL], (), [])
    assert stays(PRESENT[AGAIN], ("2",), ["2"])
    assert not stays(PRESENT[CONTROL], ("2",), [])
    assert not stays(PRESENT[AS_IT_IS], (), [])


@pytest.mark.parametrize(("first", "trained_on"), [(0.95, True), (0.9, False)])
def test_where_a_short_look_was_best_the_better_of_the_networks_that_were_kept_is_handed_back(
    setup, tmp_path, first, trained_on
):
    """A look's own network is not kept: the one that was trained on is, and the checkpoint's may be far below it."""
    changed = setup.model.build()
    with torch.no_grad():
        changed[0].weight.mul_(2.0)
    _, records = play(setup, {5: 0.98, 4: 0.7, 3: 0.6}, {4: 0.7}, first=first)
    with RunFolder.create(tmp_path / "run", "shrink", {}, {}) as folder:
        folder.write_torch(KEPT_WHOLE, {"state_dict": changed.state_dict()})
        for record in records:
            folder.append(record)
        weighed = weigh_shrink(setup, folder)
        network, _ = kept_network(setup, folder, weighed)
    assert (weighed.decision.verdict, weighed.present) == ("keep", PRESENT[LOOK])
    wanted = changed if trained_on else setup.model.build()
    assert torch.equal(network[0].weight, wanted[0].weight)


def test_progress_is_counted_by_the_forecast(setup):
    """The arms of shrink become known one after another: of the first alone half would look like all."""
    watcher = Watcher()
    first = Arm(0, 0, "control")
    watcher.begun(replace(setup, ran=(first,)), 0, [first])
    assert watcher.total >= setup.forecast.updates > watcher.per_arm["control"]


def test_an_arm_that_is_trained_once_more_counts_twice(setup):
    """Only width's control does: the forecast leaves its second round out, the share of what is done must not."""
    watcher = Watcher()
    first = Arm(0, 0, "control")
    watcher.begun(replace(setup, ran=(first,)), 0, [first])
    planned, length = watcher.total, watcher.length["control"]
    watcher.progress(first, length, 0.1, [])
    assert watcher.total == planned
    before = watcher.share()
    watcher.progress(first, length + 1, 0.1, [])
    assert watcher.total == planned + length
    assert watcher.finished_updates + watcher.share() * watcher.total == pytest.approx(length + 1, abs=1)
    watcher.recorded({"kind": "arm", "arm": "control", "seed": first.seed})
    assert watcher.share() == pytest.approx(2 * length / (planned + length))
    assert before < watcher.share()
