"""What a training step costs while gates are open by parts, as a ratio to the law of a free bypass.

Run: OMP_NUM_THREADS=1 python benchmarks/step_time.py [--granularity sample] [--rounds 13] [--json out.json]

Law: T = T(0) + sum over gates of p_j * (T(only j open) - T(0)), here with equal gates T(0) + mean(p) * (T(1) - T(0)).
Every state of every network is timed in turn in one process (interleaved); ratios are taken within a round and
their median over rounds is printed. hand: ten lines of slice, run, `torch.cat`. floor: the plain deep network, no
gates, fed only the share p of the batch: what no way of skipping samples can beat.
"""

import argparse
import json
import statistics
import time

import torch
from torch import nn
from torch.nn import functional as F

import depthprobe as dp

GATES = 6
UNIFORM = (0.0, 0.1, 0.25, 0.5, 0.75, 0.9, 1.0)
STAGGERED = {f"staggered {j}": [1.0] * j + [0.66, 0.33][: GATES - j] + [0.0] * (GATES - j - 2) for j in (0, 1, 3, 4, 5)}


class HandWritten(nn.Module):
    """The same network with the gate that anybody would write in ten lines."""

    def __init__(self, first, layers, head, granularity):
        super().__init__()
        self.first, self.layers, self.head = first, nn.ModuleList(layers), head
        self.ratios, self.granularity = [0.0] * len(layers), granularity

    def forward(self, x):
        x = self.first(x)
        for layer, p in zip(self.layers, self.ratios, strict=True):
            if p <= 0:
                continue
            if p >= 1:
                x = layer(x)
            elif self.granularity == "sample":
                k = round((1 - p) * len(x))
                x = torch.cat([x[:k], layer(x[k:])], 0)
            else:
                op = layer[0]
                k = round((1 - p) * op.weight.shape[0])
                if isinstance(op, nn.Conv2d):
                    y = F.conv2d(x, op.weight[k:], op.bias[k:], padding=1)
                else:
                    y = F.linear(x, op.weight[k:], op.bias[k:])
                if len(layer) == 3:
                    n = layer[1]
                    y = F.batch_norm(y, n.running_mean[k:], n.running_var[k:], n.weight[k:], n.bias[k:], True)
                x = torch.cat([x[:, :k], F.relu(y)], 1)
        return self.head(x)


def conv_case(channels, norm):
    def unit(inputs):
        parts = [nn.Conv2d(inputs, channels, 3, padding=1), nn.BatchNorm2d(channels), nn.ReLU()]
        return nn.Sequential(*(parts if norm else (parts[0], parts[2])))

    head = nn.Sequential(nn.AdaptiveAvgPool2d(4), nn.Flatten(), nn.Linear(channels * 16, 10))
    return unit(3), [unit(channels) for _ in range(GATES)], head, torch.randn(64, 3, 16, 16)


def mlp_case(width, batch):
    def unit(inputs):
        return nn.Sequential(nn.Linear(inputs, width), nn.ReLU())

    return unit(256), [unit(width) for _ in range(GATES)], nn.Linear(width, 10), torch.randn(batch, 256)


CASES = {
    "conv 32": lambda: conv_case(32, norm=False),
    "conv 32 BatchNorm": lambda: conv_case(32, norm=True),
    "conv 64": lambda: conv_case(64, norm=False),
    "conv 64 BatchNorm": lambda: conv_case(64, norm=True),
    "MLP 512, batch 64": lambda: mlp_case(512, 64),
    "MLP 512, batch 512": lambda: mlp_case(512, 512),
}


def step_of(net, x, y):
    optimizer = torch.optim.SGD(net.parameters(), lr=0.01)

    def step():
        optimizer.zero_grad(set_to_none=True)
        F.cross_entropy(net(x), y).backward()
        optimizer.step()

    return step


