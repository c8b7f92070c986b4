"""The loop is the loop everybody would write; branches leave the trunk alone; BatchNorm is re-estimated."""

import copy
import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import depthprobe as dp
from depthprobe.config import TrainConfig
from depthprobe.errors import ConfigError, TrainingError
from depthprobe.inputs import Examples, Split
from depthprobe.inputs.overrides import Overrides
from depthprobe.probes.bench import undisturbed
from depthprobe.probes.holds import branch_and_cool, measure
from depthprobe.training.batches import Batches, mix_seed
from depthprobe.training.device import open_device
from depthprobe.training.learner import Learner, predict, refresh_batch_norm
from depthprobe.training.optimizers import lr_factor, make_optimizer


@pytest.fixture(scope="module")
def accelerator():
    return open_device("cpu", "no")


@pytest.fixture
def batches():
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(100, 1, 4, 4, generator=generator)
    return Batches(Examples(x, (x.mean((1, 2, 3)) > 0).long()), 16, 5, False, torch.device("cpu"))


def net():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.Dropout(0.2), nn.Flatten(), nn.Linear(64, 2)
    )


@pytest.mark.parametrize("optimizer", ["sgd", "adam", "adamw"])
def test_the_loop_equals_a_hand_written_one(optimizer, accelerator, batches):
    config = TrainConfig(optimizer=optimizer, lr=0.01, clip=1.0)
    ours, theirs = net(), net()
    learner = Learner(ours, batches, config, accelerator)
    torch.manual_seed(3)
    learner.run(25, lambda step: lr_factor("cosine", step, 25))
    torch.manual_seed(3)
    kinds = {"sgd": torch.optim.SGD, "adam": torch.optim.Adam, "adamw": torch.optim.AdamW}
    extra = {"momentum": 0.9} if optimizer == "sgd" else {}
    plain = kinds[optimizer](theirs.parameters(), lr=0.01, weight_decay=5e-4, **extra)
    theirs.train()
    for step in range(25):
        plain.param_groups[0]["lr"] = 0.01 * 0.5 * (1 + math.cos(math.pi * step / 25))
        x, y = batches.at(step)
        plain.zero_grad()
        F.cross_entropy(theirs(x), y).backward()
        nn.utils.clip_grad_norm_(theirs.parameters(), 1.0)
        plain.step()
    for (name, mine), other in zip(ours.state_dict().items(), theirs.state_dict().values(), strict=True):
        assert torch.equal(mine, other), name


def test_state_and_load_go_on_bit_for_bit(accelerator, batches):
    config = TrainConfig(optimizer="adam", lr=0.01)
    whole = Learner(net(), batches, config, accelerator)
    torch.manual_seed(7)
    whole.run(10, lambda step: 1.0)
    state = copy.deepcopy(whole.state())
    whole.run(30, lambda step: 1.0)
    resumed = Learner(net(), batches, config, accelerator)
    torch.manual_seed(99)
    resumed.load(state)
    resumed.run(30, lambda step: 1.0)
    pairs = zip(whole.net.state_dict().values(), resumed.net.state_dict().values(), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)


def test_a_loss_that_is_not_finite_stops_with_the_next_thing_to_type(accelerator, batches):
    learner = Learner(net(), batches, TrainConfig(lr=50.0, weight_decay=3.0), accelerator)
    with pytest.raises(TrainingError, match="no longer finite") as stop:
        learner.run(400, lambda step: 1.0)
    assert "--lr" in str(stop.value)


def grown(config, accelerator, batches):
    edited = dp.apply(net(), [dp.Duplicate(unit="0", copies=2)], torch.zeros(2, 1, 4, 4))
    edited.set_ratio(1.0)
    learner = Learner(edited, batches, config, accelerator)
    torch.manual_seed(1)
    learner.run(5, lambda step: 1.0)
    return edited, learner


