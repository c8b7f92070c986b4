"""The processes that train one network together: who they are, and what they tell each other."""

import atexit
import datetime
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn

from depthprobe.errors import ProcessError
from depthprobe.training.batches import mix_seed

T = TypeVar("T")

# The first process may read data, or decide on a probe, for hours; one that ends is noticed at once, without a limit.
PATIENCE = datetime.timedelta(days=7)
SPEAKER = "depthprobe/speaker"


@dataclass(frozen=True, eq=False)
class Team:
    """rank: this process (0 first); size: how many there are. host: the group that numbers on the host go through."""

    rank: int = 0
    size: int = 1
    host: Any = None

    @property
    def first(self) -> bool:
        """Whether this process writes, prints and decides."""
        return self.rank == 0

    def tell(self, value: T) -> T:
        """What the first process has, in all of them. Others may pass anything."""
        if self.size == 1:
            return value
        box: list[Any] = [value if self.first else None]
        with _noticed():
            dist.broadcast_object_list(box, src=0, group=self.host)
        return box[0]  # type: ignore[no-any-return]

    def add(self, flat: Tensor) -> Tensor:
        """The sum over all processes, in place. flat: (N,), on the device or the host; the same bits come to all."""
        if self.size > 1:
            with _noticed():
                dist.all_reduce(flat, group=None if flat.is_cuda else self.host)
        return flat

    def seed(self, *parts: int) -> None:
        """Seed torch's generator by several numbers; the other processes draw other numbers (dropout)."""
        torch.manual_seed(mix_seed(*parts, *([self.rank] if self.rank else [])))

    def any_of(self, flags: list[bool]) -> list[bool]:
        """Which flags are up in any process."""
        if self.size == 1:
            return flags
        board = torch.tensor(flags, dtype=torch.uint8)
        with _noticed():
            dist.all_reduce(board, dist.ReduceOp.MAX, group=self.host)
        return [bool(flag) for flag in board.tolist()]

    def join(self, rows: Tensor, count: int) -> Tensor:
        """(count, ...) on the host, of which process r has rows r, r + size, ...: put together, in all of them."""
        if self.size == 1:
            return rows
        most = -(-count // self.size)
        mine = torch.cat((rows, rows.new_zeros(most - len(rows), *rows.shape[1:])))
        found = [torch.empty_like(mine) for _ in range(self.size)]
        with _noticed():
            dist.all_gather(found, mine, group=self.host)
        return torch.stack(found, 1).flatten(0, 1)[:count]

    def even_out(self, net: nn.Module) -> None:
        """Running statistics that every process has of its own samples become their mean; other buffers are alike."""
        if self.size == 1:
            return
        norms = [layer for layer in net.modules() if isinstance(layer, nn.modules.batchnorm._BatchNorm)]
        buffers = [b for norm in norms for b in (norm.running_mean, norm.running_var) if b is not None]
        if not buffers:
            return
        wide = torch.float64 if any(b.dtype == torch.float64 for b in buffers) else torch.float32
        flat = self.add(torch.cat([buffer.detach().flatten().to(wide) for buffer in buffers])) / self.size
        for buffer, mean in zip(buffers, flat.split_with_sizes([b.numel() for b in buffers]), strict=True):
            buffer.copy_(mean.view_as(buffer))


ALONE = Team()


def launched() -> bool:
    """Whether torchrun, or whatever sets the same variables, started this process as one of several."""
    return int(os.environ.get("WORLD_SIZE", "1")) > 1 and "RANK" in os.environ


def open_team() -> Team:
    """All processes that torchrun started, this one alone where there are no others. Can be called again."""
    if not (launched() or (dist.is_available() and dist.is_initialized())):
        return ALONE
    if not dist.is_initialized():
        backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
        if torch.cuda.is_available():
            torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")) % torch.cuda.device_count())
        dist.init_process_group(backend, timeout=PATIENCE)
        atexit.register(_leave)
    return Team(dist.get_rank(), dist.get_world_size(), _host_group())


_groups: dict[int, Any] = {}


def _host_group() -> Any:
    """A gloo group of all processes, made once for a default group: that may know devices only."""
    key = id(dist.group.WORLD)
    if key not in _groups:
        _groups[key] = dist.new_group(backend="gloo", timeout=PATIENCE)
    return _groups[key]


def may_speak() -> bool:
    """Whether this process says what went wrong: the first one that asks, of those that train together."""
    if not launched():
        return True
    if not dist.is_initialized():
        return os.environ["RANK"] == "0"
    try:
        store = dist.distributed_c10d._get_default_store()
        return bool(store.compare_set(SPEAKER, "", os.environ["RANK"]) == os.environ["RANK"].encode())
    except RuntimeError:  # whoever kept the store is gone, and with it the order
        return True


def _leave() -> None:
    if dist.is_initialized():
        dist.destroy_process_group()


@contextmanager
def _noticed() -> Iterator[None]:
    """A process that ended is an error with a name here: gloo and NCCL speak of sockets."""
    try:
        yield
    except RuntimeError as error:
        raise ProcessError(
            "another process of this training is gone",
            found=str(error),
            hint="depthprobe resume RUN, with any number of processes",
        ) from error
