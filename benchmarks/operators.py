"""What the operators cost beside what anybody would write: time and peak memory, forward and backward.

Run: OMP_NUM_THREADS=1 python benchmarks/operators.py [--device cpu|cuda] [--rounds 15] [--no-compile] [--out table.txt]

All contestants of a case are timed in turn in every round (interleaved); the ratio is taken within a round, and its
median over the rounds printed. `=` marks contestants that do the same work as DropIn: two paths mixed by a mask drawn
anew (bernoulli), or by the same prefix; the others do less. On a CPU glibc is told to keep freed memory: else page
faults drown what is measured. On CUDA the bytes that an operator must move, over the time it takes, are compared with
the bandwidth of a device-to-device copy of the same size. It needs torch and numpy only (PYTHONPATH=. in a checkout).
"""

import argparse
import ctypes
import datetime
import os
import platform
import statistics
import sys
import time

import torch
from torch import nn

import depthprobe.ops as ops
from depthprobe.layers.dropin import DropIn
from depthprobe.layers.resize import Resize

RATIO = 0.5
CPU_SHAPES = {"8 KB": (8, 16, 4, 4), "0.25 MB": (64, 16, 8, 8), "4 MB": (64, 64, 16, 16), "64 MB": (64, 256, 32, 32)}
AXES = {"sample": 1, "channel": 2, "activation": 4}


class Peer(nn.Module):
    """A function as a layer, like DropIn and nn.Dropout: calling one costs a microsecond or two."""

    def __init__(self, mix):
        super().__init__()
        self.mix = mix

    def forward(self, new, old):
        return self.mix(new, old)


def own_shape(shape, granularity):
    rank = AXES[granularity]
    return (*shape[:rank], *[1] * (len(shape) - rank))


def rand_where(granularity):
    def mix(new, old):
        return torch.where(torch.rand(own_shape(new.shape, granularity), device=new.device) < RATIO, new, old)

    return mix


def stochastic_depth(granularity):
    """As torchvision.ops.stochastic_depth draws its noise; here the other path is mixed in as well."""

    def mix(new, old):
        noise = torch.empty(own_shape(new.shape, granularity), dtype=new.dtype, device=new.device).bernoulli_(RATIO)
        return new * noise + old * (1 - noise)

    return mix


def stored_where(shape, granularity, device):
    mask = torch.rand(own_shape(shape, granularity), device=device) < RATIO
    return lambda new, old: torch.where(mask, new, old)


def bernoulli_contestants(shape, granularity, device, compiled):
    drop = nn.Dropout(1 - RATIO)
    made = {
        "DropIn": DropIn("bernoulli", granularity, RATIO),
        "= rand < p, where": rand_where(granularity),
        "= stochastic depth": stochastic_depth(granularity),
        "  where, stored mask": stored_where(shape, granularity, device),
        "  nn.Dropout": lambda new, old: drop(new),
    }
    if compiled:
        made["= rand < p, compiled"] = torch.compile(rand_where(granularity))
        made["= DropIn, compiled"] = torch.compile(DropIn("bernoulli", granularity, RATIO))
    return made


def prefix_contestants(shape, granularity, device, compiled):
    dim = 0 if granularity == "sample" else 1
    k = shape[dim] - round(RATIO * shape[dim])
    mask = (torch.arange(shape[dim], device=device) >= k).view([-1 if d == dim else 1 for d in range(4)])

    def slices(new, old):
        return torch.cat((old.narrow(dim, 0, k), new.narrow(dim, k, shape[dim] - k)), dim)

    made = {
        "DropIn": DropIn("prefix", granularity, RATIO),
        "= slices, cat": slices,
        "= where, stored mask": lambda new, old: torch.where(mask, new, old),
    }
    if compiled:
        made["= slices, compiled"] = torch.compile(slices)
        made["= DropIn, compiled"] = torch.compile(DropIn("prefix", granularity, RATIO))
    return made


def resized_contestants(shape, granularity, device, compiled):
    """The bypass has half the channels and twice the size, as around a stage with stride 2."""
    dim = 0 if granularity == "sample" else 1
    k = shape[dim] - round(RATIO * shape[dim])
    fit = Resize(shape[1:]).to(device)

    def whole(new, old):
        return torch.cat((fit(old).narrow(dim, 0, k), new.narrow(dim, k, shape[dim] - k)), dim)

    def fused(new, old):
        return fit.prefix(new.narrow(dim, k, shape[dim] - k), old, k, dim)

    made = {"DropIn": fused, "= resize all, cat": whole}
    if compiled:
        made |= {"= resize all, compiled": torch.compile(whole), "= DropIn, compiled": torch.compile(fused)}
    return made


