"""--compile: few graphs, all of them seen early; the same results; measuring and tracing see plain modules."""

import copy

import pytest
import torch
from torch import nn

import depthprobe as dp
from depthprobe.config import TrainConfig
from depthprobe.errors import ConfigError
from depthprobe.inputs import Examples
from depthprobe.probes.bench import RatioDriver
from depthprobe.probes.holds import branch_and_cool
from depthprobe.schedules import staggered
from depthprobe.training import compiling
from depthprobe.training.batches import Batches
from depthprobe.training.device import open_device
from depthprobe.training.learner import Learner, predict

pytestmark = pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor:UserWarning")  # dynamo's own
STEPS = 100
GRAPHS = 4  # per class of equal units, over a whole ramp


@pytest.fixture(scope="module")
def accelerator():
    return open_device("cpu", "no", threads=1)


@pytest.fixture
def graphs(monkeypatch):
    """Nothing compiled yet, and graphs that are only recorded, not turned into machine code; gives their number."""
    torch._dynamo.reset()
    torch._dynamo.utils.counters.clear()
    monkeypatch.setattr(compiling, "BACKEND", "eager")
    monkeypatch.setattr(compiling, "_classes", {})
    yield lambda: torch._dynamo.utils.counters["stats"]["unique_graphs"]
    torch._dynamo.reset()


def examples():
    x = torch.randn(120, 3, 6, 6, generator=torch.Generator().manual_seed(1))
    return Examples(x, (3 * torch.sigmoid(8 * x.mean((1, 2, 3)))).long())


def network(norm):
    layers = [nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 4, 3, padding=1)]
    return nn.Sequential(*layers, *([nn.BatchNorm2d(4)] if norm else []), nn.ReLU(), nn.Flatten(), nn.Linear(144, 3))


def ramp(accelerator, *, norm=False, compiled=True, copies=3, after=lambda learner: None):
    """Train over a staggered ramp of equal copies; returns the learner."""
    data = examples()
    torch.manual_seed(0)
    edited = dp.apply(network(norm), [dp.Duplicate(unit="2", copies=copies)], data.x[:2])
    config = TrainConfig(lr=0.01, compile=compiled)
    learner = Learner(edited, Batches(data, 24, 7, False, torch.device("cpu")), config, accelerator)
    driver = RatioDriver(edited, staggered(list(edited.gates), 90, overlap=2, steps=STEPS))
    for mark in range(10, STEPS + 1, 10):
        learner.run(mark, lambda step: 1.0, driver)
        after(learner)
    return learner


@pytest.mark.parametrize("norm", [False, True])
def test_few_graphs_over_a_ramp_and_none_in_the_next(graphs, accelerator, norm):
    ramp(accelerator, norm=norm)
    assert 1 <= graphs() <= GRAPHS
    before = graphs()
    ramp(accelerator, norm=norm, copies=4)
    assert graphs() == before


def test_at_most_four_graphs_of_every_class_of_units(graphs, accelerator, monkeypatch):
    """Two kinds of units side by side, each with copies that ramp: every kind keeps within its own four."""
    compiled = []

    def backend(module, inputs):
        shapes = [tuple(x.shape) for x in inputs if isinstance(x, torch.Tensor)]
        compiled.append(next(shape for shape in shapes if shape[2:] == (3, 3)))  # the convolution's weight
        return module.forward

    monkeypatch.setattr(compiling, "BACKEND", backend)
    torch.manual_seed(0)
    layers = [nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 4, 3, padding=1), nn.ReLU()]
    layers += [nn.Conv2d(4, 5, 3, padding=1), nn.ReLU(), nn.Conv2d(5, 5, 3, padding=1), nn.BatchNorm2d(5), nn.ReLU()]
    net, data = nn.Sequential(*layers, nn.Flatten(), nn.Linear(180, 3)), examples()
    edited = dp.apply(net, [dp.Duplicate(unit=unit, copies=2) for unit in ("2", "6")], data.x[:2])
    batches = Batches(data, 24, 7, False, torch.device("cpu"))
    learner = Learner(edited, batches, TrainConfig(lr=0.01, compile=True), accelerator)
    learner.run(STEPS, lambda step: 1.0, RatioDriver(edited, staggered(list(edited.gates), 90, overlap=2, steps=STEPS)))
    assert set(compiled) == {(4, 4, 3, 3), (5, 5, 3, 3)}
    assert all(1 <= compiled.count(kind) <= GRAPHS for kind in set(compiled)), compiled


def test_no_graph_after_each_state_was_seen_once(graphs, accelerator):
    """States: the sizes of batches that a gate lets in. The first gate has been through all of them when it is open."""
    seen = []
    ramp(accelerator, after=lambda learner: seen.append((next(iter(learner.net.gates.values())).ratio, graphs())))
    known = next(count for ratio, count in seen if ratio >= 1.0)
    assert all(count == known for ratio, count in seen if ratio >= 1.0), seen


@pytest.mark.parametrize("norm", [False, True])
def test_the_same_results(graphs, accelerator, norm):
    one, other = (ramp(accelerator, norm=norm, compiled=compiled).net.state_dict() for compiled in (False, True))
    for name, value in one.items():
        if name.endswith(("weight", "bias", "running_mean", "running_var")):
            torch.testing.assert_close(other[name], value, atol=1e-4, rtol=0, msg=name)
    assert graphs() > 0


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.torch.jit.script_method. is deprecated:DeprecationWarning")  # inductor's own
def test_the_same_results_in_machine_code(graphs, accelerator, monkeypatch):
    try:
        compiling.check_compiler("cpu")
    except ConfigError as error:
        pytest.skip(f"torch.compile cannot be used here: {error.found}")
    monkeypatch.setattr(compiling, "BACKEND", "inductor")
    one, other = (ramp(accelerator, norm=True, compiled=compiled).net.state_dict() for compiled in (False, True))
    for name, value in one.items():
        if name.endswith(("weight", "bias", "running_mean", "running_var")):
            torch.testing.assert_close(other[name], value, atol=1e-4, rtol=0, msg=name)


def test_measuring_and_tracing_compile_nothing(graphs, accelerator):
    learner = ramp(accelerator)
    before, data = graphs(), examples()
    predict(learner.net, data.x, accelerator.device)
    plain = dp.settle(learner.net)
    dp.apply(plain, [], data.x[:2])
    assert graphs() == before
    assert not any(module._compiled_call_impl for module in plain.modules())
    assert not any(module._compiled_call_impl for module in copy.deepcopy(learner.net).modules())


def test_a_cooled_branch_runs_the_graphs_of_its_trunk(graphs, accelerator):
    learner = ramp(accelerator)
    before = graphs()
    branch = branch_and_cool(learner, learner.net, 5, 0)
    assert len(compiling.compiled_parts(branch.net)) == 3
    assert graphs() == before


def test_a_machine_without_a_compiler_is_refused(monkeypatch):
    from torch._inductor import cpp_builder

    def fail():
        raise RuntimeError("no compiler found")

    compiling.check_compiler.cache_clear()
    monkeypatch.setattr(cpp_builder, "get_cpp_compiler", fail)
    with pytest.raises(ConfigError, match="nothing can be compiled") as found:
        compiling.check_compiler("cpu")
    assert found.value.found == "no compiler found"
    compiling.check_compiler.cache_clear()
