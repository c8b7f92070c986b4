"""Planted depth: identity layers and zeroed residual blocks put into trained networks; does `shrink` find them?

Run: python benchmarks/planted.py --data-dir DATA [--cases digits-conv ...] [--tolerance 0.005 --store FILE]
Resumable.
One JSON line per case in results/planted.jsonl: what was planted, what `shrink` removed, test accuracy of both. Whether
what it kept is what such a network needs, from scratch: planted_sweep.py.
"""

from pathlib import Path

import torch
from planting import BATCH, STEPS, accuracy, open_data, run_cases, train
from torch import nn

import depthprobe as dp

STORE = Path(__file__).parent / "results" / "planted.jsonl"
WIDTH = 16
# data, network, units trained, rate; each as it is, and with 1, 2 and 4 identity units planted
NETWORKS = (
    ("digits", "conv", 3, 0.02),
    ("digits", "conv_bn", 3, 0.05),
    ("digits", "mlp", 2, 0.05),
    ("mnist14", "conv", 4, 0.05),
    ("mnist14", "residual", 3, 0.05),
)
CASES = [(data, net, depth, planted, rate) for data, net, depth, rate in NETWORKS for planted in (0, 1, 2, 4)]


class Residual(nn.Module):
    """x + conv(relu(conv(x))), then ReLU."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv1, self.conv2 = (nn.Conv2d(width, width, 3, padding=1) for _ in range(2))

    def forward(self, x):
        return torch.relu(x + self.conv2(torch.relu(self.conv1(x))))


def layer(net: str, width: int, before: int) -> list[nn.Module]:
    """One unit, from `before` to `width` channels or features."""
    if net == "mlp":
        return [nn.Linear(before, width), nn.ReLU()]
    if net == "residual" and before == width:
        return [Residual(width)]
    norm = [nn.BatchNorm2d(width)] if net == "conv_bn" else []
    return [nn.Conv2d(before, width, 3, padding=1), *norm, nn.ReLU()]


def identity(net: str, width: int, before: list[nn.Module], x: torch.Tensor) -> list[nn.Module]:
    """A unit that hands on what it gets (which is not negative): the activations of `x` after the layers `before`. Its
    BatchNorm undoes what it does with their statistics.
    """
    unit = layer(net, width, width)
    with torch.no_grad():
        if net == "mlp":
            nn.init.eye_(unit[0].weight), nn.init.zeros_(unit[0].bias)
        elif net == "residual":
            nn.init.zeros_(unit[0].conv2.weight), nn.init.zeros_(unit[0].conv2.bias)
        else:
            nn.init.dirac_(unit[0].weight), nn.init.zeros_(unit[0].bias)
    for norm in unit:
        if isinstance(norm, nn.BatchNorm2d):
            with torch.no_grad():
                activations = nn.Sequential(*before).eval()(x)
                variance, mean = torch.var_mean(activations, (0, 2, 3), correction=0)
                norm.running_mean.copy_(mean), norm.running_var.copy_(variance)
                norm.weight.copy_((variance + norm.eps).sqrt()), norm.bias.copy_(mean)
    return unit


def body(net: str, depth: int, shape: tuple[int, ...], width: int) -> list[list[nn.Module]]:
    """The units of a network of `depth` of them."""
    if net == "mlp":
        features = shape[0] * shape[1] * shape[2]
        return [layer(net, 64, features if i == 0 else 64) for i in range(depth)]
    return [layer(net, width, shape[0] if i == 0 else width) for i in range(depth)]


def join(net: str, units: list[list[nn.Module]], width: int) -> nn.Module:
    """The network of these units."""
    if net == "mlp":
        return nn.Sequential(nn.Flatten(), *(part for unit in units for part in unit), nn.Linear(64, 10))
    head = [nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(4 * width, 10)]
    return nn.Sequential(*(part for unit in units for part in unit), *head)


def plant(net: str, units: list[list[nn.Module]], base: nn.Sequential, planted: int, x: torch.Tensor, seed: int):
    """(`base`, which consists of `units`, with `planted` identities at random places, their names in it)."""
    start = [nn.Flatten()] if net == "mlp" else []
    head, grown, names = list(base)[-1 if net == "mlp" else -3 :], list(units), []
    dice = torch.Generator().manual_seed(seed)
    for _ in range(planted):
        place = int(torch.randint(1, len(grown) + 1, (), generator=dice))
        before = [*start, *(part for unit in grown[:place] for part in unit)]
        grown.insert(place, identity(net, 64 if net == "mlp" else WIDTH, before, x))
    mine, position = {id(part) for unit in units for part in unit}, len(start)
    for unit in grown:
        if id(unit[0]) not in mine:
            names.append(str(position))
        position += len(unit)
    return nn.Sequential(*start, *(part for unit in grown for part in unit), *head), names


def run_case(case, data_dir: Path | None, tolerance: float | None) -> dict:
    """Train, plant, shrink."""
    data_name, net, depth, planted, rate = case
    data, split = open_data(data_name, data_dir)
    seed = 100 * depth + planted
    torch.manual_seed(seed)
    units = body(net, depth, tuple(split.train.x.shape[1:]), WIDTH)
    base = train(join(net, units, WIDTH), split, rate, seed)
    network, names = plant(net, units, base, planted, split.train.x[:1000], seed)
    result = shrink(network, data, rate, tolerance)
    removed = result.recommendation.remove
    return {
        "case": name_of(case),
        "planted": names,
        "ranked": [row["unit"] for row in result.recommendation.ranking],
        "losses": [row["loss"] for row in result.recommendation.ranking],
        "removed": removed,
        "found": sum(name in removed for name in names),
        "others": sum(name not in names for name in removed),
        "verdict": result.recommendation.verdict,
        "sentence": result.recommendation.sentence,
        "tolerance": result.recommendation.tolerance,
        "before": accuracy(base, split),
        "after": accuracy(result.model, split),
        "curve": [(row["depth"], row["value"]) for row in result.curve],
        "speed_ms": result.recommendation.depth["speed_ms"],
    }


def shrink(network: nn.Module, data, rate: float, tolerance: float | None):
    """At 0.3 of the rate of training."""
    fixed = {"threads": 1, "device": "cpu", "augment": False, "tolerance": tolerance}
    return dp.shrink(network.train(), data, steps=STEPS, batch_size=BATCH, lr=0.3 * rate, **fixed)


def name_of(case) -> str:
    """data-network-depth+planted."""
    return f"{case[0]}-{case[1]}-{case[2]}+{case[3]}"


def main() -> None:
    rows = run_cases(__doc__, STORE, CASES, name_of, "data-network-layers+planted", run_case, say)
    planted = [row for row in rows if row["planted"]]
    good = sum(row["found"] == len(row["planted"]) for row in planted)
    close = sum(row["after"] >= row["before"] - 0.005 for row in planted)
    faster = [row["speed_ms"]["as_promised"] for row in rows if row["speed_ms"]]
    print(
        f"time falls 0.8 x as much as multiply-accumulates, or more, in {sum(faster)} of {len(faster)} smaller networks"
    )
    print(f"all planted found in {good} of {len(planted)}; test accuracy within half a point in {close}")


def say(row) -> str:
    """One case in a line."""
    return (
        f"{row['case']:22s} found {row['found']} of {len(row['planted'])}, others removed {row['others']}; "
        f"test {row['before']:.4f} -> {row['after']:.4f}; {row['verdict']}"
    )


if __name__ == "__main__":
    main()
