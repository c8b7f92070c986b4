"""Training on a GPU: SyncBatchNorm over processes, fp16 with its scaler, compiled units."""

import copy
import os

import pytest
import torch
import torch.multiprocessing
from torch import nn

import depthprobe as dp
from depthprobe.config import TrainConfig
from depthprobe.inputs import Examples
from depthprobe.probes.bench import RatioDriver
from depthprobe.schedules import staggered
from depthprobe.training.batches import Batches
from depthprobe.training.device import open_device
from depthprobe.training.learner import Learner
from depthprobe.training.team import ALONE, Team

STEPS, BATCH = 30, 48


def train(team, device, **settings):
    """A staggered ramp of copies with BatchNorm; returns the learner."""
    x = torch.randn(192, 3, 8, 8, generator=torch.Generator().manual_seed(1))
    data = Examples(x, (3 * torch.sigmoid(8 * x.mean((1, 2, 3)))).long())
    torch.manual_seed(0)
    layers = [nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 8, 3, padding=1)]
    net = nn.Sequential(*layers, nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten(), nn.Linear(512, 3))
    edited = dp.apply(net, [dp.Duplicate(unit="3", copies=2)], x[:2])
    accelerator = open_device("cuda", settings.get("precision", "no"))
    config = TrainConfig(lr=0.01, **settings)
    learner = Learner(edited, Batches(data, BATCH, 7, False, device), config, accelerator, team=team)
    driver = RatioDriver(edited, staggered(list(edited.gates), 25, overlap=2, steps=STEPS))
    learner.run(STEPS, lambda step: 1.0, driver)
    return learner


def train_beside(rank, port, out):
    """One of two processes on the same device: gloo, since NCCL wants a device for each."""
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port), RANK=str(rank), WORLD_SIZE="2", LOCAL_RANK="0")
    torch.distributed.init_process_group("gloo", rank=rank, world_size=2)
    learner = train(Team(rank, 2), torch.device("cuda", 0))
    kinds = {type(module).__name__ for module in learner.net.modules() if "BatchNorm" in type(module).__name__}
    if rank == 0:
        torch.save({"net": learner.net.state_dict(), "kinds": sorted(kinds)}, out)
    torch.distributed.destroy_process_group()


def test_batch_norm_of_two_processes_is_that_of_one(tmp_path):
    """To float32's accuracy over 30 updates: sums over the batch are added in another order."""
    whole = train(ALONE, torch.device("cuda", 0)).net.state_dict()
    out = tmp_path / "pair.pt"
    port = 29000 + os.getpid() % 1000
    torch.multiprocessing.spawn(train_beside, (port, str(out)), nprocs=2)
    pair = torch.load(out, weights_only=True)
    assert pair["kinds"] == ["SyncBatchNorm"]
    for name, value in whole.items():
        if name.endswith(("weight", "bias", "running_mean", "running_var")):
            torch.testing.assert_close(pair["net"][name].cpu(), value.cpu(), atol=1e-3, rtol=0, msg=name)


def test_fp16_scales_and_resumes():
    learner = train(ALONE, torch.device("cuda", 0), precision="fp16")
    state = copy.deepcopy(learner.state())
    assert state["scaler"]["scale"] > 1.0
    assert all(torch.isfinite(p).all() for p in learner.net.parameters())
    again = train(ALONE, torch.device("cuda", 0), precision="fp16")
    again.load(state)
    assert again.scaler.state_dict() == learner.scaler.state_dict()


def test_compiled_units_give_the_same_results():
    pytest.importorskip("triton", reason="no triton: torch.compile cannot be used on this GPU")
    one, other = (
        train(ALONE, torch.device("cuda", 0), compile=compiled).net.state_dict() for compiled in (False, True)
    )
    for name, value in one.items():
        if name.endswith(("weight", "bias", "running_mean", "running_var")):
            torch.testing.assert_close(other[name], value, atol=1e-4, rtol=0, msg=name)
