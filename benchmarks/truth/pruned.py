"""torch-pruning as it is meant to be used: one uniform cut by group importance, then fine-tuning."""

import copy
import statistics
import time
from pathlib import Path

import torch
from torch import nn

from truth.sweep import fit

BATCH = 64  # of the latency
ROUNDS = 31
RATIOS = [ratio / 50 for ratio in range(1, 46)]  # shares of the channels that are pruned


def cut(base: nn.Module, split, importance: str, ratio: float, round_to: int) -> nn.Module:
    """A copy of the network with `ratio` of the channels of every layer pruned, the head's outputs kept."""
    import torch_pruning as tp

    net = copy.deepcopy(base).eval()
    kinds = {"magnitude": tp.importance.GroupMagnitudeImportance, "taylor": tp.importance.GroupTaylorImportance}
    pruner = tp.pruner.BasePruner(
        net,
        split.train.x[:2],
        importance=kinds[importance](),
        pruning_ratio=ratio,
        ignored_layers=[net.head],
        round_to=round_to,
    )
    if importance == "taylor":
        for x, y in zip(split.train.x[:1024].split(BATCH), split.train.y[:1024].split(BATCH), strict=True):
            nn.functional.cross_entropy(net(x), y).backward()
    pruner.step()
    net.zero_grad()
    return net.train()


def at_latency(base: nn.Module, target: nn.Module, split, importance: str, round_to: int):
    """(network, ratio): the least pruned one that is no slower than `target`, both measured in turns; where there
    is none (few channels are not fast: so many calls take their time), the most pruned one.
    """
    x, last = split.test.x[:BATCH], None
    low, high = 0, len(RATIOS) - 1
    while low <= high:
        middle = (low + high) // 2
        net = cut(base, split, importance, RATIOS[middle], round_to)
        mine, wanted = measure_together([net, target], x)
        if mine <= wanted:
            last, high = (net, RATIOS[middle]), middle - 1
        else:
            low = middle + 1
    return last or (cut(base, split, importance, RATIOS[-1], round_to), RATIOS[-1])


def measure_together(nets, x) -> list[float]:
    """Median milliseconds of one thread's CPU time for a forward pass of each network, measured in turns: what else the
    machine does hits all alike, and waiting does not count.
    """
    ready = [copy.deepcopy(net).eval() for net in nets]
    rows = [[_cpu_ms(net, x) for net in ready] for _ in range(ROUNDS + 2)]
    return [statistics.median(column) for column in zip(*rows[2:], strict=True)]


def _cpu_ms(net: nn.Module, x) -> float:
    begin = time.thread_time()
    with torch.no_grad():
        net(x)
    return 1000 * (time.thread_time() - begin)


def fine_tune(net: nn.Module, split, seed: int, rate: float, updates: int, path: Path) -> nn.Module:
    """A fine-tuned copy, cosine over `updates`; kept in a file."""
    tuned = copy.deepcopy(net)
    if path.exists():
        tuned.load_state_dict(torch.load(path, weights_only=True))
        return tuned
    tuned = fit(tuned, split, seed, rate, True, updates)[0].net
    torch.save(tuned.state_dict(), path)
    return tuned