def test_measuring_a_branch_leaves_the_trunk_as_it_is(accelerator, batches):
    """BatchNorm and dropout in the network: training goes on as if nothing had been measured."""
    ends = []
    for measured in (False, True):
        edited, learner = grown(TrainConfig(lr=0.05), accelerator, batches)
        if measured:
            with undisturbed(accelerator.device):
                branch = branch_and_cool(learner, edited, 12, seed=0)
                examples = Examples(batches.x, batches.y)
                measure(branch, Split(train=examples, valid=examples, test=examples, mean=(), std=(), valid_id=""))
            assert branch.step == 17
            assert not any(type(m).__module__.startswith("depthprobe") for m in branch.net.modules())
        learner.run(15, lambda step: 1.0)
        ends.append(copy.deepcopy(learner.net.state_dict()))
    assert all(torch.equal(ends[0][name], ends[1][name]) for name in ends[0] if "extra" not in name)


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_a_branch_starts_with_the_trunks_optimizer_state(optimizer, accelerator, batches):
    edited, learner = grown(TrainConfig(optimizer=optimizer, lr=0.01), accelerator, batches)
    branch = branch_and_cool(learner, edited, 0, seed=0)
    trunk = dict(edited.original_parameters)
    for name, parameter in branch.net.named_parameters():
        carried = branch.optimizer.state[parameter]
        assert carried
        if name in trunk:
            state = learner.optimizer.state[trunk[name]]
            for key, value in carried.items():
                assert torch.equal(torch.as_tensor(value), torch.as_tensor(state[key]))
                assert value is not state[key] or not isinstance(value, torch.Tensor)


def test_a_frozen_batch_norm_stays_frozen(accelerator, batches):
    model = net()
    model[1].eval()
    learner = Learner(model, batches, TrainConfig(lr=0.02), accelerator)
    learner.run(5, lambda step: 1.0)
    assert torch.equal(model[1].running_mean, torch.zeros(4))
    assert model.training
    assert not model[1].training
    whole = Learner(net().eval(), batches, TrainConfig(lr=0.02), accelerator)
    assert whole.net.training


def test_batches_are_a_function_of_seed_and_step(batches):
    late = batches.at(40)[1].clone()
    again = Batches(Examples(batches.x, batches.y), 16, 5, False, torch.device("cpu"))
    assert torch.equal(again.at(40)[1], late)
    epoch = torch.cat([again.at(step)[0] for step in range(again.per_epoch)])
    assert len(torch.unique(epoch.flatten(1), dim=0)) == 96
    other = Batches(Examples(batches.x, batches.y), 16, 6, False, torch.device("cpu"))
    assert not torch.equal(other.at(0)[0], again.at(0)[0])
    assert len({mix_seed(a, b) for a in range(30) for b in range(30)}) == 900


def test_batch_norm_is_re_estimated_as_the_plain_average():
    norm = nn.BatchNorm1d(3)
    parts = [torch.randn(32, 3) * 2 + 1 for _ in range(6)]
    refresh_batch_norm(norm, parts)
    assert torch.allclose(norm.running_mean, torch.stack([p.mean(0) for p in parts]).mean(0), atol=1e-6)
    assert norm.momentum == 0.1
    frozen = nn.BatchNorm1d(3).eval()
    refresh_batch_norm(frozen, parts)
    assert torch.equal(frozen.running_mean, torch.zeros(3))


def test_predict_puts_the_flags_back():
    model = net().train()
    model[1].eval()
    predict(model, torch.zeros(3, 1, 4, 4), torch.device("cpu"))
    assert model.training
    assert not model[1].training
    assert model[3].training


@pytest.mark.parametrize(
    ("shape", "step", "factor"),
    [
        ("constant", 90, 1),
        ("cosine", 0, 1),
        ("cosine", 50, 0.5),
        ("cosine", 100, 0),
        ("step", 60, 0.1),
        ("step", 80, 0.01),
    ],
)
def test_learning_rate_shapes(shape, step, factor):
    assert lr_factor(shape, step, 100) == pytest.approx(factor)


def test_frozen_parameters_stay_out_of_the_optimizer():
    model = net()
    model[0].weight.requires_grad_(False)
    optimizer = make_optimizer(model.parameters(), TrainConfig(lr=0.02))
    assert all(p is not model[0].weight for p in optimizer.param_groups[0]["params"])


def test_bf16_autocast_trains(batches):
    learner = Learner(net(), batches, TrainConfig(lr=0.02, precision="bf16"), open_device("cpu", "bf16"))
    loss = learner.run(20, lambda step: 1.0)
    assert math.isfinite(loss)
    assert all(p.dtype == torch.float32 for p in learner.net.parameters())
    open_device("cpu", "no")