CASES = {
    ("prefix", "sample"): prefix_contestants,
    ("prefix", "channel"): prefix_contestants,
    ("bernoulli", "sample"): bernoulli_contestants,
    ("bernoulli", "channel"): bernoulli_contestants,
    ("bernoulli", "activation"): bernoulli_contestants,
    ("prefix, resized bypass", "sample"): resized_contestants,
    ("prefix, resized bypass", "channel"): resized_contestants,
}


def paths(case, shape, dtype, device):
    batch, channels, height, width = shape
    old_shape = (batch, channels // 2, 2 * height, 2 * width) if "resized" in case else shape
    options = {"dtype": dtype, "device": device, "requires_grad": True}
    return torch.randn(shape, **options), torch.randn(old_shape, **options)


def step_of(mix, new, old, direction):
    def step():
        new.grad = old.grad = None
        mix(new, old).backward(direction)

    return step


def clock(step, repeats, device):
    if device == "cuda":
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        begin.record()
        for _ in range(repeats):
            step()
        end.record()
        end.synchronize()
        return begin.elapsed_time(end) / 1000 / repeats
    start = time.perf_counter()
    for _ in range(repeats):
        step()
    return (time.perf_counter() - start) / repeats


def peak_bytes(step, device):
    """What a step holds beyond what was there before: of the allocator on CUDA, of a forked child's memory on a CPU."""
    if device == "cuda":
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        step()
        torch.cuda.synchronize()
        return torch.cuda.max_memory_allocated() - before
    read, write = os.pipe()
    if os.fork() == 0:
        ctypes.CDLL(None).malloc_trim(0)
        before = status_of("VmRSS")
        with open("/proc/self/clear_refs", "w") as file:  # noqa: PTH123
            file.write("5")
        step()
        os.write(write, str(status_of("VmHWM") - before).encode())
        os._exit(0)
    os.close(write)
    with os.fdopen(read) as file:
        found = file.read()
    os.wait()
    return int(found) if found else None


def status_of(name):
    with open("/proc/self/status") as file:  # noqa: PTH123
        return next(int(line.split()[1]) * 1024 for line in file if line.startswith(name + ":"))


def race(case, granularity, shape, dtype, options):
    """{contestant: (seconds, time / DropIn's within a round, peak bytes)}."""
    torch.manual_seed(0)
    torch._dynamo.reset()  # every size gets code of its own
    device = options.device
    new, old = paths(case, shape, dtype, device)
    direction = torch.randn_like(new)
    contestants = CASES[case, granularity](shape, granularity, device, options.compile)
    layers = {name: mix if isinstance(mix, nn.Module) else Peer(mix) for name, mix in contestants.items()}
    steps = {name: step_of(mix, new, old, direction) for name, mix in layers.items()}
    for step in steps.values():
        clock(step, 3, device)
    repeats = max(1, round(0.02 / clock(steps["DropIn"], 3, device)))
    times = {name: [] for name in steps}
    for turn in range(options.rounds):
        order = list(steps) if turn % 2 else list(steps)[::-1]
        for name in order:
            times[name].append(clock(steps[name], repeats, device))
    rows = {}
    for name, step in steps.items():
        ratios = [ours / theirs for ours, theirs in zip(times["DropIn"], times[name], strict=True)]
        new.grad = old.grad = None
        rows[name] = (statistics.median(times[name]), statistics.median(ratios), peak_bytes(step, device))
    return rows


def show(say, case, granularity, label, rows):
    say(f"\n{case}, {granularity}, {label}")
    for name, (seconds, ratio, peak) in rows.items():
        memory = "     -" if peak is None else f"{peak / 2**20:6.0f}"
        say(f"  {name:<24}{1000 * seconds:9.3f} ms   DropIn / it {ratio:6.2f}   peak {memory} MB")
    best = max(ratio for name, (_, ratio, _) in rows.items() if name[0] == "=" and "compiled" not in name)
    say(f"  DropIn / cheapest doing the same work: {best:.2f}{compiled_line(rows)}")
    return best


def compiled_line(rows):
    """The same of the compiled ones, within a round as well: both sides as ratios to DropIn."""
    ours = rows.get("= DropIn, compiled")
    if ours is None:
        return ""
    theirs = max(row[1] for name, row in rows.items() if "compiled" in name and "DropIn" not in name)
    return f"; compiled: {theirs / ours[1]:.2f}"


def on_cpu(say, options):
    worst = {}
    for case, granularity in CASES:
        for label, shape in CPU_SHAPES.items():
            rows = race(case, granularity, shape, torch.float32, options)
            worst[case, granularity, label] = show(say, case, granularity, label, rows)
    say(f"\nworst: {max(worst.values()):.2f} ({', '.join(max(worst, key=worst.get))})")


def copy_bandwidth(size):
    """Bytes read and written per second by a device-to-device copy of `size` bytes."""
    source = torch.empty(size, dtype=torch.uint8, device="cuda")
    target = torch.empty_like(source)
    clock(lambda: target.copy_(source), 10, "cuda")
    return 2 * size / statistics.median(clock(lambda: target.copy_(source), 20, "cuda") for _ in range(9))


def moved(shape, dtype):
    """{operator: (call, bytes it must move)} for tensors of `shape`, half the samples through either path."""
    new, old = torch.randn(shape, dtype=dtype, device="cuda"), torch.randn(shape, dtype=dtype, device="cuda")
    batch, channels, height, width = shape
    wide = torch.randn(batch, channels // 2, 2 * height, 2 * width, dtype=dtype, device="cuda")
    k, size, op = batch // 2, new.numel() * new.element_size(), torch.ops.depthprobe
    draw = (1, torch.tensor(0), ops.threshold_of(RATIO), 0, 1.0, 1.0)
    choice = torch.randint(2**31, (channels,), device="cuda")
    fit = [height, width]
    return {
        "prefix, samples": (lambda: op.dropin_prefix(new[k:], old, k, 0), 2 * size),
        "prefix, channels": (lambda: op.dropin_prefix(new[:, channels // 2 :], old, channels // 2, 1), 2 * size),
        "prefix backward (old)": (lambda: op.dropin_prefix_backward(old, k, 0), 1.5 * size),
        "bernoulli": (lambda: op.dropin_bernoulli(new, old, *draw), 3 * size),
        "bernoulli backward": (lambda: op.dropin_bernoulli_backward(new, *draw), 3 * size),
        "resized prefix": (lambda: op.dropin_prefix_resized(new[k:], wide, k, 0, fit, choice), 2.5 * size),
        "resize backward": (lambda: op.resize_backward(new[:k], wide.shape, choice), 2.5 * size),
    }


def on_cuda(say, options):
    from depthprobe.ops.kernels import kernels_for, loaded

    if not kernels_for(0):
        raise SystemExit("the kernels are not built: depthprobe ext build")
    say(f"{torch.cuda.get_device_name()}, CUDA {torch.version.cuda}, kernels for {', '.join(loaded().archs)}")
    for dtype in (torch.float32, torch.bfloat16):
        for megabytes in (64, 256):
            batch = megabytes * 2**20 // (256 * 32 * 32 * dtype.itemsize)
            shape = (batch, 256, 32, 32)
            copy = copy_bandwidth(megabytes * 2**20)
            say(f"\n{megabytes} MB of {dtype}: copy {copy / 1e9:.0f} GB/s")
            for name, (call, size) in moved(shape, dtype).items():
                clock(call, 10, "cuda")
                rate = size / statistics.median(clock(call, 20, "cuda") for _ in range(9))
                say(f"  {name:<24}{rate / 1e9:7.0f} GB/s   {rate / copy:5.2f} of a copy")
            for case, granularity in CASES:
                rows = race(case, granularity, shape, dtype, options)
                show(say, case, granularity, f"{megabytes} MB of {dtype}", rows)


def keep_freed_memory():
    settings = {f"MALLOC_{name}_": str(2**40) for name in ("MMAP_THRESHOLD", "TRIM_THRESHOLD")}
    if not settings.keys() <= os.environ.keys():
        os.execve(sys.executable, [sys.executable, *sys.argv], {**os.environ, **settings})  # read when a process begins


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--no-compile", dest="compile", action="store_false", help="leave the compiled contestants out")
    parser.add_argument("--out", help="also write the table to this file")
    options = parser.parse_args()
    keep_freed_memory()
    torch.set_num_threads(1)
    lines = []

    def say(text):
        lines.append(text)
        print(text, flush=True)

    say(f"benchmarks/operators.py --device {options.device} --rounds {options.rounds}, {datetime.date.today()}")
    say(f"torch {torch.__version__}, numpy {ops.draws.np.__version__}, Python {platform.python_version()}, one thread")
    (on_cuda if options.device == "cuda" else on_cpu)(say, options)
    if options.out:
        with open(options.out, "w", encoding="utf-8") as file:  # noqa: PTH123
            file.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
