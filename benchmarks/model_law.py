"""The law of step time and of peak memory on whole models, grown by half: ResNet-18, ViT-tiny, a two-layer LSTM.

Run: OMP_NUM_THREADS=1 python benchmarks/model_law.py [--rounds 9] [--batch 64] [--model resnet18] [--json out.json]

Law: T = T(0) + sum over gates of p_j * (T(only j open) - T(0)), the same for the peak of the memory held by tensors
during a step. Copies stand behind units evenly spread over the depth; sample granularity; staggered states: some gates
open, two ramping, the rest shut. All states are timed in turn in one process, in CPU seconds (one
thread: other load on the machine does not count); ratios are taken within a round, their
median over rounds is printed. T(1) / plain: against the settled network, without gates.
"""

import argparse
import json
import statistics
import time
import weakref

import torch
from torch import nn
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

import depthprobe as dp
from depthprobe.inputs.zoo import import_zoo


class Recurrent(nn.Module):
    """Two LSTM layers over 32 steps of 64 features."""

    def __init__(self):
        super().__init__()
        self.first, self.second = nn.LSTM(64, 256, batch_first=True), nn.LSTM(256, 256, batch_first=True)
        self.head = nn.Linear(256, 10)

    def forward(self, x):
        return self.head(self.second(self.first(x)[0])[0][:, -1])


def resnet18():
    return import_zoo("torchvision", "model_law.py").models.resnet18(weights=None, num_classes=10), (3, 64, 64)


def vit_tiny():
    timm = import_zoo("timm", "model_law.py")
    return timm.create_model("vit_tiny_patch16_224", pretrained=False, img_size=96, num_classes=10), (3, 96, 96)


def lstm():
    return Recurrent(), (32, 64)


MODELS = {"resnet18": resnet18, "vit_tiny": vit_tiny, "lstm": lstm}
GROWN = {"resnet18": "residual", "vit_tiny": "transformer", "lstm": "recurrent"}


class Held(TorchDispatchMode):
    """Counts the bytes of all tensors made while it is on and still held; peak: the most there were."""

    def __init__(self):
        super().__init__()
        self.now = self.peak = 0
        self.known = set()

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        for leaf in tree_leaves(result):
            if isinstance(leaf, torch.Tensor):
                self.note(leaf.untyped_storage())
        return result

    def note(self, storage):
        key = storage._cdata
        if key in self.known:
            return
        size = storage.nbytes()
        self.known.add(key)
        self.now += size
        self.peak = max(self.peak, self.now)
        weakref.finalize(storage, self.free, key, size)

    def free(self, key, size):
        self.known.discard(key)
        self.now -= size


def states(count):
    """Name -> ratios: none, each alone, all, and the staggered ones."""
    found = {"none": [0.0] * count, "all": [1.0] * count}
    found |= {f"only {j}": [float(i == j) for i in range(count)] for j in range(count)}
    for opened in range(count):
        row = ([1.0] * opened + [0.66, 0.33] + [0.0] * count)[:count]
        found[f"staggered {opened}"] = row
    return found


def step_of(net, x, y):
    optimizer = torch.optim.SGD(net.parameters(), lr=0.001)

    def step():
        optimizer.zero_grad(set_to_none=True)
        F.cross_entropy(net(x), y).backward()
        optimizer.step()

    return step


def clock(step):
    begin = time.process_time()
    step()
    return time.process_time() - begin


def law(measured, ratios):
    """The free-bypass value of a state from those of `none` and `only j`."""
    base = measured["none"]
    return base + sum(p * (measured[f"only {j}"] - base) for j, p in enumerate(ratios))


def grown(name, batch):
    """(edited, settled at 1, inputs, targets): half as many units more, evenly spread."""
    torch.manual_seed(0)
    model, shape = MODELS[name]()
    x, y = torch.randn(batch, *shape), torch.randint(0, 10, (batch,))
    units = [unit.name for unit in dp.units(model, x[:2]) if unit.kind == GROWN[name] and unit.growable]
    count = len(units) // 2
    sites = [units[(2 * i + 1) * len(units) // (2 * count)] for i in range(count)]
    edited = dp.apply(model.train(), [dp.Duplicate(unit=site) for site in sites], x[:2])
    edited.set_ratio(1.0)
    return edited, dp.settle(edited), x, y


def measure(name, batch, rounds):
    edited, plain, x, y = grown(name, batch)
    gates, step, plain_step = list(edited.gates.values()), step_of(edited, x, y), step_of(plain, x, y)
    wanted = states(len(gates))
    times, deep = {state: [] for state in wanted}, []
    for turn in range(rounds + 1):
        for state, ratios in wanted.items():
            for gate, ratio in zip(gates, ratios, strict=True):
                gate.ratio = ratio
            seconds = clock(step)
            if turn:
                times[state].append(seconds)
        deep.append(clock(plain_step))
    memory = {}
    for state, ratios in wanted.items():
        for gate, ratio in zip(gates, ratios, strict=True):
            gate.ratio = ratio
        edited.zero_grad(set_to_none=True)
        with Held() as held:
            step()
        memory[state] = held.peak
    return report(wanted, times, deep[1:], memory)


def report(wanted, times, deep, memory):
    """State -> (time over its law, memory over its law); the last row compares with the network without gates."""
    rows = {}
    for state, ratios in wanted.items():
        if state.startswith("staggered"):
            turns = [{s: values[i] for s, values in times.items()} for i in range(len(deep))]
            share = statistics.median(turn[state] / law(turn, ratios) for turn in turns)
            rows[state] = {"time": share, "memory": memory[state] / law(memory, ratios)}
    ratio = statistics.median(a / b for a, b in zip(times["all"], deep, strict=True))
    return {**rows, "T(1) / plain": {"time": ratio}, "deep step, ms": {"time": 1000 * statistics.median(deep)}}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--model", choices=MODELS, action="append")
    parser.add_argument("--json", help="also write the table to this file")
    options = parser.parse_args()
    torch.set_num_threads(1)
    table = {}
    for name in options.model or MODELS:
        table[name] = measure(name, options.batch, options.rounds)
        print(f"\n{name} grown by half, batch {options.batch}: measured / law (torch {torch.__version__}, one thread)")
        for state, row in table[name].items():
            print(f"  {state:<14}" + "".join(f"{what}={value:8.3f}   " for what, value in row.items()), flush=True)
    if options.json:
        with open(options.json, "w", encoding="utf-8") as file:  # noqa: PTH123
            json.dump(
                {"torch": torch.__version__, "rounds": options.rounds, "batch": options.batch, "models": table},
                file,
                indent=1,
            )


if __name__ == "__main__":
    main()