class GroupedOptimizer:
    """A user's optimizer: two groups with rates of their own, one of them changed while training."""

    def __call__(self, parameters):
        parameters = list(parameters)
        groups = [{"params": [p for p in parameters if p.ndim == 1], "lr": 0.5}]
        return torch.optim.Adam([{"params": [p for p in parameters if p.ndim > 1]}, *groups], lr=0.01)


def test_groups_of_an_own_optimizer_keep_their_rates_and_go_along_with_a_branch(accelerator, batches):
    torch.manual_seed(0)
    edited = dp.apply(net(), [dp.Duplicate(unit="0", copies=1)], batches.x[:2])
    edited.set_ratio(1.0)
    learner = Learner(edited, batches, TrainConfig(), accelerator, Overrides(optimizer=GroupedOptimizer()))
    learner.optimizer.param_groups[1]["weight_decay"] = 0.125
    learner.run(3, lambda step: 0.5)
    assert [group["lr"] for group in learner.optimizer.param_groups] == [0.005, 0.25]
    branch = branch_and_cool(learner, edited, 0, seed=0)
    assert [group["weight_decay"] for group in branch.optimizer.param_groups] == [0, 0.125]
    assert all(branch.optimizer.state[p]["step"] == 3 for p in branch.net.parameters())
    branch.run(branch.step + 2, lambda step: 0.1)
    assert [group["lr"] for group in branch.optimizer.param_groups] == [0.001, 0.05]
    assert all(learner.optimizer.state[p]["step"] == 3 for p in learner.net.parameters())


def test_own_augmentation_is_a_function_of_seed_and_step(batches):
    examples = Examples(batches.x, batches.y)
    own = Batches(examples, 16, 5, lambda x: x + torch.randn_like(x), torch.device("cpu"))
    before = torch.get_rng_state()
    one = own.at(7)[0]
    assert torch.equal(before, torch.get_rng_state())
    torch.manual_seed(99)
    assert torch.equal(one, own.at(7)[0])
    assert not torch.equal(one, own.at(8)[0])
    assert not torch.equal(one, batches.at(7)[0])


def test_a_loss_scaler_changes_nothing_but_the_way_and_resumes(accelerator, batches):
    """What fp16 does on a GPU, with float32 numbers: scaling by powers of two is exact."""

    def learner(scaled):
        found = Learner(net(), batches, TrainConfig(lr=0.01, clip=1.0), accelerator)
        found.scaler = torch.amp.GradScaler("cpu", init_scale=4.0, growth_interval=5) if scaled else None
        torch.manual_seed(7)
        return found

    plain, scaled = learner(False), learner(True)
    plain.run(12, lambda step: 1.0)
    torch.manual_seed(7)
    scaled.run(7, lambda step: 1.0)
    state = copy.deepcopy(scaled.state())
    assert state["scaler"]["scale"] == 8.0
    resumed = learner(True)
    resumed.load(state)
    resumed.run(12, lambda step: 1.0)
    assert resumed.state()["scaler"]["scale"] == 16.0
    pairs = zip(plain.net.state_dict().values(), resumed.net.state_dict().values(), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)
    branch = learner(True)
    branch.branch_from(resumed)
    assert branch.scaler.get_scale() == 16.0
    branch.run(22, lambda step: 1.0)
    assert (branch.scaler.get_scale(), resumed.scaler.get_scale()) == (64.0, 16.0)


def test_fp16_is_refused_where_it_does_not_pay():
    with pytest.raises(ConfigError, match="fp16 needs a CUDA device"):
        open_device("cpu", "fp16")


def test_batch_norm_is_measured_on_batches_as_those_of_the_training(accelerator, batches):
    """Augmented ones: a network that has learned its training images by heart has other activations on them."""
    shifted = Batches(Examples(batches.x, batches.y), 16, 5, lambda x: x + 3.0, torch.device("cpu"))
    learner = Learner(net(), shifted, TrainConfig(lr=0.01), accelerator)
    learner.net[0] = nn.BatchNorm2d(1)
    learner.net[1] = nn.Conv2d(1, 4, 3, padding=1)
    examples = Examples(batches.x[:8], batches.y[:8])
    measure(learner, Split(train=examples, valid=examples, test=examples, mean=(0.0,), std=(1.0,), valid_id="v"))
    assert float(learner.net[0].running_mean) == pytest.approx(float(batches.x.mean()) + 3.0, abs=0.1)
