"""The user's own DataLoader: what is in it, since a probe mixes and batches examples by itself."""

from typing import Any

import torch
from torch.utils.data import DataLoader, Dataset, IterableDataset, RandomSampler, SequentialSampler, default_collate

from depthprobe.errors import DataError
from depthprobe.inputs.arrays import check_memory


def unload(loader: DataLoader[Any], where: str) -> Dataset[Any] | tuple[torch.Tensor, torch.Tensor]:
    """The data set of a loader; where the loader makes batches in its own way, or the data set is a stream, the inputs
    (N, ...) and labels (N, ...) of one epoch, in the order of the data set.

    Its batch size and order are not used. Raises DataError for a sampler that leaves out, repeats or weighs examples,
    for a stream that does not end, and for batches that are no pairs of tensors.
    """
    data = loader.dataset
    if isinstance(data, IterableDataset):
        if loader.drop_last:
            raise DataError(
                "a stream whose loader leaves out its last examples", where=where, expected="drop_last=False",
                found="drop_last=True",
            )  # fmt: skip
        return _drain(loader, where)
    if loader.batch_size is None and loader.batch_sampler is None:
        raise DataError(
            "a DataLoader that makes no batches", where=where, expected="one that does, or the data set itself",
            found="batch_size=None",
        )  # fmt: skip
    if loader.batch_size is None or not _takes_all(loader):
        raise DataError(
            "a DataLoader with a sampler of its own",
            where=where,
            expected="shuffle=True or False: a probe mixes and batches the examples itself",
            found=type(loader.sampler if loader.batch_size else loader.batch_sampler).__name__,
            hint="give the data set itself; weights of examples or classes belong into the loss",
        )
    if loader.collate_fn is default_collate:
        return data
    return _drain(DataLoader(data, loader.batch_size, collate_fn=loader.collate_fn), where)


def _takes_all(loader: DataLoader[Any]) -> bool:
    """Whether every example is drawn once an epoch; `drop_last` is about batches, not about examples."""
    sampler, count = loader.sampler, len(loader.dataset)  # type: ignore[arg-type]
    if isinstance(sampler, RandomSampler):
        return not sampler.replacement and sampler.num_samples == count == len(sampler.data_source)
    return isinstance(sampler, SequentialSampler) and len(sampler) == count


def _drain(loader: DataLoader[Any], where: str) -> tuple[torch.Tensor, torch.Tensor]:
    """One epoch. Copies: the memory that a worker shares belongs to a file, and there are only so many."""
    inputs: list[torch.Tensor] = []
    labels: list[torch.Tensor] = []
    examples = 0
    for number, batch in enumerate(loader):
        x, y = _check_batch(batch, number, inputs[0].shape[1:] if inputs else None, where)
        examples += len(x)
        check_memory((examples, *x.shape[1:]), where)
        inputs.append(x.clone())
        labels.append(y.clone())
    if not inputs:
        return torch.empty(0, 1), torch.empty(0)
    return torch.cat(inputs), torch.cat(labels)


def _check_batch(batch: object, number: int, shape: torch.Size | None, where: str) -> tuple[torch.Tensor, torch.Tensor]:
    """The inputs (B, ...) and labels (B, ...) of a batch. shape: of an input of the first one."""
    pair = isinstance(batch, tuple | list) and len(batch) == 2
    x, y = batch if isinstance(batch, tuple | list) and pair else (None, None)
    if not isinstance(x, torch.Tensor) or not isinstance(y, torch.Tensor):
        raise DataError(
            f"batch {number} of the loader is not an (inputs, labels) pair of tensors",
            where=where,
            found=", ".join((type(x).__name__, type(y).__name__)) if pair else type(batch).__name__,
        )
    if x.ndim == 0 or y.ndim == 0 or len(x) != len(y):
        raise DataError(
            f"batch {number} of the loader has not as many labels as inputs",
            where=where,
            expected="(B, ...) and (B, ...)",
            found=f"{tuple(x.shape)} and {tuple(y.shape)}",
        )
    if shape is not None and x.shape[1:] != shape:
        raise DataError(
            f"the inputs of batch {number} have another shape than those of batch 0",
            where=where,
            expected=str(tuple(shape)),
            found=str(tuple(x.shape[1:])),
        )
    return x, y
