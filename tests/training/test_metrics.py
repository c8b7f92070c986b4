"""Metrics: built-in ones, and the pseudo-values of one that is a single number."""

import numpy as np
import pytest
import torch

from depthprobe.errors import DataError, TrainingError
from depthprobe.inputs.overrides import Overrides
from depthprobe.training.jackknife import blocks, pseudo_values
from depthprobe.training.metric_source import open_metric
from depthprobe.training.metrics import ACCURACY, Metric
from depthprobe.training.rates import make_rates

NONE = Overrides()


def pairs(examples=60):
    torch.manual_seed(0)
    target = torch.randn(examples, 1)
    return target + 0.3 * torch.randn(examples, 1), target


def test_r2_is_one_minus_the_unexplained_share():
    output, target = pairs()
    scored = open_metric("r2", classes=False, own=NONE).score(output, target)
    error, total = (output - target).square().sum(), (target - target.mean()).square().sum()
    assert scored.value == pytest.approx(float(1 - error / total), rel=1e-5)
    assert scored.scores.shape == (60,)


def test_accuracy_and_top5():
    output, target = torch.eye(10)[torch.tensor([3, 4])], torch.tensor([3, 9])
    assert ACCURACY.score(output, target).scores.tolist() == [1, 0]
    assert open_metric("top5", classes=True, own=NONE).score(output, torch.tensor([3, 4])).value == 1


def test_pseudo_values_have_the_metric_as_mean_and_the_jackknife_as_variance():
    output, target = pairs(83)

    def correlation(output, target):
        return float(torch.corrcoef(torch.stack([output[:, 0], target[:, 0]]).double())[0, 1])

    value, scores = pseudo_values(correlation, output, target)
    assert value == correlation(output, target)
    assert scores.mean() == pytest.approx(value)
    block, count = blocks(83), len(scores)
    assert count == 83 // 5
    left_out = np.array([correlation(output[block != b], target[block != b]) for b in range(count)])
    jackknife = (count - 1) / count * ((left_out - left_out.mean()) ** 2).sum()
    assert scores.var(ddof=1) / count == pytest.approx(jackknife)


def test_pseudo_values_of_a_mean_are_the_means_of_the_blocks():
    output, target = pairs(50)
    value, scores = pseudo_values(lambda o, t: float((o - t).abs().double().mean()), output, target)
    error, block = (output - target).abs().double()[:, 0], blocks(50)
    assert scores == pytest.approx([float(error[block == b].mean()) for b in range(10)])
    assert value == pytest.approx(float(error.mean()))


def test_blocks_depend_on_the_number_of_examples_only_and_are_alike_in_size():
    assert torch.equal(blocks(1000), blocks(1000))
    assert torch.bincount(blocks(1003)).tolist().count(10) == 97
    with pytest.raises(DataError, match="too few"):
        blocks(9)


def test_a_score_that_is_not_finite_fails_the_seed():
    metric = Metric(name="log", spec="<python>", function=lambda output, target: output.log()[:, 0])
    with pytest.raises(TrainingError, match="log is not finite"):
        metric.score(-torch.ones(10, 1), torch.ones(10, 1))


def test_minus_the_loss_of_each_example():
    output, target = torch.randn(12, 4), torch.arange(12) % 4
    scored = open_metric("neg_loss", classes=True, own=NONE).score(output, target)
    assert scored.scores.shape == (12,)
    assert scored.value == pytest.approx(-float(torch.nn.functional.cross_entropy(output, target)), rel=1e-5)


def test_the_walk_holds_the_largest_factor_and_cools_what_follows_the_peak():
    """Warm-up, a level stretch, a line to zero."""
    rates = make_rates(Overrides(schedule=lambda done: 2 * min(1.0, (done + 0.1) / 0.2, (1 - done) / 0.5)))
    assert rates.hold(0) == 2.0
    assert rates.peak == 0.5
    assert [rates.cool(step, 4) for step in range(5)] == pytest.approx([2.0, 1.5, 1.0, 0.5, 0.0])
    assert rates.whole("cosine", 0, 10) == pytest.approx(1.0)