def measure(name, granularity, rounds, repeats):
    torch.manual_seed(0)
    first, layers, head, x = CASES[name]()
    y = torch.randint(0, 10, (len(x),))
    base = nn.Sequential(first, head)
    unit = "0.0"
    edited = dp.apply(base, [dp.Duplicate(unit=unit, copies=GATES, granularity=granularity)], x)
    gates = list(edited.gates.values())
    by_hand = HandWritten(first, layers, head, granularity)
    steps = {"ours": step_of(edited, x, y), "hand": step_of(by_hand, x, y)}
    shallow, deep = step_of(nn.Sequential(first, head), x, y), step_of(nn.Sequential(first, *layers, head), x, y)
    parts = {f"p={p:g}": round(p * len(x)) for p in UNIFORM if 0 < p < 1}
    fewer = {state: step_of(nn.Sequential(first, *layers, head), x[:n], y[:n]) for state, n in parts.items()}
    states = {f"p={p:g}": [p] * GATES for p in UNIFORM} | STAGGERED
    repeats = max(repeats, round(0.03 / clock(deep, 3)))  # short steps are timed in longer stretches
    times = {(who, state): [] for who in steps for state in states}
    times |= {("plain", name): [] for name in ("shallow", "deep", *fewer)}
    for _ in range(rounds):
        for state, ratios in states.items():
            for who, step in steps.items():
                if who == "ours":
                    for gate, ratio in zip(gates, ratios, strict=True):
                        gate.ratio = ratio
                else:
                    by_hand.ratios = ratios
                times[who, state].append(clock(step, repeats))
            if state in fewer:
                times["plain", state].append(clock(fewer[state], repeats))
            if state == "p=0":
                times["plain", "shallow"].append(clock(shallow, repeats))
            if state == "p=1":
                times["plain", "deep"].append(clock(deep, repeats))

    def ratio(above, below):
        """Median over rounds of a ratio taken within one round: a machine that drifts moves both sides."""
        return statistics.median(a / b for a, b in zip(above[2:], below[2:], strict=True))

    rows = {}
    for state, ratios in states.items():
        share = sum(ratios) / GATES
        rows[state] = {}
        for who in steps:
            law = [(1 - share) * t0 + share * t1 for t0, t1 in zip(times[who, "p=0"], times[who, "p=1"], strict=True)]
            rows[state][who] = ratio(times[who, state], law)
        if state in fewer:
            rows[state]["floor"] = ratio(times["plain", state], law)
        rows[state]["ours/hand"] = ratio(times["ours", state], times["hand", state])
    rows["T(0) / shallow"] = {"ours": ratio(times["ours", "p=0"], times["plain", "shallow"])}
    rows["T(1) / deep"] = {"ours": ratio(times["ours", "p=1"], times["plain", "deep"])}
    rows["deep step, ms"] = {"ours": 1000 * statistics.median(times["plain", "deep"])}
    return rows


def clock(step, repeats):
    step()
    begin = time.perf_counter()
    for _ in range(repeats):
        step()
    return (time.perf_counter() - begin) / repeats


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--granularity", choices=("sample", "channel"), default="sample")
    parser.add_argument("--rounds", type=int, default=13)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--case", choices=CASES, action="append")
    parser.add_argument("--json", help="also write the table to this file")
    options = parser.parse_args()
    torch.set_num_threads(1)
    table = {}
    for name in options.case or CASES:
        table[name] = measure(name, options.granularity, options.rounds, options.repeats)
        print(f"\n{name}, {options.granularity}: step time / law (torch {torch.__version__}, one thread)")
        for state, row in table[name].items():
            print(f"  {state:<16}" + "".join(f"{who}={value:7.3f}   " for who, value in row.items()), flush=True)
    if options.json:
        with open(options.json, "w", encoding="utf-8") as file:  # noqa: PTH123
            json.dump({"granularity": options.granularity, "torch": torch.__version__, "cases": table}, file, indent=1)


if __name__ == "__main__":
    main()
