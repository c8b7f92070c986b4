"""Planted width: every hidden channel of a trained network copied 2 or 4 times, or not as often in every layer, what
its readers get of it divided among the copies (Net2Net's wider networks); does `width` find its way back?

Run: python benchmarks/planted_width.py --data-dir DATA [--cases digits-conv-x2 ...]   (resumable)
One JSON line per case in results/planted_width.jsonl: widths before planting, planted and advised, test accuracy.
"""

from pathlib import Path

import torch
from planting import BATCH, accuracy, open_data, run_cases, train
from torch import nn

import depthprobe as dp

STORE = Path(__file__).parent / "results" / "planted_width.jsonl"
STEPS, TOLERANCE = 1000, 0.005
# data, network, hidden layers, width, rate; each with every channel 2 and 4 times; then some unevenly
NETWORKS = (
    ("digits", "conv", 2, 8, 0.05),
    ("digits", "conv_bn", 3, 8, 0.05),
    ("digits", "mlp", 2, 32, 0.05),
    ("mnist14", "conv_bn", 2, 8, 0.05),
    ("mnist14", "mlp", 2, 32, 0.05),
)
CASES = [(*network, (times,) * network[2]) for network in NETWORKS for times in (2, 4)]
CASES += [
    ("digits", "conv_bn", 3, 8, 0.05, (1, 4, 2)),
    ("mnist14", "mlp", 2, 32, 0.05, (4, 1)),
    ("mnist14", "conv_bn", 2, 8, 0.05, (1, 4)),
]


def make(net: str, hidden: list[int], shape: tuple[int, ...]) -> nn.Sequential:
    """Hidden layers of these widths, each (conv or linear, norm, ReLU), then the head."""
    layers: list[nn.Module] = [nn.Flatten()] if net == "mlp" else []
    before = shape[0] * shape[1] * shape[2] if net == "mlp" else shape[0]
    for width in hidden:
        layers.append(nn.Linear(before, width) if net == "mlp" else nn.Conv2d(before, width, 3, padding=1))
        layers += [nn.BatchNorm2d(width)] if net == "conv_bn" else []
        layers.append(nn.ReLU())
        before = width
    head = (
        [nn.Linear(before, 10)] if net == "mlp" else [nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(4 * before, 10)]
    )
    return nn.Sequential(*layers, *head)


def plant(base: nn.Sequential, wide: nn.Sequential, seed: int) -> nn.Sequential:
    """`wide` as the function that `base` is: copies in a random order, incoming weights repeated, outgoing divided."""
    dice, source = torch.Generator().manual_seed(seed), None
    with torch.no_grad():
        for old, new in zip(base, wide, strict=True):
            if isinstance(old, nn.BatchNorm2d):
                for name in ("weight", "bias", "running_mean", "running_var"):
                    getattr(new, name).copy_(getattr(old, name)[source])
            elif isinstance(old, (nn.Conv2d, nn.Linear)):
                weight = old.weight if source is None else read(old.weight, source)
                width, last = len(old.weight), old is base[-1]
                source = torch.arange(width) if last else torch.randperm(len(new.weight), generator=dice) % width
                new.weight.copy_(weight[source]), new.bias.copy_(old.bias[source])
    return wide


def read(weight: torch.Tensor, source: torch.Tensor) -> torch.Tensor:
    """Weights of a layer that reads the copies; channels that were flattened have several inputs each."""
    channels = int(source.max()) + 1
    each = weight.view(len(weight), channels, -1, *weight.shape[2:])[:, source] * channels / len(source)
    return each.reshape(len(weight), -1, *weight.shape[2:])


def widths(net: nn.Module) -> list[int]:
    """Output channels of every hidden weight layer."""
    return [len(m.weight) for m in net.modules() if isinstance(m, (nn.Conv2d, nn.Linear))][:-1]


def planted(case, data_dir: Path | None):
    """(data, split, the trained network, the same function with copies)."""
    data_name, net, depth, width, rate, times = case
    data, split = open_data(data_name, data_dir)
    shape, seed = tuple(split.train.x.shape[1:]), 10 * depth + max(times)
    torch.manual_seed(seed)
    base = train(make(net, [width] * depth, shape), split, rate, seed).eval()
    wide = plant(base, make(net, [width * often for often in times], shape), seed).eval()
    x = split.valid.x[:200]
    assert torch.allclose(base(x), wide(x), atol=1e-3), "planting changed the function"
    return data, split, base, wide


def run_case(case, data_dir: Path | None, tolerance: float | None) -> dict:
    """Train, plant, narrow."""
    rate = case[4]
    data, split, base, wide = planted(case, data_dir)
    result = dp.width(
        wide.train(),
        data,
        steps=STEPS,
        batch_size=BATCH,
        lr=0.3 * rate,
        threads=1,
        device="cpu",
        augment=False,
        tolerance=tolerance,
    )
    answer = result.recommendation
    original, advised = widths(base), widths(result.model)
    return {
        "case": name_of(case),
        "original": original,
        "planted": widths(wide),
        "advised": advised,
        "largest": max(now / before for now, before in zip(advised, original, strict=True)),
        "verdict": answer.verdict,
        "profile": answer.width["profile"],
        "sentence": answer.sentence,
        "tolerance": answer.tolerance,
        "before": accuracy(base, split),
        "after": accuracy(result.model, split),
        "curve": [(row["ratio"], row["value"]) for row in result.curve],
        "cost": answer.cost,
    }


def name_of(case) -> str:
    """data-network-xtimes."""
    return f"{case[0]}-{case[1]}-x{'.'.join(map(str, dict.fromkeys(case[5]) if len(set(case[5])) == 1 else case[5]))}"


def main() -> None:
    rows = run_cases(__doc__, STORE, CASES, name_of, "data-network-xtimes", run_case, say, TOLERANCE)
    narrow = sum(row["largest"] <= 1.25 for row in rows)
    close = sum(row["after"] >= row["before"] - 0.005 for row in rows)
    print(f"at most 1.25 x the original width in {narrow} of {len(rows)}; test accuracy within half a point in {close}")


def say(row) -> str:
    """One case in a line."""
    return (
        f"{row['case']:24s} {row['original']} planted {row['planted']} advised {row['advised']} "
        f"({row['largest']:.2f} x, {row['profile']}); test {row['before']:.4f} -> {row['after']:.4f}; {row['verdict']}"
    )


if __name__ == "__main__":
    main()
