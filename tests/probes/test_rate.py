"""The range test: what it reads off a curve, what it never chooses, and that it leaves no trace."""

import math

import pytest
import torch
from torch import nn

from depthprobe.config import TrainConfig
from depthprobe.inputs import Examples, open_dataset
from depthprobe.probes import rate
from depthprobe.training.batches import Batches
from depthprobe.training.device import open_device

GUESS = math.log(10)
RATES = [1e-4 * 1e5 ** (i / 149) for i in range(150)]


def falling(begin, end, lost, floor=0.5, start=GUESS):
    """A loss that falls from `begin` to `end` (rates) and is lost at `lost`."""

    def at(lr):
        done = min(1.0, max(0.0, math.log(lr / begin) / math.log(end / begin)))
        return start - (start - floor) * done if lr < lost else 3 * start

    return [at(lr) for lr in RATES]


def test_the_rate_is_where_most_of_the_fall_has_happened():
    found = rate.read_curve(RATES, falling(0.003, 0.03, 1.0), GUESS)
    assert 0.025 < found.fell < 0.06  # the running mean lags by some updates
    assert found.fell <= found.lowest < found.lost
    assert 1.0 <= found.lost < 1.4


def test_a_shift_of_the_curve_shifts_the_rate_as_much():
    left, right = (rate.read_curve(RATES, falling(0.001 * k, 0.01 * k, 0.5 * k), GUESS) for k in (1, 4))
    assert right.fell / left.fell == pytest.approx(4, rel=0.1)


def test_a_fall_from_a_bad_beginning_to_guessing_is_not_learning():
    assert rate.read_curve(RATES, falling(1e-4, 1e-3, 10.0, floor=GUESS, start=40.0), GUESS) is None
    learned = [a if lr < 0.004 else b for lr, a, b in zip(
        RATES, falling(1e-4, 1e-3, 10.0, floor=GUESS, start=40.0), falling(0.005, 0.05, 1.0), strict=True
    )]  # fmt: skip
    assert rate.read_curve(RATES, learned, GUESS).fell > 0.03


def test_flat_and_empty_curves_say_nothing():
    assert rate.read_curve(RATES, [GUESS] * 150, GUESS) is None
    assert rate.read_curve([], [], GUESS) is None


def test_the_choice_is_the_median_below_the_ceiling():
    sgd = TrainConfig()
    readings = [rate.Reading(fell, 1.0, None) for fell in (0.01234, 0.002, 0.04)]
    assert rate.choose(readings, sgd) == 0.012
    assert rate.choose([rate.Reading(3.0, 3.0, None)] * 3, sgd) == pytest.approx(rate.ceiling(sgd)) == 0.05
    assert rate.choose([rate.Reading(3.0, 3.0, None)] * 3, TrainConfig(optimizer="adamw")) == 0.003
    assert rate.choose([None, None, readings[0]], sgd) is None
    assert rate.choose([None, readings[0], readings[0]], sgd) == 0.012


@pytest.mark.parametrize(("optimizer", "lr"), [("sgd", 0.02), ("adam", 0.001), ("adamw", 0.001)])
def test_without_a_fall_the_rate_is_the_fallback_and_says_so(optimizer, lr):
    curve = tuple(zip(RATES, [GUESS] * 150, strict=True))
    choice = rate.conclude_rate([curve] * 3, TrainConfig(optimizer=optimizer), GUESS)
    assert choice.lr == lr
    assert "did not fall" in choice.note


def digits():
    return open_dataset("digits").train


def net(seed):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return nn.Sequential(nn.Flatten(), nn.Linear(64, 32), nn.Dropout(0.1), nn.ReLU(), nn.Linear(32, 10))


def find(examples, seed=0, **settings):
    return rate.find_rate(
        net, examples, TrainConfig(**settings), augment=False, accelerator=open_device("cpu", "no"), seed=seed
    )


def test_the_range_test_is_deterministic_and_leaves_random_states_alone():
    before = torch.get_rng_state()
    one = find(digits())
    assert torch.equal(before, torch.get_rng_state())
    torch.rand(7)
    assert find(digits()) == one
    assert find(digits(), seed=1).curves != one.curves
    assert len(one.curves) == rate.SWEEPS
    assert 0.005 <= one.lr <= 0.05
    assert f"learning rate {one.lr:g}" in one.note


def test_a_rate_that_was_asked_for_is_not_tested():
    choice = find(digits(), lr=0.3)
    assert (choice.lr, choice.curves) == (0.3, ())
    assert "as asked" in choice.note


def test_adam_is_swept_lower():
    choice = find(digits(), optimizer="adam")
    assert choice.curves[0][0][0] == pytest.approx(1e-6)
    assert 1e-4 <= choice.lr <= 0.003


def test_labels_without_meaning_get_no_crazy_rate():
    data = digits()
    for seed in range(3):
        order = torch.randperm(len(data.y), generator=torch.Generator().manual_seed(seed))
        choice = find(Examples(data.x, data.y[order]), seed=seed)
        assert 0.005 <= choice.lr <= 0.05


def test_a_sweep_ends_where_the_loss_is_lost():
    data, accelerator = digits(), open_device("cpu", "no")
    batches = Batches(Examples(10 * data.x, data.y), 64, 0, False, accelerator.device)
    linear = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
    curve = rate.sweep(linear, batches, TrainConfig(), accelerator, guess=GUESS)
    assert 20 < len(curve) < rate.UPDATES
    assert rate.read_curve([r for r, _ in curve], [loss for _, loss in curve], GUESS).lost <= curve[-1][0]
